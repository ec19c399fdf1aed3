// The same in Cloudflare's workerd, one process a contestant, whose CPU time Linux tells:
// `cargo xtask npm && node npm/bench/workerd.mjs`.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import esbuild from "esbuild";
import { contestants } from "./contestants.js";
import { compare, report, root, startSimulator } from "./measure.mjs";
import { configure, startWorker } from "./worker-process.mjs";

/** A Worker that makes one client and then as many calls as the query says. */
async function bundle(name, wanted) {
  const { outputFiles } = await esbuild.build({
    stdin: {
      resolveDir: import.meta.dirname,
      contents: `
        import * as m from ${JSON.stringify(wanted)};
        import { contestants, many } from "./contestants.js";
        export default { async fetch(request) {
          const { sim, kind, model, calls, atOnce } = Object.fromEntries(new URL(request.url).searchParams);
          const client = contestants[${JSON.stringify(name)}].make(m, sim);
          await many(Number(calls), Number(atOnce), () => client[kind](model));
          return new Response("done");
        } };`,
    },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    conditions: ["workerd", "worker", "browser"],
    external: ["node:*"],
    alias: { warmline: resolve(root, "pkg/workerd.js") },
    plugins: [{ name: "modules", setup: (build) => build.onResolve({ filter: /\.wasm$/ }, () => ({ path: "./warmline.wasm", external: true })) }],
  });
  return outputFiles[0].text;
}

/** The CPU time of all threads, in microseconds. */
function cpuOf(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, id) => sum + Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, "utf8").split(" ")[0]) / 1000, 0);
}

const { sim, stop } = await startSimulator();
const files = { "an empty Worker": configure("empty", `export default { fetch: () => new Response("done") };`) };
for (const [i, [name, { package: wanted }]] of Object.entries(contestants).entries()) files[name] = configure(i, await bundle(name, wanted));

const cold = [];
for (let round = 0; round < 11; round++) {
  cold.push({});
  for (const [name, file] of Object.entries(files)) {
    const before = performance.now();
    const worker = await startWorker(file);
    await worker.ask({ sim, calls: 0, atOnce: 1 });
    cold.at(-1)[name] = performance.now() - before;
    worker.stop();
  }
}
report("cold start: a fresh workerd until it has made a client, wall clock", "ms", cold);

const workers = {};
for (const name of Object.keys(contestants)) workers[name] = await startWorker(files[name]);
await compare(Object.keys(workers), async (name, kind, model, calls, atOnce) => {
  const { pid, ask } = workers[name];
  const before = cpuOf(pid);
  await ask({ sim, kind, model, calls, atOnce });
  return cpuOf(pid) - before;
});
for (const worker of Object.values(workers)) worker.stop();
stop();
