import { Button, HStack, Stack, Text } from "@chakra-ui/react";
import { useState } from "react";

import { api, type Schemas } from "src/api/client";
import { Badge } from "src/components/Badges";
import { Grid, type Column } from "src/components/Grid";
import { Keys } from "src/components/Keys";
import { Card, NotFresh, Waiting } from "src/components/Layout";
import { Moment } from "src/components/Moment";
import { Toggle } from "src/components/Toggle";
import { number } from "src/format";
import { SEVERITY } from "src/states";

type Rule = Schemas["QualityLine"];
type WaitingRows = Schemas["QuarantineLine"];

const PAGE = 20;

export const Quality = ({ county }: { readonly county: string }) => {
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
      <Card aside="keys and rules only; the values stay in the county" title="Quarantine">
        <Grid
          columns={[
            ...QUARANTINE,
            { key: "keys", label: "Keys", cell: (line) => <WaitingKeys county={county} line={line} /> },
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
