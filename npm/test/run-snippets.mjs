// Runs the examples of the documentation, each where its fence says: `node run-snippets.mjs TOOLS SIM CHROMIUM`.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { visitPage } from "./chromium.mjs";
import { startWorker } from "./miniflare.mjs";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const esbuild = require("esbuild");

const keys = { ANTHROPIC_API_KEY: "sk-ant-secret-0001", OPENAI_API_KEY: "sk-secret-0001", GROQ_API_KEY: "sk-secret-0001" };
Object.assign(process.env, keys, { WARMLINE_SIM: sim });
const { given, reroute } = await import("./given.mjs");

const snippets = JSON.parse(readFileSync("snippets.json", "utf8"));
const { outputFiles } = await esbuild.build({ entryPoints: snippets.map(({ module }) => module), outdir: "snippets", outExtension: { ".js": ".mjs" }, format: "esm", write: false });
for (const { path, text } of outputFiles) writeFileSync(path, text);
const compiled = ({ module }) => module.replace(/\.ts$/, ".mjs");

/** A question as a web page asks it: the AI SDK's message, which every handler can read as text too. */
const question = () => ({ method: "POST", body: JSON.stringify({ messages: [{ id: "1", role: "user", parts: [{ type: "text", text: "Grüezi" }] }] }) });

/** Checks that a handler's response has what the simulator answers. */
async function answers(response) {
  const text = await response.text();
  check(response.ok, `status ${response.status}: ${text}`);
  check(/You said|warm/.test(text.replaceAll(/"\}\s*data: \{"type":"text[^"]*",("id":"\d+",)?"(text|delta)":"/g, "")), `the answer is ${JSON.stringify(text.slice(0, 300))}`);
}

const places = {
  /** In this process. A module that exports a handler is asked a question. */
  async node(snippet) {
    const { background, ...values } = await given();
    Object.assign(globalThis, values);
    const exported = await import(pathToFileURL(resolve(compiled(snippet))).href);
    const handler = exported.POST ?? exported.GET ?? exported.default?.fetch;
    if (typeof handler === "function") {
      const { method, body } = question();
      const request = new Request("http://localhost/", handler === exported.GET ? {} : { method, body });
      await answers(await handler(request, values.env, values.ctx));
    }
    await Promise.all(background);
  },

  /** A program of Node's, which prints an answer. */
  async program(snippet) {
    const { stdout, code } = await output(spawn("node", ["--import", "./given.mjs", compiled(snippet)], { stdio: ["ignore", "pipe", "inherit"] }));
    check(code === 0 && stdout.length > 10, `it ended with ${code} and printed ${JSON.stringify(stdout)}`);
  },

  deno: (snippet) =>
    serving(
      spawn(tool("deno"), ["run", "--allow-net", "--allow-env", "--allow-read", "--preload", "./given.mjs", compiled(snippet)], {
        env: { ...process.env, DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0", NO_COLOR: "1" },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    ),

  bun: (snippet) =>
    serving(spawn(tool("bun"), ["run", "--preload", "./given.mjs", compiled(snippet)], { env: { ...process.env, PORT: "0", NO_COLOR: "1" }, stdio: ["ignore", "pipe", "pipe"] })),

  /** A Worker, which is asked a question. */
  async workerd(snippet) {
    const text = readFileSync(snippet.module, "utf8");
    const worker = await startWorker(tools, snippet.module, {
      bindings: { ...keys, UPSTASH_REDIS_REST_URL: process.env.UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN: process.env.UPSTASH_REDIS_REST_TOKEN },
      outboundService: async (request) => fetch(reroute(request.url), { method: request.method, headers: request.headers, body: await request.arrayBuffer() }),
      ...(text.includes("BudgetLedger") && { durableObjects: { BUDGETS: { className: "BudgetLedger", useSQLite: true } } }),
    });
    try {
      await answers(await worker.dispatchFetch("http://localhost/", question()));
    } finally {
      await worker.dispose();
    }
  },

  /** A page, which shows an answer. */
  async browser(snippet) {
    const folder = join("snippets", `page-${snippet.module.replace(/\W/g, "_")}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "index.html"), '<!doctype html><form><input name="key" value="k"><input name="question" value="Grüezi"><button>Ask</button></form><output></output><script type="module" src="page.js"></script>');
    writeFileSync(join(folder, "sim.js"), `globalThis.SIM = ${JSON.stringify(sim)};`);
    await esbuild.build({ entryPoints: [snippet.module], bundle: true, format: "esm", outfile: join(folder, "page.js"), inject: [join(folder, "sim.js"), "given.mjs"], loader: { ".wasm": "file" }, logLevel: "error" });
    writeFileSync(join(folder, "warmline.wasm"), readFileSync("node_modules/warmline/warmline.wasm"));
    await visitPage({ chromium: require("playwright-core").chromium, executablePath, folder }, async (page) => {
      await page.click("button");
      await page.waitForFunction(() => /You said/.test(document.querySelector("output").textContent), undefined, { timeout: 10_000 });
    });
  },

  /** Only `tsc` checks it. */
  types: undefined,
};

const tool = (name) => resolve(tools, "node_modules/.bin", name);

/** Waits for the end of a program. */
async function output(child) {
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
  const code = await new Promise((ended) => child.once("close", ended));
  return { stdout, code };
}

/** Asks a program that says where it listens, and ends it. */
async function serving(child) {
  let said = "";
  try {
    const url = await new Promise((found, failed) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          said += `${line}\n`;
          const [address] = /http:\/\/[^\s/]+/.exec(line) ?? [];
          if (address) found(address.replace("0.0.0.0", "127.0.0.1"));
        });
      }
      child.once("close", (code) => failed(new Error(`it ended with ${code}: ${said}`)));
    });
    await answers(await fetch(url, question()));
  } catch (error) {
    throw new Error(`${error.message}\n${said}`);
  } finally {
    child.kill();
  }
}

// What the examples print is not this script's own output.
const write = process.stdout.write;
process.stdout.write = () => true;
for (const snippet of snippets) {
  const run = places[snippet.place];
  if (run) await test(snippet.name, () => run(snippet));
}
process.stdout.write = write;
console.log(JSON.stringify(results));
process.exit(0);
