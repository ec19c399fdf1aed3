// What the examples of the documentation take as given. `given.mjs` has the values.
import type { Message, Router, Warmline as Client } from "warmline";
import type { BudgetLedger } from "warmline/durable-object";

declare global {
  const llm: Client;
  const router: Router;
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
    BUDGETS: DurableObjectNamespace<BudgetLedger>;
  }
  /** What Cloudflare's types require of a Durable Object's class, and what they make of its methods. */
  interface DurableObjectNamespace<T extends { readonly __DURABLE_OBJECT_BRAND: never }> {
    idFromName(name: string): unknown;
    get(id: unknown): {
      [K in "reserve" | "settle" | "state"]: K extends keyof T ? (T[K] extends (...given: infer P) => infer R ? (...given: P) => Promise<R> : never) : never;
    };
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
