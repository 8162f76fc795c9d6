// One county: how it stands, the data's way with live progress, and the tabs with history, quality, evidence.

import { Quality, Verdict } from "./overview.js";
import { Certificates, Changes, Check, Errors, History, QualityTab, Trail } from "./county_tabs.js";
import { Badge, Bar, C, Card, Empty, Grid, Moment, Note, React, Router, RunBadge, Running, StateBadge, To, Waiting, duration, h, number, percent, plural, sentences, short, useAnswer } from "./parts.js";

const TABS = [
  ["flow", "Data flow"], ["history", "History"], ["quality", "Quality and quarantine"], ["check", "Preflight"], ["changes", "Change detection"],
  ["certificates", "Certificates"], ["errors", "Errors"], ["audit", "Audit trail"],
];

export const NoCounty = () => h(Empty, null, "This DAG does not belong to a county.");

export function County({ county, inDag = false }) {
  const [running, setRunning] = React.useState(true);
  const { data, error } = useAnswer(`counties/${county}`, running ? 3 : 10);
  const [search, setSearch] = Router.useSearchParams();
  const isRunning = data?.line.running ?? false;
  React.useEffect(() => setRunning(isRunning), [isRunning]);
  const tab = TABS.some(([key]) => key === search.get("tab")) ? search.get("tab") : "flow";
  if (!data) return h(C.Stack, { gap: 4 }, !inDag && h(Back), h(Waiting, { error }));
  const { line, target } = data;
  return h(
    C.Stack, { gap: 4 },
    h(
      C.Box, null, !inDag && h(Back),
      h(
        C.Flex, { align: "center", gap: 3, wrap: "wrap" },
        h(C.Heading, { as: "h1", size: "xl", overflowWrap: "anywhere" }, line.name), h(StateBadge, { state: line.state, size: "md" }), line.running && h(Running),
        line.paused && h(Badge, { palette: "gray" }, "paused in Airflow"), h(C.Box, { flex: 1 }),
        inDag ? h(To, { to: `/plugin/pacs-sync/${county}` }, "Open in PACS Sync") : h(To, { to: `/dags/${line.dag_id}` }, "Open the DAG"),
      ),
      h(C.Text, { fontSize: "sm", color: "fg.muted" }, `FIPS ${line.fips} · ${data.source} (${data.profile}) to ${line.target} · ${line.cron ? `${line.cron} in ${line.timezone}` : "by hand only"}`),
    ),
    error && h(Note, { status: "warning", title: "These figures are not fresh" }, error),
    !target.ok && h(Note, { status: "error", title: `The target ${target.connection} does not answer` }, sentences(target.message, target.remedy)),
    target.ok && line.cause && h(Cause, { data, toErrors: () => setSearch({ tab: "errors" }) }),
    h(Figures, { line }),
    h(
      C.Tabs.Root, { value: tab, onValueChange: ({ value }) => setSearch(value === "flow" ? {} : { tab: value }, { replace: true }), size: "sm", lazyMount: true, unmountOnExit: true },
      h(C.Tabs.List, { overflowX: "auto" }, TABS.map(([key, label]) => h(C.Tabs.Trigger, { key, value: key, whiteSpace: "nowrap" }, label))),
      h(C.Tabs.Content, { value: "flow", pt: 4 }, h(Flow, { data })),
      h(C.Tabs.Content, { value: "history", pt: 4 }, h(History, { county })),
      h(C.Tabs.Content, { value: "quality", pt: 4 }, h(QualityTab, { county })),
      h(C.Tabs.Content, { value: "check", pt: 4 }, h(Check, { county })),
      h(C.Tabs.Content, { value: "changes", pt: 4 }, h(Changes, { changes: data.changes })),
      h(C.Tabs.Content, { value: "certificates", pt: 4 }, h(Certificates, { county })),
      h(C.Tabs.Content, { value: "errors", pt: 4 }, h(Errors, { county })),
      h(C.Tabs.Content, { value: "audit", pt: 4 }, h(Trail, { county })),
    ),
  );
}

const Back = () => h(C.Box, { mb: 1, fontSize: "sm" }, h(To, { to: "/plugin/pacs-sync" }, "‹ All counties"));

