// The steps of a run: their names and the colour of each state.
import type { Schemas } from "./api/client";

export type Step = Schemas["FlowStep"];

export const STEP_NAMES: Record<Step["step"], string> = {
  preflight: "Preflight",
  extract: "Extract",
  validate: "Validate",
  publish: "Publish",
  certify: "Certify",
};

/** What a step's state looks like; a sign stands beside the colour. */
export const STEP_LOOK: Record<Step["state"], { readonly palette: string; readonly sign: string }> = {
  blocked: { palette: "red", sign: "■" },
  done: { palette: "green", sign: "✓" },
  drift: { palette: "red", sign: "≠" },
  failed: { palette: "red", sign: "✕" },
  not_reached: { palette: "gray", sign: "–" },
  pending: { palette: "orange", sign: "❚❚" },
  queued: { palette: "blue", sign: "…" },
  retrying: { palette: "orange", sign: "↻" },
  running: { palette: "blue", sign: "▶" },
  superseded: { palette: "gray", sign: "»" },
  waits: { palette: "gray", sign: "○" },
};
