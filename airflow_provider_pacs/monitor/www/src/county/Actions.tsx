// What people may do with a county: shown to those whom Airflow allows it, confirmed, noted in the county's audit.
import { Box, Flex, HStack, List, Stack, Text } from "@chakra-ui/react";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, fetchClient, type Schemas } from "src/api/client";
import { Confirm } from "src/components/Confirm";
import { Mono, Note, To, Waiting } from "src/components/Layout";
import { number, plural, sentences } from "src/format";

type Detail = Schemas["CountyDetail"];
type Done = Schemas["Done"];

/** Does something and keeps what was said of it; every view is read again after. */
function useActions() {
  const [done, setDone] = useState<Done | null>(null);
  const client = useQueryClient();
  const act = async (request: Promise<{ data?: Done }>): Promise<void> => {
    const { data } = await request;
    setDone(data ?? null);
    await client.invalidateQueries();
  };
  return { act, done };
}

const Outcome = ({ done }: { readonly done: Done | null }) =>
  done ? (
    <Note status="success" title={done.message}>
      {done.airflow_path ? <To to={done.airflow_path}>Run in Airflow</To> : null}
    </Note>
  ) : null;

const RUNS = [
  ["sync", "Run now", "Read what changed at the source since the last run, and publish it."],
  ["full", "Full read", "Read every row of every entity. This can take long and loads the source."],
  [
    "reconcile",
    "Reconcile",
    "Compare every row of the source with what is published. This can take long and loads the source.",
  ],
] as const;

export const Actions = ({ data }: { readonly data: Detail }) => {
  const { act, done } = useActions();
  const { line, may } = data;
  const path = { county: line.county };
  if (!may.run && !may.pause) return null;
  const failed = data.starting?.activity.state === "failed" ? data.starting.activity : null;
  const trigger = failedTrigger(data);
  return (
    <Stack gap={2}>
      <Flex aria-label="Actions" gap={2} role="group" wrap="wrap">
        {may.run
          ? RUNS.map(([kind, action, text]) => (
              <Confirm
                action={action}
                key={kind}
                onConfirm={() =>
                  act(
                    fetchClient.POST("/api/counties/{county}/actions/run", {
                      body: { kind },
                      params: { path },
                    }),
                  )
                }
                title={`${action}: ${line.name}`}
              >
                <Text>{text}</Text>
                {line.paused ? (
                  <Text mt={2}>The DAG is paused: the run waits until it is resumed.</Text>
                ) : null}
              </Confirm>
            ))
          : null}
        {may.run && trigger ? (
          <Confirm
            action="Try again"
            onConfirm={() =>
              act(
                fetchClient.POST("/api/counties/{county}/actions/retry", {
                  body: { kind: failed?.kind === "reconcile" ? "reconcile" : "sync", trigger },
                  params: { path },
                }),
              )
            }
            title={`Try the failed run of ${line.name} again`}
          >
            <Text>The failed tasks of run {trigger} are cleared in Airflow and begin again.</Text>
          </Confirm>
        ) : null}
        {may.pause ? (
          <Confirm
            action={line.paused ? "Resume" : "Pause"}
            onConfirm={() =>
              act(
                fetchClient.POST("/api/counties/{county}/actions/pause", {
                  body: { paused: !line.paused },
                  params: { path },
                }),
              )
            }
            palette="orange"
            title={`${line.paused ? "Resume" : "Pause"} ${line.name}`}
          >
            <Text>
              {line.paused
                ? "Scheduled runs begin again, the next one at its time."
                : "No scheduled run begins until somebody resumes it. A run at work goes on."}
            </Text>
          </Confirm>
        ) : null}
      </Flex>
      <Outcome done={done} />
    </Stack>
  );
};

