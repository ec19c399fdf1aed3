// What a program names, from every entry. It is checked by each module resolution.
import { type Reply, Warmline, WarmlineError } from "warmline";
import { Warmline as Inline } from "warmline/inline";
import { init } from "warmline/manual";
import { RedisLedger } from "warmline/redis";
import { scriptedFetch } from "warmline/testing";

export async function call(): Promise<Reply> {
  await init(new Uint8Array(8));
  const ledger = new RedisLedger({ url: "https://redis.example", token: "t" });
  const llm: Inline = new Warmline({ provider: "openai", apiKey: "k", fetch: scriptedFetch(["Hello"]), budget: { usd: 1, ledger } });
  try {
    return await llm.chat("Hello");
  } catch (error) {
    if (error instanceof WarmlineError) console.error(error.kind);
    throw error;
  }
}
