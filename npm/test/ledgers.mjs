// Budgets that are shared: by Workers in a Durable Object, by native and Node processes in a Redis.
import { execFile, spawn } from "node:child_process";
import { resolve } from "node:path";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { RedisLedger } from "warmline/redis";
import { startWorker } from "./miniflare.mjs";
import { equal } from "./expect.js";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim, native] = process.argv.slice(2);
const { REDIS_URL, UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = process.env;
const require = createRequire(resolve(tools, "package.json"));

const miniflare = await startWorker(tools, "ledger-worker.js", {
  durableObjects: { BUDGETS: { className: "BudgetLedger", useSQLite: true } },
});
const worker = async (body) => {
  const response = await miniflare.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify(body) });
  const text = await response.text();
  return JSON.parse(text, (key, value) => (typeof value === "string" && /^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value));
};
const write = (value) => JSON.stringify(value, (key, value) => (typeof value === "bigint" ? `${value}n` : value));
const durable = Object.fromEntries(
  ["reserve", "settle", "state"].map((method) => [method, (...words) => worker({ ledger: "suite", method, words: write(words) })]),
);

for (const [name, ledger] of [
  ["Redis over REST", new RedisLedger({ url, token, name: "suite" })],
  ["the Durable Object", durable],
]) {
  await test(`${name} is a ledger`, async () => {
    const [a, b] = [{ name: "a", limit: 1000n }, { name: "b", limit: 2000n }];
    const is = async (budget, spent, reserved) => equal(write(await ledger.state(budget)), write({ spent, reserved }), `${budget}'s sums`);
    equal((await ledger.reserve("1", [a, b], 600n)) ?? null, null, "the first");
    equal((await ledger.reserve("1", [a, b], 600n)) ?? null, null, "the first once more");
    equal(write(await ledger.reserve("2", [a, b], 600n)), write({ budget: "a", spent: 0n, reserved: 600n }), "the second");
    await is("b", 0n, 600n);
    equal((await ledger.reserve("3", [a, b], 400n)) ?? null, null, "what just fits");
    equal(write(await ledger.settle("1", 250n)), write([250n, 250n]), "what is spent");
    equal(await ledger.settle("1", 250n), [], "settled twice");
    await is("a", 250n, 400n);
    equal(write(await ledger.settle("3", 0n)), write([250n, 250n]), "what is spent");
    await is("a", 250n, 0n);
    await is("unheard-of", 0n, 0n);
    // To the last digit of 63 bits.
    const most = { name: "most", limit: 2n ** 63n - 1n };
    equal((await ledger.reserve("4", [most], 2n ** 63n - 3n)) ?? null, null, "much");
    equal(write(await ledger.reserve("5", [most], 3n)), write({ budget: "most", spent: 0n, reserved: 2n ** 63n - 3n }), "too much");
    equal((await ledger.reserve("6", [most], 2n)) ?? null, null, "the rest");
    equal(write(await ledger.settle("4", 2n ** 63n - 4n)), write([2n ** 63n - 4n]), "what is spent");
    await is("most", 2n ** 63n - 4n, 2n);
  });
}

await test("the Durable Object reads as many rows however many reservations are open", async () => {
  const read = async (open) => {
    const ask = (method, ...words) => worker({ ledger: `rows-${open}`, method, words: write(words) });
    for (let id = 0; id < open; id++) await ask("reserve", `${id}`, [{ name: "a", limit: 1000n }], 1n);
    await ask("rowsRead");
    await ask("reserve", "last", [{ name: "a", limit: 1000n }], 1n);
    await ask("settle", "last", 1n);
    await ask("state", "a");
    return ask("rowsRead");
  };
  equal(await read(100), await read(10), "rows");
});

await test("the REST server of the simulator answers the official client", async () => {
  const { Redis } = require("@upstash/redis");
  const redis = new Redis({ url, token, enableTelemetry: false });
  equal(await redis.set("key", "Grüezi"), "OK", "set");
  equal(await redis.get("key"), "Grüezi", "get");
  equal(await redis.eval("return {KEYS[1], ARGV[1], 5}", ["k"], ["ä"]), ["k", "ä", 5], "eval");
  equal(await redis.pipeline().incr("n").incr("n").get("nothing").exec(), [1, 2, null], "a pipeline");
  const refused = await new Redis({ url, token: "other", retry: false }).get("key").catch((error) => error);
  check(refused.message?.includes("WRONGPASS"), `${refused}`);
  const wrong = await redis.eval("return redis.call('HGET', 'key', 'x')", [], []).catch((error) => error);
  check(wrong.message?.includes("WRONGTYPE"), `${wrong}`);
});

