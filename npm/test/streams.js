// Streams: who reads them, who leaves them, and what they become as a `Response`.
import { check, equal, failure } from "./expect.js";

/** A text that arrives in pieces, with a silence that lasts until `resume` is called. */
function held(before, after = []) {
  let resume;
  const silence = new Promise((resolve) => (resume = resolve));
  async function* text() {
    yield* before;
    await silence;
    yield* after;
  }
  return { text: text(), resume };
}

const data = (text) => text.trim().split("\n\n").map((event) => event.replace(/^(event: \w+\n)?data: /, ""));

export async function streams({ Warmline, CancelledError, ConfigError }, scriptedFetch, test) {
  const client = (replies, options) => {
    const fetch = scriptedFetch(replies);
    return { fetch, llm: new Warmline({ provider: "anthropic", apiKey: "sk-ant-secret-0001", model: "m", fetch, dangerouslyAllowBrowser: true, ...options }) };
  };
  const texts = async (stream, n = Infinity) => {
    let text = "";
    for await (const event of stream) {
      if (event.type === "text") text += event.text;
      if (text.length >= n) break;
    }
    return text;
  };

  for (const [name, iterate] of [
    ["events", (stream) => stream[Symbol.asyncIterator]()],
    ["partial output", (stream) => stream.partialOutput()],
  ]) {
    await test(`return() ends a silent stream at once: ${name}`, async () => {
      const { llm, fetch } = client([held(['{"a":1'])]);
      const events = iterate(llm.stream("Hi"));
      for (let value; value?.type === "start" || value === undefined; ) value = (await events.next()).value;
      const next = events.next();
      equal(await events.return("x"), { done: true, value: "x" }, "what return() gives");
      check(fetch.requests[0].signal.aborted, "the request goes on");
      equal(await next, { done: true }, "the event that was waited for");
      await llm.flush();
    });
  }

  await test("break ends a stream that is silent", async () => {
    const { llm, fetch } = client([held(["Hello"])]);
    equal(await texts(llm.stream("Hi"), 5), "Hello", "the text");
    check(fetch.requests[0].signal.aborted, "the request goes on");
    equal(llm.stats().active, 0, "calls in flight");
  });

  for (const format of ["events", "text", "ui-message-stream"]) {
    await test(`cancelling a silent response ends the call: ${format}`, async () => {
      const { llm, fetch } = client([held(["Hello"])]);
      const reader = (await llm.stream("Hi").toResponse({ format })).body.getReader();
      const decoder = new TextDecoder();
      for (let text = ""; !text.includes("Hello"); ) text += decoder.decode((await reader.read()).value);
      const read = reader.read();
      await reader.cancel();
      check(fetch.requests[0].signal.aborted, "the request goes on");
      equal((await read).done, true, "the read that waited");
    });
  }

  await test("the text stream sends nothing before it is read, and cancelling it ends the call", async () => {
    const { llm, fetch } = client([held(["Hello"])]);
    const body = llm.stream("Hi").textStream();
    await new Promise((resolve) => setTimeout(resolve));
    equal(fetch.requests.length, 0, "requests before it is read");
    const reader = body.getReader();
    equal(new TextDecoder().decode((await reader.read()).value), "Hello", "the text");
    await reader.cancel();
    check(fetch.requests[0].signal.aborted, "the request goes on");
  });

  await test("a stream is read and kept", async () => {
    const finished = [];
    const { llm, fetch } = client([{ text: ["Hel", "lo ", "you"] }], { onFinish: ({ reply }) => finished.push(reply.text) });
    const stream = llm.stream("Hi");
    const response = stream.toResponse({ format: "text" });
    const reply = stream.reply();
    equal(await (await response).text(), "Hello you", "the body");
    equal([(await reply).text, (await stream.reply()).text, finished, fetch.requests.length], ["Hello you", "Hello you", ["Hello you"], 1], "the reply");
  });

  await test("a reply that is waited for survives its readers", async () => {
    const gate = held(["Hello"], [" you"]);
    const { llm, fetch } = client([gate]);
    const stream = llm.stream("Hi");
    const reply = stream.reply();
    const reader = (await stream.toResponse()).body.getReader();
    await reader.read();
    await reader.cancel();
    check(!fetch.requests[0].signal.aborted, "the call was cancelled");
    gate.resume();
    equal((await reply).text, "Hello you", "the reply");
  });

  await test("readers that begin together get everything; a later one gets an error", async () => {
    const { llm } = client([{ text: ["Hel", "lo"] }]);
    const stream = llm.stream("Hi");
    const other = stream[Symbol.asyncIterator]();
    equal([await texts(stream), await texts(other)], ["Hello", "Hello"], "the texts");
    const error = await failure((async () => stream[Symbol.asyncIterator]())());
    check(error instanceof ConfigError && error.message.includes("have already been read"), `${error}`);
    equal((await stream.reply()).text, "Hello", "the reply");
  });

  await test("a reply after a stream was left is an error that says so", async () => {
    const { llm } = client([held(["Hello"])]);
    const stream = llm.stream("Hi");
    await texts(stream, 5);
    const error = await failure(stream.reply());
    check(error instanceof CancelledError && error.message.includes("left before its end"), `${error}`);
  });

  await test("events that are asked for at the same time come in order", async () => {
    const { llm } = client([{ text: ["a", "b"] }]);
    const events = llm.stream("Hi")[Symbol.asyncIterator]();
    const four = await Promise.all(Array.from({ length: 5 }, () => events.next()));
    equal(four.map(({ value }) => value?.text ?? value?.type), ["start", "a", "b", "done", undefined], "the events");
  });

  await test("flush() does not wait for a reader", async () => {
    const { llm } = client([{ text: ["Hel", "lo"] }]);
    const events = llm.stream("Hi")[Symbol.asyncIterator]();
    await events.next();
    await llm.flush();
    equal(await texts({ [Symbol.asyncIterator]: () => events }), "Hello", "what is read later");
  });

  await test("an abort is an AbortError, before and within a stream", async () => {
    const { llm, fetch } = client([held(["Hello"])]);
    const controller = new AbortController();
    const events = llm.stream("Hi", { signal: controller.signal })[Symbol.asyncIterator]();
    for (let event; event?.type !== "text"; ) event = (await events.next()).value;
    const next = failure(events.next());
    controller.abort(new Error("enough"));
    const error = await next;
    equal([error.name, error.kind, error.cause.message], ["AbortError", "cancelled", "enough"], "the error");
    check(fetch.requests[0].signal.aborted, "the request goes on");
    equal((await failure(llm.chat("Hi", { signal: AbortSignal.abort() }))).name, "AbortError", "the error before");
  });

  const budget = { budget: { usd: "0.0000001" }, prices: { m: { input: 1, output: 1 } } };
  for (const [reply, status, kind, options] of [
    [{ status: 400, message: "account 7" }, 400, "status"],
    [{ status: 401, message: "account 7" }, 401, "status"],
    [{ status: 429, message: "account 7", headers: { "retry-after": "7" } }, 429, "rate_limited"],
    [{ status: 529, message: "account 7" }, 503, "overloaded"],
    [new TypeError("account 7"), 502, "connect"],
    [{ text: [], streamError: { type: "overloaded_error", message: "account 7" } }, 503, "overloaded"],
    ["", 402, "budget_exceeded", budget],
  ]) {
    for (const format of ["events", "text", "ui-message-stream"]) {
      await test(`a response has the status ${status} for ${kind}: ${format}`, async () => {
        const { llm } = client([reply], { maxRetries: 0, ...options });
        const response = await llm.stream("Hi").toResponse({ format, headers: { "x-a": "b" } });
        equal([response.status, response.headers.get("x-a"), response.headers.get("retry-after")], [status, "b", status === 429 ? "7" : null], "the response");
        const body = await response.text();
        check(body.length > 0 && !body.includes("account 7") && !body.includes("0.0000001"), body);
        if (format === "events") equal(JSON.parse(body).error.kind, kind, "the kind");
      });
    }
  }

  await test("a response shows the message that it is asked to", async () => {
    const { llm } = client([{ status: 401, message: "account 7" }]);
    const response = await llm.stream("Hi").toResponse({ errorMessage: ({ message }) => message });
    check((await response.json()).error.message.includes("account 7"), "the message");
  });

  await test("a failure in the middle of a response", async () => {
    const broken = { text: ["Hello"], streamError: { type: "overloaded_error", message: "account 7" } };
    const respond = async (format) => client([broken]).llm.stream("Hi").toResponse({ format });
    const events = await (await respond("events")).text();
    check(events.includes("event: stream_error\n") && !events.includes("account 7"), events);
    const last = JSON.parse(data(events).at(-1));
    equal([last.type, last.error.kind], ["error", "overloaded"], "the event");
    const chunks = data(await (await respond("ui-message-stream")).text());
    equal(chunks.slice(-3).map((chunk) => (chunk === "[DONE]" ? chunk : JSON.parse(chunk).type)), ["text-end", "error", "[DONE]"], "the chunks");
    check(!chunks.join().includes("account 7"), "the message shows");
    await failure((await respond("text")).text());
  });

  await test("a response's options are checked, and nothing is sent", async () => {
    for (const [options, says] of [
      [{ format: "json" }, 'format must be one of events, text, ui-message-stream, got "json"'],
      [{ formt: "text" }, 'unknown option "formt"'],
      [{ errorMessage: true }, "errorMessage must be a function"],
    ]) {
      const { llm, fetch } = client(["Hello"]);
      const error = await failure(llm.stream("Hi").toResponse(options));
      check(error instanceof ConfigError && error.message.includes(says), `${error}`);
      equal(fetch.requests.length, 0, "requests");
    }
  });
}
