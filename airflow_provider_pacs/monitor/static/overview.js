// All counties at a glance, and the dashboard's card. Search, filter and order live in the address, so a view can be sent to somebody.

import { Badge, C, Card, CertificateBadge, Grid, Moment, Note, React, Router, RunBadge, Running, STATES, StateBadge, To, Trend, Waiting, h, number, percent, plural, sentences, short, useAnswer } from "./parts.js";

const PAGE = 50;
const URGENCY = Object.keys(STATES);
const time = (at) => (at ? new Date(at).getTime() : null);

export const countyPath = (county, tab) => `/plugin/pacs-sync/${county}${tab ? `?tab=${tab}` : ""}`;

export function Quality({ line }) {
  if (!line.rules) return "–";
  if (line.rules_broken) return h(Badge, { palette: "red" }, plural(line.rules_broken, "rule"), " broken");
  if (line.rules_warned) return h(Badge, { palette: "yellow" }, plural(line.rules_warned, "warning"));
  return h(Badge, { palette: "green" }, `${line.rules} hold`);
}

function NewestCertificate({ certificate }) {
  if (!certificate) return h(C.Text, { as: "span", color: "fg.muted" }, "none");
  return h(
    C.Box, { whiteSpace: "nowrap" },
    h(CertificateBadge, { state: certificate.state, covered: certificate.covered }),
    h(C.Text, { fontSize: "xs", color: "fg.muted" }, h(Moment, { at: certificate.issued_at })),
  );
}

const COLUMNS = [
  {
    key: "name", label: "County", sort: (line) => line.name.toLowerCase(),
    cell: (line) => h(C.Box, { w: "11.5rem" }, line.fips
      ? h(To, { to: countyPath(line.county), fontWeight: "medium", overflowWrap: "anywhere" }, line.name)
      : h(C.Text, { as: "span", fontWeight: "medium", overflowWrap: "anywhere", title: line.cause }, line.name)),
  },
  {
    key: "state", label: "State", sort: (line) => URGENCY.indexOf(line.state),
    cell: (line) => h(
      C.HStack, { gap: 1 }, h(StateBadge, { state: line.state, title: line.cause || undefined }), line.running && h(Running),
      line.paused && h(Badge, { palette: "gray", title: "The DAG is paused in Airflow" }, "paused"),
    ),
  },
  { key: "fresh", label: "Data as of", sort: (line) => time(line.fresh_since), cell: (line) => h(Moment, { at: line.fresh_since, none: "no data" }) },
  {
    key: "last", label: "Last run", sort: (line) => time(line.last_run?.started_at),
    cell: (line) => line.last_run
      ? h(C.Box, { whiteSpace: "nowrap" }, h(RunBadge, { state: line.last_run.state }), h(C.Text, { color: "fg.muted", fontSize: "xs" }, h(Moment, { at: line.last_run.started_at })))
      : "–",
  },
  { key: "next", label: "Next run", sort: (line) => time(line.next_run_at), cell: (line) => h(Moment, { at: line.next_run_at, none: line.paused ? "paused" : "by hand" }) },
  { key: "speed", label: "Rows/s", number: true, sort: (line) => line.last_run?.rows_per_second, cell: (line) => short(line.last_run?.rows_per_second) },
  {
    key: "errors", label: "Failed runs", number: true, sort: (line) => line.error_rate,
    cell: (line) => h("span", { title: `of the last ${plural(line.recent_runs, "run")}` }, percent(line.error_rate)),
  },
  { key: "quarantined", label: "Quarantined", number: true, sort: (line) => line.quarantined, cell: (line) => number(line.quarantined) },
  { key: "quality", label: "Quality", sort: (line) => line.rules_broken * 1000 + line.rules_warned, cell: (line) => h(Quality, { line }) },
  { key: "certificate", label: "Certificate", sort: (line) => time(line.certificate?.issued_at), cell: (line) => h(NewestCertificate, { certificate: line.certificate }) },
  { key: "trend", label: "Rows read", cell: (line) => h(Trend, { width: 64, values: line.trend, label: `Rows read by the last ${line.trend.length} runs` }) },
];

function ordered(lines, order) {
  const column = COLUMNS.find((one) => one.key === order.key);
  if (!column) return lines;
  const value = (line) => column.sort(line) ?? null;
  return [...lines].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === b) return one.name.localeCompare(other.name);
    if (a === null) return 1;
    if (b === null) return -1;
    return (a < b ? -1 : 1) * (order.down ? -1 : 1);
  });
}

function Tiles({ totals, chosen, onChoose }) {
  const whole = Object.values(totals).reduce((sum, count) => sum + count, 0);
  const tile = (key, word, count, palette, sign) => h(
    C.Button, {
      key, variant: "outline", h: "auto", py: 2.5, px: 3, flex: "1 1 6.5rem", justifyContent: "flex-start", bg: chosen === key ? "bg.emphasized" : "bg.panel",
      borderColor: chosen === key ? "border.emphasized" : "border", "aria-pressed": chosen === key, onClick: () => onChoose(key),
    },
    h(
      C.Box, { textAlign: "start" },
      h(C.Text, { fontSize: "2xl", lineHeight: 1.1, fontWeight: "semibold", fontVariantNumeric: "tabular-nums" }, number(count)),
      h(C.HStack, { gap: 1.5, fontSize: "xs", color: "fg.muted" }, sign && h(C.Text, { as: "span", color: `${palette}.fg`, "aria-hidden": true }, sign), word),
    ),
  );
  return h(
    C.Flex, { role: "group", "aria-label": "Show counties by state", gap: 2, wrap: "wrap" },
    tile("", "All counties", whole), URGENCY.map((key) => tile(key, STATES[key].word, totals[key] ?? 0, STATES[key].palette, STATES[key].sign)),
  );
}

