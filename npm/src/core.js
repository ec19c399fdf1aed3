// A client: idiomatic JavaScript over the WebAssembly core, which takes and returns JSON.

import * as glue from "./glue_bg.js";
import { Caller, answer, checkCredentials, checkKeys, checkNumbers, handleOf, inBrowser, tokensOf } from "./caller.js";
import { CALL_OPTIONS, checkFields, checkTypes, show } from "./check.js";
import { fail, fromCore, translated } from "./errors.js";
import { HOOKS } from "./hooks.js";
import { ready } from "./load.js";
import { toSpend } from "./reply.js";
import { FIELDS, toHeaders, toRequest, wholeMs } from "./shape.js";

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

/** Returns the name and the amount of a budget that is added to a client or a router. */
export function budgetOf(budget) {
  if (budget === null || typeof budget !== "object") fail(`the budget must be an object: { name, usd }, got ${show(budget)}`);
  checkFields("budget", budget, ["name", "usd"]);
  checkBudget(budget);
  const { name = "default", usd } = budget;
  return [name, amount(usd, "budget.usd")];
}

/** Returns what a client is made of. */
function clientOf(options) {
  checkOptions(options);
  const { dangerouslyAllowBrowser, ...rest } = options;
  const headers = toHeaders(rest.headers);
  checkKeys(rest, dangerouslyAllowBrowser);
  if (inBrowser() && rest.provider.toLowerCase() === "anthropic") headers["anthropic-dangerous-direct-browser-access"] = "true";
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
  const tokens = tokensOf(rest);
  return { what: "client", names: Object.keys(OPTIONS), options: { ...options }, make: () => new glue.Core(settings, ledger && timed(ledger), alert, tokens) };
}

/** A client for one provider. */
export class Warmline extends Caller {
  constructor(options) {
    super(options, clientOf);
  }

  /** Returns the models that the provider offers. */
  async models() {
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
    handleOf(this).check(options);
    const { json } = await toRequest(request, options);
    const { input_tokens, is_upper_bound, raw } = await this.#ask((core, send) => core.countTokens(json, send, tokensOf(options)));
    return { inputTokens: input_tokens, isUpperBound: is_upper_bound, raw: raw ?? undefined };
  }

  /** Asks the core for something that is no call, and returns what its promise gives. */
  async #ask(ask) {
    const handle = handleOf(this);
    handle.checkOpen();
    await ready();
    let thrown;
    const send = async (url, init) => {
      try {
        return await handle.send(undefined, url, init);
      } catch (error) {
        thrown = error;
        throw error;
      }
    };
    try {
      return JSON.parse(await ask(handle.start(), send));
    } catch (error) {
      throw fromCore(error, thrown);
    }
  }

  /** Returns the number of calls in flight. */
  stats() {
    const { active = 0, peak = 0 } = handleOf(this).core ?? {};
    return { active, peak };
  }

  /** Returns what was spent this month (UTC). */
  async spend() {
    await ready();
    return toSpend(JSON.parse(await answer(handleOf(this).start().spend())));
  }

  /** Returns a client with the same settings and ledger that also enforces this budget. */
  withBudget(budget) {
    const [name, usd] = budgetOf(budget);
    return new Warmline(handleOf(this).derived((core) => core.withBudget(name, usd)));
  }
}
