/** LLM API calls from any edge runtime, server or browser. */

/** A validator as https://standardschema.dev describes it: zod, valibot, arktype and others. */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly unknown[] } | Promise<unknown>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** A JSON schema, as a plain object. */
export type JsonSchema = { readonly [key: string]: unknown } & { readonly "~standard"?: never };

/** What a schema says: a JSON schema, a validator that gives its own JSON schema, or one with the schema beside it. */
export type Schema<Output = unknown> =
  | JsonSchema
  | StandardSchema<Output>
  | { readonly jsonSchema: JsonSchema; readonly validator?: StandardSchema<Output>; readonly name?: string };

/** The type that a schema's validator gives out; `unknown` for a plain JSON schema. */
export type InferOutput<S> = S extends { readonly "~standard": { readonly types?: infer T } }
  ? NonNullable<T> extends { readonly output: infer O }
    ? O
    : unknown
  : S extends { readonly validator: infer V }
    ? InferOutput<V>
    : unknown;

/** How a client is set up. */
export interface WarmlineOptions {
  /** Whose dialect is spoken. Servers that speak like OpenAI are reached with `"openai"` and their `baseUrl`. */
  provider: "anthropic" | "openai";
  /** The key; not needed with a `baseUrl` of a server that wants none. */
  apiKey?: string | undefined;
  /** The model of requests that name none. */
  model?: string | undefined;
  /** Another server of that dialect. As for the official SDKs, OpenAI's ends in `/v1`. */
  baseUrl?: string | undefined;
  /** Extra attempts after the first. Default: 3. */
  maxRetries?: number | undefined;
  /** The bound of each wait, for the head of the response and for the next content, in milliseconds. Default: 30,000. */
  timeoutMs?: number | undefined;
  /** The bound of a whole call with its retries, in milliseconds. Default: none. */
  deadlineMs?: number | undefined;
  /** Headers to add to every request. */
  headers?: Record<string, string> | undefined;
  /** Called in place of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /**
   * The most that may be spent in a calendar month (UTC), on calls of this client and of all that share its ledger. However many
   * run at once it is not overspent: each puts aside the most that it can cost before it is sent.
   */
  budget?: BudgetOptions | undefined;
  /** Prices of models that the table does not have, or has wrong, in dollars per million tokens. */
  prices?: Record<string, Price> | undefined;
  /** Allows a key in a page, where every visitor can read it. */
  dangerouslyAllowBrowser?: boolean | undefined;
}

export interface Budget {
  /** Its name in the ledger; "default" where it has none. */
  name?: string | undefined;
  /** Dollars, as exact text or a number. */
  usd: string | number;
}

export interface BudgetOptions extends Budget {
  /** Where its books are kept: in this client's memory where none is given. See `warmline/redis` and `warmline/durable-object`. */
  ledger?: Ledger | undefined;
  /** The shares in percent at whose passing `onAlert` is called, each once a month: 50, 80 and 100 at first. */
  alerts?: number[] | undefined;
  onAlert?: ((alert: BudgetAlert) => void) | undefined;
  /**
   * Lets calls go ahead while the ledger cannot be reached, rather than fail. What they cost is owed, and told once it can be;
   * until then the budget can be overspent.
   */
  failOpen?: boolean | undefined;
}

/** A budget has passed one of its thresholds. Amounts are dollars as exact decimals. */
export interface BudgetAlert {
  budget: string;
  percent: number;
  spent: string;
  limit: string;
  /** What to change. */
  hint: string;
}

/** Where budgets' books are kept. Amounts are whole pico-dollars (10⁻¹² of a dollar). */
export interface Ledger {
  /**
   * Puts an amount aside in each of the budgets, or in none, and then says which has not enough left. Asked again with an `id`
   * that it has, it puts nothing more aside.
   */
  reserve(id: string, budgets: { name: string; limit: bigint }[], amount: bigint): Promise<BudgetExceeded | null | undefined | void>;
  /**
   * Puts what a call came to in place of what was put aside for it, and gives what is then spent of each of its budgets this
   * month; nothing where it does not have the `id`.
   */
  settle(id: string, amount: bigint): Promise<bigint[]>;
  state(budget: string): Promise<{ spent: bigint; reserved: bigint }>;
}

