// Vercel's edge-runtime. Its bundler is Next's; here a plugin makes of `?module` what that does.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createRequire } from "node:module";

const [tools, sim] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const esbuild = require("esbuild");
const { EdgeRuntime } = require("edge-runtime");

let wasm;
const built = await esbuild.build({
  stdin: {
    contents: `import { respond } from "./worker.js";
      addEventListener("fetch", (event) => event.respondWith(respond(new URL(event.request.url).searchParams.get("sim"))));`,
    resolveDir: ".",
  },
  bundle: true,
  write: false,
  format: "iife",
  target: "es2022",
  conditions: ["edge-light", "worker", "browser"],
  plugins: [
    {
      name: "module",
      setup(build) {
        build.onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) => {
          wasm = resolve(resolveDir, path.replace("?module", ""));
          return { path: wasm, namespace: "module" };
        });
        build.onLoad({ filter: /.*/, namespace: "module" }, () => ({ contents: "export default new WebAssembly.Module(warmlineBytes)" }));
      },
    },
  ],
});
const runtime = new EdgeRuntime({
  initialCode: built.outputFiles[0].text,
  extend: (context) => Object.assign(context, { warmlineBytes: readFileSync(wasm) }),
});
const response = await runtime.dispatchFetch(`http://localhost/?sim=${encodeURIComponent(sim)}`);
console.log(await response.text());
process.exit(0);
