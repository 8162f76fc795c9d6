// Words for numbers, times and sentences. Nothing here ever gives `undefined`, `NaN` or `Invalid Date`.

type Maybe<T> = T | null | undefined;

export const NONE = "–";

export const number = (value: Maybe<number>): string =>
  value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en-US");

const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
export const short = (value: Maybe<number>): string =>
  value === null || value === undefined ? NONE : COMPACT.format(value);

export const percent = (value: Maybe<number>): string =>
  value === null || value === undefined ? NONE : `${Math.round(value * 100)} %`;

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${number(count)} ${count === 1 ? one : many}`;

export function duration(seconds: Maybe<number>): string {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 90) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** A moment as seen from `now`: `3 min ago`, `in 40 s`. */
export function ago(at: Maybe<string>, now = Date.now()): string {
  if (!at) return "never";
  const seconds = (now - new Date(at).getTime()) / 1000;
  if (Math.abs(seconds) < 5) return "now";
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

/** A moment on the clock of a zone, with the zone's name; the viewer's own without one. */
export const exact = (at: Maybe<string>, timeZone?: string): string =>
  at
    ? new Date(at).toLocaleString("en-US", {
        day: "numeric",
        hour: "2-digit",
        hourCycle: "h23",
        minute: "2-digit",
        month: "short",
        second: "2-digit",
        timeZone,
        timeZoneName: "short",
        year: "numeric",
      })
    : NONE;

/** A moment as the label of a chart's axis. */
export const tick = (at: string, timeZone?: string): string =>
  new Date(at).toLocaleString("en-US", {
    day: "numeric",
    hour: "2-digit",
    hourCycle: "h23",
    minute: "2-digit",
    month: "short",
    timeZone,
  });

/** Texts as sentences in one line. */
export const sentences = (...texts: Maybe<string>[]): string =>
  texts
    .filter((text): text is string => Boolean(text))
    .map((text) => (/[.?!]$/.test(text) ? text : `${text}.`))
    .join(" ");
