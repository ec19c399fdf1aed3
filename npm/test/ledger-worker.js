// A Worker whose requests share a budget in a Durable Object.
import { Warmline } from "warmline";
import { BudgetLedger as Ledger } from "warmline/durable-object";

/** Also counts the rows that it reads. */
export class BudgetLedger extends Ledger {
  #cursors = [];

  constructor(ctx, env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    const exec = sql.exec.bind(sql);
    sql.exec = (...words) => {
      const cursor = exec(...words);
      this.#cursors.push(cursor);
      return cursor;
    };
  }

  /** How many rows were read since this was last asked. */
  rowsRead() {
    return this.#cursors.splice(0).reduce((sum, cursor) => sum + cursor.rowsRead, 0);
  }
}

export default {
  async fetch(request, env, ctx) {
    const { ledger: name, method, words, usd, sim, model } = await request.json();
    const ledger = env.BUDGETS.get(env.BUDGETS.idFromName(name));
    // One of its methods, for the suite that every ledger must pass: bigints travel as text.
    if (method) {
      const revive = (key, value) => (typeof value === "string" && /^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value);
      const result = await ledger[method](...JSON.parse(words, revive));
      return new Response(JSON.stringify(result ?? null, (key, value) => (typeof value === "bigint" ? `${value}n` : value)));
    }
    const llm = new Warmline({ provider: "anthropic", apiKey: "sk-ant-secret-0001", baseUrl: sim, timeoutMs: 60_000, poolTimeoutMs: 1_000, budget: { usd, ledger } });
    try {
      const reply = await llm.chat({ model, maxTokens: 10, messages: [{ role: "user", content: "Hi" }] });
      return Response.json({ cost: reply.cost.usd });
    } catch ({ kind, message, needed, spent, reserved }) {
      return Response.json({ error: { kind, message, needed, spent, reserved } });
    } finally {
      ctx.waitUntil(llm.flush());
    }
  },
};
