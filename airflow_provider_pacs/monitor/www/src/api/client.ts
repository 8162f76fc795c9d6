import { QueryClient } from "@tanstack/react-query";
import createFetchClient, { type Middleware } from "openapi-fetch";
import createClient from "openapi-react-query";

import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

/** What the API answered where it did not do what was asked: one sentence, and what to do. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    body: unknown,
  ) {
    super(inWords(status, body));
  }
}

function inWords(status: number, body: unknown): string {
  if (status === 401) return "Your session has ended. Reload the page to sign in again.";
  const { detail, remedy } = (body ?? {}) as { detail?: unknown; remedy?: unknown };
  if (status === 403 && (detail === undefined || detail === "Forbidden"))
    return "Your Airflow permissions do not allow this for this county's DAG.";
  const texts = [detail, remedy].filter((text): text is string => typeof text === "string" && text !== "");
  return texts.join(" ") || `Airflow answered ${status}.`;
}

const raiseErrors: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return;
    const body: unknown = await response.json().catch(() => null);
    throw new ApiError(response.status, body);
  },
  onError({ error }) {
    if (error instanceof ApiError || (error instanceof Error && error.name === "AbortError")) return;
    return new Error("Airflow does not answer.");
  },
};

// Airflow may live under a path of its own: its page says so in <base>.
export const ROOT = new URL("pacs-sync", document.baseURI).href;

// `fetch` is looked up when it is called, so that a test can put its own in place.
export const fetchClient = createFetchClient<paths>({
  baseUrl: ROOT,
  fetch: (request) => globalThis.fetch(request),
});
fetchClient.use(raiseErrors);

export const api = createClient(fetchClient);

export const queryClient = new QueryClient({
  // A page that nobody sees asks nothing; old figures stay while a new answer is late or fails.
  defaultOptions: {
    queries: { refetchIntervalInBackground: false, refetchOnWindowFocus: true, retry: false },
  },
});

/** The address of a file of the API, to be saved. */
export const fileAddress = (path: string): string => `${ROOT}${path}`;