/** The Airflow run whose failed tasks can be tried again. */
function failedTrigger({ line, run, starting }: Detail): string | null {
  if (line.running) return null;
  const path = starting?.activity.state === "failed" ? starting.activity.airflow_path : "";
  const begun = /\/runs\/([^/]+)$/.exec(path)?.[1];
  if (begun) return decodeURIComponent(begun);
  const isOver = run && ["blocked", "drift", "failed"].includes(run.run.state);
  return isOver && run.run.airflow_path ? run.run.trigger : null;
}

/** Pending deletes: what would go, and the decision. */
export const Pending = ({ data }: { readonly data: Detail }) => {
  const { act, done } = useActions();
  const { line, may, pending } = data;
  if (pending.length === 0) return <Outcome done={done} />;
  const sets = pending.map((set) => ({ digest: set.digest, pending_id: set.pending_id }));
  const rows = pending.reduce((sum, set) => sum + set.row_count, 0);
  const decide = (choice: "approve" | "reject") =>
    act(
      fetchClient.POST("/api/counties/{county}/actions/decide", {
        body: { choice, sets },
        params: { path: { county: line.county } },
      }),
    );
  return (
    <Stack gap={3} mt={2}>
      {pending.map((set) => (
        <PendingSet county={line.county} key={set.pending_id} set={set} />
      ))}
      {may.decide ? (
        <HStack gap={2} wrap="wrap">
          <Confirm
            action="Approve"
            onConfirm={() => decide("approve")}
            palette="red"
            title={`Delete ${plural(rows, "row")} of ${line.name}?`}
          >
            <Text>
              Each row is looked up at the source once more; those that are still gone are deleted from the
              platform, under your name.
            </Text>
          </Confirm>
          <Confirm
            action="Reject"
            onConfirm={() => decide("reject")}
            title={`Keep ${plural(rows, "row")} of ${line.name}?`}
          >
            <Text>The rows stay. The next run that finds them gone asks again.</Text>
          </Confirm>
        </HStack>
      ) : (
        <Text>Somebody who may answer in the DAG pacs_{line.county}_approvals decides.</Text>
      )}
      <Outcome done={done} />
    </Stack>
  );
};

type PendingSetProps = { readonly county: string; readonly set: Schemas["PendingDeletes"] };

const PendingSet = ({ county, set }: PendingSetProps) => {
  const [open, setOpen] = useState(false);
  return (
    <Box>
      <Text>
        {set.entity}: {number(set.row_count)} of {number(set.live_count)} rows wait. {sentences(set.reason)}
      </Text>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>What would go</summary>
        {open ? <Breakdown county={county} pendingId={set.pending_id} /> : null}
      </details>
    </Box>
  );
};

type BreakdownProps = { readonly county: string; readonly pendingId: number };

const Breakdown = ({ county, pendingId }: BreakdownProps) => {
  const { data, error } = api.useQuery("get", "/api/counties/{county}/pending/{pending_id}", {
    params: { path: { county, pending_id: pendingId } },
  });
  if (!data) return <Waiting error={error} />;
  const columns = [...new Set(data.shares.map((share) => share.column))];
  return (
    <Stack fontSize="sm" gap={2} py={2}>
      {columns.map((column) => (
        <Text key={column}>
          By {column.replaceAll("_", " ")}:{" "}
          {data.shares
            .filter((share) => share.column === column)
            .map((share) => `${share.value} ${number(share.rows)}`)
            .join(", ")}
        </Text>
      ))}
      {data.children.length > 0 ? (
        <Text>
          Rows that hang on them:{" "}
          {data.children.map((share) => `${share.value} ${number(share.rows)}`).join(", ")}
        </Text>
      ) : null}
      <Text>
        {data.sample.length < data.row_count
          ? `The first ${number(data.sample.length)} of ${number(data.row_count)} by key:`
          : "By key:"}
      </Text>
      <List.Root as="ul" ps={4}>
        {data.sample.map((row) => (
          <List.Item key={row.source_key}>
            <Mono>{row.source_key}</Mono>
            {row.parcel_number ? ` parcel ${row.parcel_number}` : ""}
          </List.Item>
        ))}
      </List.Root>
    </Stack>
  );
};
