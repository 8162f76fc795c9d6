// One county: how it stands, its newest run step by step, and the tabs with history, quality, evidence.
import { Box, Button, Flex, HStack, Heading, SimpleGrid, Stack, Tabs, Text } from "@chakra-ui/react";
import type { ReactNode } from "react";
import { useSearchParams } from "react-router-dom";

import { api, type Schemas } from "src/api/client";
import { Badge, CertificateBadge, RunBadge, Running, StateBadge } from "src/components/Badges";
import { NotFresh, Note, To, Waiting } from "src/components/Layout";
import { Moment, Zone } from "src/components/Moment";
import { RulesBadge } from "src/components/RulesBadge";
import { Tries } from "src/components/Steps";
import { Actions, Pending } from "src/county/Actions";
import { Audit } from "src/county/Audit";
import { Certificates } from "src/county/Certificates";
import { Changes } from "src/county/Changes";
import { Check } from "src/county/Check";
import { Errors } from "src/county/Errors";
import { Flow } from "src/county/Flow";
import { History } from "src/county/History";
import { Quality } from "src/county/Quality";
import { duration, exact, number, percent, plural, sentences, short } from "src/format";
import { PAGE_PATH, countyPath } from "src/paths";

type Detail = Schemas["CountyDetail"];

const TABS: Record<string, readonly [string, (data: Detail) => ReactNode]> = {
  flow: ["Data flow", (data) => <Flow data={data} />],
  history: ["History", ({ line }) => <History county={line.county} />],
  quality: [
    "Quality and quarantine",
    ({ line, may }) => <Quality county={line.county} mayDismiss={may.run} />,
  ],
  check: ["Preflight", ({ line }) => <Check county={line.county} />],
  changes: ["Change detection", ({ changes }) => <Changes changes={changes} />],
  certificates: ["Certificates", ({ line }) => <Certificates county={line.county} />],
  errors: ["Errors", ({ line }) => <Errors county={line.county} />],
  audit: ["Audit trail", ({ line }) => <Audit county={line.county} />],
};

type CountyProps = { readonly county: string; readonly inDag?: boolean };

export const County = ({ county, inDag = false }: CountyProps) => {
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}",
    { params: { path: { county } } },
    { refetchInterval: (query) => (query.state.data?.line.running === false ? 10_000 : 3000) },
  );
  const [search, setSearch] = useSearchParams();
  const asked = search.get("tab") ?? "";
  const tab = asked in TABS ? asked : "flow";
  const turnTo = (key: string) => setSearch(key === "flow" ? {} : { tab: key }, { replace: true });
  if (!data) {
    return (
      <Stack gap={4}>
        {inDag ? null : <Back />}
        <Waiting error={error} />
      </Stack>
    );
  }
  const { line, target } = data;
  return (
    <Zone value={line.timezone}>
      <Stack gap={4}>
        <Box>
          {inDag ? null : <Back />}
          <Flex align="center" gap={3} wrap="wrap">
            <Heading as="h1" overflowWrap="anywhere" size="xl">
              {line.name}
            </Heading>
            <StateBadge size="md" state={line.state} />
            <Activities line={line} />
            {line.paused ? <Badge palette="gray">paused in Airflow</Badge> : null}
            {line.realtime ? <Realtime realtime={line.realtime} /> : null}
            <Box flex={1} />
            {inDag ? (
              <To to={countyPath(county)}>Open in PACS Sync</To>
            ) : (
              <To to={`/dags/${line.dag_id}`}>Open the DAG</To>
            )}
          </Flex>
          <Text color="fg.muted" fontSize="sm">
            FIPS {line.fips} · {data.source} ({data.profile}) to {line.target} ·{" "}
            {line.cron ? `${line.cron} in ${line.timezone}` : "by hand only"}
          </Text>
        </Box>
        <NotFresh error={error} />
        <Actions data={data} />
        {target.ok ? (
          <Cause data={data} toErrors={() => turnTo("errors")} />
        ) : (
          <Note status="error" title={`The target ${target.connection} does not answer`}>
            {sentences(target.message, target.remedy)}
          </Note>
        )}
        <Figures line={line} />
        <Tabs.Root lazyMount onValueChange={({ value }) => turnTo(value)} size="sm" unmountOnExit value={tab}>
          <Tabs.List overflowX="auto" overflowY="hidden">
            {Object.entries(TABS).map(([key, [label]]) => (
              <Tabs.Trigger flexShrink={0} key={key} value={key} whiteSpace="nowrap">
                {label}
              </Tabs.Trigger>
            ))}
          </Tabs.List>
          {Object.entries(TABS).map(([key, [, view]]) => (
            <Tabs.Content key={key} pt={4} value={key}>
              {key === tab ? view(data) : null}
            </Tabs.Content>
          ))}
        </Tabs.Root>
      </Stack>
    </Zone>
  );
};

