import { describe, expect, it } from "vitest";

import { ago, duration, exact, number, percent, plural, sentences, short } from "./format";

describe("words", () => {
  it("never say undefined, NaN or Invalid Date where nothing is known", () => {
    for (const word of [number, short, percent, duration]) {
      expect([word(null), word(undefined)]).toEqual(["–", "–"]);
    }
    expect([ago(null), exact(undefined)]).toEqual(["never", "–"]);
  });

  it("say durations in the unit that a person would", () => {
    expect([4.04, 40, 119, 7200, 200_000].map(duration)).toEqual(["4 s", "40 s", "2 min", "2 h", "2 days"]);
  });

  it("say a moment before and after now", () => {
    const now = Date.parse("2026-11-28T12:00:00Z");
    expect(ago("2026-11-28T11:57:00Z", now)).toBe("3 min ago");
    expect(ago("2026-11-28T12:00:40Z", now)).toBe("in 40 s");
    expect(ago("2026-11-28T12:00:01Z", now)).toBe("now");
  });

  it("show a moment on the county's clock with its zone", () => {
    expect(exact("2026-11-28T12:00:00Z", "America/Los_Angeles")).toBe("Nov 28, 2026, 04:00:00 PST");
  });

  it("count", () => {
    expect([plural(1, "county", "counties"), plural(1234, "row")]).toEqual(["1 county", "1,234 rows"]);
  });

  it("end every sentence once", () => {
    expect(sentences("It failed", null, "", "Why?")).toBe("It failed. Why?");
  });
});
