// A county's tabs: history, quality and quarantine, preflight, change detection, certificates, errors, audit. Each asks for its own part when opened.

import { Badge, C, Card, CertificateBadge, Empty, Grid, Moment, Mono, Note, React, RunBadge, Save, To, Trend, Waiting, duration, exact, h, number, plural, short, useAnswer } from "./parts.js";

// ---- history

export function History({ county }) {
  const { data, error } = useAnswer(`counties/${county}/runs?limit=60`, 15);
  const [kind, setKind] = React.useState("sync");
  if (!data) return h(Waiting, { error });
  const runs = data.runs.filter((run) => run.kind === kind);
  const past = data.runs.filter((run) => run.kind === "sync" && run.finished_at).slice(0, 40).reverse();
  const lines = [
    ["Rows read", (run) => run.rows_read, number, "blue"], ["Rows per second", (run) => run.rows_per_second, short, "teal"],
    ["Duration", (run) => run.seconds, duration, "purple"], ["Quarantined", (run) => run.rows_quarantined, number, "orange"],
  ];
  return h(
    C.Stack, { gap: 4 },
    past.length > 1 && h(C.SimpleGrid, { columns: { base: 1, md: 2, xl: 4 }, gap: 3 }, lines.map(([label, value, word, palette]) => h(
      Card, { key: label, px: 4, py: 3 },
      h(C.Flex, { justify: "space-between", fontSize: "sm", mb: 1 }, h(C.Text, { color: "fg.muted" }, label), h(C.Text, { fontWeight: "semibold" }, word(value(past.at(-1))))),
      h(Trend, { values: past.map(value), width: 300, height: 56, palette, label: `${label} of the last ${past.length} runs, newest ${word(value(past.at(-1)))}` }),
    ))),
    h(
      Card, {
        title: "Runs",
        aside: h(C.HStack, { role: "group", "aria-label": "Kind of run", gap: 1 }, [["sync", "Synchronise"], ["reconcile", "Reconcile"], ["backfill", "Backfill"], ["approval", "Approval"]].map(([key, label]) => h(
          C.Button, { key, size: "xs", variant: kind === key ? "subtle" : "ghost", "aria-pressed": kind === key, onClick: () => setKind(key) }, label,
        ))),
      },
      h(Grid, { label: "Runs", columns: RUNS, rows: runs, rowKey: (run) => run.run_id ?? run.started_at, none: "No such run yet." }),
    ),
  );
}

const RUNS = [
  { key: "started", label: "Started", cell: (run) => h(C.Text, { as: "span", whiteSpace: "nowrap", title: run.started_at }, exact(run.started_at)) },
  { key: "state", label: "State", cell: (run) => h(RunBadge, { state: run.state }) },
  { key: "took", label: "Took", number: true, cell: (run) => duration(run.seconds) },
  { key: "read", label: "Read", number: true, cell: (run) => number(run.rows_read) },
  { key: "speed", label: "Rows/s", number: true, cell: (run) => short(run.rows_per_second) },
  { key: "written", label: "Changed", number: true, cell: (run) => number(run.rows_written) },
  { key: "deleted", label: "Deleted", number: true, cell: (run) => number(run.rows_deleted) },
  { key: "quarantined", label: "Quarantined", number: true, cell: (run) => number(run.rows_quarantined) },
  { key: "message", label: "Message", cell: (run) => h(C.Text, { fontSize: "sm", maxW: "26rem", overflowWrap: "anywhere" }, run.message) },
  { key: "link", label: "Airflow", cell: (run) => (run.airflow_path ? h(To, { to: run.airflow_path, "aria-label": `Run of ${exact(run.started_at)} in Airflow` }, "Run") : h(C.Text, { color: "fg.muted" }, run.trigger)) },
];

// ---- quality and quarantine

const SEVERITY = { block: "red", quarantine: "orange", warn: "yellow" };

