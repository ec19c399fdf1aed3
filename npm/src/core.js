// The face of the package: idiomatic JavaScript over the WebAssembly core, which takes and gives JSON.

import { Core, initSync } from "./glue.js";
import { toEvents, toReply, toRequest, toSpend } from "./shape.js";
import { WarmlineError, fail, fromCore } from "./errors.js";


let source;
let loading;
let loaded = false;

/** An entry says where its runtime keeps the module: a `WebAssembly.Module`, or a promise of one. */
export function provide(module) {
  source = module;
}

/** Instantiates the core once, when it is first needed. Gives a promise only where there is something to wait for. */
function ready() {
  if (loaded) return;
  if (!source) fail("no WebAssembly module: call init() first, or import \"warmline\" instead of \"warmline/manual\"");
  const module = loading ?? source();
  const start = (module) => {
    if (!loaded) initSync({ module });
    loaded = true;
  };
  if (typeof module?.then !== "function") return start(module);
  loading = module;
  return loading.then(start, (error) => {
    loading = undefined;
    throw error;
  });
}

const OPTIONS = {
  provider: "string",
  apiKey: "string",
  model: "string",
  baseUrl: "string",
  maxRetries: "number",
  timeoutMs: "number",
  deadlineMs: "number",
  headers: "object",
  fetch: "function",
  dangerouslyAllowBrowser: "boolean",
  budget: "object",
  prices: "object",
};

const KEYLESS = /^https?:\/\/(?!([^/]*\.)?(anthropic\.com|openai\.com|openai\.azure\.com)([:/]|$))/i;

function checkOptions(options) {
  if (options === null || typeof options !== "object") fail("the options must be an object: { provider, apiKey, … }");
  for (const [name, value] of Object.entries(options)) {
    const type = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : fail(`unknown option ${JSON.stringify(name)}`);
    if (value === undefined) continue;
    if (typeof value !== type || value === null) fail(`${name} must be ${type === "object" ? "an" : "a"} ${type}, and is ${show(value)}`);
    if (type === "number" && !(Number.isFinite(value) && value >= 0)) fail(`${name} must be 0 or more, and is ${value}`);
  }
  for (const name of ["timeoutMs", "deadlineMs"]) {
    if (options[name] === 0) fail(`${name} is 0: it must be longer`);
  }
  if (options.maxRetries !== undefined && !Number.isInteger(options.maxRetries)) fail("maxRetries must be a whole number");
  if (options.budget !== undefined) amount(options.budget.usd, "budget.usd");
  const { provider, apiKey, baseUrl } = options;
  if (provider !== "anthropic" && provider !== "openai") {
    fail(`provider must be "anthropic" or "openai", and is ${show(provider)}`);
  }
  if (!apiKey?.trim() && !(baseUrl && KEYLESS.test(baseUrl))) fail(`no apiKey for ${provider}`);
}

/** Dollars as decimal text, which is exact; the core says what is wrong with it. */
function amount(value, name) {
  if (typeof value !== "string" && typeof value !== "number") fail(`${name} must be dollars, as "0.25" or 0.25, and is ${show(value)}`);
  return String(value);
}

/** A price as the core reads it: dollars per million tokens of input, output, cache read and cache write. */
function price(model, { input, output, cacheRead = input, cacheWrite = input }) {
  const rates = Object.entries({ input, output, cacheRead, cacheWrite });
  return [`price:${model}`, rates.map(([name, value]) => amount(value, `prices[${JSON.stringify(model)}].${name}`)).join(" ")];
}

const show = (value) => (typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : typeof value);

// A page, and not a server runtime that has a `document` by way of a test library or a polyfill.
const inBrowser = () =>
  typeof window !== "undefined" && typeof window.document !== "undefined" && typeof navigator !== "undefined";

/** A client of one provider. */
export class Warmline {
  #config;
  #fetch;
  #core;
  #closed = false;

