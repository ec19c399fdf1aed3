// The public API: idiomatic JavaScript over the WebAssembly core, which takes and returns JSON.

import * as glue from "./glue_bg.js";
import { Call } from "./call.js";
import { CALL_OPTIONS, checkFields, checkTypes, show } from "./check.js";
import { fail, fromCore, translated } from "./errors.js";
import { HOOKS, Hooks } from "./hooks.js";
import { toSpend } from "./reply.js";
import { FIELDS, toHeaders, toRequest, wholeMs } from "./shape.js";
import { ReplyStream } from "./stream.js";
import { toResponse } from "./realm.js";

let source;
let loading;
let loaded = false;
/** The number of calls that were made, which numbers them. */
let calls = 0;

/** Sets where the module comes from: `module` returns a `WebAssembly.Module` or a promise of one. Each entry calls this. */
export function provide(module) {
  source = module;
}

/** Instantiates the core. The module may come from another realm, as in Next.js's edge runtime. */
function instantiate(module) {
  const { exports } = new WebAssembly.Instance(module, { "./glue_bg.js": glue });
  glue.__wbg_set_wasm(exports);
  exports.__wbindgen_start();
}

/** Instantiates the core once, at its first use. Returns a promise only if it has to wait. */
function ready() {
  if (loaded) return;
  if (!source) fail("the WebAssembly module is not loaded: call init() first, or import \"warmline\" instead of \"warmline/manual\"");
  const module = loading ?? source();
  const start = (module) => {
    if (!loaded) instantiate(module);
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
  dialect: "string",
  apiKey: "string",
  bearerToken: undefined,
  resource: "string",
  region: "string",
  project: "string",
  deployment: "string",
  apiVersion: "string",
  model: "string",
  baseUrl: "string",
  maxRetries: "number",
  timeoutMs: "number",
  replyTimeoutMs: "number",
  poolTimeoutMs: "number",
  deadlineMs: "number",
  credentialsPerRequest: "boolean",
  headers: "object",
  fetch: "function",
  dangerouslyAllowBrowser: "boolean",
  budget: "object",
  prices: "object",
  ...HOOKS,
};

function checkNumbers(options) {
  for (const name of ["timeoutMs", "replyTimeoutMs", "poolTimeoutMs", "deadlineMs"]) {
    if (options[name] <= 0) fail(`${name} must be more than 0, got ${options[name]}`);
  }
  const { maxRetries } = options;
  if (maxRetries !== undefined && !(Number.isInteger(maxRetries) && maxRetries >= 0 && maxRetries <= 0xffffffff)) fail(`maxRetries must be a whole number, got ${maxRetries}`);
}

function checkCredentials({ apiKey, bearerToken }) {
  if (!["undefined", "string", "function"].includes(typeof bearerToken)) {
    fail(`bearerToken must be a string or a function that returns one, got ${bearerToken === null ? "null" : typeof bearerToken}`);
  }
  if (apiKey !== undefined && bearerToken !== undefined) fail("apiKey and bearerToken are both given: give one of them");
}

/** Checks the options of one call. */
function checkCall(options) {
  if (options === undefined) return;
  if (options === null || typeof options !== "object") fail(`the options of a call must be an object: { signal, headers, … }, got ${show(options)}`);
  checkTypes(options, CALL_OPTIONS, "", { "the request, the first argument": FIELDS, "the options of the client": Object.keys(OPTIONS) });
  checkNumbers(options);
  checkCredentials(options);
  for (const name of ["apiKey", "bearerToken"]) if (options[name] === "") fail(`${name} is empty`);
  const { signal } = options;
  if (signal !== undefined && signal !== null && typeof signal.addEventListener !== "function") fail(`signal must be an AbortSignal, got ${show(signal)}`);
}

function checkBudget(budget) {
  checkTypes(budget, BUDGET, "budget.");
  amount(budget.usd, "budget.usd");
  const { alerts = [], ledger } = budget;
  for (const method of ["reserve", "settle", "state"]) {
    if (ledger && typeof ledger[method] !== "function") fail(`budget.ledger must have the methods reserve, settle and state, but it has no ${method}`);
  }
  if (!Array.isArray(alerts)) fail(`budget.alerts must be a list of percentages, got ${show(alerts)}`);
  for (const percent of alerts) {
    if (!(Number.isInteger(percent) && percent >= 1 && percent <= 255)) {
      fail(`budget.alerts must be whole percentages from 1 to 255, got ${typeof percent === "number" ? percent : show(percent)}`);
    }
  }
}

function checkOptions(options) {
  if (options === null || typeof options !== "object") fail("the options must be an object: { provider, apiKey, … }");
  checkTypes(options, OPTIONS, "", { "the request": FIELDS, "the options of a call": Object.keys(CALL_OPTIONS) });
  checkNumbers(options);
  if (options.budget) checkBudget(options.budget);
  // The core knows the providers, and which of them need a key.
  if (options.provider === undefined) fail("provider is missing: it is the id of a provider, such as \"anthropic\" or \"openai\"");
  checkCredentials(options);
}

const BUDGET = { name: "string", usd: undefined, ledger: "object", alerts: undefined, onAlert: "function", failOpen: "boolean", strict: "boolean" };

/** How long a ledger may take, in milliseconds. */
const LEDGER_TIMEOUT = 10_000;

/** Rejects if a ledger does not answer, so that neither a call nor `flush()` waits for ever. */
function inTime(answer) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it has not answered within ${LEDGER_TIMEOUT / 1000} s`)), LEDGER_TIMEOUT);
    Promise.resolve(answer).then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Settles, and reads the sums here, where what an element throws is caught. */
async function settled(ledger, id, amount) {
  const sums = await ledger.settle(id, amount);
  return Array.isArray(sums) ? [...sums] : sums;
}

/** Returns a ledger whose answers are awaited for a limited time. */
const timed = (ledger) => ({
  reserve: (id, budgets, amount) => inTime(ledger.reserve(id, budgets, amount)),
  settle: (id, amount) => inTime(settled(ledger, id, amount)),
  state: (budget) => inTime(ledger.state(budget)),
});

/** Adapts a function that gives tokens to the core, which expects objects. */
const asTokens = (give) => async () => {
  const given = await give();
  const { token, expiresInMs } = typeof given === "string" ? { token: given } : (given ?? {});
  if (typeof token !== "string") fail(`bearerToken must return a string or { token, expiresInMs }, got ${show(token)}`);
  return { token, expiresInMs };
};

/** Returns dollars as decimal text, which is exact. The core checks how large it is. */
function amount(value, name) {
  const text = String(typeof value === "string" ? value.trim() : value);
  if (!["string", "number"].includes(typeof value) || !/^(\d+\.?\d*|\.\d+)$/.test(text)) {
    fail(`${name} must be an amount in dollars, such as "0.25" or 0.25, got ${typeof value === "number" ? value : show(value)}`);
  }
  return text;
}

/** Returns a list of headers. A value that is not text is not shown either, because it can be a secret. */
function headerList(headers) {
  const given = Object.entries(headers).filter(([, value]) => value !== undefined);
  const wrong = given.find(([, value]) => typeof value !== "string");
  if (wrong) fail(`headers[${JSON.stringify(wrong[0])}] must be a string, got ${wrong[1] === null ? "null" : typeof wrong[1]}`);
  return given;
}

/** Returns a list of models and their prices, with the amounts as text. */
const priceList = (prices = {}) => Object.entries(prices).map(([model, given]) => [model, price(`prices[${JSON.stringify(model)}]`, given)]);

function price(name, given) {
  if (given === null || typeof given !== "object") fail(`${name} must be an object: { input, output, … }, got ${show(given)}`);
  checkFields(name, given, ["input", "output", "cacheRead", "cacheWrite", "cacheWrite1h", "audioInput", "audioOutput", "webSearch"]);
  const { input, output, ...others } = given;
  const rates = Object.entries(others).filter(([, value]) => value !== undefined);
  rates.push(["input", input], ["output", output]);
  return Object.fromEntries(rates.map(([rate, value]) => [rate, amount(value, `${name}.${rate}`)]));
}

/** Returns whether this is a web page. Under a test library's DOM, such as jsdom, Node remains Node. */
const inBrowser = () =>
  typeof window !== "undefined" && typeof window.document !== "undefined" && typeof navigator !== "undefined" && !globalThis.process?.versions?.node;

/** What a client that was derived from another shares with it. */
class Made {
  constructor(make, calls, options) {
    this.make = make;
    this.calls = calls;
    this.options = options;
  }
}

/** Refuses a key in a web page. */
function checkKeys({ apiKey, bearerToken }, allowed) {
  if (!allowed && (apiKey || typeof bearerToken === "string") && inBrowser()) {
    fail(
      "every visitor can read an API key that is in a web page: call your own server instead, or set " +
        "dangerouslyAllowBrowser: true if the key is the visitor's own",
    );
  }
}

/** Waits for a promise of the core's. */
async function answer(promise) {
  try {
    return await promise;
  } catch (error) {
    throw fromCore(error);
  }
}

/** A client for one provider. */
export class Warmline {
  #make;
  #core;
  #calls = new Set();
  /** The options that are not the core's. */
  #options;
  #closed = false;

  constructor(options) {
    if (options instanceof Made) {
      this.#make = options.make;
      this.#calls = options.calls;
      this.#options = options.options;
      // As in a client that is not derived, a bad budget is an error at once if the module is available.
      if (loaded) this.#start();
      return;
    }
    checkOptions(options);
    const { dangerouslyAllowBrowser, ...rest } = options;
    this.#options = { ...options };
    const headers = toHeaders(rest.headers);
    checkKeys(rest, dangerouslyAllowBrowser);
    if (inBrowser() && rest.provider.toLowerCase() === "anthropic") headers["anthropic-dangerous-direct-browser-access"] = "true";
    const tokens = typeof rest.bearerToken === "function" ? asTokens(rest.bearerToken) : undefined;
    const { ledger, onAlert, ...budget } = rest.budget ?? {};
    // Functions and what is undefined are left out of JSON.
    const settings = JSON.stringify({
      ...rest,
      timeoutMs: wholeMs(rest.timeoutMs),
      replyTimeoutMs: wholeMs(rest.replyTimeoutMs),
      poolTimeoutMs: wholeMs(rest.poolTimeoutMs),
      deadlineMs: wholeMs(rest.deadlineMs),
      headers: headerList(headers),
      budget: rest.budget && { ...budget, usd: amount(budget.usd, "budget.usd") },
      prices: priceList(rest.prices),
    });
    const alert = onAlert && ((json, hint) => onAlert({ ...JSON.parse(json), hint: translated(hint) }));
    this.#make = () => new glue.Core(settings, ledger && timed(ledger), alert, tokens);
    // If the module is available at once, a bad URL or header throws here. Otherwise the first call throws, as it does if the
    // module cannot be loaded.
    const loading = ready();
    if (loading) loading.catch(() => {});
    else this.#start();
  }

  #start() {
    if (this.#closed) fail("this client has been closed");
    try {
      return (this.#core ??= this.#make());
    } catch (error) {
      throw fromCore(error);
    }
  }

  /** Sends a request and returns the complete reply. */
  async chat(request, options) {
    return this.#call(request, options, false).reply();
  }

  /** Sends a request and returns its reply as a stream of events. */
  stream(request, options) {
    return new ReplyStream(this.#call(request, options, true));
  }

  #call(request, options, stream) {
    const { fetch, provider, model, dangerouslyAllowBrowser } = this.#options;
    const token = options?.bearerToken;
    const hooks = new Hooks([this.#options, options], { id: ++calls, provider, model: request?.model ?? model, stream, request });
    const open = async (call) => {
      checkCall(options);
      if (this.#closed) fail("this client has been closed");
      checkKeys(options ?? {}, dangerouslyAllowBrowser);
      const { json, convert } = await toRequest(request, options);
      await ready();
      const core = this.#start();
      const send = async (url, init) => {
        try {
          return await hooks.send(async () => toResponse(await (fetch ?? globalThis.fetch)(url, init)), url, init);
        } catch (error) {
          call.fetchError = error;
          throw error;
        }
      };
      return { make: () => core.call(json, stream, send, typeof token === "function" ? asTokens(token) : undefined), convert };
    };
    return new Call(open, { signal: options?.signal, hooks, calls: this.#calls });
  }

  /** Returns the models that the provider offers. */
  async models() {
    await ready();
    const models = await this.#ask((core, send) => core.models(send));
    return models.map(({ id, display_name, created, owned_by, raw }) => ({
      id,
      displayName: display_name ?? undefined,
      created: created ?? undefined,
      ownedBy: owned_by ?? undefined,
      raw,
    }));
  }

  /** Returns the number of input tokens of a request. */
  async countTokens(request, options) {
    checkCall(options);
    checkKeys(options ?? {}, this.#options.dangerouslyAllowBrowser);
    const { json } = await toRequest(request, options);
    await ready();
    const token = options?.bearerToken;
    const tokens = typeof token === "function" ? asTokens(token) : undefined;
    const { input_tokens, is_upper_bound, raw } = await this.#ask((core, send) => core.countTokens(json, send, tokens));
    return { inputTokens: input_tokens, isUpperBound: is_upper_bound, raw: raw ?? undefined };
  }

  /** Asks the core for something that is no call, and returns what its promise gives. */
  async #ask(ask) {
    if (this.#closed) fail("this client has been closed");
    const { fetch } = this.#options;
    let thrown;
    const send = async (url, init) => {
      try {
        return toResponse(await (fetch ?? globalThis.fetch)(url, init));
      } catch (error) {
        thrown = error;
        throw error;
      }
    };
    try {
      return JSON.parse(await ask(this.#start(), send));
    } catch (error) {
      throw fromCore(error, thrown);
    }
  }

  /** Returns the number of calls in flight. */
  stats() {
    if (!this.#core) return { active: 0, peak: 0 };
    const { active, peak } = this.#core;
    return { active, peak };
  }

  /** Returns what was spent this month (UTC). */
  async spend() {
    await ready();
    return toSpend(JSON.parse(await answer(this.#start().spend())));
  }

  /** Waits until every call has ended and its cost is recorded in the ledger. */
  async flush() {
    // Streams that nobody reads on are read to their end, which is kept for their readers.
    await Promise.allSettled(Array.from(this.#calls, (call) => call.drain()));
    if (this.#core) await answer(this.#core.flush());
  }

  /** Returns a client with the same settings and ledger that also enforces this budget. */
  withBudget(budget) {
    if (budget === null || typeof budget !== "object") fail(`the budget must be an object: { name, usd }, got ${show(budget)}`);
    checkFields("budget", budget, ["name", "usd"]);
    checkBudget(budget);
    const { name = "default", usd } = budget;
    return new Warmline(new Made(() => this.#start().withBudget(name, amount(usd, "budget.usd")), this.#calls, this.#options));
  }

  /** Frees the client's memory. Calls in flight continue. */
  close() {
    this.#closed = true;
    this.#core?.free();
    this.#core = undefined;
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.close();
  }
}
