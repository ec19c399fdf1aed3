// A soak of `warmline serve`: `node npm/bench/soak.mjs [CALLS]`, 50,000 where nothing is said. Streamed calls with faults among them, by
// callers of whom some go away. The gateway's memory and sockets are watched, and its counts held against the simulator's.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Agent, request } from "node:http";
import { serve } from "../test/outcomes.mjs";
import { root, startSimulator } from "./measure.mjs";

const calls = Number(process.argv[2] ?? 50_000);

const { sim, stop } = await startSimulator();
const env = { PATH: process.env.PATH, ANTHROPIC_API_KEY: "sk-ant-soak-0001", ANTHROPIC_BASE_URL: sim, LLM_BUDGET_LIMIT: "none", RUST_LOG: "off" };
const { gateway, url: address } = await serve(resolve(root, "target/release/warmline"), [], { env });
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const url = new URL("/v1/messages", address);

// What each call meets, in turn: mostly nothing.
const plain = "tokens=20";
const scenarios = [...Array(14).fill(plain), "status=400", "status=503&times=1&retry-after-ms=1", "tokens=20&fault=close&at=event&after=5", "tokens=20&fault=reset&at=body&after=5", "tokens=20&error-event&after=5", "leave"];

const outcomes = {};
function call(i) {
  const scenario = scenarios[i % scenarios.length];
  const leaves = scenario === "leave";
  // A scenario that is met once is told apart from others of its kind by a code that is read by nobody.
  const model = `m?${leaves ? "tokens=50000" : scenario}${scenario.includes("times") ? `&code=c${i}` : ""}`;
  const body = JSON.stringify({ model, max_tokens: 500_000, stream: true, messages: [{ role: "user", content: "Hello" }] });
  return new Promise((done) => {
    const end = (outcome) => {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      done();
    };
    const asked = request(url, { method: "POST", agent, headers: { "content-type": "application/json" } }, (response) => {
      let last = "";
      response.on("data", (chunk) => {
        last = (last + chunk).slice(-300);
        if (leaves) asked.destroy();
      });
      response.on("end", () => end(response.statusCode !== 200 ? `status ${response.statusCode}` : last.includes("message_stop") ? "whole" : last.includes("error") ? "told that it broke" : "cut without a word"));
      response.on("error", () => end(leaves ? "left" : "broke"));
    });
    asked.on("error", () => !leaves && end("no answer"));
    asked.end(body);
  });
}

const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, "utf8"))[1]) / 1024;
const json = async (address) => (await fetch(address)).json();
const stats = () => json(new URL("/v1/llm/stats?samples=0", address));

let next = 0;
const began = performance.now();
console.log("calls      MiB    open sockets  peak");
async function caller() {
  while (next < calls) {
    const i = next++;
    await call(i);
    if ((i + 1) % Math.ceil(calls / 10) === 0) {
      const { providers } = await stats();
      const { open, peak } = providers.anthropic.pool.now;
      console.log(`${String(i + 1).padStart(6)}  ${rss().toFixed(1).padStart(7)}  ${String(open).padStart(12)}  ${String(peak).padStart(4)}`);
    }
  }
}
await Promise.all(Array.from({ length: 64 }, caller));
const took = (performance.now() - began) / 1000;
let of;
for (let i = 0; i < 100; i++) {
  of = (await stats()).providers.anthropic;
  if (!of.calls.under_way) break;
  await new Promise((later) => setTimeout(later, 50));
}
const counted = await json(`${sim}/sim/stats`);
console.log(`${calls} calls in ${took.toFixed(1)} s`, outcomes);
console.log("the gateway:", of.calls, "the simulator:", { requests: counted.requests, peak: counted.peak });
const wrong = [];
if (of.calls.total !== calls || of.calls.under_way) wrong.push("not all calls have ended");
if (of.calls.total + of.calls.retries !== counted.requests) wrong.push("calls and retries are not the requests that the simulator has seen");
if (of.calls.abandoned !== outcomes.left) wrong.push("those who left are not those that were abandoned");
if (counted.peak > of.pool.now.limits.max_connections) wrong.push("more sockets than there may be");
if (outcomes["cut without a word"] || outcomes.broke || outcomes["no answer"]) wrong.push("callers were left without an answer");
gateway.kill("SIGTERM");
const code = await new Promise((ended) => gateway.once("exit", ended));
if (code !== 0) wrong.push(`the gateway ended with ${code}`);
stop();
console.log(wrong.length ? `WRONG: ${wrong.join("; ")}` : "everything adds up");
process.exit(wrong.length ? 1 : 0);
