// Several clients behind the calls of one.

import * as glue from "./glue_bg.js";
import { Caller, checkNumbers, handleOf } from "./caller.js";
import { CALL_OPTIONS, checkTypes, failUnknown, show } from "./check.js";
import { budgetOf } from "./core.js";
import { KINDS, fail } from "./errors.js";
import { HOOKS } from "./hooks.js";
import { ready } from "./load.js";
import { FIELDS, text, whole, wholeMs } from "./shape.js";

const OPTIONS = {
  targets: undefined,
  balancing: "string",
  maxRetries: "number",
  rules: "object",
  cooldown: undefined,
  pacing: "boolean",
  hedging: undefined,
  ...HOOKS,
};
const TARGET = { client: undefined, name: "string", weight: "number", priority: "number", models: "object" };
const COOLDOWN = { baseMs: "number", capMs: "number", maxRetryAfterMs: "number" };
const HEDGING = { minDelayMs: "number", minCalls: "number" };
const BALANCINGS = ["sticky", "least_busy", "weighted"];
const ACTIONS = ["answer", "move_on", "cool_down"];

function checkOptions(options) {
  if (options === null || typeof options !== "object") fail("the options must be an object: { targets, … }");
  checkTypes(options, OPTIONS, "", { "the request": FIELDS, "the options of a call": Object.keys(CALL_OPTIONS), "a target": Object.keys(TARGET) });
  checkNumbers(options);
  const { targets, balancing, rules } = options;
  if (!Array.isArray(targets)) fail(`targets must be a list: [{ client }, …], got ${show(targets)}`);
  targets.forEach(checkTarget);
  if (balancing !== undefined) checkOneOf("balancing", balancing, BALANCINGS);
  if (rules) checkRules(rules);
  checkTimes("cooldown", options.cooldown, COOLDOWN);
  checkTimes("hedging", options.hedging, HEDGING);
}

function checkTarget(target, i) {
  const of = `targets[${i}]`;
  if (target === null || typeof target !== "object") fail(`${of} must be an object: { client, … }, got ${show(target)}`);
  if (target instanceof Caller) fail(`${of} is a client: it must be an object with one, { client }`);
  checkTypes(target, TARGET, `${of}.`);
  const { client, weight, priority, models = {} } = target;
  if (!(handleOf(client) && !(client instanceof Router))) fail(`${of}.client must be a Warmline, got ${client instanceof Router ? "a Router" : show(client)}`);
  if (weight !== undefined) whole(`${of}.weight`, weight);
  if (priority !== undefined) whole(`${of}.priority`, priority);
  for (const [name, own] of Object.entries(models)) text(`${of}.models[${JSON.stringify(name)}]`, own);
}

function checkOneOf(name, value, accepted) {
  if (!accepted.includes(value)) fail(`${name} must be one of ${accepted.join(", ")}, got ${show(value)}`);
}

function checkRules(rules) {
  checkTypes(rules, { codes: "object", statuses: "object", kinds: "object" }, "rules.");
  for (const [table, entries] of Object.entries(rules)) {
    for (const [key, action] of Object.entries(entries ?? {})) {
      if (table === "statuses" && !/^[1-9]\d\d$/.test(key)) fail(`${JSON.stringify(key)} in rules.statuses is no HTTP status`);
      if (table === "kinds" && !Object.hasOwn(KINDS, key)) failUnknown("kind of error", "", key, Object.keys(KINDS));
      checkOneOf(`rules.${table}[${JSON.stringify(key)}]`, action, ACTIONS);
    }
  }
}

/** Checks an option that is true, false, or an object of numbers. */
function checkTimes(name, value, types) {
  if (value === undefined || typeof value === "boolean") return;
  if (value === null || typeof value !== "object") fail(`${name} must be true, false or an object: { ${Object.keys(types).join(", ")} }, got ${show(value)}`);
  checkTypes(value, types, `${name}.`);
  for (const [key, number] of Object.entries(value)) if (number < 0) fail(`${name}.${key} must be at least 0, got ${number}`);
  if (value.minCalls !== undefined) whole(`${name}.minCalls`, value.minCalls);
}

/** Returns the options as the core reads them. It has the defaults of what is undefined. */
function settingsOf({ targets, balancing, maxRetries, rules, cooldown, pacing, hedging }) {
  return JSON.stringify({
    targets: targets.map(({ name, weight, priority, models = {} }) => ({ name, weight, priority, models: Object.entries(models) })),
    balancing,
    maxRetries,
    rules,
    cooldown: cooldown === false ? null : { base_ms: wholeMs(cooldown?.baseMs), cap_ms: wholeMs(cooldown?.capMs), max_retry_after_ms: wholeMs(cooldown?.maxRetryAfterMs) },
    pacing,
    hedging: hedging ? { min_delay_ms: wholeMs(hedging.minDelayMs), min_calls: hedging.minCalls } : null,
  });
}

/** Returns what a router is made of. */
function routerOf(options) {
  checkOptions(options);
  const settings = settingsOf(options);
  const clients = options.targets.map(({ client }) => handleOf(client));
  let byName;
  const make = () => {
    const core = new glue.RouterCore(settings, clients.map((client) => client.start().share()));
    // The core knows the names of the targets that have none of their own.
    byName = new Map(targetsOf(core).map(({ name }, i) => [name, clients[i].options]));
    return core;
  };
  const dangerouslyAllowBrowser = clients.every(({ options }) => options.dangerouslyAllowBrowser);
  return { what: "router", names: Object.keys(OPTIONS), options: { ...options, dangerouslyAllowBrowser }, make, clientOf: (target) => byName.get(target) };
}

const targetsOf = (core) => JSON.parse(core.stats()).targets;

/** Several clients behind the calls of one. */
export class Router extends Caller {
  constructor(options) {
    super(options, routerOf);
  }

  /** Returns the names of models that requests can ask for. */
  async models() {
    const handle = handleOf(this);
    handle.checkOpen();
    await ready();
    return JSON.parse(handle.start().models());
  }

  /** Returns a router with the same targets that also enforces this budget. */
  withBudget(budget) {
    const [name, usd] = budgetOf(budget);
    const handle = handleOf(this);
    // Without a ledger of its own, a client shares one only with the clients that are derived from it.
    const ledgers = handle.options.targets.map(({ client }) => handleOf(client).options.budget?.ledger ?? handleOf(client).calls);
    if (new Set(ledgers).size > 1) {
      fail("the budget cannot count the calls of all targets, because their clients have different ledgers: give them the same one, budget: { usd, ledger }");
    }
    return new Router(handle.derived((core) => core.withBudget(name, usd)));
  }

  /** Returns the state of the targets. */
  stats() {
    const { core } = handleOf(this);
    const targets = core ? targetsOf(core) : [];
    return {
      targets: targets.map((target) => ({
        name: target.name,
        state: target.state,
        readyInMs: target.ready_in_ms,
        inFlight: target.in_flight,
        calls: target.calls,
        failures: target.failures,
        movedAway: target.moved_away,
        p95FirstContentMs: target.p95_first_content_ms,
      })),
    };
  }
}
