// What both benches share: the simulator, the measurements and the table of ratios.
import { execFileSync, spawn } from "node:child_process";
import { resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../..");
export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Each is compared with Warmline in its own dialect. */
const like = (name) => (name === "@anthropic-ai/sdk" ? "warmline (anthropic)" : "warmline");

export function report(title, unit, rounds) {
  console.log(`\n${title}`);
  for (const name of Object.keys(rounds[0])) {
    const against = like(name) in rounds[0] ? like(name) : "warmline";
    const ratio = median(rounds.map((round) => round[name] / round[against]));
    const value = median(rounds.map((round) => round[name])).toFixed(unit === "µs" ? 2 : 1);
    console.log(`  ${name.padEnd(20)} ${value.padStart(9)} ${unit}   ${ratio.toFixed(2)} × ${against}`);
  }
}

/** Contestants take turns; the first two rounds warm the compilers up, and are not counted. */
async function rounds(names, count, measureOne) {
  const all = [];
  for (let round = -2; round < count; round++) {
    const one = {};
    for (const name of names) one[name] = await measureOne(name);
    if (round >= 0) all.push(one);
  }
  return all;
}

/** `cpu(name, kind, model, calls, atOnce)` gives the CPU time of those calls in microseconds. */
export async function compare(names, cpu) {
  report("unary, 16 in flight, CPU per call", "µs", await rounds(names, 11, async (name) => (await cpu(name, "unary", "bench?tokens=40", 320, 16)) / 320));
  const deltas = 400;
  for (const [title, flush] of [["each in a packet of its own", "&flush"], ["as they fit into packets", ""]]) {
    const perDelta = async (name) => (await cpu(name, "stream", `bench?tokens=${deltas}${flush}`, 16, 4)) / (16 * deltas);
    report(`streaming, CPU per delta, ${title}`, "µs", await rounds(names, 11, perDelta));
  }
}

export async function startSimulator() {
  execFileSync("cargo", ["build", "--release", "--quiet", "--package", "warmline-sim"], { cwd: root, stdio: "inherit" });
  const simulator = spawn(resolve(root, "target/release/warmline-sim"), ["--until-stdin-ends"], { stdio: ["pipe", "pipe", "inherit"] });
  const sim = await new Promise((found) => simulator.stdout.once("data", (data) => found(/ANTHROPIC_BASE_URL=(\S+)/.exec(data)[1])));
  return { sim, stop: () => simulator.kill() };
}