await test("what is wrong with a Redis is said, and no token shown", async () => {
  const state = (options) => new RedisLedger({ url, token, ...options }).state("a").catch((error) => error);
  for (const [options, says] of [
    [{ token: "secret-token" }, "WRONGPASS"],
    [{ url: `${sim}/sim/stats` }, "the Redis at 127.0.0.1"],
    [{ token: "secret-token", fetch: async (_, { headers }) => new Response(`no ${headers.authorization}`) }, "no Bearer [redacted]"],
    [{ token: "secret-token", fetch: async (_, { headers }) => Response.json({ error: headers.authorization }) }, "Bearer [redacted]"],
  ]) {
    const { message } = await state(options);
    check(message.includes(says) && !message.includes("secret-token"), message);
  }
  for (const options of [{ url: "upstash" }, { token: "" }, { name: "{a}" }]) {
    let error;
    try {
      new RedisLedger({ url, token, ...options });
    } catch (caught) {
      error = caught;
    }
    check(error?.kind === "config", `${error}`);
  }
});

const stats = async () => (await fetch(`${sim}/sim/stats`)).json();
// The others wait for room, for a second.
await test("of 200 parallel requests to a Worker as many are sent as fit", async () => {
  const model = "claude-sonnet-4-5?hold";
  const nothing = await worker({ ledger: "none", usd: "0", sim, model });
  equal(nothing.error.kind, "budget_exceeded", "the kind");
  // Each in the same words, so each can cost as much.
  const pico = (usd) => BigInt(Math.round(Number(usd) * 1e12));
  const usd = (pico) => `${pico / 10n ** 12n}.${String(pico % 10n ** 12n).padStart(12, "0")}`;
  const limit = usd(pico(nothing.error.needed) * 50n);
  const before = (await stats()).requests;
  let refused = 0;
  const calls = Array.from({ length: 200 }, async () => {
    const answer = await worker({ ledger: "fifty", usd: limit, sim, model });
    if (answer.error) refused++;
    return answer;
  });
  for (let i = 0; i < 1000 && (refused < 150 || (await stats()).holding < 50); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  equal([refused, (await stats()).holding], [150, 50], "refused and under way");
  await fetch(`${sim}/sim/release?50`, { method: "POST" });
  const answers = await Promise.all(calls);
  for (const { error } of answers.filter(({ error }) => error)) equal(error.kind, "budget_exceeded", `the kind of ${error.message}`);
  equal((await stats()).requests - before, 50, "requests sent");
  const costs = answers.filter(({ cost }) => cost).map(({ cost }) => pico(cost));
  const sum = costs.reduce((sum, cost) => sum + cost, 0n);
  for (let i = 0; i < 200; i++) {
    const { spent, reserved } = await worker({ ledger: "fifty", method: "state", words: '["default"]' });
    if (reserved === 0n && spent === sum) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("what was put aside never came back");
});
await miniflare.dispose();

await test("native and Node processes share a budget, and one is killed", async () => {
  const [model, limit] = ["claude-sonnet-4-5?tokens=10&pace=1", "0.25"];
  const run = promisify(execFile);
  const before = await stats();
  const start = () => spawn(process.execPath, ["spender.js", sim, model, limit, "16"], { stdio: ["ignore", "ignore", "inherit"] });
  const spenders = [start(), start(), start()];
  const ended = spenders.map((spender) => new Promise((resolve) => spender.once("exit", (code, signal) => resolve(code ?? signal))));
  const environment = {
    PATH: process.env.PATH,
    ANTHROPIC_API_KEY: "sk-ant-secret-0001",
    ANTHROPIC_BASE_URL: sim,
    LLM_LEDGER: REDIS_URL,
    LLM_BUDGET_LIMIT: limit,
    LLM_MODEL: "claude-sonnet-4-5",
    // A call waits for so long for what others have reserved, also for what the killed process had.
    LLM_REPLY_TIMEOUT: "4",
  };
  const outcomes = [];
  const natively = async () => {
    for (let refused = 0; refused < 5; ) {
      const { stdout } = await run(native, ["chat", "Hello", "--json", "--max-tokens", "10"], { env: environment }).catch((error) => error);
      const { error } = JSON.parse(stdout);
      outcomes.push(error?.kind ?? "done");
      refused = error ? refused + 1 : 0;
      if (error && error.kind !== "budget_exceeded") throw new Error(error.message);
    }
  };
  const natives = Promise.all(Array.from({ length: 16 }, natively));
  for (let i = 0; i < 1000 && (await stats()).requests - before.requests < 60; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  spenders[0].kill("SIGKILL");
  await natives;
  equal(await Promise.all(ended), ["SIGKILL", 0, 0], "how they ended");
  check(outcomes.includes("done") && outcomes.includes("budget_exceeded"), `native calls: ${outcomes}`);
  const after = await stats();
  // $3 and $15 a million tokens.
  const billed = BigInt(after.input_tokens - before.input_tokens) * 3_000_000n + BigInt(after.output_tokens - before.output_tokens) * 15_000_000n;
  const { spent, reserved } = await new RedisLedger({ url, token }).state("default");
  const most = 250_000_000_000n;
  check(billed <= most && spent + reserved <= most, `billed ${billed}, spent ${spent} and ${reserved} reserved of ${most}`);
  check(spent + reserved >= billed && (reserved > 0n || spent === billed), `billed ${billed}, spent ${spent} and ${reserved} reserved`);
  check(spent > 50_000_000_000n, `spent ${spent}`);
});

console.log(JSON.stringify(results));
process.exit(0);