export function QualityTab({ county }) {
  const { data, error } = useAnswer(`counties/${county}/quality`, 15);
  const [all, setAll] = React.useState(false);
  if (!data) return h(Waiting, { error });
  const broken = data.results.filter((rule) => !rule.success);
  return h(
    C.Stack, { gap: 4 },
    h(
      Card, {
        title: "Rules", aside: data.validated_at && h(
          C.HStack, { gap: 3 }, h("span", null, `${data.results.length - broken.length} of ${data.results.length} hold, validated `, h(Moment, { at: data.validated_at })),
          h(C.Button, { size: "xs", variant: "outline", "aria-pressed": all, onClick: () => setAll(!all) }, all ? "Only those that did not hold" : "Show all"),
        ),
      },
      h(Grid, { label: "Rules", columns: RULES, rows: all ? data.results : broken, rowKey: (rule) => rule.entity + rule.rule_id, none: data.results.length ? "Every rule holds." : "No run has been validated yet." }),
    ),
    h(
      Card, { title: "Quarantine", aside: "keys and rules only; the values stay in the county" },
      h(Grid, { label: "Quarantine by rule", columns: quarantine(county), rows: data.quarantine, rowKey: (line) => line.entity + line.rule, none: "No row waits in quarantine." }),
    ),
  );
}

const RULES = [
  { key: "rule", label: "Rule", cell: (rule) => h(C.Stack, { gap: 0 }, h(C.Text, { fontWeight: "medium" }, rule.title), h(C.Text, { fontSize: "xs", color: "fg.muted" }, rule.rule_id)) },
  { key: "entity", label: "Entity", cell: (rule) => rule.entity },
  { key: "severity", label: "If broken", cell: (rule) => h(Badge, { palette: SEVERITY[rule.severity] }, rule.severity) },
  { key: "result", label: "Result", cell: (rule) => (rule.success ? h(Badge, { palette: "green" }, "holds") : h(Badge, { palette: rule.blocks ? "red" : SEVERITY[rule.severity] }, rule.blocks ? "blocks publishing" : "does not hold")) },
  { key: "bad", label: "Rows that break it", number: true, cell: (rule) => `${number(rule.unexpected)} of ${number(rule.evaluated)}` },
  { key: "keys", label: "Keys", cell: (rule) => h(Keys, { keys: rule.keys }) },
  { key: "detail", label: "Detail", cell: (rule) => h(C.Text, { fontSize: "sm", maxW: "20rem", overflowWrap: "anywhere" }, rule.detail) },
];

const Keys = ({ keys }) => (keys.length ? h(C.Stack, { gap: 0 }, keys.map((key) => h(Mono, { key }, key))) : h(C.Text, { color: "fg.muted" }, "–"));

const quarantine = (county) => [
  { key: "rule", label: "What the rule asks for", cell: (line) => h(C.Stack, { gap: 0 }, h(C.Text, { fontWeight: "medium" }, line.rule_text || line.rule), h(C.Text, { fontSize: "xs", color: "fg.muted" }, line.rule)) },
  { key: "entity", label: "Entity", cell: (line) => line.entity },
  { key: "rows", label: "Rows", number: true, cell: (line) => number(line.rows) },
  { key: "since", label: "Since", cell: (line) => h(Moment, { at: line.first_seen_at }) },
  { key: "seen", label: "Last seen", cell: (line) => h(Moment, { at: line.last_seen_at }) },
  { key: "keys", label: "Keys", cell: (line) => h(WaitingKeys, { county, line }) },
];

/** The first keys at once, more on demand. */
function WaitingKeys({ county, line }) {
  const [offset, setOffset] = React.useState(null);
  const asked = `counties/${county}/quarantine?entity=${encodeURIComponent(line.entity)}&rule=${encodeURIComponent(line.rule)}&limit=20&offset=${offset ?? 0}`;
  if (offset === null) {
    return h(C.Stack, { gap: 1, align: "start" }, h(Keys, { keys: line.keys }), line.rows > line.keys.length && h(C.Button, { size: "2xs", variant: "outline", onClick: () => setOffset(0) }, `Look through all ${number(line.rows)}`));
  }
  return h(MoreKeys, { asked, offset, onTurn: setOffset });
}

function MoreKeys({ asked, offset, onTurn }) {
  const { data, error } = useAnswer(asked);
  if (!data) return h(Waiting, { error });
  return h(
    C.Stack, { gap: 1, align: "start" }, h(Keys, { keys: data.keys.map((row) => row.source_key) }),
    h(
      C.HStack, { gap: 1 },
      h(C.Button, { size: "2xs", variant: "outline", onClick: () => onTurn(offset ? offset - 20 : null) }, offset ? "Previous" : "Fewer"),
      h(C.Button, { size: "2xs", variant: "outline", disabled: !data.more, onClick: () => onTurn(offset + 20) }, "Next"),
    ),
  );
}

