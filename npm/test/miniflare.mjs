// Cloudflare's workerd, by miniflare.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** Bundles a Worker as wrangler does, with the WebAssembly module beside it, and starts it. */
export async function startWorker(tools, entry, options = {}) {
  const require = createRequire(resolve(tools, "package.json"));
  let wasm;
  const { outputFiles } = await require("esbuild").build({
    entryPoints: [entry],
    write: false,
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:workers"],
    plugins: [
      {
        name: "modules",
        setup(build) {
          build.onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
            wasm = resolve(resolveDir, path);
            return { path: "./warmline.wasm", external: true };
          });
        },
      },
    ],
  });
  const { Miniflare } = require("miniflare");
  return new Miniflare({
    compatibilityDate: "2026-04-01",
    modules: [
      { type: "ESModule", path: "worker.js", contents: outputFiles[0].text },
      { type: "CompiledWasm", path: "warmline.wasm", contents: readFileSync(wasm) },
    ],
    ...options,
  });
}
