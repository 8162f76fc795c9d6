// All counties at a glance. Search, filter and order live in the address, so a view can be sent to somebody.
import { Box, Button, Flex, HStack, Heading, Input, List, Stack, Text } from "@chakra-ui/react";
import { useSearchParams } from "react-router-dom";

import { api, type Schemas } from "src/api/client";
import { Badge, CertificateBadge, RunBadge, Running, StateBadge } from "src/components/Badges";
import { Sparkline } from "src/components/Charts";
import { Grid, ordered, type Column } from "src/components/Grid";
import { Card, Muted, NotFresh, Note, To, Waiting } from "src/components/Layout";
import { Moment, Zone } from "src/components/Moment";
import { RulesBadge } from "src/components/RulesBadge";
import { number, percent, plural, sentences, short } from "src/format";
import { countyPath } from "src/paths";
import { STATES, URGENCY, type CountyState } from "src/states";

type Line = Schemas["CountyLine"];

const PAGE = 50;
/** What a county's run is at: queued, in its preflight, at try 3 of 4. */
const word = ({ activities }: Line): string => {
  const [first] = activities.filter((activity) => !activity.awaits_decision);
  if (!first) return "Running";
  const tries = first.attempt && first.most_tries ? `, try ${first.attempt} of ${first.most_tries}` : "";
  return first.is_new ? `${first.step}${tries}` : `Running${tries}`;
};
const time = (at: string | null | undefined): number | null => (at ? new Date(at).getTime() : null);

const PLAIN: readonly Column<Line>[] = [
  {
    key: "name",
    label: "County",
    sort: (line) => line.name.toLowerCase(),
    cell: (line) => (
      <Box w="11.5rem">
        {line.fips ? (
          <To fontWeight="medium" overflowWrap="anywhere" to={countyPath(line.county)}>
            {line.name}
          </To>
        ) : (
          <Text as="span" fontWeight="medium" overflowWrap="anywhere" title={line.cause}>
            {line.name}
          </Text>
        )}
      </Box>
    ),
  },
  {
    key: "state",
    label: "State",
    sort: (line) => URGENCY.indexOf(line.state),
    cell: (line) => (
      <HStack gap={1}>
        <StateBadge state={line.state} title={line.cause || undefined} />
        {line.running ? <Running>{word(line)}</Running> : null}
        {line.paused ? (
          <Badge palette="gray" title="The DAG is paused in Airflow">
            paused
          </Badge>
        ) : null}
      </HStack>
    ),
  },
  {
    key: "fresh",
    label: "Data as of",
    sort: (line) => time(line.fresh_since),
    cell: (line) => <Moment at={line.fresh_since} none="no data" />,
  },
  {
    key: "last",
    label: "Last run",
    sort: (line) => time(line.last_run?.started_at),
    cell: (line) =>
      line.last_run ? (
        <Box whiteSpace="nowrap">
          <RunBadge state={line.last_run.state} />
          <Text color="fg.muted" fontSize="xs">
            <Moment at={line.last_run.started_at} />
          </Text>
        </Box>
      ) : (
        <Muted />
      ),
  },
  {
    key: "next",
    label: "Next run",
    sort: (line) => time(line.next_run_at),
    cell: (line) => <Moment at={line.next_run_at} none={line.paused ? "paused" : "by hand"} />,
  },
  {
    key: "speed",
    label: "Rows/s",
    number: true,
    sort: (line) => line.last_run?.rows_per_second,
    cell: (line) => short(line.last_run?.rows_per_second),
  },
  {
    key: "errors",
    label: "Failed runs",
    number: true,
    sort: (line) => line.error_rate,
    cell: (line) => (
      <span title={`of the last ${plural(line.recent_runs, "run")}`}>{percent(line.error_rate)}</span>
    ),
  },
  {
    key: "quarantined",
    label: "Quarantined",
    number: true,
    sort: (line) => line.quarantined,
    cell: (line) => number(line.quarantined),
  },
  {
    key: "quality",
    label: "Quality",
    sort: (line) => line.rules_broken * 1000 + line.rules_warned,
    cell: (line) => <RulesBadge line={line} />,
  },
  {
    key: "certificate",
    label: "Certificate",
    sort: (line) => time(line.certificate?.issued_at),
    cell: (line) =>
      line.certificate ? (
        <Box whiteSpace="nowrap">
          <CertificateBadge covered={line.certificate.covered} state={line.certificate.state} />
          <Text color="fg.muted" fontSize="xs">
            <Moment at={line.certificate.issued_at} />
          </Text>
        </Box>
      ) : (
        <Muted>none</Muted>
      ),
  },
  {
    key: "trend",
    label: "Rows read",
    cell: (line) => (
      <Sparkline label={`Rows read by the last ${line.trend.length} runs`} values={line.trend} />
    ),
  },
];

/** Each county's times are said on its own clock. */
const COLUMNS = PLAIN.map((column) => ({
  ...column,
  cell: (line: Line) => <Zone value={line.timezone}>{column.cell(line)}</Zone>,
}));

