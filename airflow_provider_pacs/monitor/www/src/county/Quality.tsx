import { Button, HStack, Stack, Text } from "@chakra-ui/react";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, fetchClient, type Schemas } from "src/api/client";
import { Badge } from "src/components/Badges";
import { Confirm } from "src/components/Confirm";
import { Grid, type Column } from "src/components/Grid";
import { Keys } from "src/components/Keys";
import { Card, NotFresh, Save, Waiting } from "src/components/Layout";
import { Moment } from "src/components/Moment";
import { Toggle } from "src/components/Toggle";
import { number, plural } from "src/format";
import { SEVERITY } from "src/states";

type Rule = Schemas["QualityLine"];
type WaitingRows = Schemas["QuarantineLine"];

const PAGE = 20;

type QualityProps = { readonly county: string; readonly mayDismiss: boolean };

export const Quality = ({ county, mayDismiss }: QualityProps) => {
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}/quality",
    { params: { path: { county } } },
    { refetchInterval: 15_000 },
  );
  const [all, setAll] = useState(false);
  if (!data) return <Waiting error={error} />;
  const broken = data.results.filter((rule) => !rule.success);
  return (
    <Stack gap={4}>
      <NotFresh error={error} />
      <Card
        aside={
          data.validated_at ? (
            <HStack gap={3} wrap="wrap">
              <span>
                {data.results.length - broken.length} of {data.results.length} hold, validated{" "}
                <Moment at={data.validated_at} />
              </span>
              <Toggle on={all} onChange={setAll} words={["Show all", "Only those that did not hold"]} />
            </HStack>
          ) : undefined
        }
        title="Rules"
      >
        <Grid
          columns={RULES}
          label="Rules"
          none={data.results.length > 0 ? "Every rule holds." : "No run has been validated yet."}
          rowKey={(rule) => `${rule.entity} ${rule.rule_id}`}
          rows={all ? data.results : broken}
        />
      </Card>
      <Card
        aside={
          <HStack gap={3} wrap="wrap">
            <span>Keys and rules only. Every run reads these rows again.</span>
            <Save path={`/api/counties/${county}/quarantine.csv`}>Save as CSV</Save>
          </HStack>
        }
        title="Quarantine"
      >
        <Grid
          columns={[
            ...QUARANTINE,
            { key: "keys", label: "Keys", cell: (line) => <WaitingKeys county={county} line={line} /> },
            ...(mayDismiss
              ? [
                  {
                    key: "dismiss",
                    label: "Leave as they are",
                    cell: (line: WaitingRows) => <Dismiss county={county} line={line} />,
                  },
                ]
              : []),
          ]}
          label="Quarantine by rule"
          none="No row waits in quarantine."
          rowKey={(line) => `${line.entity} ${line.rule}`}
          rows={data.quarantine}
        />
      </Card>
    </Stack>
  );
};

const Result = ({ rule }: { readonly rule: Rule }) => {
  if (rule.success) return <Badge palette="green">holds</Badge>;
  if (rule.blocks) return <Badge palette="red">blocks publishing</Badge>;
  return <Badge palette={SEVERITY[rule.severity] ?? "gray"}>does not hold</Badge>;
};

const RULES: readonly Column<Rule>[] = [
  {
    key: "rule",
    label: "Rule",
    cell: (rule) => (
      <Stack gap={0}>
        <Text fontWeight="medium">{rule.title}</Text>
        <Text color="fg.muted" fontSize="xs">
          {rule.rule_id}
        </Text>
      </Stack>
    ),
  },
  { key: "entity", label: "Entity", cell: (rule) => rule.entity },
  {
    key: "severity",
    label: "If broken",
    cell: (rule) => <Badge palette={SEVERITY[rule.severity] ?? "gray"}>{rule.severity}</Badge>,
  },
  { key: "result", label: "Result", cell: (rule) => <Result rule={rule} /> },
  {
    key: "bad",
    label: "Rows that break it",
    number: true,
    cell: (rule) => `${number(rule.unexpected)} of ${number(rule.evaluated)}`,
  },
  { key: "keys", label: "Keys", cell: (rule) => <Keys keys={rule.keys} /> },
  {
    key: "detail",
    label: "Detail",
    cell: (rule) => (
      <Text fontSize="sm" maxW="20rem" overflowWrap="anywhere">
        {rule.detail}
      </Text>
    ),
  },
];