// ---- preflight: what the first task found at both ends

const FOUND = { ok: ["green", "ok"], warn: ["orange", "look at it"], fail: ["red", "failed"], unknown: ["gray", "unknown"] };

export function Check({ county }) {
  const { data, error } = useAnswer(`counties/${county}/check`, 30);
  const [all, setAll] = React.useState(false);
  if (!data) return h(Waiting, { error });
  const odd = data.findings.filter((finding) => finding.state !== "ok");
  const aside = data.checked_at && h(
    C.HStack, { gap: 3, wrap: "wrap" }, h("span", null, `${data.counts.ok ?? 0} of ${data.findings.length} are well, looked at `, h(Moment, { at: data.checked_at })),
    data.airflow_path && h(To, { to: data.airflow_path }, "Log"),
    h(C.Button, { size: "xs", variant: "outline", "aria-pressed": all, onClick: () => setAll(!all) }, all ? "Only what is not well" : "Show all"),
  );
  return h(
    Card, { title: "Preflight", aside },
    h(Grid, { label: "Preflight findings", columns: FINDINGS, rows: all ? data.findings : odd, rowKey: (finding) => finding.id, none: data.checked_at ? "Everything is well." : "No run has looked at both ends yet: pacs check tells more than a run." }),
  );
}

const FINDINGS = [
  { key: "area", label: "Area", cell: (finding) => h(C.Stack, { gap: 0 }, h(C.Text, { fontWeight: "medium" }, finding.area), h(C.Text, { fontSize: "xs", color: "fg.muted" }, finding.id)) },
  { key: "state", label: "State", cell: (finding) => h(Badge, { palette: FOUND[finding.state]?.[0] ?? "gray" }, FOUND[finding.state]?.[1] ?? finding.state) },
  { key: "text", label: "Found", cell: (finding) => h(C.Text, { fontSize: "sm", maxW: "36rem", overflowWrap: "anywhere" }, finding.text) },
  { key: "remedy", label: "What to do", cell: (finding) => h(C.Text, { fontSize: "sm", maxW: "28rem", overflowWrap: "anywhere" }, finding.remedy || "–") },
];

// ---- change detection and schema

export function Changes({ changes }) {
  return h(Card, { title: "How changes are found" }, h(Grid, { label: "Change detection by table", columns: CHANGES, rows: changes, rowKey: (line) => line.entity, none: "No run has been planned yet." }));
}

const STRATEGIES = { last_modified: "by change stamp", compare: "by comparing", rowversion: "by row version", joined: "by row versions of the joined tables" };
const CHANGES = [
  { key: "entity", label: "Entity", cell: (line) => h(C.Text, { fontWeight: "medium" }, line.entity) },
  { key: "strategy", label: "Changes are found", cell: (line) => STRATEGIES[line.strategy] ?? line.strategy.replaceAll("_", " ") },
  { key: "mode", label: "Last read", cell: (line) => line.mode ?? "–" },
  { key: "reason", label: "Because", cell: (line) => h(C.Text, { maxW: "26rem" }, line.reason) },
  { key: "watermark", label: "Read up to", cell: (line) => (line.watermark ? h(C.Stack, { gap: 0 }, h(Mono, { max: "30ch" }, line.watermark), h(C.Text, { fontSize: "xs", color: "fg.muted" }, line.watermark_type)) : "–") },
  { key: "stored", label: "Stored", cell: (line) => h(Moment, { at: line.stored_at }) },
  {
    key: "schema", label: "Source schema",
    cell: (line) => h(C.HStack, { gap: 2 }, line.changed_since_cursor ? h(Badge, { palette: "orange" }, "changed: next read is full") : h(Badge, { palette: "green" }, "as agreed"), h(Mono, { max: "10ch" }, line.schema_fingerprint)),
  },
];

// ---- evidence

export function Certificates({ county }) {
  const { data, error } = useAnswer(`counties/${county}/evidence?limit=60`, 30);
  if (!data) return h(Waiting, { error });
  if (!data.certificates.length) return h(Card, { title: "Certificates" }, h(Empty, null, "No certificate yet."));
  return h(C.Stack, { gap: 4 }, data.certificates.map((certificate, index) => h(Certificate, { key: certificate.run_id, county, certificate, isOpen: index === 0 })));
}

