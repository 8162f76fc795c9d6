import react from "@vitejs/plugin-react";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

import { sourcesDigest } from "./digest.js";

// React, the router and Chakra UI are the host page's own: Airflow puts them on `globalThis` for its plugins.
const HOST = {
  "@chakra-ui/react": "ChakraUI",
  react: "React",
  "react-dom": "ReactDOM",
  "react-router-dom": "ReactRouterDOM",
  "react/jsx-runtime": "ReactJSXRuntime",
};

/** The bundle carries the digest of its sources, and the licences of the packages in it lie beside it. */
const provenance: Plugin = {
  generateBundle: {
    handler(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        const packages = new Set(
          chunk.moduleIds.flatMap(
            (id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replace("\0", "")) ?? [],
          ),
        );
        chunk.code = `/* sources ${sourcesDigest()} */\n${chunk.code}`;
        this.emitFile({
          fileName: "pacs_sync.licenses.txt",
          source: [...packages].sort().map(licenceOf).join("\n"),
          type: "asset",
        });
      }
    },
    order: "post",
  },
  name: "provenance",
};

function licenceOf(folder: string): string {
  const { name, version } = JSON.parse(readFileSync(`${folder}/package.json`, "utf-8")) as Record<
    string,
    string
  >;
  const file = existsSync(folder) && readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${folder} has no licence`);
  return `${name} ${version}\n\n${readFileSync(`${folder}/${file}`, "utf-8").trim()}\n`;
}

export default defineConfig({
  build: {
    emptyOutDir: false,
    lib: {
      entry: fileURLToPath(new URL("src/main.tsx", import.meta.url)),
      fileName: () => "pacs_sync.js",
      formats: ["iife"],
      name: "PacsSync",
    },
    outDir: fileURLToPath(new URL("../static", import.meta.url)),
    rollupOptions: {
      external: Object.keys(HOST),
      output: { globals: HOST },
    },
    target: "es2022",
  },
  define: { "process.env.NODE_ENV": JSON.stringify("production") },
  plugins: [react(), provenance],
  resolve: { alias: { src: fileURLToPath(new URL("src", import.meta.url)) } },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
