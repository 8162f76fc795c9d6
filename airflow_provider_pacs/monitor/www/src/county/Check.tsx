import { HStack, Stack, Text } from "@chakra-ui/react";
import { useState } from "react";

import { api, type Schemas } from "src/api/client";
import { Badge } from "src/components/Badges";
import { Grid, type Column } from "src/components/Grid";
import { Card, To, Waiting } from "src/components/Layout";
import { Moment } from "src/components/Moment";
import { Toggle } from "src/components/Toggle";

type Finding = Schemas["CheckFinding"];

const FOUND: Record<string, readonly [string, string]> = {
  fail: ["red", "failed"],
  ok: ["green", "ok"],
  unknown: ["gray", "unknown"],
  warn: ["orange", "look at it"],
};

/** What the newest run's first task found at both ends. */
export const Check = ({ county }: { readonly county: string }) => {
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}/check",
    { params: { path: { county } } },
    { refetchInterval: 30_000 },
  );
  const [all, setAll] = useState(false);
  if (!data) return <Waiting error={error} />;
  const odd = data.findings.filter((finding) => finding.state !== "ok");
  return (
    <Card
      aside={
        data.checked_at ? (
          <HStack gap={3} wrap="wrap">
            <span>
              {data.counts.ok ?? 0} of {data.findings.length} are well, looked at{" "}
              <Moment at={data.checked_at} />
            </span>
            {data.airflow_path ? <To to={data.airflow_path}>Log</To> : null}
            <Toggle on={all} onChange={setAll} words={["Show all", "Only what is not well"]} />
          </HStack>
        ) : undefined
      }
      title="Preflight"
    >
      <Grid
        columns={FINDINGS}
        label="Preflight findings"
        none={
          data.checked_at
            ? "Everything is well."
            : "No run has looked at both ends yet: pacs check tells more than a run."
        }
        rowKey={(finding) => finding.id}
        rows={all ? data.findings : odd}
      />
    </Card>
  );
};

const long = (text: string) => (
  <Text fontSize="sm" maxW="32rem" overflowWrap="anywhere">
    {text || "–"}
  </Text>
);

const FINDINGS: readonly Column<Finding>[] = [
  {
    key: "area",
    label: "Area",
    cell: (finding) => (
      <Stack gap={0}>
        <Text fontWeight="medium">{finding.area}</Text>
        <Text color="fg.muted" fontSize="xs">
          {finding.id}
        </Text>
      </Stack>
    ),
  },
  {
    key: "state",
    label: "State",
    cell: (finding) => {
      const [palette, word] = FOUND[finding.state] ?? ["gray", finding.state];
      return <Badge palette={palette}>{word}</Badge>;
    },
  },
  { key: "text", label: "Found", cell: (finding) => long(finding.text) },
  { key: "remedy", label: "What to do", cell: (finding) => long(finding.remedy) },
];