/** Why the county is not in step, what to do about it, and the log that tells more. */
function Cause({ data, toErrors }) {
  const { line, run } = data;
  const failure = line.state === "failing" ? run?.failures[0] : undefined;
  const status = { failing: "error", held: "warning", lagging: "warning" }[line.state] ?? "info";
  return h(
    Note, { status, title: line.cause },
    failure?.remedy && h(C.Text, null, sentences(`What to do: ${failure.remedy}`)),
    h(
      C.HStack, { gap: 4, mt: 1 },
      failure?.airflow_path && h(To, { to: failure.airflow_path }, `Log of ${failure.step}`),
      line.state === "failing" && h(C.Button, { variant: "plain", size: "xs", p: 0, h: "auto", color: "fg.info", fontSize: "sm", onClick: toErrors }, "All errors"),
    ),
    data.held.map((held) => h(C.Text, { key: held.entity }, `${held.entity}: ${number(held.rows)} of ${number(held.live)} rows wait. ${held.reason}.`)),
    data.held.length > 0 && h(C.Text, null, `Decide with: pacs approve ${line.county}`),
  );
}

function Figures({ line }) {
  const run = line.last_run;
  const cells = [
    ["Data as of", h(Moment, { at: line.fresh_since, none: "no data" }), line.due_since ? h(React.Fragment, null, "must be newer than ", h(Moment, { at: line.due_since })) : "no schedule"],
    ["Last run", run ? h(RunBadge, { state: run.state }) : "–", run && h(React.Fragment, null, h(Moment, { at: run.started_at }), run.seconds ? `, took ${duration(run.seconds)}` : "")],
    ["Next run", h(Moment, { at: line.next_run_at, none: line.paused ? "paused" : "by hand" }), line.timezone],
    ["Rows per second", short(run?.rows_per_second), run ? `${number(run.rows_read)} rows read` : ""],
    ["Failed runs", percent(line.error_rate), `of the last ${line.recent_runs}`],
    ["Quarantined", number(line.quarantined), plural(line.quarantined, "row waits", "rows wait")],
    ["Quality", h(Quality, { line }), line.rules ? `${line.rules} rules judged` : "not judged yet"],
    ["Certificate", line.certificate ? h(Badge, { palette: line.certificate.clean ? "green" : "red" }, line.certificate.clean ? "clean" : "not clean") : "none",
      line.certificate && h(React.Fragment, null, line.certificate.scope, ", ", h(Moment, { at: line.certificate.issued_at }))],
  ];
  return h(
    C.SimpleGrid, { as: "dl", columns: { base: 2, md: 4, xl: 8 }, gap: "1px", bg: "border", borderWidth: 1, borderColor: "border", borderRadius: "lg", overflow: "hidden" },
    cells.map(([label, value, under]) => h(
      C.Box, { key: label, bg: "bg.panel", px: 3, py: 2.5, minW: 0 },
      h(C.Text, { as: "dt", fontSize: "xs", color: "fg.muted" }, label),
      h(C.Box, { as: "dd", fontSize: "lg", fontWeight: "semibold", fontVariantNumeric: "tabular-nums", minH: 7 }, value),
      h(C.Box, { as: "dd", fontSize: "xs", color: "fg.muted" }, under),
    )),
  );
}

// ---- the data's way

function Flow({ data }) {
  if (!data.run) return h(Card, { title: "Data flow" }, h(Empty, null, data.target.ok ? "No run yet: nothing has flowed." : "Nothing can be said while the target does not answer."));
  const { run, entities, failures } = data.run;
  const sum = (key) => entities.reduce((total, one) => total + one[key], 0);
  const reached = (states) => entities.filter((one) => states.includes(one.state)).reduce((total, one) => total + one.rows_read, 0);
  const stations = [
    ["PACS", data.run.source.server ? `${data.run.source.server} · ${data.run.source.database}` : data.source, true],
    ["Read", `${number(sum("rows_read"))} rows`, sum("rows_read") > 0],
    ["Checked", `${number(reached(["passed", "published", "blocked"]))} rows`, entities.some((one) => ["passed", "published", "blocked"].includes(one.state))],
    ["Published", run.state === "running" ? "waits for all checks" : `${number(sum("inserted") + sum("updated") + sum("deleted"))} rows changed`, entities.some((one) => one.state === "published")],
    ["PostgreSQL", data.line.target, entities.some((one) => one.state === "published")],
  ];
  return h(
    C.Stack, { gap: 4 },
    h(
      Card, { title: data.line.running ? "Running now" : "Last run", aside: h(C.HStack, { gap: 3 }, h(RunBadge, { state: run.state }), h(Moment, { at: run.started_at }), run.airflow_path && h(To, { to: run.airflow_path }, "Run in Airflow")) },
      h(C.Flex, { as: "ol", "aria-label": "The data's way", p: 4, gap: 0, align: "stretch", overflowX: "auto", listStyleType: "none" }, stations.map((station, index) => h(Station, { key: station[0], station, first: index === 0, live: data.line.running }))),
    ),
    h(Card, { title: "Entities" }, h(Grid, { label: "Entities of the run", columns: ENTITIES, rows: entities, rowKey: (row) => row.entity })),
    failures.length > 0 && h(Card, { title: "What went wrong" }, h(C.Stack, { gap: 0 }, failures.map((one) => h(
      C.Box, { key: one.at + one.step, px: 4, py: 3, borderTopWidth: 1, borderColor: "border" },
      h(C.HStack, { gap: 2, wrap: "wrap" }, h(Badge, { palette: "red" }, one.code), h(C.Text, { fontWeight: "medium", fontSize: "sm" }, one.meaning), h(C.Text, { color: "fg.muted", fontSize: "sm" }, one.step)),
      h(C.Text, { fontSize: "sm", overflowWrap: "anywhere" }, one.message), h(C.Text, { fontSize: "sm", color: "fg.muted" }, one.remedy),
      one.airflow_path && h(To, { to: one.airflow_path, fontSize: "sm" }, `Log of ${one.step}`),
    )))),
  );
}