/** One run's certificate: what it covered, the arithmetic of both sides, control totals side by side, what it stands on. */
function Certificate({ county, certificate, isOpen }) {
  const [open, setOpen] = React.useState(isOpen);
  const { entities } = certificate;
  const title = `Certificate of a ${certificate.kind}, ${exact(certificate.issued_at)}`;
  const totals = entities.flatMap((line) => line.control.map((total) => ({ ...total, entity: line.entity })));
  const aside = h(
    C.HStack, { gap: 3 },
    h(CertificateBadge, { state: certificate.state, covered: certificate.covered }),
    h(Save, { path: `counties/${county}/runs/${certificate.run_id}/certificate`, "aria-label": `Save the ${title.toLowerCase()}` }, "Save"),
    h(C.Button, { size: "xs", variant: "outline", "aria-expanded": open, onClick: () => setOpen(!open) }, open ? "Less" : "More"),
  );
  return h(
    Card, { title, aside },
    h(Grid, { label: "Certificate by entity", columns: BY_ENTITY, rows: entities, rowKey: (line) => line.entity }),
    open && h(
      C.Stack, { gap: 4, pt: 2 },
      h(Side, { title: "Every source row, once", label: "Source rows", entities, terms: SOURCE_TERMS }),
      h(Side, { title: "Every live target row, once", label: "Target rows", entities, terms: TARGET_TERMS }),
      totals.length > 0 && h(Section, { title: "Control totals" }, h(Grid, { label: "Control totals", columns: TOTALS, rows: totals, rowKey: (total) => [total.entity, total.group, total.column].join(" ") })),
      h(
        C.Text, { px: 4, pb: 3, fontSize: "xs", color: "fg.muted", overflowWrap: "anywhere" },
        `Run ${certificate.run_id} · source clock ${certificate.source_now ?? "unknown"} · code ${certificate.code_version} · mapping version ${certificate.mapping_version} · head of the audit chain ${certificate.audit_head || "none"}`,
      ),
    ),
  );
}

const Section = ({ title, children }) => h(C.Box, null, h(C.Text, { px: 4, pb: 1, fontSize: "xs", color: "fg.muted" }, title), children);

const Side = ({ title, label, entities, terms }) => h(Section, { title }, h(Grid, {
  label, rows: entities, rowKey: (line) => line.entity,
  columns: [
    { key: "entity", label: "Entity", cell: (line) => line.entity },
    ...terms.map(([key, sign, word, isDrift]) => ({
      key, number: true, label: `${sign}${word}`,
      cell: (line) => h(C.Text, { as: "span", color: isDrift && line[key] ? "red.fg" : undefined, fontWeight: isDrift && line[key] ? "semibold" : undefined }, number(line[key])),
    })),
  ],
}));

const SOURCE_TERMS = [
  ["source_rows", "", "source rows"], ["equal", "= ", "equal"], ["quarantined", "+ ", "quarantined"], ["waiting", "+ ", "waiting for a parent"], ["newer", "+ ", "newer"],
  ["missing", "+ ", "missing", true], ["differing", "+ ", "differing", true],
];
const TARGET_TERMS = [
  ["target_rows", "", "target rows"], ["equal", "= ", "equal"], ["kept", "+ ", "kept"], ["pending_deletes", "+ ", "pending deletes"],
  ["extra_in_target", "+ ", "extra in target", true], ["differing", "+ ", "differing", true],
];
const BY_ENTITY = [
  { key: "entity", label: "Entity", cell: (line) => h(C.Text, { fontWeight: "medium" }, line.entity) },
  { key: "state", label: "State", cell: (line) => h(CertificateBadge, { state: line.state, covered: line.covered }) },
  { key: "compared", label: "Rows compared", number: true, cell: (line) => number(line.compared) },
  { key: "drift", label: "Drift", number: true, cell: (line) => number(line.drift_rows) },
  { key: "bounds", label: "Positions at the source", cell: (line) => h(C.Text, { fontSize: "xs" }, `${line.lower ?? "the beginning"} to ${line.upper ?? "now"}`) },
  { key: "method", label: "Method", cell: (line) => h(C.Text, { fontSize: "xs", maxW: "20rem" }, line.method) },
  { key: "message", label: "Message", cell: (line) => h(C.Text, { fontSize: "sm", maxW: "22rem", overflowWrap: "anywhere" }, line.message) },
  { key: "keys", label: "Differing keys", cell: (line) => h(Keys, { keys: line.sample_keys }) },
];
const TOTALS = [
  { key: "entity", label: "Entity", cell: (total) => total.entity },
  { key: "column", label: "Sum of", cell: (total) => [total.group, total.column].filter(Boolean).join(" ") },
  { key: "source", label: "SQL Server", number: true, cell: (total) => total.source ?? "–" },
  { key: "target", label: "PostgreSQL", number: true, cell: (total) => total.target ?? "–" },
  { key: "same", label: "Difference", cell: (total) => (total.source === total.target ? h(Badge, { palette: "green" }, "none") : h(Badge, { palette: "gray" }, "see the terms")) },
];

