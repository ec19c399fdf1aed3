// The same in Cloudflare's workerd, one process a contestant, whose CPU time Linux tells:
// `cargo xtask npm && node npm/bench/workerd.mjs`.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import esbuild from "esbuild";
import { contestants } from "./contestants.js";
import { compare, report, root, startSimulator } from "./measure.mjs";

const folder = mkdtempSync(join(tmpdir(), "warmline-bench-"));
process.once("exit", () => rmSync(folder, { recursive: true }));

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

function configure(number, script) {
  writeFileSync(join(folder, `${number}.js`), script);
  writeFileSync(join(folder, "warmline.wasm"), readFileSync(resolve(root, "pkg/warmline.wasm")));
  const file = join(folder, `${number}.capnp`);
  writeFileSync(
    file,
    `using Workerd = import "/workerd/workerd.capnp";
     const config :Workerd.Config = (
       services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["public", "private", "local"]))],
       sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);
     const main :Workerd.Worker = (
       modules = [(name = "worker.js", esModule = embed "${number}.js"), (name = "warmline.wasm", wasm = embed "warmline.wasm")],
       compatibilityDate = "2026-04-01", compatibilityFlags = ["nodejs_compat"]);`,
  );
  return file;
}

async function start(file) {
  const workerd = spawn(resolve(root, "npm/node_modules/.bin/workerd"), ["serve", file, "--control-fd=3"], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
  const port = await new Promise((found) => workerd.stdio[3].once("data", (data) => found(/"port":(\d+)/.exec(data)[1])));
  const ask = async (query) => {
    const response = await fetch(`http://127.0.0.1:${port}/?${new URLSearchParams(query)}`);
    const text = await response.text();
    if (text !== "done") throw new Error(text);
  };
  const pid = child(workerd.pid);
  return { pid, ask, stop: () => process.kill(pid) };
}

/** The package starts the program as a child of a Node script. */
function child(pid) {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Number(first || pid);
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
    const worker = await start(file);
    await worker.ask({ sim, calls: 0, atOnce: 1 });
    cold.at(-1)[name] = performance.now() - before;
    worker.stop();
  }
}
report("cold start: a fresh workerd until it has made a client, wall clock", "ms", cold);

const workers = {};
for (const name of Object.keys(contestants)) workers[name] = await start(files[name]);
await compare(Object.keys(workers), async (name, kind, model, calls, atOnce) => {
  const { pid, ask } = workers[name];
  const before = cpuOf(pid);
  await ask({ sim, kind, model, calls, atOnce });
  return cpuOf(pid) - before;
});
for (const worker of Object.values(workers)) worker.stop();
stop();
