import { Button, HStack, SimpleGrid, Stack, Text } from "@chakra-ui/react";
import { useState } from "react";

import { api, type Schemas } from "src/api/client";
import { RunBadge } from "src/components/Badges";
import { TimeChart } from "src/components/Charts";
import { Grid, type Column } from "src/components/Grid";
import { Card, Muted, NotFresh, To, Waiting } from "src/components/Layout";
import { Clock } from "src/components/Moment";
import { duration, exact, number, short } from "src/format";

type Run = Schemas["RunLine"];

const KINDS = [
  ["sync", "Synchronise"],
  ["reconcile", "Reconcile"],
  ["backfill", "Backfill"],
  ["approval", "Approval"],
] as const;

const CHARTS = [
  {
    label: "Rows read",
    unit: "rows",
    palette: "blue",
    kind: "bar",
    value: (run: Run) => run.rows_read,
    words: short,
  },
  {
    label: "Rows per second",
    unit: "rows/s",
    palette: "teal",
    kind: "line",
    value: (run: Run) => run.rows_per_second,
    words: short,
  },
  {
    label: "Duration",
    unit: "time",
    palette: "purple",
    kind: "line",
    value: (run: Run) => run.seconds,
    words: duration,
  },
  {
    label: "Quarantined",
    unit: "rows",
    palette: "orange",
    kind: "bar",
    value: (run: Run) => run.rows_quarantined,
    words: number,
  },
] as const;

export const History = ({ county }: { readonly county: string }) => {
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}/runs",
    { params: { path: { county }, query: { limit: 60 } } },
    { refetchInterval: 15_000 },
  );
  const [kind, setKind] = useState<string>("sync");
  if (!data) return <Waiting error={error} />;
  const past = data.runs
    .filter((run) => run.kind === "sync" && run.finished_at)
    .slice(0, 40)
    .reverse();
  return (
    <Stack gap={4}>
      <NotFresh error={error} />
      {past.length > 1 ? (
        <SimpleGrid columns={{ base: 1, md: 2, "2xl": 4 }} gap={3}>
          {CHARTS.map(({ value, ...chart }) => (
            <Card key={chart.label} p={3} title={chart.label}>
              <TimeChart {...chart} points={past.map((run) => ({ at: run.started_at, value: value(run) }))} />
            </Card>
          ))}
        </SimpleGrid>
      ) : null}
      <Card
        aside={
          <HStack aria-label="Kind of run" gap={1} role="group" wrap="wrap">
            {KINDS.map(([key, label]) => (
              <Button
                aria-pressed={kind === key}
                key={key}
                onClick={() => setKind(key)}
                size="xs"
                variant={kind === key ? "subtle" : "ghost"}
              >
                {label}
              </Button>
            ))}
          </HStack>
        }
        title="Runs"
      >
        <Grid
          columns={RUNS}
          label="Runs"
          none="No such run yet."
          rowKey={(run) => run.run_id ?? run.started_at}
          rows={data.runs.filter((run) => run.kind === kind)}
        />
      </Card>
    </Stack>
  );
};

const count = (key: string, label: string, value: (run: Run) => string): Column<Run> => ({
  key,
  label,
  number: true,
  cell: value,
});

const RUNS: readonly Column<Run>[] = [
  { key: "started", label: "Started", cell: (run) => <Clock at={run.started_at} /> },
  { key: "state", label: "State", cell: (run) => <RunBadge state={run.state} /> },
  count("took", "Took", (run) => duration(run.seconds)),
  count("read", "Read", (run) => number(run.rows_read)),
  count("speed", "Rows/s", (run) => short(run.rows_per_second)),
  count("written", "Changed", (run) => number(run.rows_written)),
  count("deleted", "Deleted", (run) => number(run.rows_deleted)),
  count("quarantined", "Quarantined", (run) => number(run.rows_quarantined)),
  {
    key: "message",
    label: "Message",
    cell: (run) => (
      <Text fontSize="sm" maxW="26rem" overflowWrap="anywhere">
        {run.message}
      </Text>
    ),
  },
  {
    key: "link",
    label: "Airflow",
    cell: (run) =>
      run.airflow_path ? (
        <To aria-label={`Run of ${exact(run.started_at)} in Airflow`} to={run.airflow_path}>
          Run
        </To>
      ) : (
        <Muted>{run.trigger}</Muted>
      ),
  },
];
