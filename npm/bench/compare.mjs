// What each client does where things go wrong, beside Warmline on the same simulator: `cargo xtask npm && node npm/bench/compare.mjs`.
// Defaults throughout, but for the timeout of the stream that stalls; no outcome is waited for longer than 4 s.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { root, startSimulator } from "./measure.mjs";

const { Warmline } = await import(pathToFileURL(resolve(root, "pkg/inline.js")).href);
const { default: OpenAI } = await import("openai");
const { default: Anthropic } = await import("@anthropic-ai/sdk");
const { streamText } = await import("ai");
const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
let { sim, stop } = await startSimulator();
const messages = [{ role: "user", content: "Hello" }];

/** Each streams a reply whole and gives its text; `timeout` in milliseconds. */
const clients = {
  warmline: (timeout) => {
    const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl: `${sim}/v1`, timeoutMs: timeout });
    return async (model) => (await llm.stream({ model, messages }).reply()).text;
  },
  openai: (timeout) => {
    const client = new OpenAI({ apiKey: "k", baseURL: `${sim}/v1`, timeout });
    return async (model) => {
      let text = "";
      for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) text += chunk.choices[0]?.delta.content ?? "";
      return text;
    };
  },
  "@anthropic-ai/sdk": (timeout) => {
    const client = new Anthropic({ apiKey: "k", baseURL: sim, timeout });
    return (model) => client.messages.stream({ model, messages, max_tokens: 4096 }).finalText();
  },
  "ai (AI SDK)": (timeout) => {
    const provider = createOpenAICompatible({ name: "sim", apiKey: "k", baseURL: `${sim}/v1` });
    return async (model) => {
      const abortSignal = timeout && AbortSignal.timeout(timeout);
      let failed;
      const { textStream } = streamText({ model: provider(model), messages, abortSignal, onError: ({ error }) => (failed = error) });
      let text = "";
      for await (const piece of textStream) text += piece;
      if (failed) throw failed;
      return text;
    };
  },
};

const words = (text) => `${text.trim().split(/\s+/).length} words`;
const later = (ms) => new Promise((done) => setTimeout(done, ms, "still waiting after 4 s"));
async function outcome(call) {
  const ended = call.then((text) => `${words(text)}, as if whole`, (error) => `an error: ${error.message.replace(/\s+/g, " ").slice(0, 70)}`);
  return Promise.race([ended, later(4000)]);
}

const cases = {
  "a reply of 20 words": (make) => outcome(make()("m?tokens=20")),
  "the response ends after 5 of 20 words, without its last event": (make) => outcome(make()("m?tokens=20&fault=close&at=body&after=5")),
  "the connection breaks after 5 of 20 words": (make) => outcome(make()("m?tokens=20&fault=close&at=event&after=5")),
  "an error instead of the first word, once": (make, name) => outcome(make()(`m?tokens=20&error-event&after=0&times=1&code=${encodeURIComponent(name)}`)),
  "the stream stalls after 5, with pings; timeout 500 ms": (make) => outcome(make(500)("m?tokens=20&stall&pings&after=5")),
  "503 twice, then a reply": (make, name) => outcome(make()(`m?tokens=20&status=503&times=2&retry-after-ms=1&code=2${encodeURIComponent(name)}`)),
  "50 calls at once": async (make) => {
    // A server of its own, to which nobody has a connection yet.
    stop();
    ({ sim, stop } = await startSimulator());
    await Promise.all(Array.from({ length: 50 }, () => make()("m?tokens=20&pace=10")));
    return `${(await (await fetch(`${sim}/sim/stats`)).json()).peak} sockets`;
  },
};

const names = Object.keys(clients);
const versionOf = JSON.parse(readFileSync(resolve(root, "npm/package.json"), "utf8")).devDependencies;
console.log(`| | ${names.join(" | ")} |\n| ---${" | ---".repeat(names.length)} |`);
console.log(`| version | this one | ${["openai", "@anthropic-ai/sdk", "ai"].map((name) => versionOf[name]).join(" | ")} |`);
for (const [title, run] of Object.entries(cases)) {
  const found = [];
  for (const name of names) found.push(await run(clients[name], name));
  console.log(`| ${title} | ${found.join(" | ")} |`);
}
stop();
process.exit(0);
