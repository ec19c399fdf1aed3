// A process that spends until its budget is spent: `node spender.js SIM MODEL USD TASKS`, over the Redis of its environment.
import { BudgetExceededError, Warmline } from "warmline";
import { RedisLedger } from "warmline/redis";

const [sim, model, usd, tasks] = process.argv.slice(2);
const ledger = new RedisLedger({ url: process.env.UPSTASH_REDIS_REST_URL, token: process.env.UPSTASH_REDIS_REST_TOKEN });
const prices = { [model]: { input: "3", output: "15" } };
const llm = new Warmline({ provider: "anthropic", apiKey: "sk-ant-secret-0001", baseUrl: sim, prices, budget: { usd, ledger } });
async function task() {
  // A call waits for what others have reserved. At the end, the budget is spent, or reserved by a process that was killed.
  for (;;) {
    try {
      await llm.stream({ model, maxTokens: 10, messages: [{ role: "user", content: "Hello" }] }, { poolTimeoutMs: 1000 }).reply();
    } catch (error) {
      if (error instanceof BudgetExceededError) return;
      throw error;
    }
  }
}
await Promise.all(Array.from({ length: Number(tasks) }, task));
await llm.flush();
