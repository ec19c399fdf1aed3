// The examples as their readers run them: the Worker under wrangler, the page built by Vite and by webpack in Chromium.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Warmline } from "warmline";
import { scriptedFetch } from "warmline/testing";
import { visitPage } from "./chromium.mjs";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
Object.assign(process.env, { WRANGLER_SEND_METRICS: "false", CI: "true" });

const { unstable_startWorker } = require("wrangler");
const worker = await unstable_startWorker({
  config: "examples/worker/wrangler.toml",
  bindings: {
    ANTHROPIC_BASE_URL: { type: "plain_text", value: sim },
    ANTHROPIC_API_KEY: { type: "plain_text", value: "sk-ant-secret-0001" },
  },
  dev: { logLevel: "error", server: { port: 0 }, inspector: false, watch: false },
});
const post = (body, headers = {}) => worker.fetch("http://localhost/", { method: "POST", body, headers });
await test("the Worker answers whole", async () => {
  const { text, usage } = await (await post("Grüezi")).json();
  check(text.startsWith("You said: “Grüezi”") && usage.outputTokens > 10, text);
});
await test("the Worker streams", async () => {
  const response = await post("Grüezi", { accept: "text/event-stream" });
  const events = (await response.text()).trim().split("\n\n").map((line) => JSON.parse(line.slice(6)));
  check(events.length > 10 && events.at(-1).reply.text.startsWith("You said: “Grüezi”"), JSON.stringify(events.at(-1)));
});
await test("the Worker says what is wrong", async () => {
  const response = await post(" ");
  const { error } = await response.json();
  check(response.status === 400 && error.kind === "config" && error.message.includes("messages[0] is empty"), JSON.stringify(error));
  check((await worker.fetch("http://localhost/")).status === 405, "GET");
});
await worker.dispose();

await require("esbuild").build({ entryPoints: ["examples/opentelemetry/tracing.ts"], outfile: "examples/opentelemetry/tracing.js", format: "esm", logLevel: "error" });
const { traced } = await import(pathToFileURL(resolve("examples/opentelemetry/tracing.js")).href);
/** A tracer of which the spans can be read, as an exporter would. */
function recorder() {
  const spans = [];
  const startSpan = (name, { attributes }) => {
    const span = { name, attributes: { ...attributes }, events: [], status: undefined, ended: 0 };
    spans.push(span);
    return {
      setAttribute: (key, value) => (span.attributes[key] = value),
      setAttributes: (more) => Object.assign(span.attributes, more),
      addEvent: (event, data) => span.events.push([event, data.attempt]),
      setStatus: ({ code }) => (span.status = code),
      end: () => span.ended++,
    };
  };
  return { tracer: { startSpan }, spans };
}
await test("the OpenTelemetry example makes a span of each call", async () => {
  const { tracer, spans } = recorder();
  const fetch = scriptedFetch([{ status: 503, headers: { "retry-after-ms": "1" } }, { text: "Hello", usage: { inputTokens: 3 } }, { status: 401 }]);
  const llm = new Warmline({ provider: "openai", apiKey: "k", model: "m", fetch, ...traced(tracer) });
  await llm.chat("Hi");
  await llm.stream("Hi").reply().catch(() => {});
  const [done, failed] = spans;
  check(spans.length === 2 && done.ended === 1 && failed.ended === 1, JSON.stringify(spans));
  check(done.name === "chat m" && done.attributes["gen_ai.usage.input_tokens"] === 3 && done.events[0].join() === "retry,2", JSON.stringify(done));
  check(failed.status === 2 && failed.attributes["error.type"] === "status", JSON.stringify(failed));
});

const { chromium } = require("playwright-core");
const { build } = await import(pathToFileURL(require.resolve("vite")).href);
await build({ root: "examples/vite-page", logLevel: "error" });
const webpacked = resolve("examples/webpack-page");
await new Promise((done, failed) => {
  const entry = resolve("examples/vite-page/main.js");
  require("webpack")({ mode: "production", entry, output: { path: webpacked } }, (error, stats) => {
    if (error || stats.hasErrors()) failed(error ?? stats.toString());
    else done();
  });
});
const page = readFileSync("examples/vite-page/index.html", "utf8");
writeFileSync(`${webpacked}/index.html`, page.replace('type="module" src="./main.js"', 'defer src="./main.js"'));

for (const [bundler, folder] of [["Vite", "examples/vite-page/dist"], ["webpack", webpacked]]) {
  await visitPage({ chromium, executablePath, folder, query: `?server=${encodeURIComponent(sim)}` }, async (page) => {
    await test(`the page that ${bundler} built shows the answer`, async () => {
      await page.fill("[name=key]", "sk-ant-secret-0001");
      await page.fill("[name=question]", "Grüezi");
      await page.locator("form button").first().click();
      await page.waitForFunction(() => document.querySelector("output").textContent.endsWith("a real one."), undefined, { timeout: 10_000 });
    });
  });
}
console.log(JSON.stringify(results));
process.exit(0);
