import { DurableObject } from "cloudflare:workers";
import type { BudgetExceeded, LedgerBudget, LedgerState } from "./index.js";

/**
 * A ledger in a Durable Object, for Workers. All Workers that use the object of the same name share its budgets:
 *
 * ```ts workerd
 * import { Warmline } from "warmline";
 * export { BudgetLedger } from "warmline/durable-object";
 *
 * export default {
 *   async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
 *     const ledger = env.BUDGETS.get(env.BUDGETS.idFromName("company"));
 *     const llm = new Warmline({ provider: "openai", apiKey: env.OPENAI_API_KEY, budget: { usd: "50", ledger } });
 *     const response = llm.stream(await request.text()).toResponse();
 *     ctx.waitUntil(llm.flush());
 *     return response;
 *   },
 * };
 * ```
 *
 * wrangler's configuration needs a `durable_objects` binding `BUDGETS` to the class `BudgetLedger`, and a migration that lists the class in
 * `new_sqlite_classes`.
 */
export declare class BudgetLedger extends DurableObject {
  /** See `Ledger.reserve`. A reservation that is not settled within an hour counts as spent. */
  reserve(id: string, budgets: LedgerBudget[], amount: bigint): BudgetExceeded | undefined;
  /** See `Ledger.settle`. */
  settle(id: string, amount: bigint): bigint[];
  /** See `Ledger.state`. */
  state(budget: string): LedgerState;
}
