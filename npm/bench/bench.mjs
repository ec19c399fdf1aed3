// What a call costs in Node, beside the official SDKs on the same simulator: `cargo xtask npm && node npm/bench/bench.mjs`.
// Contestants take turns, and a ratio is the median of the rounds' ratios.
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { contestants, many } from "./contestants.js";
import { compare, report, root, startSimulator } from "./measure.mjs";

const address = (name) => (name === "warmline" ? pathToFileURL(resolve(root, "pkg/inline.js")).href : import.meta.resolve(name));
const makers = {
  warmline: "new m.Warmline({ provider: 'openai', apiKey: 'k' })",
  openai: "new m.default({ apiKey: 'k' })",
  "@anthropic-ai/sdk": "new m.default({ apiKey: 'k' })",
};

// Cold start: a fresh process imports the package and makes a client.
const cold = [];
for (let round = 0; round < 15; round++) {
  cold.push({});
  for (const [name, maker] of Object.entries(makers)) {
    const code = `const t = performance.now(); const m = await import(${JSON.stringify(address(name))}); ${maker}; console.log(performance.now() - t)`;
    cold.at(-1)[name] = Number(execFileSync("node", ["--input-type=module", "-e", code], { encoding: "utf8" }));
  }
}
report("cold start: import and a first client, wall clock", "ms", cold);

const { sim, stop } = await startSimulator();
const clients = {};
for (const [name, { package: wanted, make }] of Object.entries(contestants)) clients[name] = make(await import(address(wanted)), sim);
await compare(Object.keys(clients), async (name, kind, model, calls, atOnce) => {
  const before = process.cpuUsage();
  await many(calls, atOnce, () => clients[name][kind](model));
  const { user, system } = process.cpuUsage(before);
  return user + system;
});
stop();