/** What is at work, from the first second on; a run outside of Airflow says only that it runs. */
const Activities = ({ line }: { readonly line: Schemas["CountyLine"] }) => {
  if (line.activities.length === 0) return line.running ? <Running /> : null;
  return (
    <>
      {line.activities.map((activity) => (
        <HStack gap={2} key={activity.airflow_path}>
          {activity.awaits_decision ? (
            <Badge palette="orange">waits for a decision</Badge>
          ) : (
            <Running>
              {activity.kind}: {activity.step}
            </Running>
          )}
          <Tries of={activity} />
        </HStack>
      ))}
    </>
  );
};

/** Whether the county is followed in realtime now, and how far behind. */
const Realtime = ({ realtime }: { readonly realtime: Schemas["RealtimeLine"] }) => (
  <Badge palette={realtime.live ? "green" : "orange"} title={realtime.cause || undefined}>
    realtime: {realtime.state}
    {realtime.lag_seconds ? `, ${duration(realtime.lag_seconds)} behind` : ""}
  </Badge>
);

const Back = () => (
  <Box fontSize="sm" mb={1}>
    <To to={PAGE_PATH}>‹ All counties</To>
  </Box>
);

const STATUS: Record<string, "error" | "info"> = {
  blocked: "error",
  drift: "error",
  failing: "error",
  never: "info",
};

/** Why the county is not in step, what to do about it, and the log that tells more. */
const Cause = ({ data, toErrors }: { readonly data: Detail; readonly toErrors: () => void }) => {
  const { failed_decision: decision, line, refusal, run } = data;
  if (!line.cause) return null;
  const failed = ["failing", "blocked", "retrying"].includes(line.state);
  const failure = failed ? (refusal ?? run?.failures[0]) : undefined;
  return (
    <Note status={STATUS[line.state] ?? "warning"} title={line.cause}>
      {failure?.remedy ? <Text>{sentences(`What to do: ${failure.remedy}`)}</Text> : null}
      <HStack gap={4} mt={1} wrap="wrap">
        {failure?.airflow_path ? <To to={failure.airflow_path}>Log of {failure.step}</To> : null}
        {line.state === "pending" ? null : (
          <Button color="fg.info" fontSize="sm" h="auto" onClick={toErrors} p={0} size="xs" variant="plain">
            All errors
          </Button>
        )}
      </HStack>
      {decision ? (
        <Text>
          {sentences(`The decision of ${exact(decision.at, line.timezone)} failed`, decision.remedy)}{" "}
          {decision.airflow_path ? <To to={decision.airflow_path}>Log of {decision.step}</To> : null}
        </Text>
      ) : null}
      <Pending data={data} />
    </Note>
  );
};

const Figures = ({ line }: { readonly line: Schemas["CountyLine"] }) => {
  const run = line.last_run;
  const cells: readonly (readonly [string, ReactNode, ReactNode])[] = [
    [
      "Data as of",
      <Moment at={line.fresh_since} key="at" none="no data" />,
      line.due_since ? (
        <>
          must be newer than <Moment at={line.due_since} />
        </>
      ) : (
        "no schedule"
      ),
    ],
    [
      "Last run",
      run ? <RunBadge key="state" state={run.state} /> : "–",
      run ? (
        <>
          <Moment at={run.started_at} />
          {run.seconds ? `, took ${duration(run.seconds)}` : ""}
        </>
      ) : null,
    ],
    [
      "Next run",
      <Moment at={line.next_run_at} key="at" none={line.paused ? "paused" : "by hand"} />,
      line.timezone,
    ],
    ["Rows per second", short(run?.rows_per_second), run ? `${number(run.rows_read)} rows read` : ""],
    ["Failed runs", percent(line.error_rate), `of the last ${line.recent_runs}`],
    ["Quarantined", number(line.quarantined), plural(line.quarantined, "row waits", "rows wait")],
    [
      "Quality",
      <RulesBadge key="rules" line={line} />,
      line.rules ? `${line.rules} rules validated` : "not validated yet",
    ],
    [
      "Certificate",
      line.certificate ? (
        <CertificateBadge covered={line.certificate.covered} key="state" state={line.certificate.state} />
      ) : (
        "none"
      ),
      line.certificate ? <Moment at={line.certificate.issued_at} /> : null,
    ],
  ];
  return (
    <SimpleGrid
      as="dl"
      bg="border"
      borderColor="border"
      borderRadius="lg"
      borderWidth={1}
      columns={{ base: 2, md: 4, xl: 8 }}
      gap="1px"
      overflow="hidden"
    >
      {cells.map(([label, value, under]) => (
        <Box bg="bg.panel" key={label} minW={0} px={3} py={2.5}>
          <Text as="dt" color="fg.muted" fontSize="xs">
            {label}
          </Text>
          <Box
            as="dd"
            fontSize="lg"
            fontVariantNumeric="tabular-nums"
            fontWeight="semibold"
            minH={7}
            overflow="hidden"
          >
            {value}
          </Box>
          <Box as="dd" color="fg.muted" fontSize="xs">
            {under}
          </Box>
        </Box>
      ))}
    </SimpleGrid>
  );
};
