// What the examples of the documentation take as given. `given.mjs` has the values.
import type { Message, Warmline as Client } from "warmline";

declare global {
  const llm: Client;
  const messages: Message[];
  const env: Env;
  const ctx: ExecutionContext;
  const apiKey: string;
  const customerId: string;
  function save(text: string): Promise<void>;
  function show(value: unknown): void;
  function forecast(city: string): Promise<string>;
  function credential(): Promise<string>;

  /** As `wrangler types` writes it. */
  interface Env {
    ANTHROPIC_API_KEY: string;
    OPENAI_API_KEY: string;
    GROQ_API_KEY: string;
    UPSTASH_REDIS_REST_URL: string;
    UPSTASH_REDIS_REST_TOKEN: string;
    BUDGETS: { get(id: unknown): import("warmline").Ledger; idFromName(name: string): unknown };
  }
  interface ExecutionContext {
    waitUntil(promise: Promise<unknown>): void;
  }
  const Deno: {
    env: { get(name: string): string | undefined };
    serve(handler: (request: Request) => Response | Promise<Response>): unknown;
  };
  const Bun: { serve(options: { fetch(request: Request): Response | Promise<Response> }): { url: URL } };
}
