import { RedisLedger } from "warmline/redis";
import { scriptedFetch } from "warmline/testing";
// Checked by `tsc --strict`: what must compile, and what must not.
import { type StreamEvent, RateLimitError, type Reply, Router, TimeoutError, Warmline, WarmlineError } from "warmline";
import { init } from "warmline/manual";
import { z } from "zod";
import * as v from "valibot";
import { type } from "arktype";

const llm = new Warmline({ provider: "anthropic", apiKey: "k", model: "m", maxRetries: 3, timeoutMs: 30_000 });
const messages = [{ role: "user", content: "Hello" }] as const;
new Warmline({ provider: "openai", dialect: "openai-responses", apiKey: "k" });
// @ts-expect-error: there is no such dialect
new Warmline({ provider: "openai", dialect: "openai-respond", apiKey: "k" });

export async function compiles(signal: AbortSignal) {
  const plain: Reply = await llm.chat({ messages, maxTokens: 256 }, { signal });
  const text: string = (await llm.chat("Hello")).text;
  const nothing: undefined = plain.output;

  for await (const event of llm.stream({ messages })) {
    if (event.type === "text") event.text.toUpperCase();
    else if (event.type === "tool_call") event.argumentsText.length;
    else if (event.type === "done") event.reply.usage.outputTokens.toFixed();
  }
  const response: Response = await llm.stream("Hello").toResponse({ format: "text", headers: { "x-a": "b" }, errorMessage: ({ kind }) => kind });

  const zod = await llm.chat({ messages, output: z.object({ city: z.string(), people: z.number() }) });
  const city: string = zod.output.city;
  const arktype = await llm.chat({ messages, output: type({ city: "string" }) });
  const same: string = arktype.output.city;
  const valibot = await llm.stream({ messages, output: { validator: v.object({ city: v.string() }), jsonSchema: {} } }).reply();
  const again: string = valibot.output.city;
  const json = await llm.chat({ messages, output: { type: "object" } });
  const unknown: unknown = json.output;

  const tools = await llm.chat({
    messages,
    tools: [
      { name: "weather", description: "The weather.", input: z.object({ city: z.string() }) },
      { name: "now", input: { type: "object" } },
    ],
  });
  for (const call of tools.toolCalls) {
    if (call.name === "weather") call.arguments.city.toUpperCase();
    // @ts-expect-error no such tool
    if (call.name === "wether") call;
  }
  for (const { id, error } of tools.invalidToolCalls) [id, error.message].join(" ");
  const weather = { name: "weather", input: z.object({ city: z.string() }) } as const;
  for await (const event of llm.stream({ messages, tools: [weather], output: z.object({ a: z.number() }) })) {
    if (event.type === "tool_call") event.arguments.city.toUpperCase();
    // @ts-expect-error the arguments have not this property
    if (event.type === "tool_call") event.arguments.town;
    if (event.type === "invalid_tool_call") event.error.message;
    if (event.type === "done") event.reply.output?.a.toFixed();
    // @ts-expect-error the model may have called a tool instead
    if (event.type === "done") event.reply.output.a;
  }
  for await (const partial of llm.stream({ messages, output: z.object({ city: z.object({ name: z.string() }) }) }).partialOutput()) partial.city?.name?.length;
  await llm.chat({
    messages: [
      ...messages,
      plain.message,
      { role: "user", content: [{ type: "image", image: new Uint8Array() }, { type: "tool_result", toolUseId: "1", content: "x" }] },
    ],
  });

  try {
    await llm.chat("Hello");
  } catch (error) {
    if (error instanceof RateLimitError) error.retryAfterMs?.toFixed();
    if (error instanceof TimeoutError && error.which === "reply") error.attempts.length.toFixed();
    if (error instanceof WarmlineError && error.kind === "status") error.status.toFixed();
    // @ts-expect-error this kind has no such property
    if (error instanceof WarmlineError && error.kind === "status") error.which;
    if (error instanceof WarmlineError && error.kind === "budget_exceeded") error.needed.length;
    if (error instanceof WarmlineError && error.name === "AbortError") error.kind satisfies "cancelled";
  }
  await init(fetch("/warmline.wasm"));
  const events: Event[] = [];
  return [text, nothing, response, city, same, again, unknown, events, llm.stats().active];
}

/** A wrapper that is generic in its schema. */
export async function extract<T extends z.ZodType>(schema: T): Promise<z.infer<T>> {
  return (await llm.chat({ messages, output: schema })).output;
}
export const extracted: Promise<{ city: string }> = extract(z.object({ city: z.string() }));

{
  using short = new Warmline({ provider: "openai", apiKey: "k", fetch: scriptedFetch(["Hi", { status: 429 }, new Error("no network")]) });
  short.chat("x", { signal: null, headers: new Headers(), onRetry: ({ attempt, previous }) => [attempt, previous.status], onFinish: ({ reply }) => reply.text });
}

