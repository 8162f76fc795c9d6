import { describe, expect, it, vi } from "vitest";

import { ApiError, fetchClient } from "./client";

const answer = (status: number, body: unknown) =>
  vi
    .spyOn(globalThis, "fetch")
    .mockResolvedValue(
      new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" }, status }),
    );
const ask = () => fetchClient.GET("/api/summary");

describe("the client", () => {
  it("asks below the address at which Airflow lives", async () => {
    const fetched = answer(200, { running: 1 });
    await ask();
    const request = fetched.mock.calls[0]?.[0] as Request;
    expect(new URL(request.url).pathname).toBe("/pacs-sync/api/summary");
  });

  it("raises what the API says, with the remedy", async () => {
    answer(503, { detail: "The target is down.", remedy: "Start it." });
    await expect(ask()).rejects.toThrow("The target is down. Start it.");
  });

  it("says what a refusal means", async () => {
    answer(401, { detail: "Not authenticated" });
    await expect(ask()).rejects.toThrow("Your session has ended");
    answer(403, { detail: "Forbidden" });
    await expect(ask()).rejects.toThrow("permissions do not allow");
  });

  it("shows no object where an answer is of another form", async () => {
    answer(422, { detail: [{ loc: ["query"], msg: "too long" }] });
    await expect(ask()).rejects.toEqual(new ApiError(422, null));
  });

  it("says that nobody answers where the network is away", async () => {
    vi.spyOn(globalThis, "fetch").mockRejectedValue(new TypeError("Failed to fetch"));
    await expect(ask()).rejects.toThrow("Airflow does not answer.");
  });
});