export function Errors({ county }) {
  const { data, error } = useAnswer(`counties/${county}/evidence?limit=60`, 15);
  if (!data) return h(Waiting, { error });
  if (!data.errors.length) return h(Card, { title: "Errors" }, h(Empty, null, "No failure has been recorded."));
  return h(
    C.Stack, { gap: 4 },
    data.errors.map((group) => h(
      Card, { key: group.code, title: `${group.error_class}: ${group.meaning}`, aside: h(C.HStack, { gap: 2 }, h(Badge, { palette: "red" }, group.code), `${plural(group.count, "time")}, last `, h(Moment, { at: group.newest.at })) },
      h(
        C.Stack, { gap: 1, px: 4, py: 3, fontSize: "sm" },
        h(C.Text, { overflowWrap: "anywhere" }, group.newest.message), h(C.Text, null, h("strong", null, "What to do: "), group.remedy),
        group.newest.airflow_path && h(To, { to: group.newest.airflow_path }, `Log of ${group.newest.step}`),
      ),
    )),
    h(Card, { title: "Newest failures" }, h(Grid, { label: "Newest failures", columns: FAILURES, rows: data.failures, rowKey: (one) => one.at + one.step })),
  );
}

const FAILURES = [
  { key: "at", label: "When", cell: (one) => h(C.Text, { as: "span", whiteSpace: "nowrap" }, exact(one.at)) },
  { key: "step", label: "Step", cell: (one) => one.step },
  { key: "code", label: "Code", cell: (one) => h(Badge, { palette: "red" }, one.code) },
  { key: "message", label: "Message", cell: (one) => h(C.Text, { maxW: "36rem", overflowWrap: "anywhere" }, one.message) },
  { key: "log", label: "Log", cell: (one) => (one.airflow_path ? h(To, { to: one.airflow_path, "aria-label": `Log of ${one.step}, ${exact(one.at)}` }, "Log") : "–") },
];

export function Trail({ county }) {
  const [before, setBefore] = React.useState([]);
  const { data, error } = useAnswer(`counties/${county}/audit?limit=50${before.length ? `&before=${before.at(-1)}` : ""}`, before.length ? 0 : 15);
  if (!data) return h(Waiting, { error });
  return h(
    Card, {
      title: "Audit trail", aside: h(
        C.HStack, { gap: 1 },
        h(C.Button, { size: "xs", variant: "outline", disabled: !before.length, onClick: () => setBefore(before.slice(0, -1)) }, "Newer"),
        h(C.Button, { size: "xs", variant: "outline", disabled: data.length < 50, onClick: () => setBefore([...before, data.at(-1).seq]) }, "Older"),
      ),
    },
    error && h(Note, { status: "warning", title: "Not fresh" }, error),
    h(Grid, { label: "Audit trail", columns: AUDIT, rows: data, rowKey: (row) => row.seq, none: "Nothing has been recorded." }),
  );
}

const inWords = (details) => Object.entries(details).map(([key, value]) => `${key}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
const AUDIT = [
  { key: "at", label: "When", cell: (row) => h(C.Text, { as: "span", whiteSpace: "nowrap" }, exact(row.at)) },
  { key: "actor", label: "Who", cell: (row) => row.actor },
  { key: "action", label: "What", cell: (row) => h(C.Text, { fontWeight: "medium" }, row.action) },
  { key: "object", label: "On", cell: (row) => row.object },
  { key: "details", label: "Details", cell: (row) => h(C.Text, { fontSize: "xs", maxW: "44rem", overflowWrap: "anywhere" }, inWords(row.details)) },
];
