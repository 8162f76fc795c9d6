import { Box, HStack, Stack, Text } from "@chakra-ui/react";

import type { Schemas } from "src/api/client";
import { Badge, RunBadge, Running } from "src/components/Badges";
import { Bar } from "src/components/Bar";
import { Grid, type Column } from "src/components/Grid";
import { Card, Empty, To } from "src/components/Layout";
import { Moment } from "src/components/Moment";
import { StepBadge, StepFlow } from "src/components/Steps";
import { number, plural, short } from "src/format";
import { COVERED } from "src/states";
import { STEP_NAMES } from "src/steps";

type Entity = Schemas["EntityLine"];
type Detail = Schemas["CountyDetail"];

export const Flow = ({ data }: { readonly data: Detail }) => {
  const { run, starting } = data;
  return (
    <Stack gap={4}>
      {starting ? <Starting data={data} starting={starting} /> : null}
      {run ? (
        <Run data={data} detail={run} isAtWork={data.line.running && !starting} />
      ) : (
        <Card title="Data flow">
          <Empty>
            {data.target.ok
              ? "No run has read anything yet."
              : "The journal can't be read while the target does not answer."}
          </Empty>
        </Card>
      )}
    </Stack>
  );
};

type StartingProps = { readonly data: Detail; readonly starting: Schemas["StartingRun"] };

function titleOf({ activity, steps }: Schemas["StartingRun"]): string {
  const isBegun = steps[0]?.state === "done";
  if (activity.state === "failed")
    return isBegun ? "Newest run: it failed" : "Newest run: it ended in its preflight";
  return isBegun ? "Running now, as Airflow says" : "Starting now";
}

/** A run from its first second: queued, in its preflight, or ended there. */
const Starting = ({ data, starting }: StartingProps) => {
  const { activity, steps } = starting;
  return (
    <Card
      aside={
        <HStack gap={3} wrap="wrap">
          {activity.state === "failed" ? (
            <RunBadge state="failed" />
          ) : (
            <Running>{activity.state === "queued" ? "Queued" : "Running"}</Running>
          )}
          <span>
            {activity.kind}, <Moment at={activity.since} />
          </span>
          {activity.airflow_path ? <To to={activity.airflow_path}>Run in Airflow</To> : null}
        </HStack>
      }
      title={titleOf(starting)}
    >
      <StepFlow ends={data.ends} source={data.source} steps={steps} target={data.line.target} />
    </Card>
  );
};

type RunProps = {
  readonly data: Detail;
  readonly detail: Schemas["RunDetail"];
  readonly isAtWork: boolean;
};

const Run = ({ data, detail, isAtWork }: RunProps) => {
  const { entities, failures, run, source, steps } = detail;
  const sum = (rows: (row: Entity) => number) => entities.reduce((total, row) => total + rows(row), 0);
  const place = source.server ? [source.server, source.db].filter(Boolean).join(" · ") : data.source;
  const certificate = data.line.certificate;
  return (
    <>
      <Card
        aside={
          <HStack gap={3} wrap="wrap">
            <RunBadge state={run.state} />
            <span>
              {run.kind}, <Moment at={run.started_at} />
            </span>
            {run.airflow_path ? <To to={run.airflow_path}>Run in Airflow</To> : null}
          </HStack>
        }
        title={isAtWork ? "Running now" : data.starting ? "The run before" : "Last run"}
      >
        <StepFlow
          ends={data.ends}
          notes={{
            extract: `${number(sum((row) => row.rows_read))} rows read`,
            validate: `${number(sum((row) => row.rows_quarantined))} rows set aside`,
            publish: `${number(sum((row) => row.rows_inserted + row.rows_updated + row.rows_deleted))} rows changed`,
            certify:
              certificate?.run_id === run.run_id
                ? `covers ${COVERED[certificate.covered] ?? certificate.covered}`
                : undefined,
          }}
          source={place}
          steps={steps}
          target={data.line.target}
        />
      </Card>
      <Card title="Entities">
        <Grid columns={ENTITIES} label="Entities of the run" rowKey={(row) => row.entity} rows={entities} />
      </Card>
      {failures.length > 0 ? <WhatWentWrong failures={failures} /> : null}
    </>
  );
};

