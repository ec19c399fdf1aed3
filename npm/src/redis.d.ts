import type { Ledger, BudgetExceeded } from "./index.js";

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
  constructor(options: {
    url: string;
    token: string;
    /** The name of the ledger, which separates it from others in the same database. Default: "warmline". */
    name?: string | undefined;
    fetch?: typeof globalThis.fetch | undefined;
    /** The timeout of each request, in milliseconds. Default: 5,000. */
    timeoutMs?: number | undefined;
  });
  reserve(id: string, budgets: { name: string; limit: bigint }[], amount: bigint): Promise<BudgetExceeded | undefined>;
  settle(id: string, amount: bigint): Promise<bigint[]>;
  state(budget: string): Promise<{ spent: bigint; reserved: bigint }>;
}