export interface BudgetExceeded {
  budget: string;
  spent: bigint;
  reserved: bigint;
}

/** Dollars per million tokens; caches cost what input does where they are left out. */
export interface Price {
  input: string | number;
  output: string | number;
  cacheRead?: string | number | undefined;
  cacheWrite?: string | number | undefined;
}

/** What was spent in a calendar month (UTC). Amounts are dollars as exact decimals. */
export interface Spend {
  /** As `"2026-11"`. */
  month: string;
  total: string;
  models: {
    provider: "anthropic" | "openai";
    /** As it was asked for. The first 1,000 models of a month have a row of their own; the others share one named `other`. */
    model: string;
    /** Attempts, those that failed included. */
    calls: number;
    failures: number;
    usage: Usage;
    cost: string;
    /** Some of `cost` is estimated. */
    estimated: boolean;
  }[];
  /** Each budget, with what others who share its ledger have spent. */
  budgets: { name: string; limit: string; spent: string; reserved: string }[];
  /** What the ledger could not be told yet, and so is not in `budgets`. */
  unsettled: string;
}

/** How long a provider keeps a prompt prefix up to a mark (Anthropic). */
export type CacheTtl = "5m" | "1h";

/** Bytes, an address, or base64 in a `data:` URL. */
export type Media = Uint8Array | ArrayBuffer | Blob | URL | string;

export interface TextPart {
  type: "text";
  text: string;
  cacheControl?: CacheTtl | undefined;
}

export interface ImagePart {
  type: "image";
  image: Media;
  /** Found from the first bytes where it is unset. */
  mediaType?: string | undefined;
  cacheControl?: CacheTtl | undefined;
}

export interface DocumentPart {
  type: "document";
  document: Media;
  /** `"text/plain"` says that a string is the text itself. */
  mediaType?: string | undefined;
  title?: string | undefined;
  cacheControl?: CacheTtl | undefined;
}

export interface ToolUsePart {
  type: "tool_use";
  id: string;
  name: string;
  /** What the model wrote means this; its text where it is not JSON. */
  arguments: unknown;
  /** What the model wrote. */
  argumentsText?: string | undefined;
}

export interface ToolResultPart {
  type: "tool_result";
  toolUseId: string;
  content: string | readonly (TextPart | ImagePart)[];
  isError?: boolean | undefined;
  cacheControl?: CacheTtl | undefined;
}

/** What the model thought. Send it back unchanged. */
export interface ReasoningPart {
  type: "reasoning";
  text: string;
  signature?: string | undefined;
}

export interface RedactedReasoningPart {
  type: "redacted_reasoning";
  data: string;
}

export type Part =
  | TextPart
  | ImagePart
  | DocumentPart
  | ToolUsePart
  | ToolResultPart
  | ReasoningPart
  | RedactedReasoningPart;

/** One turn of a conversation. */
export interface Message {
  role: "user" | "assistant";
  content: string | readonly Part[];
}

/** A tool that the model may ask for. */
export interface Tool<Name extends string = string, Input extends Schema = Schema> {
  name: Name;
  description?: string | undefined;
  /** What its arguments must be. */
  input: Input;
  strict?: boolean | undefined;
  cacheControl?: CacheTtl | undefined;
}