/** What stands in the way: targets that do not answer, files that can't be read. */
function Trouble({ targets, files }) {
  const down = targets.filter((target) => !target.ok);
  return h(
    React.Fragment, null,
    down.map((target) => h(
      Note, { key: target.connection, status: "error", title: `The target ${target.connection} does not answer (${plural(target.counties, "county", "counties")})` },
      sentences(target.message, target.remedy),
    )),
    files.length > 0 && h(
      Note, { status: "warning", title: `${plural(files.length, "county file")} can't be used; the other counties run` },
      h(C.List.Root, { as: "ul", ps: 4 }, files.map((text) => h(C.List.Item, { key: text, whiteSpace: "pre-wrap" }, text))),
    ),
  );
}

export function Overview() {
  const { data, error } = useAnswer("overview", 5);
  const [search, setSearch] = Router.useSearchParams();
  const set = (changes) => setSearch((old) => {
    const fresh = new URLSearchParams(old);
    for (const [key, value] of Object.entries({ page: "", ...changes })) value ? fresh.set(key, value) : fresh.delete(key);
    return fresh;
  }, { replace: true });
  const [words, state, page] = [search.get("q") ?? "", search.get("state") ?? "", Number(search.get("page") ?? 0)];
  const order = { key: search.get("by") ?? "", down: search.get("down") === "1" };
  if (!data) return h(Waiting, { error });

  const wanted = words.trim().toLowerCase();
  const found = data.counties.filter((line) => (!state || line.state === state) && (!wanted || `${line.name} ${line.county} ${line.fips}`.toLowerCase().includes(wanted)));
  const lines = ordered(found, order);
  const seen = lines.slice(page * PAGE, (page + 1) * PAGE);
  const turn = (key) => set({ by: key, down: order.key === key && !order.down ? "1" : "" });
  return h(
    C.Stack, { gap: 4 },
    h(
      C.Flex, { align: "baseline", gap: 3, wrap: "wrap" },
      h(C.Heading, { as: "h1", size: "2xl" }, "PACS Sync"),
      h(C.Text, { color: "fg.muted", fontSize: "sm" }, `${plural(data.counties.length, "county", "counties")}, ${number(data.running)} running`),
    ),
    error && h(Note, { status: "warning", title: "These figures are not fresh" }, error),
    h(Trouble, { targets: data.targets, files: data.broken_files }),
    h(Tiles, { totals: data.totals, chosen: state, onChoose: (key) => set({ state: key }) }),
    h(
      Card, null,
      h(
        C.Flex, { p: 3, gap: 3, align: "center", wrap: "wrap", borderBottomWidth: 1, borderColor: "border" },
        h(C.Input, {
          type: "search", size: "sm", maxW: "20rem", placeholder: "Search by name or FIPS code", "aria-label": "Search counties", value: words,
          onChange: (event) => set({ q: event.target.value }),
        }),
        h(C.Text, { role: "status", fontSize: "sm", color: "fg.muted", flex: 1 }, `${plural(lines.length, "county", "counties")} shown${order.key ? "" : ", most urgent first"}`),
        lines.length > PAGE && h(Pages, { page, count: Math.ceil(lines.length / PAGE), onPage: (next) => set({ page: next ? String(next) : "" }) }),
      ),
      h(Grid, { label: "Counties", columns: COLUMNS, rows: seen, rowKey: (line) => line.county, order, onOrder: turn, none: "No county fits." }),
    ),
  );
}

function Pages({ page, count, onPage }) {
  return h(
    C.HStack, { as: "nav", "aria-label": "Pages of counties", gap: 2 },
    h(C.Button, { size: "xs", variant: "outline", disabled: page === 0, onClick: () => onPage(page - 1) }, "Previous"),
    h(C.Text, { fontSize: "sm", color: "fg.muted" }, `${page + 1} of ${count}`),
    h(C.Button, { size: "xs", variant: "outline", disabled: page + 1 >= count, onClick: () => onPage(page + 1) }, "Next"),
  );
}

export function DashboardCard() {
  const { data, error } = useAnswer("summary", 15);
  return h(
    Card, { title: "PACS Sync", aside: h(To, { to: "/plugin/pacs-sync" }, "All counties"), my: 2 },
    !data ? h(Waiting, { error }) : h(
      C.Stack, { gap: 3, p: 4 },
      h(
        C.Flex, { gap: 6, wrap: "wrap" },
        URGENCY.filter((key) => data.totals[key]).map((key) => h(
          To, { key, to: `/plugin/pacs-sync?state=${key}`, color: "fg" },
          h(C.HStack, { gap: 2 }, h(C.Text, { fontSize: "xl", fontWeight: "semibold" }, number(data.totals[key])), h(StateBadge, { state: key })),
        )),
        data.running > 0 && h(C.HStack, { gap: 2 }, h(C.Text, { fontSize: "xl", fontWeight: "semibold" }, number(data.running)), h(Running)),
      ),
      data.attention.map((line) => h(
        C.HStack, { key: line.county, gap: 2, fontSize: "sm", minW: 0 },
        h(StateBadge, { state: line.state }), h(To, { to: line.fips ? countyPath(line.county) : "/plugin/pacs-sync?state=broken", flexShrink: 0 }, line.name),
        h(C.Text, { color: "fg.muted", truncate: true, title: line.cause }, line.cause),
      )),
    ),
  );
}
