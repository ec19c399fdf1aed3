// Tools, structured output, options, hooks, errors and mocks, as users of the package meet them.
import { check, equal, failure } from "./expect.js";

const validator = (validate) => ({ "~standard": { version: 1, vendor: "test", validate } });

export async function behaviour({ Warmline, WarmlineError, ConfigError, DecodeError, RateLimitError, StatusError, TimeoutError }, scriptedFetch, test) {
  const client = (replies, options) => {
    const fetch = scriptedFetch(replies);
    return { fetch, llm: new Warmline({ provider: "openai", apiKey: "sk-secret-0001", model: "m", fetch, dangerouslyAllowBrowser: true, ...options }) };
  };

  const city = {
    name: "weather",
    input: {
      jsonSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      validator: validator(({ city }) => (typeof city === "string" ? { value: { city: city.toUpperCase() } } : { issues: [{ message: "no text", path: ["city"] }] })),
    },
  };
  const call = (args, name = "weather") => ({ toolCalls: [{ id: "1", name, arguments: args }] });
  const request = { messages: [{ role: "user", content: "?" }], tools: [city] };

  await test("tool arguments are validated, streamed ones too", async () => {
    for (const [args, name, problem] of [
      [{ city: "Bern" }, "weather"],
      [{ city: 5 }, "weather", "at city: no text"],
      ['{"city":', "weather", "not JSON"],
      [{ city: "Bern" }, "wether", "not one of the request's"],
    ]) {
      const { llm } = client([call(args, name), call(args, name)]);
      let event;
      for await (const each of llm.stream(request)) if (each.type.endsWith("tool_call")) event = each;
      const reply = await llm.chat(request);
      const [valid, invalid] = problem ? [[], reply.invalidToolCalls] : [reply.toolCalls, []];
      equal([reply.toolCalls.length, reply.invalidToolCalls.length], [valid.length, invalid.length], "tool calls");
      equal(event.type, problem ? "invalid_tool_call" : "tool_call", "the event");
      for (const { error, arguments: given, argumentsText } of [event, ...valid, ...invalid]) {
        if (problem) check(error instanceof DecodeError && error.message.includes(problem), `${error}`);
        else equal([given, argumentsText], [{ city: "BERN" }, '{"city":"Bern"}'], "the arguments");
      }
      // What goes back to the model is what it wrote.
      equal(reply.message.content.at(-1).argumentsText, event.argumentsText, "the arguments in the message");
    }
  });

  await test("a scripted fetch speaks the Responses API, too", async () => {
    const script = { text: ["Let me ", "see."], ...call({ city: "Bern" }) };
    const { llm, fetch } = client([script, script, { text: "no", stopReason: "max_tokens" }, { status: 400, message: "bad" }], { dialect: "openai-responses" });
    const streamed = await llm.stream(request).reply();
    const whole = await llm.chat(request);
    for (const reply of [streamed, whole]) equal([reply.text, reply.toolCalls[0].arguments, reply.stopReason], ["Let me see.", { city: "BERN" }, "tool_use"], "the reply");
    equal((await llm.chat("?")).stopReason, "max_tokens", "the reason");
    equal((await failure(llm.chat("?"))).status, 400, "the status");
    check(fetch.requests[0].url.endsWith("/v1/responses"), fetch.requests[0].url);
  });

  await test("output may be missing only where a tool was called", async () => {
    const output = { jsonSchema: { type: "object" }, validator: validator((value) => ({ value })) };
    const { llm } = client([call({ city: "Bern" }), { text: '{"a":1}' }, call({})]);
    equal((await llm.chat({ ...request, output })).output, undefined, "the output beside a tool call");
    equal((await llm.chat({ ...request, output })).output, { a: 1 }, "the output");
    const error = await failure(llm.chat({ messages: request.messages, output }));
    check(error instanceof DecodeError && error.message.includes("not JSON"), `${error}`);
  });

  await test("what strict mode sets to null is absent in the output and in the arguments", async () => {
    const schema = {
      type: "object",
      properties: { a: { type: "string" }, b: { type: ["string", "null"] }, c: { $ref: "#/$defs/C" }, d: { type: "array", items: { $ref: "#/$defs/C" } } },
      required: ["c"],
      $defs: { C: { type: "object", properties: { x: { type: "number" } } } },
    };
    const given = { a: null, b: null, c: { x: null }, d: [{ x: null }, { x: 1 }] };
    const expected = { b: null, c: {}, d: [{}, { x: 1 }] };
    const { llm } = client([{ text: JSON.stringify(given) }, call(given, "t")]);
    equal((await llm.chat({ messages: request.messages, output: schema })).output, expected, "the output");
    const reply = await llm.chat({ messages: request.messages, tools: [{ name: "t", input: schema }] });
    equal(reply.toolCalls[0].arguments, expected, "the arguments");
  });

  await test("output is given in part while it arrives", async () => {
    const pieces = ['{"city":', '"Be', 'rn","people":1', '2,"tags":["a', '","b\\u00', 'e9\\', 'n"],"ok":tr', 'ue,"__proto__":{"x":1}', "}"];
    const { llm } = client([{ text: pieces }]);
    const seen = [];
    const stream = llm.stream({ messages: request.messages, output: { type: "object" } });
    for await (const partial of stream.partialOutput()) seen.push(JSON.stringify(partial));
    equal(
      seen,
      [
        "{}",
        '{"city":"Be"}',
        '{"city":"Bern"}',
        '{"city":"Bern","people":12,"tags":["a"]}',
        '{"city":"Bern","people":12,"tags":["a","b"]}',
        '{"city":"Bern","people":12,"tags":["a","bé"]}',
        '{"city":"Bern","people":12,"tags":["a","bé\\n"]}',
        '{"city":"Bern","people":12,"tags":["a","bé\\n"],"ok":true,"__proto__":{"x":1}}',
        '{"city":"Bern","people":12,"tags":["a","bé\\n"],"ok":true,"__proto__":{"x":1}}',
      ],
      "the partial values",
    );
  });

  await test("the options of a call are checked", async () => {
    for (const [options, says] of [
      [{ constructor: 5 }, 'unknown option "constructor": it must be one of signal'],
      [{ heders: {} }, 'unknown option "heders": it must be one of signal, headers'],
      [{ abortSignal: undefined }, 'unknown option "abortSignal": did you mean "signal"?'],
      [{ base_url: "x" }, 'unknown option "base_url": did you mean "baseUrl"?'],
      [{ headers: "authorization: secret" }, "headers must be an object, got string"],
      [{ signal: 5 }, "signal must be an AbortSignal, got number"],
      [{ onError: "x" }, "onError must be a function, got string"],
      [null, "the options of a call must be an object"],
    ]) {
      const { llm, fetch } = client(["Hello"]);
      for (const use of [() => llm.chat("Hi", options), () => llm.stream("Hi", options).reply()]) {
        const error = await failure((async () => use())());
        check(error instanceof ConfigError && error.message.includes(says), `${error}`);
      }
      equal(fetch.requests.length, 0, "requests");
    }
    const { llm, fetch } = client(["Hello"]);
    await llm.chat("Hi", { signal: null, headers: new Headers({ "x-team": "a" }) });
    equal(fetch.requests[0].headers["x-team"], "a", "the header");
  });

  await test("names of other libraries get a hint", async () => {
    for (const [options, says] of [
      [{ baseURL: "x" }, 'unknown option "baseURL": did you mean "baseUrl"?'],
      [{ timeout: 5 }, 'unknown option "timeout": did you mean "timeoutMs"?'],
      [{ max_retries: 5 }, 'unknown option "max_retries": did you mean "maxRetries"?'],
      [{ provider: "gemini" }, '"gemini-openai"'],
      [{ maxTokens: 5 }, 'unknown option "maxTokens": "maxTokens" belongs into the request'],
      [{ budget: { usd: -5 } }, 'budget.usd must be an amount in dollars, such as "0.25" or 0.25, got -5'],
      [{ budget: { usd: 5, ledger: { reserve() {} } } }, "budget.ledger must have the methods reserve, settle and state, but it has no settle"],
    ]) {
      const error = await failure((async () => client([], options).llm.chat("Hi"))());
      check(error instanceof ConfigError && error.message.includes(says), `${error}`);
    }
    const { messages } = request;
    for (const [given, says] of [
      [{ messages, max_tokens: 5 }, 'did you mean "maxTokens"?'],
      [{ messages, maxCompletionTokens: 5 }, 'did you mean "maxTokens"?'],
      [{ prompt: "x" }, 'did you mean "messages"?'],
      [{ messages: [{ role: "system", content: "x" }] }, "put these instructions into the request's system"],
      [{ messages: [{ role: "tool", content: "x" }] }, "a tool's result is a part"],
      [{ messages: [{ role: 5n, content: "x" }] }, 'must be "user" or "assistant", got bigint'],
      [{ messages: [{ role: "assistant", content: [{ type: "tool_use", id: "1", name: "a", arguments: 5n }] }] }, "content[0].arguments cannot be written as JSON"],
      [{ messages, signal: null }, '"signal" belongs into the options of the call'],
      [{ messages, toolChoice: "required" }, '"any" is what OpenAI calls "required"'],
      [{ messages, toolChoice: { type: "tool", name: "a" } }, '{ tool: "NAME" }, got {"type":"tool","name":"a"}'],
      [{ messages, tools: [{ type: "function", function: { name: "a" } }] }, "tools[0] is in OpenAI's format"],
      [{ messages, temperature: NaN }, "temperature must be a number, got NaN"],
      [{ messages, extraBody: () => 1 }, "extraBody must be an object, got function"],
    ]) {
      const error = await failure(client([]).llm.chat(given));
      check(error instanceof ConfigError && error.message.includes(says), `${error}`);
    }
  });

  await test("an empty key for one call is an error", async () => {
    const { llm, fetch } = client(["Hello"]);
    const error = await failure(llm.chat("Hi", { apiKey: "" }));
    check(error instanceof ConfigError && error.message.includes("apiKey is empty"), `${error}`);
    equal(fetch.requests.length, 0, "requests");
  });

  await test("text that was cut within an emoji is sent, with the replacement character", async () => {
    const { llm, fetch } = client(["Hello"]);
    await llm.chat("\\ud83d stays, \u{1f600} too, cut \ud83d");
    equal(fetch.requests[0].body.messages[0].content, "\\ud83d stays, \u{1f600} too, cut \ufffd", "the text");
  });

  await test("a schema that refers to itself is read once", async () => {
    const { llm } = client(['{"a":null,"b":{"a":null}}']);
    const tree = { type: "object", properties: { a: { type: "string" }, b: { $ref: "#" } }, anyOf: [{ $ref: "#" }, { $ref: "#" }] };
    const { output } = await llm.chat({ messages: request.messages, output: tree });
    equal(output, { b: {} }, "the output");
  });

  await test("whatever a caller's fetch returns, the call ends", async () => {
    const bytes = new TextEncoder().encode(JSON.stringify({ id: "1", model: "m", choices: [{ message: { content: "Hello" }, finish_reason: "stop" }] }));
    const headers = new Headers();
    const gives = (...chunks) => ({
      body: new ReadableStream({ pull: (controller) => (chunks.length > 0 ? controller.enqueue(chunks.shift()) : controller.close()) }),
    });
    const reads = (read, cancel = () => {}) => ({ body: { getReader: () => ({ read, cancel }) } });
    let once = { done: false, value: bytes };
    for (const [response, says] of [
      [gives(new TextDecoder().decode(bytes)), undefined],
      [gives(new DataView(bytes.buffer)), undefined],
      [reads(() => [once, (once = { done: true })][0]), undefined],
      ...[undefined, null, 5, { length: 4e9 }, { length: -1 }].map((chunk) => [gives(chunk), "neither bytes nor text"]),
      // Its memory is not touched before it is refused.
      [reads(() => ({ value: new Uint8Array(2 ** 28 + 1) })), "larger than 256 MiB"],
      [{ body: { getReader: () => undefined } }, ""],
      [{ body: { getReader: () => { throw new Error("no reader"); } } }, "no reader"],
      [reads(() => { throw new Error("no chunk"); }), "no chunk"],
      [reads(() => undefined), ""],
      [{ ...reads(() => ({ value: bytes }), () => { throw new Error("not cancelled"); }), status: 400 }, "400"],
      ...[NaN, -5, 99, 1000, 1e9].map((status) => [{ ...gives(bytes), status }, `got one with the status ${status}`]),
    ]) {
      const { llm } = client([], { fetch: async () => ({ status: 200, headers, ...response }), maxRetries: 0, replyTimeoutMs: 5000 });
      const reply = await llm.chat("Hi").then(({ text }) => text, (error) => error);
      const expected = says === undefined ? reply === "Hello" : reply instanceof Error && reply.kind !== "timeout" && reply.message.includes(says);
      check(expected, `${says}: ${reply}`);
      equal(llm.stats().active, 0, "calls in flight");
    }
  });

  await test("hooks see each attempt, and no key", async () => {
    const seen = [];
    const names = ["onRequest", "onResponse", "onRetry", "onError", "onFinish"];
    const note = (by) => Object.fromEntries(names.map((name) => [name, (event) => seen.push([by, name, event])]));
    const { llm } = client([{ status: 503, headers: { "retry-after-ms": "1" } }, "Hello", { status: 401 }], note("client"));
    const { text } = await llm.chat("Hi", note("call"));
    equal(text, "Hello", "the reply");
    const of = (by) => seen.filter(([other]) => by === other).map(([, name, { attempt, status, previous, reply }]) => [name, attempt, status ?? previous?.status ?? reply?.text]);
    const expected = [
      ["onRequest", 1, undefined],
      ["onResponse", 1, 503],
      ["onRetry", 2, 503],
      ["onRequest", 2, undefined],
      ["onResponse", 2, 200],
      ["onFinish", undefined, "Hello"],
    ];
    equal([of("client"), of("call")], [expected, expected], "the events");
    equal(new Set(seen.map(([, , { call }]) => call)).size, 1, "objects for the call");
    equal(seen[0][2].call.model, "m", "the model");
    const [, , { headers, body, url }] = seen[0];
    check(body.includes('"Hi"') && url.endsWith("/chat/completions") && !JSON.stringify([...headers]).includes("secret"), "the request");
    seen.length = 0;
    await failure(llm.chat("Hi"));
    equal(seen.map(([, name, { error }]) => [name, error?.kind]), [["onRequest", null], ["onResponse", null], ["onError", "status"]], "the events of a failure");
  });

  await test("fields that do not exist, and values of another type, are errors that name them", async () => {
    const ask = (more) => [(llm) => llm.chat({ messages: [{ role: "user", content: "?" }], ...more })];
    const part = (part) => ask({ messages: [{ role: "user", content: [part] }] });
    const input = { type: "object" };
    for (const [[act, options], problem] of [
      [part({ type: "text", text: "?", cache_control: "5m" }), 'did you mean "messages[0].content[0].cacheControl"?'],
      [part({ type: "image_url" }), "messages[0].content[0].type must be one of text, image, "],
      [part({ type: "text", text: "?", cacheControl: "2h" }), "messages[0].content[0].cacheControl: unknown variant `2h`, expected `5m` or `1h`"],
      [ask({ messages: [{ role: "user", content: "?", name: "n" }] }), '"messages[0].name": it must be one of role, content'],
      [ask({ tools: [{ name: "t", inputSchema: input }] }), 'did you mean "tools[0].input"?'],
      [ask({ reasoning: "high" }), "reasoning must be an object: { effort } or { budgetTokens }, got string"],
      [ask({ reasoning: { effrt: "high" } }), '"reasoning.effrt": it must be one of effort, budgetTokens'],
      [[(llm) => llm.chat([{ role: "user", content: "?" }])], "got a list"],
      [[(llm) => llm.chat("?", { headers: [["a", "b"]] })], "headers must be an object or a Headers, got a list"],
      [[(llm) => llm.stream("?").toResponse({ status: 204 })], "status must be one of a response with a body, such as 200 or 201, got 204"],
      [[(llm) => llm.withBudget({ usd: 1, ledger: {} })], '"budget.ledger": it must be one of name, usd'],
      [[() => {}, { prices: { m: null } }], 'prices["m"] must be an object: { input, output, … }, got null'],
      [[() => {}, { prices: { m: { input: 1, output: 1, cached: 1 } } }], "cached"],
      [[() => {}, { headers: { "x-secret": 7 } }], 'headers["x-secret"] must be a string, got number'],
      [[() => {}, { budget: { usd: 1, alerts: [50.5] } }], "budget.alerts must be whole percentages from 1 to 255, got 50.5"],
      [[() => {}, { budget: { usd: 1, alerts: ["x"] } }], 'budget.alerts must be whole percentages from 1 to 255, got "x"'],
    ]) {
      let sent = 0;
      const run = async () => act(client(["Hello"], { onRequest: () => sent++, ...options }).llm);
      const error = await failure(run());
      check(error instanceof ConfigError && error.message.includes(problem), `${error} and not ${problem}`);
      check(!error.message.includes("at line"), error.message);
      equal(sent, 0, `requests sent by ${problem}`);
    }
  });

  await test("a tool may have functions of the caller's, and an invalid call may go back", async () => {
    const { llm, fetch } = client([call("{", "t"), "Hello"]);
    const tools = [{ name: "t", input: { type: "object" }, run: () => 1 }];
    const { invalidToolCalls } = await llm.chat({ ...request, tools });
    const content = [{ type: "tool_result", toolUseId: invalidToolCalls[0].id, content: "wrong", isError: true }];
    await llm.chat({ messages: [...request.messages, { role: "assistant", content: invalidToolCalls }, { role: "user", content }], tools });
    equal(Object.keys(fetch.requests[1].body.tools[0].function).includes("run"), false, "the function is sent");
  });

  await test("timeouts may be fractions, and longer than any timer", async () => {
    for (const ms of [0.5, 1234.5, 1e21]) {
      const timeouts = { timeoutMs: 30_000 + ms, replyTimeoutMs: 30_000 + ms, deadlineMs: 30_000 + ms };
      equal((await client(["Hello"], timeouts).llm.chat("Hi", timeouts)).text, "Hello", `the reply with ${ms} ms`);
    }
    equal((await client(["Hello"], { timeoutMs: 1e21, deadlineMs: 1e21 }).llm.stream("Hi").reply()).text, "Hello", "the streamed reply");
  });

  await test("a wait that is too long is named without a setting that does not exist", async () => {
    const { llm } = client([{ status: 429, headers: { "retry-after": "3600" } }]);
    const { message } = await failure(llm.chat("Hi"));
    check(message.includes("3600s, longer than the 60s that a call waits at most"), message);
  });

  await test("scripted arguments that are not JSON, without a stream", async () => {
    for (const provider of ["anthropic", "openai"]) {
      const { llm } = client([call("{", "t")], { provider, maxRetries: 0 });
      const { content } = await llm.chat({ ...request, tools: [{ name: "t", input: { type: "object" } }] });
      equal(content.at(-1).arguments, "{", `the arguments from ${provider}`);
    }
  });

  await test("a hook that throws changes nothing", async () => {
    const broken = () => Promise.reject(new Error("x"));
    const { llm } = client(["Hello"], { onRequest: () => check(false, "x"), onResponse: broken, onFinish: broken });
    equal((await llm.chat("Hi")).text, "Hello", "the reply");
  });

  await test("an error has the cause and a name that is its own", async () => {
    const cause = new TypeError("no network");
    const { llm } = client([cause], { maxRetries: 0 });
    const error = await failure(llm.chat("Hi"));
    equal([error.name, error.kind, error.cause === cause], ["ConnectError", "connect", true], "the error");
    check(String(error.stack).startsWith("ConnectError: "), error.stack);
    for (const base of ["ConfigError", "ConnectError", "DecodeError"]) check(!Object.keys(error).includes("name"), `${base} shows its name`);
  });

  await test("errors can be constructed, and are like those of calls", async () => {
    const headers = { "retry-after": "120", "x-request-id": "req_1" };
    const ofCall = await failure(client([{ status: 429, headers, message: "slow down", code: "c", type: "t" }]).llm.chat("Hi"));
    const { message, body, hint, attempts, cause } = ofCall;
    const made = new RateLimitError(message, { status: 429, code: "c", errorType: "t", requestId: "req_1", retryAfterMs: 120_000, body, hint, attempts, cause });
    equal(Object.entries(made), Object.entries(ofCall), "the properties");
    check(made instanceof RateLimitError && made instanceof WarmlineError && made.name === "RateLimitError", `${made}`);
    class Own extends DecodeError {}
    const cases = [new ConfigError("x"), new TimeoutError("x", { which: "read" }), new StatusError("x", { status: 404 }), new StatusError("x", { status: 500 }), new Own("x", { cause: 7 })];
    equal(
      cases.map(({ kind, which, status, retryable, attempts, cause }) => [kind, which, status, retryable, attempts.length, cause]),
      [
        ["config", undefined, undefined, false, 0, undefined],
        ["timeout", "read", undefined, false, 0, undefined],
        ["status", undefined, 404, false, 0, undefined],
        ["status", undefined, 500, true, 0, undefined],
        ["decode", undefined, undefined, false, 0, 7],
      ],
      "the errors",
    );
  });

  await test("base64 is an image, and other text is an error", async () => {
    const png = "iVBORw0KGgoAAAANSUhEUgAA";
    const { llm, fetch } = client(["a", "b", "c"]);
    const ask = (image) => llm.chat({ messages: [{ role: "user", content: [{ type: "image", image }] }] });
    await ask(png);
    equal(fetch.requests[0].body.messages[0].content[0].image_url.url, `data:image/png;base64,${png}`, "the image");
    await ask("https://example.com/a.png");
    equal(fetch.requests[1].body.messages[0].content[0].image_url.url, "https://example.com/a.png", "the address");
    await ask(`${png.repeat(200_000)}\n`);
    equal(fetch.requests[2].body.messages[0].content[0].image_url.url.length, 22 + 24 * 200_000, "the length of a large image");
    for (const text of ["cat picture", "abc"]) {
      const error = await failure(ask(text));
      check(error instanceof ConfigError && error.message.includes("must be a URL, a data: URL or base64"), `${error}`);
    }
  });

  await test("mocks of fetch may be plain objects", async () => {
    const reply = { choices: [{ message: { content: "Hello" }, finish_reason: "stop" }] };
    const sse = 'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
    async function* pieces() {
      yield sse.slice(0, 20);
      yield new TextEncoder().encode(sse.slice(20));
    }
    for (const [mock, stream] of [
      [{ ok: true, json: async () => reply }],
      [{ ok: true, status: 200, headers: { "content-type": "application/json" }, text: async () => JSON.stringify(reply) }],
      [{ status: 200, headers: new Map([["content-type", "text/event-stream"]]), body: sse }, true],
      [{ status: 200, headers: { "content-type": "text/event-stream" }, body: pieces() }, true],
    ]) {
      const { llm } = client([], { fetch: async () => mock });
      const { text } = await (stream ? llm.stream("Hi").reply() : llm.chat("Hi"));
      equal(text, "Hello", "the text");
    }
    const error = await failure(client([], { fetch: async () => undefined, maxRetries: 0 }).llm.chat("Hi"));
    check(error.message.includes("fetch must return a Response, got undefined"), `${error}`);
  });

  await test("a ledger that does not answer makes neither a call nor flush() wait for ever", async () => {
    // The cost of the second call is told again until the ledger answers, which would keep the process running.
    let answers = false;
    const never = () => (answers ? Promise.resolve([0n]) : new Promise(() => {}));
    const prices = { m: { input: 1, output: 1 } };
    const { setTimeout } = globalThis;
    // Ten seconds pass at once.
    globalThis.setTimeout = (callback, delay) => setTimeout(callback, delay === 10_000 ? 0 : delay);
    try {
      for (const [ledger, fails] of [
        [{ reserve: never, settle: never, state: never }, true],
        [{ reserve: async () => {}, settle: never, state: never }, false],
      ]) {
        const { llm } = client(["Hello"], { budget: { usd: 1, ledger }, prices });
        const called = llm.chat("Hi");
        if (fails) equal((await failure(called)).kind, "ledger", "the error");
        else {
          await called;
          const error = await failure(llm.flush());
          check(error.kind === "ledger" && error.message.includes("not answered within 10 s"), `${error}`);
        }
      }
    } finally {
      globalThis.setTimeout = setTimeout;
      answers = true;
    }
  });

  for (const provider of ["anthropic", "openai"]) {
    await test(`a scripted fetch: ${provider}`, async () => {
      const script = ["Hello", { text: ["Hel", "lo"], usage: { outputTokens: 2 } }, call({ city: "Bern" }), call({ city: "Bern" }), { status: 404, message: "no such model" }];
      const { llm, fetch } = client(script, { provider });
      const whole = await llm.chat("Hi");
      equal([whole.text, whole.stopReason, whole.usage.inputTokens], ["Hello", "end_turn", 1], "the reply");
      const streamed = await llm.stream("Hi").reply();
      equal([streamed.text, streamed.usage.outputTokens], ["Hello", 2], "the streamed reply");
      for (const reply of [await llm.chat(request), await llm.stream(request).reply()]) {
        equal([reply.stopReason, reply.toolCalls[0].arguments], ["tool_use", { city: "BERN" }], "the tool call");
      }
      const missing = await failure(llm.chat("Hi"));
      equal([missing.status, missing.message.includes("no such model")], [404, true], "the error");
      const over = await failure(llm.chat("Hi"));
      check(over.message.includes("no reply left for request 6: its script has 5"), over.message);
      equal([fetch.requests.length, fetch.requests[0].body.model], [6, "m"], "the requests");
    });
  }
}
