// Vercel's edge-runtime. Its bundler is Next's; here a plugin makes of `?module` what that does: the module is compiled outside, in
// Node's realm, and the code runs in a realm of its own.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createRequire } from "node:module";
import { results, test } from "./outcomes.mjs";
import { equal } from "./expect.js";

const [tools, sim] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const esbuild = require("esbuild");
const { EdgeRuntime } = require("edge-runtime");

const bytes = readFileSync("node_modules/warmline/warmline.wasm");

/** Starts a runtime that answers with the body of an async function. */
async function start(imports, body, globals) {
  const built = await esbuild.build({
    stdin: {
      contents: `${imports}
        addEventListener("fetch", (event) => event.respondWith((async () => { ${body} })()));`,
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
          build.onResolve({ filter: /^\.\/warmline\.wasm\?module$/ }, ({ path }) => ({ path, namespace: "module" }));
          build.onLoad({ filter: /.*/, namespace: "module" }, () => ({ contents: "export default compiledOutside" }));
        },
      },
    ],
  });
  return new EdgeRuntime({
    initialCode: built.outputFiles[0].text,
    extend: (context) => Object.assign(context, globals),
  });
}

/** Asks a runtime, and gives what it answers. */
async function ask(runtime) {
  const response = await runtime.dispatchFetch("http://localhost/");
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return JSON.parse(text);
}

const suite = await start(`import { respond } from "./worker.js";`, `return respond(sim);`, { sim, compiledOutside: new WebAssembly.Module(bytes) });
await test("the suite", async () => results.push(...(await ask(suite))));

const outside = { module: new WebAssembly.Module(bytes), bytes: new Uint8Array(bytes), Response };
for (const source of [
  "outside.module",
  "outside.bytes",
  "outside.bytes.buffer",
  "new outside.Response(outside.bytes)",
  "new outside.Response(outside.bytes, wasm)",
  "Promise.resolve(new outside.Response(outside.bytes, wasm))",
  "new Response(outside.bytes)",
  "new Response(outside.bytes, wasm)",
]) {
  await test(`warmline/manual, init(${source})`, async () => {
    const manual = await start(
      `import { init, Warmline } from "warmline/manual";`,
      `const wasm = { headers: { "content-type": "application/wasm" } };
       await init(${source});
       const llm = new Warmline({ provider: "anthropic", apiKey: "k", baseUrl: sim });
       return Response.json((await llm.chat({ model: "m?tokens=1", messages: [{ role: "user", content: "Hi" }] })).text);`,
      { sim, outside },
    );
    equal(await ask(manual), "warm ", "the reply");
  });
}
console.log(JSON.stringify(results));
process.exit(0);
