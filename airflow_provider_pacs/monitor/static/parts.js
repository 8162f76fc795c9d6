// Small parts that every view shares: asking the API, words for numbers and times, badges, trend lines, tables.
// React, Chakra UI and the router are the host's own; nothing is loaded from anywhere else.

export const React = globalThis.React;
export const C = globalThis.ChakraUI;
export const Router = globalThis.ReactRouterDOM;
export const h = React.createElement;

const API = new URL("../api/", import.meta.url);

/** Ask one address again every `seconds` while the page is seen. Old data stays while a new answer is late or fails. */
export function useAnswer(path, seconds = 0) {
  const [answer, setAnswer] = React.useState({ path, data: null, error: null });
  const [round, setRound] = React.useState(0);
  React.useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      if (document.visibilityState === "visible") {
        try {
          const response = await fetch(new URL(path, API), { signal: stop.signal, headers: { Accept: "application/json" } });
          const body = await response.json().catch(() => ({}));
          if (!response.ok) throw new Error(spoken(response.status, body));
          setAnswer({ path, data: body, error: null });
        } catch (error) {
          if (stop.signal.aborted) return;
          setAnswer((old) => ({ path, data: old.path === path ? old.data : null, error: error.message || "Airflow does not answer." }));
        }
      }
      if (seconds && !stop.signal.aborted) timer = setTimeout(ask, seconds * 1000);
    };
    const seen = () => {
      if (document.visibilityState === "visible" && seconds) {
        clearTimeout(timer);
        ask();
      }
    };
    ask();
    document.addEventListener("visibilitychange", seen);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, seconds, round]);
  const fresh = answer.path === path ? answer : { data: null, error: null };
  return { ...fresh, again: () => setRound((n) => n + 1) };
}

function spoken(status, body) {
  if (status === 401) return "Your session has ended. Reload the page to sign in again.";
  if (status === 403) return "You may not read this county's DAG in Airflow.";
  return [body.detail, body.remedy].filter((text) => typeof text === "string" && text).join(" ") || `Airflow answered ${status}.`;
}

// ---- words

export const number = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-US"));
export const short = (value) =>
  value === null || value === undefined ? "–" : new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 }).format(value);
