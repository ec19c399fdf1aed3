import type { Ledger, BudgetExceeded } from "./index.js";

/**
 * Budgets' books in a Redis that is reached over HTTP: the REST protocol that Upstash documents. Servers that use the Rust
 * crate's `RedisLedger` on the same database share them.
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
    /** Apart from the books of others in the same database; "warmline" where it is left out. */
    name?: string | undefined;
    fetch?: typeof globalThis.fetch | undefined;
    /** How long an answer is waited for: 5,000 where it is left out. */
    timeoutMs?: number | undefined;
  });
  reserve(id: string, budgets: { name: string; limit: bigint }[], amount: bigint): Promise<BudgetExceeded | undefined>;
  settle(id: string, amount: bigint): Promise<bigint[]>;
  state(budget: string): Promise<{ spent: bigint; reserved: bigint }>;
}