/** What is asked of a model. Only the fields that are set are sent. */
export interface ChatRequest<Output extends Schema = Schema, Tools extends readonly Tool[] = readonly Tool[]> {
  messages: readonly Message[];
  model?: string | undefined;
  system?: string | readonly TextPart[] | undefined;
  maxTokens?: number | undefined;
  temperature?: number | undefined;
  topP?: number | undefined;
  stopSequences?: readonly string[] | undefined;
  tools?: Tools | undefined;
  toolChoice?: "auto" | "any" | "none" | { tool: string } | undefined;
  parallelToolCalls?: boolean | undefined;
  /** The shape that the reply's text must have; `reply.output` is then the value, validated. */
  output?: Output | undefined;
  reasoning?:
    | {
        effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | undefined;
        budgetTokens?: number | undefined;
      }
    | undefined;
  /** Fields of the provider's own, added to the body as they are. */
  extraBody?: Record<string, unknown> | undefined;
  /** Keep the bytes of a streamed reply for `reply.raw`. */
  keepRaw?: boolean | undefined;
}

export interface CallOptions {
  /** Aborting it cancels the call and frees its connection. */
  signal?: AbortSignal | undefined;
}

/** Why a model stopped, in Anthropic's words; another provider's own word where there is none. */
export type StopReason =
  | "end_turn"
  | "max_tokens"
  | "stop_sequence"
  | "tool_use"
  | "pause_turn"
  | "refusal"
  | (string & {});

/** Tokens, in the provider's own counts. */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  cacheWrite1hTokens: number;
  reasoningTokens: number;
  /** `inputTokens` holds the cached ones too (OpenAI), rather than standing beside them (Anthropic). */
  inputIncludesCache: boolean;
}

/** A model's wish to have one of the tools run. */
export type ToolCall<Tools extends readonly Tool[] = readonly Tool[]> = {
  [K in keyof Tools]: Tools[K] extends Tool<infer Name, infer Input>
    ? ToolUsePart & { name: Name; arguments: InferOutput<Input>; argumentsText: string }
    : never;
}[number];

/** What came back. */
export interface Reply<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  id: string;
  model: string;
  provider: "anthropic" | "openai";
  content: Part[];
  /** The text parts, put together. */
  text: string;
  /** What the model thought, put together. */
  reasoning: string;
  /** The arguments are as the model wrote them: check them before use. */
  toolCalls: ToolCall<Tools>[];
  stopReason: StopReason | undefined;
  stopSequence: string | undefined;
  usage: Usage;
  usageReported: boolean;
  requestId: string | undefined;
  /** What it cost, in dollars as an exact decimal; estimated where the model's price or the usage is not known. */
  cost: { usd: string; estimated: boolean } | undefined;
  attempts: number;
  timing: { timeToFirstTokenMs: number; totalMs: number };
  /** The provider's body as it came. */
  raw: string | undefined;
  /** The reply as the turn that the next request carries. */
  message: { role: "assistant"; content: Part[] };
  /** The value that the request's `output` describes; unset where the model asked for tools instead. */
  output: Output;
}

/** One piece of a streamed reply. */
export type StreamEvent<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> =
  | { type: "start"; id: string; model: string }
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_call_start"; index: number; id: string; name: string }
  | { type: "tool_call_delta"; index: number; arguments: string }
  | { type: "tool_call"; index: number; id: string; name: string; arguments: unknown; argumentsText: string }
  | { type: "done"; reply: Reply<Output, Tools> };

/** A reply being streamed: events to iterate over, once. Leaving the loop cancels the call. */
export interface ReplyStream<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]>
  extends AsyncIterable<StreamEvent<Output, Tools>> {
  /** The whole reply, once it is there. */
  reply(): Promise<Reply<Output, Tools>>;
  /** The text alone, as bytes. */
  textStream(): ReadableStream<Uint8Array>;
  /** For an edge function to return: each event as a server-sent event, or with `format: "text"` the text alone. */
  toResponse(options?: {
    format?: "events" | "text";
    status?: number;
    headers?: ConstructorParameters<typeof Headers>[0];
  }): Response;
}

/** What is in flight. The connections themselves are the runtime's. */
export interface PoolStats {
  active: number;
  peak: number;
}