export const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function ago(moment) {
  if (!moment) return "never";
  const seconds = (Date.now() - new Date(moment).getTime()) / 1000;
  return Math.abs(seconds) < 5 ? "now" : seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

/** A moment, as seen from now; the exact time is in its title. */
export function Moment({ at, none = "–" }) {
  if (!at) return h(C.Text, { as: "span", color: "fg.muted" }, none);
  const exact = new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  return h("time", { dateTime: at, title: exact, style: { whiteSpace: "nowrap" } }, ago(at));
}

export const exact = (at) => (at ? new Date(at).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" }) : "–");

/** Texts as sentences in one line. */
export const sentences = (...texts) => texts.filter(Boolean).map((text) => (/[.?!]$/.test(text) ? text.replace(/\?\.$/, "?") : `${text}.`)).join(" ");

// ---- states: a colour never says anything alone

export const STATES = {
  broken: { word: "Broken", palette: "red", sign: "⚠" },
  failing: { word: "Failing", palette: "red", sign: "✕" },
  blocked: { word: "Blocked", palette: "red", sign: "■" },
  drift: { word: "Drift", palette: "red", sign: "≠" },
  pending: { word: "Pending", palette: "orange", sign: "❚❚" },
  retrying: { word: "Retrying", palette: "orange", sign: "↻" },
  unknown: { word: "No answer", palette: "gray", sign: "?" },
  lagging: { word: "Lagging", palette: "yellow", sign: "◔" },
  never: { word: "Never run", palette: "gray", sign: "○" },
  in_step: { word: "In step", palette: "green", sign: "✓" },
};
const RUNS = {
  running: "blue", published: "blue", succeeded: "green", pending: "orange", blocked: "red", drift: "red", failed: "red", superseded: "gray",
  planned: "gray", extracting: "blue", staged: "blue", passed: "blue", clean: "green",
};
/** What a certificate covered: "clean" alone says too much. */
export const COVERED = { all_rows: "all rows", window: "window", keys: "named keys" };
const COVERED_AT_LENGTH = {
  all_rows: "every row was compared byte by byte",
  window: "the rows of the run's window were compared byte by byte; all other keys were counted on both sides",
  keys: "only the named rows were compared",
};

export function Badge({ palette, children, ...rest }) {
  return h(C.Badge, { colorPalette: palette, variant: "subtle", size: "sm", whiteSpace: "nowrap", ...rest }, children);
}

export function StateBadge({ state, ...rest }) {
  const known = STATES[state] ?? STATES.unknown;
  return h(Badge, { palette: known.palette, ...rest }, h("span", { "aria-hidden": true }, known.sign), known.word);
}

export const RunBadge = ({ state, palette }) => h(Badge, { palette: palette ?? RUNS[state] ?? "gray" }, state);

/** A certificate's state with what it covered. */
export const CertificateBadge = ({ state, covered }) => h(Badge, { palette: RUNS[state] ?? "gray", title: `${state}: ${COVERED_AT_LENGTH[covered]}` }, `${state} · ${COVERED[covered]}`);

export function Running() {
  return h(
    Badge, { palette: "blue" },
    h(C.Spinner, { size: "xs", borderWidth: "1.5px", "aria-hidden": true, css: { width: "0.7em", height: "0.7em" } }), "Running",
  );
}

// ---- layout

export function Card({ title, aside, children, ...rest }) {
  return h(
    C.Box, { as: "section", "aria-label": title, bg: "bg.panel", borderWidth: 1, borderColor: "border", borderRadius: "lg", ...rest },
    title && h(
      C.Flex, { align: "center", justify: "space-between", gap: 3, px: 4, py: 2.5, borderBottomWidth: 1, borderColor: "border", wrap: "wrap" },
      h(C.Heading, { as: "h2", size: "sm" }, title), aside && h(C.Box, { fontSize: "sm", color: "fg.muted" }, aside),
    ),
    children,
  );
}

export function Note({ status = "info", title, children }) {
  return h(
    C.Alert.Root, { status, size: "sm", borderRadius: "lg", alignItems: "flex-start" },
    h(C.Alert.Indicator),
    h(C.Alert.Content, { minW: 0 }, title && h(C.Alert.Title, null, title), children && h(C.Alert.Description, { overflowWrap: "anywhere" }, children)),
  );
}

export const Empty = ({ children }) => h(C.Text, { px: 4, py: 6, color: "fg.muted", textAlign: "center" }, children);

export function Waiting({ error }) {
  if (error) return h(Note, { status: "error", title: "This could not be read" }, error);
  return h(C.Flex, { role: "status", align: "center", gap: 2, p: 6, color: "fg.muted" }, h(C.Spinner, { size: "sm" }), "Reading…");
}

/** A file of the plugin's API, to be saved. */
export const Save = ({ path, children, ...rest }) => h(C.Link, { href: new URL(path, API).href, download: true, color: "fg.info", fontSize: "sm", ...rest }, children);

/** A link inside Airflow. */
export function To({ to, children, ...rest }) {
  return h(C.Link, { asChild: true, color: "fg.info", ...rest }, h(Router.Link, { to }, children));
}

/** Keys and fingerprints: text, cut by style and whole in the title. */
export function Mono({ children, max = "37ch" }) {
  return h(C.Text, { as: "span", fontFamily: "mono", fontSize: "xs", title: children, display: "inline-block", maxW: max, truncate: true, verticalAlign: "middle" }, children);
}

// ---- tables

/**
 * A table with real headers. `columns`: {key, label, cell(row), number?, sort?(row)}. With `order` and `onOrder` headers are buttons.
 */
export function Grid({ label, columns, rows, rowKey, order, onOrder, none = "Nothing to show." }) {
  if (!rows.length) return h(Empty, null, none);
  const head = columns.map((column) => {
    const sorted = order && order.key === column.key;
    const direction = sorted ? (order.down ? "descending" : "ascending") : undefined;
    const inner = onOrder && column.sort
      ? h(
        C.Button, {
          variant: "plain", size: "xs", h: "auto", minW: 0, p: 0, color: "inherit", fontWeight: "inherit", fontSize: "inherit", whiteSpace: "nowrap",
          onClick: () => onOrder(column.key),
        }, column.label, h("span", { "aria-hidden": true, style: { opacity: sorted ? 1 : 0.25, fontSize: "0.7em" } }, sorted && !order.down ? "▲" : "▼"),
      )
      : column.label;
    return h(
      C.Table.ColumnHeader, {
        key: column.key, scope: "col", "aria-sort": direction, textAlign: column.number ? "end" : "start", whiteSpace: "nowrap", fontSize: "xs", color: "fg.muted", bg: "bg.panel", px: 2,
      }, inner,
    );
  });
  const body = rows.map((row) => h(
    C.Table.Row, { key: rowKey(row), bg: "transparent" },
    columns.map((column, index) => h(
      C.Table.Cell, {
        key: column.key, ...(index === 0 ? { as: "th", scope: "row", fontWeight: "normal" } : {}), textAlign: column.number ? "end" : "start",
        fontVariantNumeric: "tabular-nums", verticalAlign: "middle", px: 2, fontSize: "sm", whiteSpace: column.number ? "nowrap" : "normal",
      }, column.cell(row),
    )),
  ));
  return h(
    C.Table.ScrollArea, { tabIndex: 0, role: "region", "aria-label": label },
    h(C.Table.Root, { size: "sm", "aria-label": label, interactive: false }, h(C.Table.Header, null, h(C.Table.Row, { bg: "transparent" }, head)), h(C.Table.Body, null, body)),
  );
}

// ---- pictures

/** A trend line of numbers, oldest first; what it shows is in its label. */
export function Trend({ values, label, width = 88, height = 22, palette = "blue" }) {
  const known = values.map((value) => value ?? 0);
  if (known.length < 2) return h(C.Text, { as: "span", color: "fg.muted" }, "–");
  const top = Math.max(...known, 1);
  const x = (index) => 2 + (index * (width - 4)) / (known.length - 1);
  const y = (value) => height - 2 - (value / top) * (height - 4);
  const line = known.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return h(
    C.Box, { as: "span", display: "inline-block", color: `${palette}.fg`, lineHeight: 0 },
    h(
      "svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none", style: { maxWidth: "100%" } },
      h("title", null, label),
      h("polygon", { points: `2,${height - 1} ${line} ${width - 2},${height - 1}`, fill: "currentColor", opacity: 0.14 }),
      h("polyline", { points: line, fill: "none", stroke: "currentColor", strokeWidth: 1.5, strokeLinejoin: "round" }),
      h("circle", { cx: x(known.length - 1), cy: y(known.at(-1)), r: 2, fill: "currentColor" }),
    ),
  );
}

/** How far a read is: a share where the end is known, else a bar that says only that rows come. */
export function Bar({ value, label, palette = "blue", busy = false }) {
  const known = value !== null && value !== undefined;
  return h(
    C.Progress.Root, { value: known ? Math.min(100, value * 100) : null, size: "sm", colorPalette: palette, striped: busy, animated: busy, minW: "8rem" },
    h(C.Progress.Track, { borderRadius: "full", "aria-label": label }, h(C.Progress.Range)),
  );
}
