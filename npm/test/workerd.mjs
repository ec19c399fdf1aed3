// Cloudflare's workerd, by miniflare: the worker is bundled as wrangler does it, the module beside it.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createRequire } from "node:module";

const [tools, sim] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const esbuild = require("esbuild");
const { Miniflare } = require("miniflare");

await esbuild.build({
  entryPoints: ["worker.js"],
  outfile: "workerd/worker.js",
  bundle: true,
  format: "esm",
  target: "es2022",
  conditions: ["workerd", "worker", "browser"],
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
var wasm;
const miniflare = new Miniflare({
  compatibilityDate: "2026-04-01",
  modules: [
    { type: "ESModule", path: "worker.js", contents: readFileSync("workerd/worker.js", "utf8") },
    { type: "CompiledWasm", path: "warmline.wasm", contents: readFileSync(wasm) },
  ],
});
const response = await miniflare.dispatchFetch(`http://localhost/?sim=${encodeURIComponent(sim)}`);
console.log(await response.text());
await miniflare.dispose();