  constructor(options) {
    checkOptions(options);
    const { fetch, dangerouslyAllowBrowser, ...rest } = options;
    const headers = { ...rest.headers };
    if (inBrowser()) {
      if (!dangerouslyAllowBrowser && rest.apiKey) {
        fail(
          "this runs in a browser, where everyone can read the API key: call through a server of yours, or set " +
            "dangerouslyAllowBrowser: true where the key is the visitor's own",
        );
      }
      if (rest.provider === "anthropic") headers["anthropic-dangerous-direct-browser-access"] = "true";
    }
    this.#config = JSON.stringify({
      provider: rest.provider,
      api_key: rest.apiKey,
      model: rest.model,
      base_url: rest.baseUrl,
      timeout_ms: rest.timeoutMs,
      deadline_ms: rest.deadlineMs,
      max_retries: rest.maxRetries,
      budget: rest.budget && amount(rest.budget.usd, "budget.usd"),
      ...Object.fromEntries(Object.entries(rest.prices ?? {}).map(([model, rates]) => price(model, rates))),
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [`header:${name}`, value])),
    });
    this.#fetch = fetch;
    // Where nothing has to be waited for, a bad address or header is found here; elsewhere by the first
    // call, which also says so where the module cannot be loaded.
    const loading = ready();
    if (loading) loading.catch(() => {});
    else this.#start();
  }

  #start() {
    if (this.#closed) fail("this client has been closed");
    try {
      return (this.#core ??= new Core(this.#config, this.#fetch));
    } catch (error) {
      throw fromCore(error);
    }
  }

  /** Asks, and gives the whole reply. */
  async chat(request, options) {
    for await (const event of this.#events(request, options, false)) {
      if (event.type === "done") return event.reply;
    }
    throw new WarmlineError({ kind: "stream", message: "the call ended without a reply" });
  }

  /** Asks, and gives the reply out piece by piece. */
  stream(request, options) {
    return new ReplyStream(this.#events(request, options, true));
  }

  async *#events(request, options, stream) {
    const signal = options?.signal;
    if (signal !== undefined && typeof signal?.addEventListener !== "function") fail("signal must be an AbortSignal");
    const cancelled = () => fromCore({ kind: "cancelled", message: "cancelled by the caller" }, signal.reason);
    if (signal?.aborted) throw cancelled();
    if (this.#closed) fail("this client has been closed");
    const { json, output } = await toRequest(request);
    await ready();
    const core = this.#start();
    if (signal?.aborted) throw cancelled();
    const call = core.call(json, stream);
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      for (;;) {
        let events;
        try {
          events = await new Promise((resolve, reject) => call.next(resolve, reject));
        } catch (error) {
          throw fromCore(error, signal?.aborted ? signal.reason : undefined);
        }
        if (events === undefined) return;
        for (const event of toEvents(JSON.parse(events))) {
          if (event.type === "done") await toReply(event, output);
          yield event;
          if (signal?.aborted) throw cancelled();
        }
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
      call.free();
    }
  }

  /** What is in flight. */
  stats() {
    if (!this.#core) return { active: 0, peak: 0 };
    const { active, peak } = JSON.parse(this.#core.stats());
    return { active, peak };
  }

  /** What was spent this month (UTC). */
  spend() {
    return toSpend(JSON.parse(this.#start().spend()));
  }

  /** Frees what the client holds. Calls in flight go on. */
  close() {
    this.#closed = true;
    this.#core?.free();
    this.#core = undefined;
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.close();
  }
}

/** A reply being streamed: events to iterate over, once. */
class ReplyStream {
  #events;

  constructor(events) {
    this.#events = events;
  }

  [Symbol.asyncIterator]() {
    return this.#events;
  }

  /** The whole reply, once it is there. */
  async reply() {
    for await (const event of this.#events) {
      if (event.type === "done") return event.reply;
    }
    throw new WarmlineError({ kind: "stream", message: "the stream had already ended" });
  }

  /** The text alone, as bytes. */
  textStream() {
    return this.#readable((event) => (event.type === "text" ? event.text : ""));
  }

  /** A `Response` for an edge function to return: server-sent events, or with `{ format: "text" }` the text alone. */
  toResponse({ format = "events", status = 200, headers } = {}) {
    if (format !== "events" && format !== "text") fail(`format must be "events" or "text", and is ${show(format)}`);
    const text = format === "text";
    const all = new Headers(headers);
    all.set("content-type", text ? "text/plain; charset=utf-8" : "text/event-stream");
    all.set("cache-control", "no-cache");
    const body = text ? this.textStream() : this.#readable((event) => `data: ${JSON.stringify(event)}\n\n`, sseError);
    return new Response(body, { status, headers: all });
  }

  #readable(write, onError) {
    const events = this.#events;
    const encoder = new TextEncoder();
    return new ReadableStream({
      async pull(controller) {
        try {
          for (;;) {
            const { done, value } = await events.next();
            if (done) return controller.close();
            const text = write(value);
            if (text) return controller.enqueue(encoder.encode(text));
          }
        } catch (error) {
          if (!onError) return controller.error(error);
          controller.enqueue(encoder.encode(onError(error)));
          controller.close();
        }
      },
      async cancel() {
        await events.return();
      },
    });
  }
}

const sseError = (error) => `event: error\ndata: ${JSON.stringify({ type: "error", error })}\n\n`;
