import type { BudgetExceeded, Ledger, LedgerBudget, LedgerState } from "./index.js";

/** The options of a `RedisLedger`. */
export interface RedisLedgerOptions {
  /** The URL of the REST API, such as `https://example.upstash.io`. */
  url: string;
  /** The token of the REST API. */
  token: string;
  /** The name of the ledger, which separates it from others in the same database. Default: `"warmline"`. */
  name?: string | undefined;
  /** A function to call instead of the global `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** The timeout of each request, in milliseconds. Default: 5,000. */
  timeoutMs?: number | undefined;
}

/**
 * A ledger in Redis over HTTP, by the REST API that Upstash documents. Servers that use the Rust crate's `RedisLedger` on the
 * same database share its budgets.
 *
 * ```ts
 * const ledger = new RedisLedger({ url: env.UPSTASH_REDIS_REST_URL, token: env.UPSTASH_REDIS_REST_TOKEN });
 * const llm = new Warmline({ provider: "openai", apiKey, budget: { usd: "50", ledger } });
 * ```
 */
export declare class RedisLedger implements Ledger {
  /**
   * Creates a ledger. Nothing is sent.
   *
   * @throws {ConfigError} if an option is invalid.
   */
  constructor(options: RedisLedgerOptions);
  /** See `Ledger.reserve`. Rejects if Redis cannot be reached or refuses the command. */
  reserve(id: string, budgets: LedgerBudget[], amount: bigint): Promise<BudgetExceeded | undefined>;
  /** See `Ledger.settle`. Rejects if Redis cannot be reached or refuses the command. */
  settle(id: string, amount: bigint): Promise<bigint[]>;
  /** See `Ledger.state`. Rejects if Redis cannot be reached or refuses the command. */
  state(budget: string): Promise<LedgerState>;
}
