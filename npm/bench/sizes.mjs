// Bundle sizes and cold starts beside the official SDKs and the AI SDK, in their newest versions (npm/bench/sizes/package.json):
// `cargo xtask npm && npm ci --prefix npm/bench/sizes && node npm/bench/sizes.mjs`.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import esbuild from "esbuild";
import { median, root } from "./measure.mjs";
import { configure, startWorker } from "./worker-process.mjs";

const ROUNDS = 15;
const here = resolve(import.meta.dirname, "sizes");
const wasm = readFileSync(resolve(root, "pkg/warmline.wasm"));

/** Each makes its clients, and calls with the first of them. `url` is the provider's address. */
const OPENAI = { imports: `import OpenAI from "openai";`, client: "new OpenAI({ apiKey: 'k', baseURL: url + '/v1' })", call: "$.chat.completions.create({ model: 'm', messages })" };
const ANTHROPIC = { imports: `import Anthropic from "@anthropic-ai/sdk";`, client: "new Anthropic({ apiKey: 'k', baseURL: url })", call: "$.messages.create({ model: 'm', max_tokens: 9, messages })" };
const one = ({ imports, client, call }) => ({ imports, code: `const client = ${client}; return ${call.replace("$", "client")};` });
const contestants = {
  "plain `fetch`": { imports: "", code: "return (await fetch(url + '/v1/chat/completions', { method: 'POST', body: '{}' })).json();" },
  warmline: one({ imports: `import { Warmline } from "warmline";`, client: "new Warmline({ provider: 'openai', apiKey: 'k', baseUrl: url + '/v1', dangerouslyAllowBrowser: true })", call: "$.chat({ model: 'm', messages })" }),
  openai: one(OPENAI),
  "@anthropic-ai/sdk": one(ANTHROPIC),
  "openai and @anthropic-ai/sdk": { imports: OPENAI.imports + ANTHROPIC.imports, code: `const client = ${OPENAI.client}, other = ${ANTHROPIC.client}; return [await ${OPENAI.call.replace("$", "client")}, other];` },
  "ai, @ai-sdk/openai and @ai-sdk/anthropic": {
    imports: `import { generateText } from "ai"; import { createOpenAI } from "@ai-sdk/openai"; import { createAnthropic } from "@ai-sdk/anthropic";`,
    code: `const client = createOpenAI({ apiKey: 'k', baseURL: url + '/v1' }), other = createAnthropic({ apiKey: 'k', baseURL: url + '/v1' });
      return [await generateText({ model: client.chat('m'), messages }), other];`,
  },
};
const program = ({ imports, code }) => `${imports}
  const messages = [{ role: "user", content: "Hello" }];
  export async function first(url) { ${code} }`;

async function bundle(contents, options) {
  const { outputFiles } = await esbuild.build({
    stdin: { contents, resolveDir: here },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    external: ["node:*", "cloudflare:*", "*.wasm"],
    logLevel: "error",
    ...options,
  });
  return outputFiles[0].text;
}
const entry = (file) => ({ alias: { warmline: resolve(root, "pkg", file) } });
const size = (name, script) => gzipSync(script).length + (name === "warmline" ? gzipSync(wasm).length : 0);

/** A provider that notes when a request arrives. */
let arrived;
const REPLY = {
  "/v1/chat/completions": { id: "1", object: "chat.completion", created: 1, model: "m", choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
  "/v1/messages": { id: "1", type: "message", role: "assistant", model: "m", content: [{ type: "text", text: "Hello" }], stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } },
};
const provider = createServer((request, response) => {
  arrived = performance.now();
  request.resume().once("end", () => response.setHeader("content-type", "application/json").end(JSON.stringify(REPLY[request.url])));
}).listen(0, "127.0.0.1");
await once(provider, "listening");
const url = `http://127.0.0.1:${provider.address().port}`;

/** The time in which a new Node process has sent its first request. */
async function inNode(script) {
  const start = performance.now();
  const [code] = await once(spawn("node", [script, url], { stdio: ["ignore", "ignore", "inherit"] }), "close");
  if (code !== 0) throw new Error(`${script} failed`);
  return arrived - start;
}

/** The time in which a new workerd process has sent its first request. */
async function inWorkerd(file) {
  const start = performance.now();
  const worker = await startWorker(file);
  await worker.ask({ url });
  worker.stop();
  return arrived - start;
}

const folder = join(here, "programs");
const measured = {};
for (const [i, [name, contestant]] of Object.entries(contestants).entries()) {
  const code = program(contestant);
  const browser = await bundle(code, { ...entry("browser.js"), conditions: ["browser"] });
  const worker = await bundle(`${code}\nexport default { async fetch(request) { await first(new URL(request.url).searchParams.get("url")); return new Response("done"); } };`, {
    ...entry("workerd.js"),
    conditions: ["workerd", "worker", "browser"],
    plugins: [{ name: "module", setup: (build) => build.onResolve({ filter: /\.wasm$/ }, () => ({ path: "./warmline.wasm", external: true })) }],
  });
  const started = `${code}\nawait first(process.argv[2]);`;
  // Not bundled: each package as it is installed.
  const installed = join(folder, `installed-${i}.mjs`);
  const bundled = join(folder, `bundled-${i}.mjs`);
  await esbuild.build({ stdin: { contents: started, resolveDir: here }, outfile: installed, format: "esm", bundle: true, packages: "external", ...(name === "warmline" && { external: ["*/pkg/inline.js"], ...entry("inline.js") }) });
  await esbuild.build({ stdin: { contents: started, resolveDir: here }, outfile: bundled, format: "esm", bundle: true, minify: true, platform: "node", banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }, ...entry("inline.js") });
  measured[name] = { browser: size(name, browser), worker: size(name, worker), programs: { installed, bundled, worker: configure(i, worker) }, times: { installed: [], bundled: [], worker: [] } };
}

for (let round = -1; round < ROUNDS; round++) {
  for (const { programs, times } of Object.values(measured)) {
    const found = { installed: await inNode(programs.installed), bundled: await inNode(programs.bundled), worker: await inWorkerd(programs.worker) };
    // The first round fills the caches of the file system.
    if (round >= 0) for (const [name, time] of Object.entries(found)) times[name].push(time);
  }
}
provider.close();
rmSync(folder, { recursive: true });

const versions = Object.entries(JSON.parse(readFileSync(join(here, "package.json"), "utf8")).dependencies).map(([name, version]) => `${name} ${version}`);
const workerd = JSON.parse(readFileSync(resolve(root, "npm/node_modules/workerd/package.json"), "utf8")).version;
console.log(`${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0].model}, Node ${process.versions.node}, workerd ${workerd}; ${versions.join(", ")}; ${ROUNDS} rounds\n`);
console.log("| | in a browser | in Workers | Node, as installed | Node, bundled | workerd |\n| --- | --- | --- | --- | --- | --- |");
for (const [name, { browser, worker, times }] of Object.entries(measured)) {
  const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const ms = (values) => `${median(values).toFixed(0)} ms`;
  const sizes = name === "plain `fetch`" ? ["–", "–"] : [kB(browser), kB(worker)];
  console.log(`| ${[name, ...sizes, ms(times.installed), ms(times.bundled), ms(times.worker)].join(" | ")} |`);
}
