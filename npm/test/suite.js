// What every runtime runs: the vectors through a fetch that answers as each case says, then calls to the simulator.
import { scriptedFetch } from "warmline/testing";
import { behaviour } from "./behaviour.js";
import { runConnection } from "./connections.js";
import { check, equal, failure } from "./expect.js";
import { routers } from "./router.js";
import { streams } from "./streams.js";
import { bytesOf, runVector } from "./vectors.js";

/**
 * Runs everything, and gives a list of { name, error? }. `otherRealm` is the global object of another realm, where the runtime
 * can make one; it may have JavaScript's own classes alone.
 */
export async function run(warmline, { vectors, sim, browser = false, otherRealm }) {
  const results = [];
  const test = async (name, body) => {
    try {
      await body();
      results.push({ name });
    } catch (error) {
      results.push({ name, error: String(error?.stack ?? error).slice(0, 2000) });
    }
  };
  for (const [file, cases] of Object.entries(vectors)) {
    for (const vector of cases) {
      await test(`${file}: ${vector.name}`, () => (vector.replies ? runConnection(warmline, vector, sim) : runVector(warmline, vector)));
    }
  }
  await streams(warmline, scriptedFetch, test);
  await behaviour(warmline, scriptedFetch, test);
  await routers(warmline, scriptedFetch, { sim, test });
  await calls(warmline, { sim, browser, otherRealm, test });
  return results;
}