export const WhatWentWrong = ({ failures }: { readonly failures: readonly Schemas["FailureLine"][] }) => (
  <Card title="What went wrong">
    <Stack gap={0}>
      {failures.map((failure) => (
        <Box borderColor="border" borderTopWidth={1} key={failure.seq} px={4} py={3}>
          <HStack gap={2} wrap="wrap">
            <Badge palette="red">{failure.code}</Badge>
            <Text fontSize="sm" fontWeight="medium">
              {failure.meaning}
            </Text>
            <Text color="fg.muted" fontSize="sm">
              {failure.step}
            </Text>
          </HStack>
          <Text fontSize="sm" overflowWrap="anywhere">
            {failure.message}
          </Text>
          <Text color="fg.muted" fontSize="sm">
            {failure.remedy}
          </Text>
          {failure.airflow_path ? (
            <To fontSize="sm" to={failure.airflow_path}>
              Log of {failure.step}
            </To>
          ) : null}
        </Box>
      ))}
    </Stack>
  </Card>
);

const BARS: Record<string, string> = { blocked: "red", failed: "red", passed: "green", published: "green" };

const Progress = ({ row }: { readonly row: Entity }) => {
  const reading = row.state === "planned" || row.state === "extracting";
  const done = row.expected ? row.rows_read / row.expected : row.rows_read ? null : 0;
  const label =
    reading && row.expected
      ? `${number(row.rows_read)} of about ${number(row.expected)} rows`
      : `${number(row.rows_read)} rows`;
  return (
    <Stack gap={1} minW="11rem">
      <Bar
        busy={reading && row.rows_read > 0}
        label={`${row.entity}: ${label}`}
        palette={BARS[row.state]}
        value={reading ? done : 1}
      />
      <Text color="fg.muted" fontSize="xs">
        {label}
      </Text>
    </Stack>
  );
};

const count = (key: string, label: string, value: (row: Entity) => number): Column<Entity> => ({
  key,
  label,
  number: true,
  cell: (row) => number(value(row)),
});

const ENTITIES: readonly Column<Entity>[] = [
  { key: "entity", label: "Entity", cell: (row) => <Text fontWeight="medium">{row.entity}</Text> },
  { key: "progress", label: "Read", cell: (row) => <Progress row={row} /> },
  ...(["extract", "validate", "publish", "certify"] as const).map((name): Column<Entity> => ({
    key: name,
    label: STEP_NAMES[name],
    cell: (row) =>
      row.steps.filter((step) => step.step === name).map((step) => <StepBadge key={name} step={step} />),
  })),
  { key: "speed", label: "Rows/s", number: true, cell: (row) => short(row.rows_per_second) },
  {
    key: "mode",
    label: "How",
    cell: (row) => (
      <Text title={row.reason}>
        {row.mode}, {row.strategy.replaceAll("_", " ")}
      </Text>
    ),
  },
  count("inserted", "Inserted", (row) => row.rows_inserted),
  count("updated", "Updated", (row) => row.rows_updated),
  count("deleted", "Deleted", (row) => row.rows_deleted),
  count("quarantined", "Quarantined", (row) => row.rows_quarantined),
  count("pending", "Pending deletes", (row) => row.rows_pending),
  {
    key: "message",
    label: "Message",
    cell: (row) => (
      <Box maxW="22rem" overflowWrap="anywhere">
        {row.last_failure || row.message || row.step}{" "}
        {row.failed_tries > 0 ? `(${plural(row.failed_tries, "try", "tries")} failed) ` : null}
        {row.airflow_path ? (
          <To aria-label={`Log of ${row.entity}`} to={row.airflow_path}>
            Log
          </To>
        ) : null}
      </Box>
    ),
  },
];