/**
 * A client of one provider.
 *
 * In Workers, make it inside the request that uses it.
 *
 * ```ts
 * const llm = new Warmline({ provider: "anthropic", apiKey: env.ANTHROPIC_API_KEY });
 * const { text } = await llm.chat("Why is the sky blue?");
 * ```
 */
export class Warmline {
  /** @throws {ConfigError} naming the option that is wrong. */
  constructor(options: WarmlineOptions);
  /** Asks, and gives the whole reply. */
  chat<const Output extends Schema = never, const Tools extends readonly Tool[] = readonly Tool[]>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): Promise<Reply<[Output] extends [never] ? undefined : InferOutput<Output>, Tools>>;
  /** Asks, and gives the reply out piece by piece. Nothing is sent until it is first read. */
  stream<const Output extends Schema = never, const Tools extends readonly Tool[] = readonly Tool[]>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): ReplyStream<[Output] extends [never] ? undefined : InferOutput<Output>, Tools>;
  /** What is in flight. */
  stats(): PoolStats;
  /** What was spent this month (UTC). */
  spend(): Promise<Spend>;
  /**
   * Waits until every call has ended and the ledger knows what it cost. In an edge function `ctx.waitUntil(llm.flush())` lets that
   * happen after the response.
   */
  flush(): Promise<void>;
  /** The same client, its calls held to one more budget, which is kept in the same ledger: one per customer, say. */
  withBudget(budget: Budget): Warmline;
  /** Frees what the client holds; calls after it fail. */
  close(): void;
}

export type ErrorKind =
  | "config"
  | "connect"
  | "timeout"
  | "status"
  | "rate_limited"
  | "overloaded"
  | "budget_exceeded"
  | "decode"
  | "stream"
  | "cancelled";

/** Why a call failed. */
export class WarmlineError extends Error {
  readonly kind: ErrorKind;
  /** The HTTP status, where the provider answered with one. */
  readonly status: number | undefined;
  /** The provider's error code, else its type. */
  readonly code: string | undefined;
  readonly errorType: string | undefined;
  /** The provider's id of the last attempt; quote it to the provider's support. */
  readonly requestId: string | undefined;
  /** How long the provider asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** How many requests were sent. */
  readonly attempts: number;
  /** The provider's error body. */
  readonly body: string | undefined;
}
/** The client or the request is set up wrongly; nothing was sent. */
export class ConfigError extends WarmlineError {
  readonly kind: "config";
}
/** No connection could be made, or it broke before a reply. */
export class ConnectError extends WarmlineError {
  readonly kind: "connect";
}
/** One of the waits took longer than allowed. */
export class TimeoutError extends WarmlineError {
  readonly kind: "timeout";
  readonly which: "response_headers" | "read" | "deadline";
}
/** The provider answered with an error status. */
export class StatusError extends WarmlineError {
  readonly kind: "status";
  readonly status: number;
}
/** The provider answered 429. */
export class RateLimitError extends WarmlineError {
  readonly kind: "rate_limited";
}
/** The provider is overloaded. */
export class OverloadedError extends WarmlineError {
  readonly kind: "overloaded";
}
/** The budget has not enough left for what the call can cost; nothing was sent. Amounts are dollars as exact decimals. */
export class BudgetExceededError extends WarmlineError {
  readonly kind: "budget_exceeded";
  readonly limit: string;
  readonly spent: string;
  readonly reserved: string;
  /** What the call can cost at most. */
  readonly needed: string;
}
/** The reply is not what the provider's dialect, or the request's `output`, says. */
export class DecodeError extends WarmlineError {
  readonly kind: "decode";
}
/** A streamed reply broke off, or reported an error. */
export class StreamError extends WarmlineError {
  readonly kind: "stream";
}
/** The caller cancelled the call; `cause` is the signal's reason. */
export class CancelledError extends WarmlineError {
  readonly kind: "cancelled";
}
