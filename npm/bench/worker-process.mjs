// Cloudflare's workerd as a process of its own.
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { root } from "./measure.mjs";

const folder = mkdtempSync(join(tmpdir(), "warmline-bench-"));
process.once("exit", () => rmSync(folder, { recursive: true }));
copyFileSync(resolve(root, "pkg/warmline.wasm"), join(folder, "warmline.wasm"));

/** Writes the configuration of a Worker whose code is `script`, and returns its file. */
export function configure(name, script) {
  writeFileSync(join(folder, `${name}.js`), script);
  const file = join(folder, `${name}.capnp`);
  writeFileSync(
    file,
    `using Workerd = import "/workerd/workerd.capnp";
     const config :Workerd.Config = (
       services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["public", "private", "local"]))],
       sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);
     const main :Workerd.Worker = (
       modules = [(name = "worker.js", esModule = embed "${name}.js"), (name = "warmline.wasm", wasm = embed "warmline.wasm")],
       compatibilityDate = "2026-04-01", compatibilityFlags = ["nodejs_compat"]);`,
  );
  return file;
}

/** Starts a Worker. It is asked by a query, and answers "done". */
export async function startWorker(file) {
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