async function calls({ Warmline, WarmlineError, BudgetExceededError, ConfigError, LedgerError, RateLimitError, CancelledError }, { sim, browser, otherRealm, test }) {
  const make = (options = {}) =>
    new Warmline({ provider: "anthropic", apiKey: "sk-ant-secret-0001", baseUrl: sim, dangerouslyAllowBrowser: true, ...options });
  const openai = (options = {}) => make({ provider: "openai", baseUrl: `${sim}/v1`, ...options });
  const ask = (scenario, text = "hello") => ({ model: `m?${scenario}`, maxTokens: 10_000, messages: [{ role: "user", content: text }] });
  const stats = async () => (await fetch(`${sim}/sim/stats`)).json();
  const until = async (condition) => {
    for (let i = 0; i < 200; i++) {
      const now = await stats();
      if (condition(now)) return now;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`the simulator's counts never became as expected: ${JSON.stringify(await stats())}`);
  };
  for (const [name, llm] of [["anthropic", make()], ["openai", openai()], ["openai-responses", openai({ dialect: "openai-responses" })]]) {
    await test(`${name}: chat and stream give the same`, async () => {
      const whole = await llm.chat(ask("tokens=5"));
      const texts = [];
      let last;
      for await (const event of llm.stream(ask("tokens=5"))) {
        if (event.type === "text") texts.push(event.text);
        last = event;
      }
      equal(whole.text, "warm connections answer sooner than ", "the text");
      equal(texts.join(""), whole.text, "the streamed text");
      equal([last.reply.content, last.reply.usage], [whole.content, whole.usage], "the streamed reply");
      equal([whole.stopReason, whole.usage.outputTokens, whole.attempts.length], ["end_turn", 5, 1], "the reply");
      check(whole.requestId.startsWith("req_"), "the request id");
    });
    await test(`${name}: tools go round`, async () => {
      const input = { type: "object", properties: { city: { type: "string" } } };
      const request = { model: "m", messages: [{ role: "user", content: "Bern" }], tools: [{ name: "weather", input }], reasoning: { effort: "low" } };
      const first = await llm.stream(request).reply();
      equal(first.toolCalls.map(({ name, arguments: given }) => ({ name, given })), [{ name: "weather", given: { city: "Bern" } }], "the call");
      const result = { role: "user", content: [{ type: "tool_result", toolUseId: first.toolCalls[0].id, content: "sunny" }] };
      const second = await llm.chat({ ...request, messages: [...request.messages, first.message, result] });
      check(second.text.startsWith("The tool says: sunny."), second.text);
    });
  }

  await test("bytes and blobs are pictures", async () => {
    const png = bytesOf("iVBORw0KGgo=");
    const content = [{ type: "text", text: "What?" }, { type: "image", image: png }, { type: "image", image: new Blob([png], { type: "image/png" }) }];
    const reply = await make().chat({ model: "m", messages: [{ role: "user", content }] });
    check(reply.text.startsWith("I see 2 pictures (image/png; image/png)"), reply.text);
  });

  if (otherRealm) {
    await test("bytes, blobs and addresses of another realm are pictures", async () => {
      const { Uint8Array, Blob, File, URL } = otherRealm;
      const png = Uint8Array.from(bytesOf("iVBORw0KGgo="));
      const images = [png, png.buffer];
      if (Blob) images.push(new Blob([png]), new File([png], "a.png"), new URL("https://example.com/a.png"));
      for (const image of images) check(!(image instanceof globalThis[image.constructor.name]), `${image} is of this realm`);
      const content = images.map((image) => ({ type: "image", image }));
      const reply = await make().chat({ model: "m", messages: [{ role: "user", content }] });
      check(reply.text.startsWith(`I see ${images.length} pictures`), reply.text);
    });
  }

  await test("output is validated by a Standard Schema", async () => {
    const jsonSchema = { type: "object", properties: { name: { type: "string" } } };
    const validator = (validate) => ({ "~standard": { version: 1, vendor: "test", validate } });
    const request = (output) => ({ model: "m", messages: [{ role: "user", content: "?" }], output });
    const upper = validator((value) => ({ value: { name: value.name.toUpperCase() } }));
    const reply = await make().chat(request({ validator: upper, jsonSchema }));
    equal(reply.output, { name: "EXAMPLE" }, "the output");
    const strict = validator(() => ({ issues: [{ message: "too short", path: ["name"] }] }));
    const error = await failure(make().chat(request({ validator: strict, jsonSchema })));
    check(error.kind === "decode" && error.message.includes("at name: too short"), error.message);
    equal((await make().chat(request(jsonSchema))).output, { name: "example" }, "the output by a JSON schema");
  });

  await test("a budget is not overspent by parallel calls", async () => {
    const llm = make({ budget: { usd: "0.0005" }, prices: { m: { input: "1", output: "10" } } });
    // Each can cost more than $0.00025: the body's bytes and 200 tokens of input, one token of output. So two do not fit.
    const call = () => llm.chat({ model: "m", maxTokens: 1, messages: [{ role: "user", content: "Hi" }] });
    // They wait for each other, and all are answered.
    const replies = await Promise.all(Array.from({ length: 5 }, call));
    const error = await failure(llm.chat({ model: "m", maxTokens: 400, messages: [{ role: "user", content: "Hi" }] }));
    check(error instanceof BudgetExceededError && error.kind === "budget_exceeded", `${error}`);
    equal([error.attempts.length, error.limit, error.reserved], [0, "0.0005", "0"], `the error ${error}`);
    check(Number(error.spent) + Number(error.needed) > 0.0005, `${error.spent} + ${error.needed}`);
    await llm.flush();
    const { total, models, unsettled, budgets: [budget] } = await llm.spend();
    equal([budget.name, unsettled], ["default", "0"], "the budget");
    equal([total, budget.reserved, budget.limit], [budget.spent, "0", "0.0005"], "the spend");
    const costs = replies.reduce((sum, { cost }) => sum + Number(cost.usd), 0);
    check(Math.abs(Number(total) - costs) < 1e-9, `${total} is not ${costs}`);
    equal([models[0].calls, models[0].usage.outputTokens], [5, 5 * replies[0].usage.outputTokens], "the model's");
  });

  await test("budgets of their own within one, alerts, and a ledger of the caller's", async () => {
    // The simplest ledger there can be, and slow: what it is told arrives when nobody waits any longer.
    const sums = new Map();
    const leases = new Map();
    const of = (name) => sums.get(name) ?? sums.set(name, { spent: 0n, reserved: 0n }).get(name);
    const later = () => new Promise((resolve) => setTimeout(resolve, 5));
    let reachable = true;
    const ledger = {
      async reserve(id, budgets, amount) {
        await later();
        if (!reachable) throw new Error("no way there");
        if (leases.has(id)) return;
        const full = budgets.find(({ name, limit }) => of(name).spent + of(name).reserved + amount > limit);
        if (full) return { budget: full.name, ...of(full.name) };
        leases.set(id, { amount, names: budgets.map(({ name }) => name) });
        for (const { name } of budgets) of(name).reserved += amount;
      },
      async settle(id, amount) {
        await later();
        if (!reachable) throw new Error("no way there");
        const lease = leases.get(id);
        leases.delete(id);
        return (lease?.names ?? []).map((name) => {
          of(name).reserved -= lease.amount;
          return (of(name).spent += amount);
        });
      },
      async state(name) {
        await later();
        return of(name);
      },
    };
    const alerts = [];
    const options = { name: "all", usd: "0.01", ledger, alerts: [1, 40], onAlert: (alert) => alerts.push(alert) };
    const prices = { m: { input: "1", output: "10" } };
    const llm = make({ budget: options, prices });
    const team = llm.withBudget({ name: "team", usd: "0.002" });
    const ask = { model: "m", maxTokens: 100, messages: [{ role: "user", content: "Hi" }] };
    const outcomes = await Promise.allSettled([team, team, llm].map((client) => client.chat(ask)));
    equal(outcomes.map(({ status }) => status), ["fulfilled", "fulfilled", "fulfilled"], "the outcomes");
    const reason = await failure(team.chat({ ...ask, maxTokens: 300 }));
    check(reason instanceof BudgetExceededError && reason.message.includes('"team"') && reason.message.includes("lower maxTokens"), `${reason}`);
    await llm.flush();
    equal(leases.size, 0, "what is still put aside");
    const { budgets, total } = await team.spend();
    equal(budgets.map(({ name }) => name), ["all", "team"], "the budgets");
    equal([budgets[0].spent, budgets[0].reserved], [total, "0"], "the sums");
    equal([alerts[0].budget, alerts[0].percent, alerts[0].limit], ["all", 1, "0.01"], "the alert");
    equal(alerts[0].hint, "raise it, or see by model what spends it", "its hint");
    reachable = false;
    const closed = await failure(llm.chat(ask));
    check(closed instanceof LedgerError && closed.kind === "ledger", `${closed.kind}`);
    check(closed.message === "the ledger failed: no way there", closed.message);
    const open = make({ budget: { ...options, failOpen: true }, prices });
    const { cost } = await open.chat(ask);
    const late = await failure(open.flush());
    check(late.message.includes("no way there"), `${late}`);
    equal((await open.spend()).unsettled, cost.usd, "what is owed");
    reachable = true;
    const before = of("all").spent;
    await open.flush();
    equal([(await open.spend()).unsettled, of("all").spent > before], ["0", true], "what is owed no longer");
    for (const [budget, says] of [
      [{ usd: 1, ledger: 5 }, "budget.ledger must be an object"],
      [{ usd: 1, alerts: 80 }, "budget.alerts must be a list of percentages, got number"],
      [{ usd: 1, name: "a b" }, '"a b" cannot name a budget'],
      [{ usd: 1, of: 5 }, 'unknown option "budget.of"'],
    ]) {
      const error = await failure((async () => make({ budget }).chat(ask))());
      check(error.kind === "config" && error.message.includes(says), `${error.message}`);
    }
  });

  await test("a budget or a price that is none is said", async () => {
    for (const [options, says] of [
      [{ budget: {} }, "budget.usd must be an amount in dollars"],
      [{ budget: { usd: "lots" } }, 'budget.usd must be an amount in dollars, such as "0.25" or 0.25, got "lots"'],
      [{ budget: { usd: -1 } }, '0.25, got -1'],
      [{ budget: 5 }, "budget must be an object"],
      [{ prices: { m: { input: 1 } } }, 'prices["m"].output must be an amount in dollars'],
    ]) {
      const error = await failure((async () => make(options).chat(ask("tokens=1")))());
      check(error.kind === "config" && error.message.includes(says), `${error.message}`);
    }
  });

  await test("retries wait as they are told", async () => {
    const id = Math.random();
    const start = performance.now();
    const reply = await make().chat(ask(`status=429&retry-after-ms=60&times=2&tokens=1&id=${id}`));
    equal(reply.attempts.map((a) => a.status), [429, 429, undefined], "the statuses of the attempts");
    equal(reply.attempts.map((a) => a.delayMs), [60, 60, 0], "the delays of the attempts");
    equal(reply.attempts.map((a) => a.kind), ["rate_limited", "rate_limited", undefined], "the kinds of the attempts");
    const took = performance.now() - start;
    // In Workers the clock stands still between IO, and IO has come between.
    check(took >= 100, `it took ${took} ms`);
  });

  for (const [scenario, kind, status] of [
    ["status=400", "status", 400],
    ["status=401", "status", 401],
    ["status=429&retry-after=120", "rate_limited", 429],
    ["status=529&x-should-retry=false", "overloaded", 529],
    ["garbage=body", "decode", undefined],
    ["error-event&after=2&tokens=5", "overloaded", 529],
    ["fault=close&at=event&after=2&tokens=5", "stream", undefined],
    ["fault=reset", "connect", undefined],
  ]) {
    await test(`an error of kind ${kind}: ${scenario}`, async () => {
      const llm = make({ maxRetries: 0 });
      const error = await failure(scenario.includes("after=2") ? llm.stream(ask(scenario)).reply() : llm.chat(ask(scenario)));
      check(error instanceof WarmlineError && error instanceof Error, `${error}`);
      equal([error.kind, error.status, error.attempts.length], [kind, status, 1], `the error ${error}`);
      check(!JSON.stringify(error).includes("secret") && !String(error.stack).includes("secret"), "the key shows");
      if (kind === "rate_limited") check(error instanceof RateLimitError && error.retryAfterMs === 120_000, "retryAfterMs");
    });
  }

  await test("waits are bounded", async () => {
    const head = await failure(make({ timeoutMs: 80, maxRetries: 0 }).chat(ask("delay=2000")));
    equal([head.kind, head.which], ["timeout", "reply"], "the error");
    const content = await failure(make({ timeoutMs: 400, maxRetries: 0 }).stream(ask("tokens=9&stall&after=2&pings")).reply());
    equal([content.kind, content.which], ["timeout", "read"], "the error");
    const deadline = await failure(make({ deadlineMs: 80 }).chat(ask("delay=2000")));
    equal([deadline.kind, deadline.which], ["timeout", "deadline"], "the error");
    check(head.hint.includes("replyTimeoutMs") && !head.retryable, `${head.hint}`);
    const own = await failure(make().chat(ask("delay=2000"), { timeoutMs: 80 }));
    equal([own.which, own.attempts.length], ["reply", 1], "the error of a call with its own timeout");
    const zero = await failure(make().chat(ask("tokens=1"), { deadlineMs: 0 }));
    check(zero.kind === "config" && zero.message === "deadlineMs must be more than 0, got 0", `${zero}`);
    await until((s) => s.active === 0);
  });

  await test("aborting a stream frees the connection, and the next call works", async () => {
    const before = await until((s) => s.active === 0);
    const llm = make();
    const controller = new AbortController();
    let seen = 0;
    const error = await failure(
      (async () => {
        for await (const event of llm.stream(ask("tokens=9&stall&after=3"), { signal: controller.signal })) {
          if (event.type === "text" && ++seen === 3) controller.abort(new Error("enough"));
        }
      })(),
    );
    check(error instanceof CancelledError && error.cause?.message === "enough", `${error} ${error.cause}`);
    await until((s) => s.active === 0 && s.aborted === before.aborted + 1);
    equal((await llm.chat(ask("tokens=1"))).text, "warm ", "the next reply");
    equal(llm.stats().active, 0, "what is in flight");
  });

  await test("breaking out of a loop frees the connection", async () => {
    const before = await until((s) => s.active === 0);
    for await (const event of make().stream(ask("tokens=9&stall&after=3"))) if (event.type === "text") break;
    await until((s) => s.active === 0 && s.aborted === before.aborted + 1);
  });

  await test("aborting while waiting to try again", async () => {
    const controller = new AbortController();
    const failed = failure(make().chat(ask("status=429&retry-after=50"), { signal: controller.signal }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    controller.abort();
    equal((await failed).kind, "cancelled", "the error");
  });

  await test("sixty streams at once, each with its own answer", async () => {
    const llm = make();
    const replies = await Promise.all(Array.from({ length: 60 }, (_, i) => llm.stream({ model: "m", messages: [{ role: "user", content: `number ${i}.` }] }).reply()));
    replies.forEach((reply, i) => check(reply.text.includes(`“number ${i}.”`), `${i}: ${reply.text}`));
    equal(llm.stats().active, 0, "what is in flight");
    check(llm.stats().peak > 1, `peak ${llm.stats().peak}`);
  });

  await test("a stream as a Response", async () => {
    const events = await make().stream(ask("tokens=2")).toResponse();
    equal(events.headers.get("content-type"), "text/event-stream", "the type");
    const lines = (await events.text()).trim().split("\n\n").map((line) => JSON.parse(line.replace(/^data: /, "")));
    equal(lines.map((event) => event.type), ["start", "text", "text", "done"], "the events");
    const text = await make().stream(ask("tokens=2")).toResponse({ format: "text" });
    equal(await text.text(), "warm connections ", "the text");
    const broken = await (await make({ maxRetries: 0 }).stream(ask("error-event&after=1&tokens=4")).toResponse()).text();
    check(broken.includes("event: stream_error\ndata: {\"type\":\"error\",\"error\":{\"kind\":\"overloaded\""), broken);
  });

  for (const [says, options] of [
    ["the options must be an object", null],
    ["unknown provider \"mistrall\": it must be one of anthropic, openai, azure", { provider: "mistrall", apiKey: "k", dangerouslyAllowBrowser: true }],
    ["provider is missing", { apiKey: "k" }],
    ["no API key for openai", { provider: "openai" }],
    ["no API key for groq: pass it to the client as apiKey", { provider: "groq" }],
    ["azure needs a resource", { provider: "azure", apiKey: "k", dangerouslyAllowBrowser: true }],
    ["the resource \"a/b\" must be", { provider: "azure", apiKey: "k", dangerouslyAllowBrowser: true, resource: "a/b" }],
    ["apiKey and bearerToken are both given", { provider: "openai", apiKey: "k", bearerToken: "t" }],
    ["bearerToken must be a string or a function", { provider: "openai", bearerToken: 7 }],
    ["apiKey must be a string", { provider: "openai", apiKey: 7 }],
    ['headers["x-team"] must be a string, got number', { provider: "openai", apiKey: "k", headers: { "x-team": 7 }, dangerouslyAllowBrowser: true }],
    ["unknown option \"apikey\"", { provider: "openai", apikey: "k" }],
    ["timeoutMs must be more than 0, got -1", { provider: "openai", apiKey: "k", timeoutMs: -1 }],
    ["fetch must be a function", { provider: "openai", apiKey: "k", fetch: {} }],
    // Text there can be a secret, and is not shown.
    ["headers must be an object, got string", { provider: "openai", apiKey: "k", headers: "authorization: Bearer k" }],
  ]) {
    await test(`bad options: ${says}`, async () => {
      const error = await failure((async () => new Warmline(options))());
      check(error instanceof ConfigError && error.message.includes(says), `${error}`);
    });
  }

  await test("a function gives tokens, once as long as they are valid, and again if one is refused", async () => {
    let given = 0;
    const seen = [];
    const llm = new Warmline({
      provider: "azure",
      resource: "my-resource",
      model: "m",
      maxRetries: 0,
      bearerToken: async () => ({ token: `token-00000${++given}`, expiresInMs: 3_600_000 }),
      fetch: async (url, { headers }) => {
        seen.push(headers.authorization);
        if (headers.authorization.endsWith("1")) return new Response("{}", { status: 401 });
        return Response.json({ choices: [{ message: { content: url }, finish_reason: "stop" }] });
      },
    });
    equal((await llm.chat("Hi")).text, "https://my-resource.openai.azure.com/openai/v1/chat/completions", "the address");
    await llm.chat("Hi");
    equal(seen, ["Bearer token-000001", "Bearer token-000002", "Bearer token-000002"], "the tokens");
    const failing = new Warmline({
      provider: "openai",
      maxRetries: 0,
      bearerToken: () => {
        throw new Error("the vault is closed");
      },
      fetch: () => check(false, "nothing is to be sent"),
    });
    const error = await failure(failing.chat("Hi"));
    check(error.message.includes("the vault is closed"), `${error}`);
  });

  const circular = { model: "m", messages: [{ role: "user", content: "x" }], extraBody: {} };
  circular.extraBody.self = circular;
  for (const [says, request] of [
    ["the request must be an object", undefined],
    ["messages is missing", {}],
    ["unknown field of the request \"maxtokens\": did you mean \"maxTokens\"?", { ...ask(""), maxtokens: 1 }],
    ["maxTokens must be a whole number", { ...ask(""), maxTokens: "many" }],
    ["messages[0].role must be \"user\" or \"assistant\"", { messages: [{ role: "system", content: "x" }] }],
    ["redacted_reasoning, other, got \"vidoe\"", { messages: [{ role: "user", content: [{ type: "vidoe" }] }] }],
    ["tools[0].input is missing", { ...ask(""), tools: [{ name: "t" }] }],
    ["temperature is 3", { ...ask(""), temperature: 3 }],
    ["cannot be written as JSON", circular],
  ]) {
    await test(`bad request: ${says}`, async () => {
      const llm = make();
      for (const call of [() => llm.chat(request), () => llm.stream(request).reply()]) {
        const error = await failure((async () => call())());
        check(error instanceof ConfigError && error.message.includes(says), `${error}`);
      }
      equal((await llm.chat(ask("tokens=1"))).text, "warm ", "the next reply");
    });
  }

  await test("an aborted signal, a closed client, a bad address", async () => {
    const aborted = await failure(make().chat(ask(""), { signal: AbortSignal.abort() }));
    equal(aborted.kind, "cancelled", "the error");
    const llm = make();
    await llm.chat(ask("tokens=1"));
    llm.close();
    llm.close();
    equal((await failure(llm.chat(ask("")))).message, "this client has been closed", "the error");
    const nowhere = await failure((async () => make({ baseUrl: "nowhere" }).chat(ask("")))());
    check(nowhere instanceof ConfigError && nowhere.message.includes("\"nowhere\""), `${nowhere}`);
  });

  await test("a key does not show", async () => {
    const llm = make();
    check(!JSON.stringify(llm).includes("secret") && Object.keys(llm).length === 0, "the key shows");
  });

  if (browser) {
    await test("a key in a page has to be meant", async () => {
      const error = await failure((async () => make({ dangerouslyAllowBrowser: undefined }))());
      check(error instanceof ConfigError && error.message.includes("dangerouslyAllowBrowser"), `${error}`);
    });
  }
}