function Station({ station: [title, text, reached], first, live }) {
  return h(
    C.Flex, { as: "li", align: "center", flex: first ? "0 0 auto" : "1 1 auto", minW: 0 },
    !first && h(C.Box, {
      "aria-hidden": true, flex: "1 1 1rem", minW: 4, mx: 2, borderTopWidth: 2, borderStyle: reached ? "solid" : "dashed",
      borderColor: reached ? "green.solid" : live ? "blue.solid" : "border.emphasized",
    }),
    h(
      C.Box, { borderWidth: 1, borderColor: reached ? "green.solid" : "border.emphasized", borderRadius: "md", px: 4, py: 2, flexShrink: 0 },
      h(C.Text, { fontWeight: "semibold", fontSize: "sm" }, title), h(C.Text, { fontSize: "xs", color: "fg.muted", whiteSpace: "nowrap", fontVariantNumeric: "tabular-nums" }, text),
    ),
  );
}

function Progress({ row }) {
  const reading = row.state === "planned";
  const share = reading ? (row.expected ? row.rows_read / row.expected : row.rows_read ? null : 0) : 1;
  const palette = { blocked: "red", failed: "red", published: "green", passed: "green" }[row.state] ?? "blue";
  const label = reading && row.expected ? `${number(row.rows_read)} of about ${number(row.expected)} rows` : `${number(row.rows_read)} rows`;
  return h(C.Stack, { gap: 1, minW: "11rem" }, h(Bar, { value: share, label: `${row.entity}: ${label}`, palette, busy: reading && row.rows_read > 0 }), h(C.Text, { fontSize: "xs", color: "fg.muted" }, label));
}

const ENTITIES = [
  { key: "entity", label: "Entity", cell: (row) => h(C.Text, { fontWeight: "medium" }, row.entity) },
  { key: "state", label: "State", cell: (row) => h(C.HStack, { gap: 1.5 }, h(RunBadge, { state: row.state === "planned" && row.rows_read ? "reading" : row.state, palette: row.state === "published" ? "green" : undefined }), row.attempt > 1 && h(C.Text, { fontSize: "xs", color: "fg.muted" }, `try ${row.attempt}`)) },
  { key: "progress", label: "Progress", cell: (row) => h(Progress, { row }) },
  { key: "speed", label: "Rows/s", number: true, cell: (row) => short(row.rows_per_second) },
  { key: "mode", label: "Read", cell: (row) => h(C.Text, { title: row.reason }, row.mode) },
  { key: "inserted", label: "Inserted", number: true, cell: (row) => number(row.inserted) },
  { key: "updated", label: "Updated", number: true, cell: (row) => number(row.updated) },
  { key: "deleted", label: "Deleted", number: true, cell: (row) => number(row.deleted) },
  { key: "quarantined", label: "Quarantined", number: true, cell: (row) => number(row.quarantined) },
  { key: "held", label: "Held", number: true, cell: (row) => number(row.held) },
  { key: "message", label: "Message", cell: (row) => h(C.Box, { maxW: "22rem", overflowWrap: "anywhere" }, row.message, " ", row.airflow_path && h(To, { to: row.airflow_path, "aria-label": `Log of ${row.entity}` }, "Log")) },
];
