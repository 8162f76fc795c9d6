import { Box, Flex, HStack, Stack, Text } from "@chakra-ui/react";

import type { Schemas } from "src/api/client";
import { Badge, RunBadge } from "src/components/Badges";
import { Bar } from "src/components/Bar";
import { Grid, type Column } from "src/components/Grid";
import { Card, Empty, To } from "src/components/Layout";
import { Moment } from "src/components/Moment";
import { number, plural, short } from "src/format";

type Entity = Schemas["EntityLine"];
type Detail = Schemas["CountyDetail"];
type Station = {
  readonly title: string;
  readonly text: string;
  readonly state: "bad" | "done" | "open" | "retry";
};

const FLOW: Record<string, string | undefined> = {
  bad: "red.solid",
  done: "green.solid",
  retry: "orange.solid",
};

export const Flow = ({ data }: { readonly data: Detail }) => {
  if (!data.run) {
    return (
      <Card title="Data flow">
        <Empty>
          {data.target.ok
            ? "No run yet: nothing has flowed."
            : "Nothing can be said while the target does not answer."}
        </Empty>
      </Card>
    );
  }
  const { entities, failures, run } = data.run;
  return (
    <Stack gap={4}>
      <Card
        aside={
          <HStack gap={3}>
            <RunBadge state={run.state} />
            <Moment at={run.started_at} />
            {run.airflow_path ? <To to={run.airflow_path}>Run in Airflow</To> : null}
          </HStack>
        }
        title={data.line.running ? "Running now" : "Last run"}
      >
        <Flex align="stretch" aria-label="Data flow" as="ol" listStyleType="none" overflowX="auto" p={4}>
          {stations(data, data.run).map((station, index) => (
            <Stop first={index === 0} key={station.title} live={data.line.running} station={station} />
          ))}
        </Flex>
      </Card>
      <Card title="Entities">
        <Grid columns={ENTITIES} label="Entities of the run" rowKey={(row) => row.entity} rows={entities} />
      </Card>
      {failures.length > 0 ? <WhatWentWrong failures={failures} /> : null}
    </Stack>
  );
};

function stations(data: Detail, { entities, run, source }: Schemas["RunDetail"]): readonly Station[] {
  const sum = (count: (row: Entity) => number) => entities.reduce((total, row) => total + count(row), 0);
  const isIn = (...states: string[]) => entities.some((row) => states.includes(row.state));
  const read = sum((row) => row.rows_read);
  const validated = sum((row) =>
    ["blocked", "passed", "published"].includes(row.state) ? row.rows_read : 0,
  );
  const changed = sum((row) => row.rows_inserted + row.rows_updated + row.rows_deleted);
  const isBroken = isIn("blocked", "failed") || ["drift", "failed"].includes(run.state);
  const stateOf = (isReached: boolean, isBad: boolean) => (isBad ? "bad" : isReached ? "done" : "open");
  const certified = { published: "compares", succeeded: "clean" }[run.state];
  return [
    {
      title: "PACS",
      text: source.server ? [source.server, source.db].filter(Boolean).join(" · ") : data.source,
      state: "done",
    },
    {
      title: "Extract",
      text: `${number(read)} rows`,
      state: entities.some((row) => row.last_failure) ? "retry" : stateOf(read > 0, isIn("failed")),
    },
    {
      title: "Validate",
      text: `${number(validated)} rows`,
      state: stateOf(isIn("passed", "published"), isIn("blocked", "failed")),
    },
    {
      title: "Publish",
      text: run.state === "running" ? "waits for validation" : `${number(changed)} rows changed`,
      state: stateOf(isIn("published"), isBroken && run.state !== "drift"),
    },
    {
      title: "Certify",
      text: certified ?? (run.finished_at ? run.state : "waits"),
      state: stateOf(["pending", "succeeded"].includes(run.state), isBroken),
    },
    { title: "PostgreSQL", text: data.line.target, state: stateOf(isIn("published"), isBroken) },
  ];
}

type StopProps = { readonly station: Station; readonly first: boolean; readonly live: boolean };

/** One step of the flow: green where it is done, red from a blocked entity on, amber where a step is tried again. */
const Stop = ({ first, live, station }: StopProps) => {
  const colour = FLOW[station.state];
  return (
    <Flex align="center" as="li" flex={first ? "0 0 auto" : "1 1 auto"} minW={0}>
      {first ? null : (
        <Box
          aria-hidden
          borderColor={colour ?? (live ? "blue.solid" : "border.emphasized")}
          borderStyle={colour ? "solid" : "dashed"}
          borderTopWidth={2}
          flex="1 1 1rem"
          minW={4}
          mx={2}
        />
      )}
      <Box
        borderColor={colour ?? "border.emphasized"}
        borderRadius="md"
        borderWidth={1}
        data-state={station.state}
        flexShrink={0}
        px={4}
        py={2}
      >
        <Text fontSize="sm" fontWeight="semibold">
          {station.title}
        </Text>
        <Text color="fg.muted" fontSize="xs" fontVariantNumeric="tabular-nums" whiteSpace="nowrap">
          {station.text}
        </Text>
      </Box>
    </Flex>
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

/** An entity's state, what it waits for, and its tries as the journal knows them. */
const EntityState = ({ row }: { readonly row: Entity }) => {
  const isTried = row.attempt > 1 || row.last_failure !== "";
  return (
    <Stack align="start" gap={0.5}>
      <RunBadge
        palette={row.state === "published" ? "green" : row.last_failure ? "orange" : undefined}
        state={row.state}
      />
      <Text color="fg.muted" fontSize="xs">
        {row.step}
      </Text>
      {isTried ? (
        <Text color="fg.muted" fontSize="xs">
          try {Math.max(row.attempt, 1)} of {row.most_tries}, {plural(row.failed_tries, "try", "tries")}{" "}
          failed
        </Text>
      ) : null}
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
  { key: "state", label: "State", cell: (row) => <EntityState row={row} /> },
  { key: "progress", label: "Progress", cell: (row) => <Progress row={row} /> },
  { key: "speed", label: "Rows/s", number: true, cell: (row) => short(row.rows_per_second) },
  {
    key: "mode",
    label: "Read",
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
        {row.last_failure || row.message}{" "}
        {row.airflow_path ? (
          <To aria-label={`Log of ${row.entity}`} to={row.airflow_path}>
            Log
          </To>
        ) : null}
      </Box>
    ),
  },
];
