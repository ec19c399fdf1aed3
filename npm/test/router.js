// Routers, over scripted targets and the simulated provider.
import { check, equal, failure } from "./expect.js";

/** A reply that never comes. */
const silence = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

export async function routers({ Router, Warmline, BudgetExceededError, ConfigError, OverloadedError }, scriptedFetch, { sim, test }) {
  const client = (replies, options) => {
    const fetch = scriptedFetch(replies);
    return { fetch, client: new Warmline({ provider: "openai", apiKey: "sk-secret-0001", model: "m", fetch, dangerouslyAllowBrowser: true, ...options }) };
  };
  /** Two targets, of which the second is called only while the first cannot be. */
  const pair = ([eu, us], options) => {
    const [first, second] = [client(eu), client(us)];
    const targets = [{ client: first.client, name: "eu" }, { client: second.client, name: "us", priority: 1 }];
    return { eu: first.fetch, us: second.fetch, router: new Router({ targets, ...options }) };
  };
  const called = ({ attempts }) => attempts.map(({ target, kind }) => [target, kind ?? "ok"]);
  const stateOf = (router, name) => router.stats().targets.find((target) => target.name === name);

  await test("router: a call moves on before its first content, and its attempts name their targets", async () => {
    for (const failing of [{ status: 503 }, { status: 429 }, new Error("no network"), { text: [], streamError: { message: "overloaded" } }]) {
      const { router, us } = pair([[failing], ["Hello"]]);
      const reply = await router.stream("Hi").reply();
      equal([reply.text, called(reply).map(([target]) => target)], ["Hello", ["eu", "us"]], "the reply");
      equal([us.requests.length, reply.attempts[1].kind], [1, undefined], "the second attempt");
      const { calls, failures, movedAway, inFlight } = stateOf(router, "eu");
      equal([calls, failures, movedAway, inFlight], [1, 1, 1, 0], "the statistics");
    }
    const { router } = pair([[{ status: 503 }], ["Hello"]]);
    equal(called(await router.chat("Hi")), [["eu", "overloaded"], ["us", "ok"]], "the attempts of a call that is not streamed");
  });

  await test("router: a call does not move after its first content, nor with an answer", async () => {
    const { router, us } = pair([[{ text: ["Hel"], streamError: { message: "broken" } }, { status: 400 }], []]);
    const texts = [];
    const error = await failure(
      (async () => {
        for await (const event of router.stream("Hi")) if (event.type === "text") texts.push(event.text);
      })(),
    );
    equal([texts, called(error)[0][0], error.attempts.length], [["Hel"], "eu", 1], "the stream");
    const refused = await failure(router.chat("Hi"));
    equal([refused.status, refused.attempts.length, us.requests.length], [400, 1, 0], "the answer");
  });

  await test("router: a failing target cools down as long as it asks, and is probed after that", async () => {
    const { router, eu, us } = pair([[{ status: 429, headers: { "retry-after": "30" } }], ["a", "b"]]);
    await router.chat("Hi");
    const cooling = stateOf(router, "eu");
    equal([cooling.state, cooling.readyInMs > 20_000 && cooling.readyInMs <= 30_000], ["cooling", true], "the state");
    await router.chat("Hi");
    equal([eu.requests.length, us.requests.length], [1, 2], "requests");

    const brief = pair([[{ status: 503 }, "back"], ["a"]], { cooldown: { baseMs: 1 } });
    await brief.router.chat("Hi");
    while (stateOf(brief.router, "eu").state === "cooling") await new Promise((resolve) => setTimeout(resolve, 5));
    equal(stateOf(brief.router, "eu").state, "probing", "the state after the cooldown");
    // Another conversation, because the first stays where it has moved to.
    equal((await brief.router.chat("Hello")).text, "back", "the reply to the probe");
    const { state, readyInMs } = stateOf(brief.router, "eu");
    equal([state, readyInMs], ["ready", undefined], "the state after the probe");
  });

  await test("router: a call fails at once if no target is ready in time", async () => {
    const { router, us } = pair([[{ status: 429, headers: { "retry-after": "120" } }], [{ status: 529, headers: { "retry-after": "200" } }]]);
    const first = await failure(router.chat("Hi"));
    equal(called(first), [["eu", "rate_limited"], ["us", "overloaded"]], "the attempts");
    const error = await failure(router.chat("Hi"));
    check(error instanceof OverloadedError && error.message.includes("cooling down after failures (eu, us)"), `${error}`);
    check(error.retryAfterMs > 100_000 && error.attempts.length === 0 && us.requests.length === 1, `${error.retryAfterMs}`);
  });

  await test("router: targets can never cool down, and all of them can be tried again", async () => {
    const { router } = pair([[{ status: 503 }, "again"], [{ status: 503 }, "again"]], { cooldown: false });
    const reply = await router.chat("Hi");
    equal([reply.text, called(reply).map(([target]) => target).slice(0, 2), reply.attempts.length], ["again", ["eu", "us"], 3], "the reply");
    check(router.stats().targets.every(({ state }) => state === "ready"), "a target cools down");
    const never = pair([[{ status: 500 }], [{ status: 502 }]], { maxRetries: 0 });
    const error = await failure(never.router.chat("Hi"));
    equal([error.status, error.attempts.length], [502, 2], "the error");
  });

  await test("router: names of models", async () => {
    const [eu, us] = [client(["a", "b"]), client(["a", "b", "c"], { provider: "groq", model: undefined })];
    const targets = [
      { client: eu.client, name: "eu", models: { fast: "gpt-4.1-mini" } },
      { client: us.client, priority: 1, models: { fast: "llama-3.3", big: "llama-4" } },
    ];
    const router = new Router({ targets });
    const messages = [{ role: "user", content: "Hi" }];
    for (const model of ["fast", "groq/fast", "big", "groq/other"]) await router.chat({ model, messages });
    equal(eu.fetch.requests.map(({ body }) => body.model), ["gpt-4.1-mini"], "the models of the first");
    equal(us.fetch.requests.map(({ body }) => body.model), ["llama-3.3", "llama-4", "other"], "the models of the second");
    // The first has a default model.
    equal((await router.chat("Hi")).attempts[0].target, "eu", "the target without a model");
    const error = await failure(router.chat({ model: "slow", messages }));
    check(error instanceof ConfigError && error.message.includes('no target serves the model "slow": it must be one of fast, big, m, openai/gpt-oss-120b, eu/MODEL, groq/MODEL'), `${error}`);
  });

  await test("router: a conversation stays on its target, and conversations are spread", async () => {
    const replies = Array(40).fill("a");
    const [eu, us] = [client(replies), client(replies)];
    const router = new Router({ targets: [{ client: eu.client, name: "eu" }, { client: us.client, name: "us" }] });
    const targetOf = async (conversation) => (await router.chat(`${Math.random()}`, { conversation })).attempts[0].target;
    const homes = new Set();
    for (let i = 0; i < 16; i++) {
      const home = await targetOf(`session-${i}`);
      equal(await targetOf(`session-${i}`), home, "the target of the second call");
      homes.add(home);
    }
    equal(homes.size, 2, "the number of targets");
    check(!JSON.stringify(eu.fetch.requests).includes("session-"), "the key of a conversation was sent");
  });

  await test("router: by load, calls at once go to different targets", async () => {
    const [eu, us] = [client([silence]), client([silence])];
    const router = new Router({ targets: [{ client: eu.client, name: "eu" }, { client: us.client, name: "us" }], balancing: "least_busy" });
    const controller = new AbortController();
    const both = Promise.allSettled([router.chat("Hi", { signal: controller.signal }), router.chat("Hi", { signal: controller.signal })]);
    while (eu.fetch.requests.length + us.fetch.requests.length < 2) await new Promise((resolve) => setTimeout(resolve));
    equal(router.stats().targets.map(({ inFlight }) => inFlight), [1, 1], "the calls in flight");
    controller.abort();
    equal((await both).map(({ reason }) => reason.kind), ["cancelled", "cancelled"], "the outcomes");
    equal(router.stats().targets.map(({ inFlight }) => inFlight), [0, 0], "the calls in flight after that");
    check(eu.fetch.requests[0].signal.aborted && us.fetch.requests[0].signal.aborted, "the requests go on");
  });

  await test("router: a budget is its client's, and refuses a call", async () => {
    const prices = { m: { input: "1", output: "10" } };
    const [eu, us] = [client(["a"], { budget: { usd: "0.000001" }, prices }), client(["b"], { budget: { usd: "1" }, prices })];
    const targets = [{ client: eu.client, name: "eu" }, { client: us.client, name: "us", priority: 1 }];
    const error = await failure(new Router({ targets }).chat("Hi"));
    check(error instanceof BudgetExceededError && us.fetch.requests.length === 0, `${error}`);
    const router = new Router({ targets, rules: { kinds: { budget_exceeded: "move_on" } } });
    const reply = await router.chat("Hi");
    equal([reply.text, eu.fetch.requests.length], ["b", 0], "the reply");
    await router.flush();
    equal([(await us.client.spend()).total, (await eu.client.spend()).total], [reply.cost.usd, "0"], "the spend");
  });

  await test("router: rules change what moves on", async () => {
    const { router } = pair([[{ status: 401 }], ["Hello"]], { rules: { statuses: { 401: "cool_down" } } });
    equal(called(await router.chat("Hi")), [["eu", "status"], ["us", "ok"]], "the attempts");
    equal(stateOf(router, "eu").state, "cooling", "the state");
    const code = pair([[{ status: 404, code: "model_not_found" }], ["Hello"]], { rules: { codes: { model_not_found: "move_on" } } });
    equal((await code.router.chat("Hi")).text, "Hello", "the reply");
    const stays = pair([[{ status: 503 }], []], { rules: { kinds: { overloaded: "answer" } } });
    equal((await failure(stays.router.chat("Hi"))).attempts.length, 1, "attempts");
  });

  await test("router: a slow call is made at a second target too", async () => {
    const scripts = [["one", silence, "three"], ["one", silence, "three"]];
    const [eu, us] = scripts.map((script) => client(script));
    const targets = [{ client: eu.client, name: "eu" }, { client: us.client, name: "us" }];
    const router = new Router({ targets, hedging: { minDelayMs: 1, minCalls: 1 } });
    const conversation = { conversation: "a" };
    const [first] = called(await router.stream("Hi", conversation).reply());
    // The other target answers at once, because this is its first call.
    const reply = await router.stream("Hi", conversation).reply();
    const other = first[0] === "eu" ? "us" : "eu";
    equal([reply.text, called(reply)], ["one", [[first[0], "cancelled"], [other, "ok"]]], "the reply");
    check((first[0] === "eu" ? eu : us).fetch.requests[1].signal.aborted, "the slower one goes on");
  });

  await test("router: a conversation leaves a target whose rate limit is used up, if calls are paced", async () => {
    for (const [pacing, moves] of [[undefined, true], [false, false]]) {
      // The next request would have to wait for six seconds.
      const headers = { "x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s" };
      const [eu, us] = [0, 1].map(() => client([{ text: "a", headers }, "b"]));
      const router = new Router({ targets: [{ client: eu.client, name: "eu" }, { client: us.client, name: "us" }], pacing });
      const targets = [];
      for (let i = 0; i < 2; i++) targets.push((await router.chat("Hi", { conversation: "a" })).attempts[0].target);
      equal(targets[0] !== targets[1], moves, `the change of the target, with pacing ${pacing},`);
    }
  });

  await test("router: hooks are told of each attempt and its target", async () => {
    const seen = [];
    const note = (by) => Object.fromEntries(["onRequest", "onResponse", "onRetry", "onError", "onFinish"].map((name) => [name, (event) => seen.push([by, name, event])]));
    const [eu, us] = [client([{ status: 503 }]), client(["Hello"])];
    const router = new Router({ targets: [{ client: eu.client, name: "eu" }, { client: us.client, name: "us", priority: 1 }], ...note("router") });
    await router.chat({ model: "m", messages: [{ role: "user", content: "Hi" }] }, note("call"));
    const expected = [["onRequest", "eu"], ["onResponse", "eu"], ["onRetry", "us"], ["onRequest", "us"], ["onResponse", "us"], ["onFinish", undefined]];
    for (const by of ["router", "call"]) {
      equal(seen.filter(([other]) => by === other).map(([, name, { target }]) => [name, target]), expected, `the events of the ${by}`);
    }
    equal([seen[0][2].call.model, seen[0][2].call.provider], ["m", undefined], "the call");
  });

  await test("router: a client's hooks are told of its own attempts, and of the end of the calls that it has a part in", async () => {
    const seen = [];
    const note = (by) => Object.fromEntries(["onRequest", "onResponse", "onRetry", "onError", "onFinish"].map((name) => [name, ({ attempt }) => seen.push([by, name, attempt])]));
    const clients = [[{ status: 503 }, { status: 400 }], ["Hello"], []].map((replies, i) => client(replies, note(i)).client);
    const router = new Router({ targets: clients.map((client, i) => ({ client, name: `${i}`, priority: i })), cooldown: false });
    await router.chat("Hi");
    equal(
      seen,
      [[0, "onRequest", 1], [0, "onResponse", 1], [1, "onRetry", 2], [1, "onRequest", 2], [1, "onResponse", 2], [0, "onFinish", undefined], [1, "onFinish", undefined]],
      "the events of a call that moves on",
    );
    seen.length = 0;
    // Another conversation, because the first stays where it has moved to.
    await failure(router.chat("Hello"));
    equal(seen, [[0, "onRequest", 1], [0, "onResponse", 1], [0, "onError", undefined]], "the events of a failure");
  });

  await test("router: the names of models that requests can ask for", async () => {
    const targets = [{ client: client([]).client, name: "eu", models: { fast: "gpt-4.1-mini" } }, { client: client([], { model: "gpt-4.1" }).client, name: "us" }];
    const router = new Router({ targets });
    equal(await router.models(), ["fast", "m", "gpt-4.1"], "the names");
    router.close();
    equal((await failure(router.models())).message, "this router has been closed", "the error");
  });

  await test("router: a budget of its own counts the calls of all targets, and needs one ledger for that", async () => {
    const prices = { m: { input: "1", output: "10" } };
    const base = client([{ status: 503 }, "a", "b"], { budget: { usd: "1" }, prices }).client;
    const same = base.withBudget({ name: "other", usd: "1" });
    const router = new Router({ targets: [{ client: base, name: "eu" }, { client: same, name: "us", priority: 1 }], cooldown: false });
    const customer = router.withBudget({ name: "customer:42", usd: "0.05" });
    const messages = [{ role: "user", content: "Hi" }];
    const { cost, attempts } = await customer.chat({ messages, maxTokens: 10 });
    equal(attempts.map(({ target }) => target), ["eu", "us"], "the targets");
    await customer.flush();
    const refused = await failure(customer.chat({ messages, maxTokens: 10_000 }));
    check(refused instanceof BudgetExceededError && refused.limit === "0.05" && refused.spent === cost.usd, `${refused} ${refused.spent} ${cost.usd}`);
    equal((await router.chat({ messages, maxTokens: 10_000 })).text, "b", "the router without the budget");
    equal(customer.stats().targets.map(({ name }) => name), ["eu", "us"], "the targets' state");

    const apart = new Router({ targets: [{ client: base, name: "eu" }, { client: client([]).client, name: "us" }] });
    for (const [budget, says] of [
      [{ usd: 1 }, "their clients have different ledgers"],
      [{ usd: "much" }, "budget.usd must be an amount in dollars"],
      [5, "the budget must be an object"],
    ]) {
      const error = await failure((async () => apart.withBudget(budget))());
      check(error instanceof ConfigError && error.message.includes(says), `${says}: ${error}`);
    }
  });

  await test("router: its options are checked", async () => {
    const { client: one } = client([]);
    const targets = [{ client: one }];
    for (const [options, says] of [
      [null, "the options must be an object: { targets, … }"],
      [{}, "targets must be a list: [{ client }, …], got undefined"],
      [{ targets: [] }, "the router has no target"],
      [{ targets: [one] }, "targets[0] is a client: it must be an object with one, { client }"],
      [{ targets: [{ client: { chat() {} } }] }, "targets[0].client must be a Warmline, got object"],
      [{ targets: [{ client: new Router({ targets }) }] }, "targets[0].client must be a Warmline, got a Router"],
      [{ targets: [{ client: one, wait: 1 }] }, 'unknown option "targets[0].wait": it must be one of client, name, weight'],
      [{ targets: [{ client: one, weight: 0 }] }, "has the weight 0: it must be from 1"],
      [{ targets: [{ client: one, weight: 1.5 }] }, "targets[0].weight must be a whole number, got 1.5"],
      [{ targets: [{ client: one, models: { fast: 5 } }] }, 'targets[0].models["fast"] must be a string, got number'],
      [{ targets: [{ client: one }, { client: one }] }, 'the target "openai" is there twice'],
      [{ targets: [{ client: one, name: "a/b" }] }, "needs a name without a slash"],
      [{ targets, balancing: "random" }, 'balancing must be one of sticky, least_busy, weighted, got "random"'],
      [{ targets, rules: { status: {} } }, 'unknown option "rules.status"'],
      [{ targets, rules: { statuses: { 429: "retry" } } }, 'rules.statuses["429"] must be one of answer, move_on, cool_down, got "retry"'],
      [{ targets, rules: { statuses: { "4xx": "answer" } } }, '"4xx" in rules.statuses is no HTTP status'],
      [{ targets, rules: { kinds: { rateLimited: "answer" } } }, 'did you mean "rate_limited"?'],
      [{ targets, cooldown: 5 }, "cooldown must be true, false or an object: { baseMs, capMs, maxRetryAfterMs }, got number"],
      [{ targets, cooldown: { baseMs: -1 } }, "cooldown.baseMs must be at least 0, got -1"],
      [{ targets, hedging: { min_delay_ms: 5 } }, 'did you mean "hedging.minDelayMs"?'],
      [{ targets, pacing: "yes" }, 'pacing must be a boolean, got string'],
      [{ targets, retries: 5 }, 'did you mean "maxRetries"?'],
      [{ targets, models: {} }, '"models" belongs into a target'],
    ]) {
      const error = await failure((async () => new Router(options).chat("Hi"))());
      check(error instanceof ConfigError && error.message.includes(says), `${says}: ${error}`);
    }
  });

  await test("router: a key or an address for one call belongs to one target", async () => {
    const { router, eu } = pair([["a"], []]);
    const error = await failure(router.chat("Hi", { apiKey: "sk-secret-0002" }));
    check(error instanceof ConfigError && error.message.includes("credentials, which belongs to one target"), `${error}`);
    await router.chat({ model: "eu/m", messages: [{ role: "user", content: "Hi" }] }, { apiKey: "sk-secret-0002" });
    equal(eu.requests[0].headers.authorization, "Bearer sk-secret-0002", "the key");
  });

  await test("router: a closed router, and a client that was closed after it", async () => {
    const { router } = pair([["a"], []]);
    router.close();
    equal((await failure(router.chat("Hi"))).message, "this router has been closed", "the error");
    const one = client(["a"]);
    const other = new Router({ targets: [{ client: one.client }] });
    equal((await other.chat("Hi")).text, "a", "the reply");
    one.client.close();
    equal((await failure(other.chat("Hi"))).status, 400, "the router goes on");
  });

  await test("router: sixty streams at once over two simulated targets, each with its own answer", async () => {
    const simulated = (provider) => new Warmline({ provider, apiKey: "sk-secret-0001", baseUrl: provider === "openai" ? `${sim}/v1` : sim, dangerouslyAllowBrowser: true });
    const targets = ["openai", "anthropic"].map((provider) => ({ client: simulated(provider), models: { m: "m" } }));
    const router = new Router({ targets });
    const ask = (i) => router.stream({ model: "m", messages: [{ role: "user", content: `number ${i}.` }] }).reply();
    const replies = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i)));
    replies.forEach((reply, i) => check(reply.text.includes(`“number ${i}.”`), `${i}: ${reply.text}`));
    const { targets: stats } = router.stats();
    check(stats.every(({ calls, inFlight }) => calls > 10 && inFlight === 0), JSON.stringify(stats));
    equal(stats.map(({ name }) => name), ["openai", "anthropic"], "the names");
  });
}
