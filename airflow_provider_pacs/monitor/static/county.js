// One county: how it stands, the data flow with live progress, and the tabs with history, quality, evidence.

import { Quality } from "./overview.js";
import { Certificates, Changes, Check, Errors, History, QualityTab, Trail } from "./county_tabs.js";
import { Badge, Bar, C, Card, CertificateBadge, Empty, Grid, Moment, Note, React, Router, RunBadge, Running, StateBadge, To, Waiting, duration, h, number, percent, plural, sentences, short, useAnswer } from "./parts.js";

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
  const failure = ["failing", "blocked", "retrying"].includes(line.state) ? data.refusal ?? run?.failures[0] : undefined;
  const status = { failing: "error", blocked: "error", drift: "error", never: "info" }[line.state] ?? "warning";
  return h(
    Note, { status, title: line.cause },
    failure?.remedy && h(C.Text, null, sentences(`What to do: ${failure.remedy}`)),
    h(
      C.HStack, { gap: 4, mt: 1 },
      failure?.airflow_path && h(To, { to: failure.airflow_path }, `Log of ${failure.step}`),
      line.state !== "pending" && h(C.Button, { variant: "plain", size: "xs", p: 0, h: "auto", color: "fg.info", fontSize: "sm", onClick: toErrors }, "All errors"),
    ),
    data.pending.map((set) => h(C.Text, { key: set.pending_id }, `${set.entity}: ${number(set.row_count)} of ${number(set.live_count)} rows wait. ${sentences(set.reason)}`)),
    data.pending.length > 0 && h(C.Text, null, `Decide in the DAG pacs_${line.county}_approvals, or with: pacs approve ${line.county}`),
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
    ["Quality", h(Quality, { line }), line.rules ? `${line.rules} rules validated` : "not validated yet"],
    ["Certificate", line.certificate ? h(CertificateBadge, { state: line.certificate.state, covered: line.certificate.covered }) : "none",
      line.certificate && h(Moment, { at: line.certificate.issued_at })],
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

// ---- the data flow

function Flow({ data }) {
  if (!data.run) return h(Card, { title: "Data flow" }, h(Empty, null, data.target.ok ? "No run yet: nothing has flowed." : "Nothing can be said while the target does not answer."));
  const { run, entities, failures } = data.run;
  const sum = (key) => entities.reduce((total, one) => total + one[key], 0);
  const reached = (states) => entities.filter((one) => states.includes(one.state)).reduce((total, one) => total + one.rows_read, 0);
  const isIn = (...states) => entities.some((one) => states.includes(one.state));
  const { source } = data.run;
  const isBroken = isIn("blocked", "failed") || ["failed", "drift"].includes(run.state);
  const isRetried = entities.some((one) => one.last_failure);
  const stateOf = (isReached, isBad) => (isBad ? "bad" : isReached ? "done" : "open");
  const stations = [
    ["PACS", source.server ? [source.server, source.db].filter(Boolean).join(" · ") : data.source, "done"],
    ["Extract", `${number(sum("rows_read"))} rows`, isRetried ? "retry" : stateOf(sum("rows_read") > 0, isIn("failed"))],
    ["Validate", `${number(reached(["passed", "published", "blocked"]))} rows`, stateOf(isIn("passed", "published"), isIn("blocked", "failed"))],
    ["Publish", run.state === "running" ? "waits for validation" : `${number(sum("rows_inserted") + sum("rows_updated") + sum("rows_deleted"))} rows changed`, stateOf(isIn("published"), isBroken && run.state !== "drift")],
    ["Certify", { succeeded: "clean", published: "compares" }[run.state] ?? (run.finished_at ? run.state : "waits"), stateOf(run.state === "succeeded" || run.state === "pending", isBroken)],
    ["PostgreSQL", data.line.target, stateOf(isIn("published"), isBroken)],
  ];
  return h(
    C.Stack, { gap: 4 },
    h(
      Card, { title: data.line.running ? "Running now" : "Last run", aside: h(C.HStack, { gap: 3 }, h(RunBadge, { state: run.state }), h(Moment, { at: run.started_at }), run.airflow_path && h(To, { to: run.airflow_path }, "Run in Airflow")) },
      h(C.Flex, { as: "ol", "aria-label": "Data flow", p: 4, gap: 0, align: "stretch", overflowX: "auto", listStyleType: "none" }, stations.map((station, index) => h(Station, { key: station[0], station, first: index === 0, live: data.line.running }))),
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

const FLOW = { done: "green.solid", bad: "red.solid", retry: "orange.solid" };

/** One step of the flow: green where it is done, red from a blocked entity on, amber where a step is tried again. */
function Station({ station: [title, text, state], first, live }) {
  const colour = FLOW[state];
  return h(
    C.Flex, { as: "li", align: "center", flex: first ? "0 0 auto" : "1 1 auto", minW: 0 },
    !first && h(C.Box, {
      "aria-hidden": true, flex: "1 1 1rem", minW: 4, mx: 2, borderTopWidth: 2, borderStyle: colour ? "solid" : "dashed",
      borderColor: colour ?? (live ? "blue.solid" : "border.emphasized"),
    }),
    h(
      C.Box, { borderWidth: 1, borderColor: colour ?? "border.emphasized", "data-state": state, borderRadius: "md", px: 4, py: 2, flexShrink: 0 },
      h(C.Text, { fontWeight: "semibold", fontSize: "sm" }, title), h(C.Text, { fontSize: "xs", color: "fg.muted", whiteSpace: "nowrap", fontVariantNumeric: "tabular-nums" }, text),
    ),
  );
}

function Progress({ row }) {
  const reading = ["planned", "extracting"].includes(row.state);
  const share = reading ? (row.expected ? row.rows_read / row.expected : row.rows_read ? null : 0) : 1;
  const palette = { blocked: "red", failed: "red", published: "green", passed: "green" }[row.state] ?? "blue";
  const label = reading && row.expected ? `${number(row.rows_read)} of about ${number(row.expected)} rows` : `${number(row.rows_read)} rows`;
  return h(C.Stack, { gap: 1, minW: "11rem" }, h(Bar, { value: share, label: `${row.entity}: ${label}`, palette, busy: reading && row.rows_read > 0 }), h(C.Text, { fontSize: "xs", color: "fg.muted" }, label));
}

/** An entity's state, what it waits for, and its tries as the journal knows them. */
function EntityState({ row }) {
  const tries = row.attempt > 1 || row.last_failure ? `try ${Math.max(row.attempt, 1)} of ${row.most_tries}, ${plural(row.failed_tries, "try", "tries")} failed` : "";
  return h(
    C.Stack, { gap: 0.5, align: "start" },
    h(RunBadge, { state: row.state, palette: row.state === "published" ? "green" : row.last_failure ? "orange" : undefined }),
    h(C.Text, { fontSize: "xs", color: "fg.muted" }, row.step), tries && h(C.Text, { fontSize: "xs", color: "fg.muted" }, tries),
  );
}

const ENTITIES = [
  { key: "entity", label: "Entity", cell: (row) => h(C.Text, { fontWeight: "medium" }, row.entity) },
  { key: "state", label: "State", cell: (row) => h(EntityState, { row }) },
  { key: "progress", label: "Progress", cell: (row) => h(Progress, { row }) },
  { key: "speed", label: "Rows/s", number: true, cell: (row) => short(row.rows_per_second) },
  { key: "mode", label: "Read", cell: (row) => h(C.Text, { title: row.reason }, `${row.mode}, ${row.strategy.replaceAll("_", " ")}`) },
  { key: "inserted", label: "Inserted", number: true, cell: (row) => number(row.rows_inserted) },
  { key: "updated", label: "Updated", number: true, cell: (row) => number(row.rows_updated) },
  { key: "deleted", label: "Deleted", number: true, cell: (row) => number(row.rows_deleted) },
  { key: "quarantined", label: "Quarantined", number: true, cell: (row) => number(row.rows_quarantined) },
  { key: "pending", label: "Pending deletes", number: true, cell: (row) => number(row.rows_pending) },
  { key: "message", label: "Message", cell: (row) => h(C.Box, { maxW: "22rem", overflowWrap: "anywhere" }, row.last_failure || row.message, " ", row.airflow_path && h(To, { to: row.airflow_path, "aria-label": `Log of ${row.entity}` }, "Log")) },
];
