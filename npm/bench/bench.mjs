// What a call costs in Node, beside the official SDKs on the same simulator: `cargo xtask npm && node npm/bench/bench.mjs`.
// Contestants take turns, and a ratio is the median of the rounds' ratios.
import { execFileSync, spawn } from "node:child_process";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const root = resolve(import.meta.dirname, "../..");
const imports = {
  warmline: pathToFileURL(resolve(root, "pkg/node.js")).href,
  openai: import.meta.resolve("openai"),
  "@anthropic-ai/sdk": import.meta.resolve("@anthropic-ai/sdk"),
};
const makers = {
  warmline: "new m.Warmline({ provider: 'openai', apiKey: 'k' })",
  openai: "new m.default({ apiKey: 'k' })",
  "@anthropic-ai/sdk": "new m.default({ apiKey: 'k' })",
};

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function report(title, unit, rounds) {
  console.log(`\n${title}`);
  for (const name of Object.keys(rounds[0])) {
    const ratio = median(rounds.map((round) => round[name] / round.warmline));
    console.log(`  ${name.padEnd(18)} ${median(rounds.map((round) => round[name])).toFixed(unit === "µs" ? 2 : 1).padStart(9)} ${unit}   ${ratio.toFixed(2)} × warmline`);
  }
}

// Cold start: a fresh process imports the package and makes a client.
const cold = [];
for (let round = 0; round < 15; round++) {
  cold.push({});
  for (const [name, url] of Object.entries(imports)) {
    const code = `const t = performance.now(); const m = await import(${JSON.stringify(url)}); ${makers[name]}; console.log(performance.now() - t)`;
    cold.at(-1)[name] = Number(execFileSync("node", ["--input-type=module", "-e", code], { encoding: "utf8" }));
  }
}
report("cold start: import and a first client, wall clock", "ms", cold);

execFileSync("cargo", ["build", "--release", "--quiet", "--package", "warmline-sim"], { cwd: root, stdio: "inherit" });
const simulator = spawn(resolve(root, "target/release/warmline-sim"), { stdio: ["ignore", "pipe", "inherit"] });
const sim = await new Promise((found) => simulator.stdout.once("data", (data) => found(/ANTHROPIC_BASE_URL=(\S+)/.exec(data)[1])));

const { Warmline } = await import(imports.warmline);
const OpenAI = (await import(imports.openai)).default;
const Anthropic = (await import(imports["@anthropic-ai/sdk"])).default;
const ours = { openai: new Warmline({ provider: "openai", apiKey: "k", baseUrl: `${sim}/v1` }), anthropic: new Warmline({ provider: "anthropic", apiKey: "k", baseUrl: sim }) };
const openai = new OpenAI({ apiKey: "k", baseURL: `${sim}/v1` });
const anthropic = new Anthropic({ apiKey: "k", baseURL: sim });
const messages = [{ role: "user", content: "Why are warm connections faster than cold ones?" }];

const unary = {
  warmline: (model) => ours.openai.chat({ model, messages }),
  openai: (model) => openai.chat.completions.create({ model, messages }),
  "@anthropic-ai/sdk": (model) => anthropic.messages.create({ model, messages, max_tokens: 4096 }),
};
const streamed = {
  warmline: async (model) => {
    let length = 0;
    for await (const event of ours.openai.stream({ model, messages })) if (event.type === "text") length += event.text.length;
    return length;
  },
  "warmline (anthropic)": async (model) => {
    let length = 0;
    for await (const event of ours.anthropic.stream({ model, messages })) if (event.type === "text") length += event.text.length;
    return length;
  },
  openai: async (model) => {
    let length = 0;
    for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true })) length += chunk.choices[0]?.delta.content?.length ?? 0;
    return length;
  },
  "@anthropic-ai/sdk": async (model) => {
    let length = 0;
    for await (const event of await anthropic.messages.create({ model, messages, max_tokens: 4096, stream: true })) {
      if (event.type === "content_block_delta") length += event.delta.text.length;
    }
    return length;
  },
};

/** CPU time per call, in microseconds. */
async function measure(calls, atOnce, call) {
  const before = process.cpuUsage();
  for (let done = 0; done < calls; done += atOnce) await Promise.all(Array.from({ length: atOnce }, call));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

async function rounds(count, contestants, measureOne) {
  const all = [];
  // The first two warm the compilers up, and are not counted.
  for (let round = -2; round < count; round++) {
    const one = {};
    for (const [name, call] of Object.entries(contestants)) one[name] = await measureOne(call);
    if (round >= 0) all.push(one);
  }
  return all;
}

report("unary, 16 in flight, CPU per call", "µs", await rounds(11, unary, (call) => measure(320, 16, () => call("bench?tokens=40"))));
const deltas = 400;
for (const [title, flush] of [["each in a packet of its own", "&flush"], ["as they fit into packets", ""]]) {
  const perDelta = async (call) => (await measure(16, 4, () => call(`bench?tokens=${deltas}${flush}`))) / deltas;
  report(`streaming, CPU per delta, ${title}`, "µs", await rounds(11, streamed, perDelta));
}
simulator.kill();