export const Overview = () => {
  const { data, error } = api.useQuery("get", "/api/overview", {}, { refetchInterval: 5000 });
  const [search, setSearch] = useSearchParams();
  if (!data) return <Waiting error={error} />;

  const set = (changes: Record<string, string>) =>
    setSearch(
      (old) => {
        const fresh = new URLSearchParams(old);
        for (const [key, value] of Object.entries({ page: "", ...changes })) {
          if (value) fresh.set(key, value);
          else fresh.delete(key);
        }
        return fresh;
      },
      { replace: true },
    );
  const [words, state] = [search.get("q") ?? "", search.get("state") ?? ""];
  const order = { down: search.get("down") === "1", key: search.get("by") ?? "" };
  const wanted = words.trim().toLowerCase();
  const found = data.counties.filter(
    (line) =>
      (!state || line.state === state) &&
      (!wanted || `${line.name} ${line.county} ${line.fips}`.toLowerCase().includes(wanted)),
  );
  const lines = ordered(found, COLUMNS, order, (one, other) => one.name.localeCompare(other.name));
  const pages = Math.ceil(lines.length / PAGE);
  const page = Math.min(Math.max(Number(search.get("page") ?? 0) || 0, 0), Math.max(pages - 1, 0));
  return (
    <Stack gap={4}>
      <Flex align="baseline" gap={3} wrap="wrap">
        <Heading as="h1" size="2xl">
          PACS Sync
        </Heading>
        <Text color="fg.muted" fontSize="sm">
          {plural(data.counties.length, "county", "counties")}, {number(data.running)} running
        </Text>
      </Flex>
      <NotFresh error={error} />
      <Trouble files={data.broken_files} targets={data.targets} />
      <Tiles chosen={state} onChoose={(key) => set({ state: key })} totals={data.totals} />
      <Card>
        <Flex align="center" borderBottomWidth={1} borderColor="border" gap={3} p={3} wrap="wrap">
          <Input
            aria-label="Search counties"
            maxW="20rem"
            onChange={(event) => set({ q: event.target.value })}
            placeholder="Search by name or FIPS code"
            size="sm"
            type="search"
            value={words}
          />
          <Text color="fg.muted" flex={1} fontSize="sm" role="status">
            {plural(lines.length, "county", "counties")} shown{order.key ? "" : ", most urgent first"}
          </Text>
          {pages > 1 ? (
            <Pages count={pages} onPage={(next) => set({ page: next ? String(next) : "" })} page={page} />
          ) : null}
        </Flex>
        <Grid
          columns={COLUMNS}
          label="Counties"
          none="No county fits."
          onOrder={(key) => set({ by: key, down: order.key === key && !order.down ? "1" : "" })}
          order={order}
          rowKey={(line) => line.county}
          rows={lines.slice(page * PAGE, (page + 1) * PAGE)}
        />
      </Card>
    </Stack>
  );
};

type TilesProps = {
  readonly totals: Record<string, number>;
  readonly chosen: string;
  readonly onChoose: (key: string) => void;
};

const Tiles = ({ chosen, onChoose, totals }: TilesProps) => {
  const whole = Object.values(totals).reduce((sum, count) => sum + count, 0);
  return (
    <Flex aria-label="Show counties by state" gap={2} role="group" wrap="wrap">
      <Tile chosen={chosen === ""} count={whole} onChoose={() => onChoose("")} word="All counties" />
      {URGENCY.map((state) => (
        <Tile
          chosen={chosen === state}
          count={totals[state] ?? 0}
          key={state}
          onChoose={() => onChoose(state)}
          state={state}
          word={STATES[state].word}
        />
      ))}
    </Flex>
  );
};

type TileProps = {
  readonly chosen: boolean;
  readonly count: number;
  readonly word: string;
  readonly state?: CountyState;
  readonly onChoose: () => void;
};

const Tile = ({ chosen, count, onChoose, state, word }: TileProps) => (
  <Button
    aria-pressed={chosen}
    bg={chosen ? "bg.emphasized" : "bg.panel"}
    borderColor={chosen ? "border.emphasized" : "border"}
    flex="1 1 6.5rem"
    h="auto"
    justifyContent="flex-start"
    onClick={onChoose}
    px={3}
    py={2.5}
    variant="outline"
  >
    <Box textAlign="start">
      <Text fontSize="2xl" fontVariantNumeric="tabular-nums" fontWeight="semibold" lineHeight={1.1}>
        {number(count)}
      </Text>
      <HStack color="fg.muted" fontSize="xs" gap={1.5}>
        {state ? (
          <Text aria-hidden as="span" color={`${STATES[state].palette}.fg`}>
            {STATES[state].sign}
          </Text>
        ) : null}
        {word}
      </HStack>
    </Box>
  </Button>
);

type TroubleProps = {
  readonly targets: readonly Schemas["TargetLine"][];
  readonly files: readonly string[];
};

/** What stands in the way: targets that do not answer, files that can't be used. */
const Trouble = ({ files, targets }: TroubleProps) => (
  <>
    {targets
      .filter((target) => !target.ok)
      .map((target) => (
        <Note
          key={target.connection}
          status="error"
          title={`The target ${target.connection} does not answer (${plural(target.counties, "county", "counties")})`}
        >
          {sentences(target.message, target.remedy)}
        </Note>
      ))}
    {files.length > 0 ? (
      <Note
        status="warning"
        title={`${plural(files.length, "county file")} can't be used; the other counties run`}
      >
        <List.Root as="ul" ps={4}>
          {files.map((text) => (
            <List.Item key={text} whiteSpace="pre-wrap">
              {text}
            </List.Item>
          ))}
        </List.Root>
      </Note>
    ) : null}
  </>
);

type PagesProps = {
  readonly page: number;
  readonly count: number;
  readonly onPage: (page: number) => void;
};

const Pages = ({ count, onPage, page }: PagesProps) => (
  <HStack aria-label="Pages of counties" as="nav" gap={2}>
    <Button disabled={page === 0} onClick={() => onPage(page - 1)} size="xs" variant="outline">
      Previous
    </Button>
    <Text color="fg.muted" fontSize="sm">
      {page + 1} of {count}
    </Text>
    <Button disabled={page + 1 >= count} onClick={() => onPage(page + 1)} size="xs" variant="outline">
      Next
    </Button>
  </HStack>
);
