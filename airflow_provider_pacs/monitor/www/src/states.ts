// States in words, colours and signs: a colour never says anything alone.
import type { Schemas } from "./api/client";

export type CountyState = Schemas["CountyLine"]["state"];

interface Look {
  readonly word: string;
  readonly palette: string;
  readonly sign: string;
}

/** The most urgent first. */
export const STATES: Record<CountyState, Look> = {
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

export const URGENCY = Object.keys(STATES) as CountyState[];

const PALETTES: Record<string, string> = {
  blocked: "red",
  clean: "green",
  drift: "red",
  extracting: "blue",
  failed: "red",
  passed: "green",
  pending: "orange",
  published: "blue",
  running: "blue",
  staged: "blue",
  succeeded: "green",
};

/** The colour of a run's, an entity's or a certificate's state. */
export const paletteOf = (state: string): string => PALETTES[state] ?? "gray";

/** What a certificate covered: "clean" alone says too much. */
export const COVERED: Record<string, string> = {
  all_rows: "all rows",
  keys: "named keys",
  window: "window",
};

export const COVERED_AT_LENGTH: Record<string, string> = {
  all_rows: "every row was compared byte by byte",
  keys: "only the named rows were compared",
  window:
    "the rows of the run's window were compared byte by byte; all other keys were counted on both sides",
};

export const SEVERITY: Record<string, string> = { block: "red", quarantine: "orange", warn: "yellow" };