const QUARANTINE: readonly Column<WaitingRows>[] = [
  {
    key: "rule",
    label: "What the rule asks for",
    cell: (line) => (
      <Stack gap={0}>
        <Text fontWeight="medium">{line.rule_text || line.rule}</Text>
        <Text color="fg.muted" fontSize="xs">
          {line.rule}
        </Text>
      </Stack>
    ),
  },
  { key: "entity", label: "Entity", cell: (line) => line.entity },
  { key: "rows", label: "Rows", number: true, cell: (line) => number(line.rows) },
  { key: "dismissed", label: "Left as they are", number: true, cell: (line) => number(line.dismissed) },
  { key: "since", label: "Since", cell: (line) => <Moment at={line.first_seen_at} /> },
  { key: "seen", label: "Last seen", cell: (line) => <Moment at={line.last_seen_at} /> },
];

/** The first keys at once, more on demand. */
const WaitingKeys = ({ county, line }: { readonly county: string; readonly line: WaitingRows }) => {
  const [offset, setOffset] = useState<number | null>(null);
  if (offset !== null) return <MoreKeys county={county} line={line} offset={offset} onTurn={setOffset} />;
  return (
    <Stack align="start" gap={1}>
      <Keys keys={line.keys} />
      {line.rows > line.keys.length ? (
        <Button onClick={() => setOffset(0)} size="2xs" variant="outline">
          Look through all {number(line.rows)}
        </Button>
      ) : null}
    </Stack>
  );
};

type MoreKeysProps = {
  readonly county: string;
  readonly line: WaitingRows;
  readonly offset: number;
  readonly onTurn: (offset: number | null) => void;
};

const MoreKeys = ({ county, line, offset, onTurn }: MoreKeysProps) => {
  const { data, error } = api.useQuery("get", "/api/counties/{county}/quarantine", {
    params: { path: { county }, query: { entity: line.entity, limit: PAGE, offset, rule: line.rule } },
  });
  if (!data) return <Waiting error={error} />;
  return (
    <Stack align="start" gap={1}>
      <Keys keys={data.keys.map((row) => row.source_key)} />
      <HStack gap={1}>
        <Button onClick={() => onTurn(offset ? offset - PAGE : null)} size="2xs" variant="outline">
          {offset ? "Previous" : "Fewer"}
        </Button>
        <Button disabled={!data.more} onClick={() => onTurn(offset + PAGE)} size="2xs" variant="outline">
          Next
        </Button>
      </HStack>
    </Stack>
  );
};

/** Leaves the rows of the first keys as they are: they stay unpublished, and nobody is asked about them again. */
const Dismiss = ({ county, line }: { readonly county: string; readonly line: WaitingRows }) => {
  const client = useQueryClient();
  const dismiss = async (reason: string) => {
    const path = { county };
    const query = { entity: line.entity, limit: 200, offset: 0, rule: line.rule };
    const { data } = await fetchClient.GET("/api/counties/{county}/quarantine", { params: { path, query } });
    const keys = (data?.keys ?? []).map((row) => row.source_key);
    await fetchClient.POST("/api/counties/{county}/actions/dismiss", {
      body: { entity: line.entity, keys, reason },
      params: { path },
    });
    await client.invalidateQueries();
  };
  return (
    <Confirm
      action="Dismiss"
      disabled={line.dismissed >= line.rows}
      needsReason
      onConfirm={dismiss}
      title={`Leave ${plural(Math.min(line.rows, 200), "row")} of ${line.entity} as they are?`}
    >
      <Text>
        They stay in quarantine and unpublished, and every certificate counts them. A row that changes at the
        source is asked about again.
      </Text>
    </Confirm>
  );
};