// @ts-expect-error the provider is missing
new Warmline({ apiKey: "k" });
// @ts-expect-error no such provider
new Warmline({ provider: "mistrall", apiKey: "k" });
new Warmline({ provider: "groq", apiKey: "k" });
new Warmline({ provider: "azure", resource: "r", bearerToken: async () => ({ token: "t", expiresInMs: 1 }) });
new Warmline({ provider: "vertex-openai", project: "p", region: "global", bearerToken: () => "t" });
llm.chat("x", { headers: { "x-team": "a" }, baseUrl: "https://host/v1" });
// @ts-expect-error a token is text
new Warmline({ provider: "azure", bearerToken: () => 7 });
// @ts-expect-error no such option
new Warmline({ provider: "openai", apikey: "k" });
// @ts-expect-error messages are missing
llm.chat({ maxTokens: 1 });
// @ts-expect-error no such role
llm.chat({ messages: [{ role: "system", content: "x" }] });
// @ts-expect-error no such field
llm.chat({ messages, max_tokens: 1 });
// @ts-expect-error no such part
llm.chat({ messages: [{ role: "user", content: [{ type: "vidoe" }] }] });
// @ts-expect-error a tool has an input
llm.chat({ messages, tools: [{ name: "x" }] });
// @ts-expect-error a reply without an output schema has no output
llm.chat("x").then((reply) => reply.output.city);
// @ts-expect-error a signal is an AbortSignal
llm.chat("x", { signal: true });

new Warmline({ provider: "openai", apiKey: "k", budget: { usd: "0.5" }, prices: { m: { input: 1, output: "2" } } });
const { total, models, budgets } = await llm.spend();
export const spent: [string, number | undefined, string | undefined] = [total, models[0]?.usage.outputTokens, budgets[0]?.reserved];
llm.chat("x").then(({ cost }): string | undefined => cost?.usd);
// @ts-expect-error a budget is in dollars
new Warmline({ provider: "openai", apiKey: "k", budget: { eur: 5 } });
// @ts-expect-error a price has an output
new Warmline({ provider: "openai", apiKey: "k", prices: { m: { input: 1 } } });
// @ts-expect-error a ledger may have to be asked
llm.spend().total;
new Warmline({ provider: "openai", apiKey: "k", budget: { usd: 1, ledger: new RedisLedger({ url: "https://r", token: "t" }), alerts: [90], onAlert: ({ percent }) => percent } });
// @ts-expect-error a ledger keeps books
new Warmline({ provider: "openai", apiKey: "k", budget: { usd: 1, ledger: {} } });

const router = new Router({
  targets: [{ client: llm, name: "eu", weight: 2, models: { fast: "gpt-4.1-mini" } }, { client: llm.withBudget({ name: "b", usd: 1 }), name: "us", priority: 1 }],
  balancing: "least_busy",
  cooldown: { baseMs: 500 },
  hedging: true,
  pacing: false,
  rules: { statuses: { 401: "cool_down" }, codes: { model_not_found: "move_on" }, kinds: { timeout: "move_on" } },
  onRequest: ({ target }) => target?.length,
});
export const routed: Promise<{ city: string }> = router.chat({ messages, output: z.object({ city: z.string() }) }, { conversation: "a" }).then(({ output }) => output);
export const either: Promise<string | undefined>[] = [llm, router].map((caller) => caller.stream("x", { conversation: "a" }).reply().then(({ attempts }) => attempts[0]?.target));
export const ready: (number | undefined)[] = router.stats().targets.map(({ state, readyInMs, inFlight }) => (state === "cooling" ? readyInMs : inFlight));
export const budgeted: Router = router.withBudget({ name: "customer:42", usd: "1" });
export const names: string[] = await router.models();
// @ts-expect-error a budget is in dollars
router.withBudget({ eur: 5 });
export const errors: [number | undefined, "reply" | "read" | "deadline"] = [new RateLimitError("slow", { status: 429 }).status, new TimeoutError("late", { which: "read" }).which];
// @ts-expect-error a timeout has a name
new TimeoutError("late");
// @ts-expect-error no such property
new RateLimitError("slow", { statusCode: 429 });
// @ts-expect-error the targets are missing
new Router({ pacing: true });
// @ts-expect-error a target has a client
new Router({ targets: [{ name: "eu" }] });
// @ts-expect-error a router is no client
new Router({ targets: [{ client: router }] });
// @ts-expect-error no such action
new Router({ targets: [{ client: llm }], rules: { statuses: { 401: "retry" } } });
// @ts-expect-error no such kind
new Router({ targets: [{ client: llm }], rules: { kinds: { rateLimited: "answer" } } });
