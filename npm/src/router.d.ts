import { Caller } from "./caller.js";
import type { Budget } from "./budget.js";
import type { ErrorKind, Warmline } from "./index.js";
import type { Hooks } from "./hooks.js";

/** The options of a router. Its hooks are told about all its calls, those of a target's client about the calls that the client makes an attempt of. */
export interface RouterOptions extends Hooks {
  /** The targets, at least one. */
  targets: readonly Target[];
  /**
   * How a target is chosen among those of the same priority:
   * - `"sticky"`: a conversation stays on its target, whose prompt cache has it. Conversations are spread according to the weights.
   * - `"least_busy"`: each call goes to the target with the fewest calls in flight for its weight.
   * - `"weighted"`: each call goes to a random target, according to the weights.
   *
   * Default: `"sticky"`.
   */
  balancing?: "sticky" | "least_busy" | "weighted" | undefined;
  /**
   * How often a call waits and tries again after all its targets have failed. Moving to another target is no retry. The clients' own `maxRetries` do not
   * apply. Default: 3.
   */
  maxRetries?: number | undefined;
  /** What the failures of a target mean. These entries are added to the defaults, which `docs/routing.md` lists. */
  rules?: RoutingRules | undefined;
  /** For how long a failing target is not called. `false`: targets do not cool down. Default: true, with the defaults of `CooldownOptions`. */
  cooldown?: CooldownOptions | boolean | undefined;
  /**
   * Whether calls are delayed, by at most a minute, so that they do not exceed the rate limits that the providers report. Browsers show these only if
   * the provider allows it. Default: true.
   */
  pacing?: boolean | undefined;
  /**
   * Makes a call at a second target too if its first one is slower than usual. Whichever has content first is the call's; the other is cancelled, and charged as
   * a stream that was cut. Default: false.
   */
  hedging?: HedgingOptions | boolean | undefined;
}

/** A target of a router: a client, and the models that it serves. */
export interface Target {
  /** The client. Its options apply to the calls that it makes, apart from `maxRetries`. */
  client: Warmline;
  /** The name, which attempts and `stats()` have, and which selects the target in a model's name, as in `"eu/gpt-4.1"`. Default: the client's provider. */
  name?: string | undefined;
  /** The share of the calls, relative to the targets of the same priority, from 1 to 1,000,000. Default: 1. */
  weight?: number | undefined;
  /** The priority. Targets with a higher number are called only while none with a lower one can be. Default: 0. */
  priority?: number | undefined;
  /**
   * The names under which requests ask for a model, each with the target's own name of it. Targets that list the same name serve it together. Default: none,
   * so that the target serves the models of its provider.
   */
  models?: Readonly<Record<string, string>> | undefined;
}

/**
 * What a failure of a target means, if it has no content yet:
 * - `"answer"`: it is the call's, and no other target is called.
 * - `"move_on"`: another target is called. The failing one cools down after its third failure in a row.
 * - `"cool_down"`: another target is called, and the failing one cools down at once.
 */
export type RoutingAction = "answer" | "move_on" | "cool_down";

/** What failures of a target mean. An entry in `codes` has precedence over one in `statuses`, and that over one in `kinds`. */
export interface RoutingRules {
  /** By the provider's error code or type, such as `model_not_found`. */
  codes?: Readonly<Record<string, RoutingAction>> | undefined;
  /** By the HTTP status. */
  statuses?: Readonly<Record<number, RoutingAction>> | undefined;
  /** By the kind of the error. */
  kinds?: { readonly [K in ErrorKind]?: RoutingAction | undefined } | undefined;
}

/** For how long a failing target is not called. After that, one call probes it; when that has content, the others follow. */
export interface CooldownOptions {
  /** The first time if the provider asks for none, in milliseconds. It doubles with each failed probe. Default: 1,000. */
  baseMs?: number | undefined;
  /** The maximum of these times, in milliseconds. Default: 10,000. */
  capMs?: number | undefined;
  /** The maximum time for which a target cools down because its provider asks for it (`retry-after`), in milliseconds. Default: 300,000. */
  maxRetryAfterMs?: number | undefined;
}

/** When a call is made at a second target too: after a time that 95 of 100 of the first target's last calls did not need. */
export interface HedgingOptions {
  /** The minimum time before the second attempt, in milliseconds. Default: 500. */
  minDelayMs?: number | undefined;
  /** How many calls a target must have answered before its times are known, at most 64. Default: 20. */
  minCalls?: number | undefined;
}

/** The state of a router's targets. */
export interface RouterStats {
  /** The targets, in the order in which the router was given them. Empty until the WebAssembly module is loaded. */
  targets: TargetStats[];
}

/** The state of a target. */
export interface TargetStats {
  /** The name. */
  name: string;
  /** Whether it is called: `"ready"`, `"cooling"` after a failure, or `"probing"`, when one call decides whether it is ready. */
  state: "ready" | "cooling" | "probing";
  /** The time until it is probed, in milliseconds, if it is cooling down. */
  readyInMs: number | undefined;
  /** The number of attempts that have begun and not ended. */
  inFlight: number;
  /** The number of attempts so far. */
  calls: number;
  /** The number of attempts that failed in such a way that another target was to be tried. */
  failures: number;
  /** The number of calls that then went on at another target. */
  movedAway: number;
  /** The time to the first content, in milliseconds, that 95 of 100 of the last streams did not exceed. Undefined before the first. */
  p95FirstContentMs: number | undefined;
}

/**
 * Several clients behind the calls of one. A call goes to one of the targets that serve its model. Before its first content, it moves on from a target that
 * fails to the next. A failing target cools down. Conversations stay on their target as long as that is possible, because prompt caches belong to an account.
 *
 * ```ts
 * const router = new Router({
 *   targets: [
 *     { client: new Warmline({ provider: "openai", apiKey: env.OPENAI_API_KEY }), models: { fast: "gpt-4.1-mini" } },
 *     { client: new Warmline({ provider: "groq", apiKey: env.GROQ_API_KEY }), models: { fast: "llama-3.3-70b-versatile" }, priority: 1 },
 *   ],
 * });
 * const reply = await router.chat({ model: "fast", messages });
 * console.log(reply.text, reply.attempts.at(-1)?.target);
 * ```
 *
 * A budget is that of a client: the calls that the client makes count, whoever asked for them.
 */
export class Router extends Caller {
  /**
   * Creates a router. Nothing is sent.
   *
   * @throws {ConfigError} if an option is invalid. The message names the option and what would be accepted.
   */
  constructor(options: RouterOptions);
  /**
   * Returns the names of models that requests can ask for: those that the targets list, and the default models of their clients. Nothing is sent.
   *
   * ```ts
   * console.log(await router.models()); // ["fast", "gpt-4.1"]
   * ```
   */
  models(): Promise<string[]>;
  /**
   * Returns a router that shares the targets and their state with this one and also enforces a budget. Use it for a budget per customer, for example. The
   * budget is kept in the ledger of the targets' clients.
   *
   * ```ts
   * const customer = router.withBudget({ name: "customer:42", usd: "1" });
   * ```
   *
   * @throws {ConfigError} if the clients do not share a ledger, because the budget could then be exceeded. Give them the same object as `budget.ledger`.
   */
  withBudget(budget: Budget): Router;
  /** Returns the state of the targets. */
  stats(): RouterStats;
}
