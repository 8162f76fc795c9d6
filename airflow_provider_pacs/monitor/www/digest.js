// SHA-256 of what the bundle is built from, in the order of the names; `monitor/bundle.py` computes the same
// without Node, so that `make check` sees a bundle that is not what the sources build.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const FILES = [
  "package.json",
  "package-lock.json",
  "vite.config.ts",
  "tsconfig.json",
  "openapi.json",
  "digest.js",
];

/** Paths below `src`, with forward slashes, tests left out: they are in no bundle. */
function sources() {
  return readdirSync(`${ROOT}src`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.test\.tsx?$/.test(entry.name))
    .map((entry) => `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/").slice(ROOT.length));
}

/** @returns {string} hexadecimal digits */
export function sourcesDigest() {
  const hash = createHash("sha256");
  for (const name of [...FILES, ...sources()].sort()) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(`${ROOT}${name}`))
      .update("\0");
  }
  return hash.digest("hex");
}
