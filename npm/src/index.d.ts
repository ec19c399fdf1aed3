/** An LLM API client for edge functions, servers and browsers. */

import type { Attempt } from "./errors.js";
import type { AccessToken, Provider } from "./provider.js";
import type { InferOutput, JsonSchema, Schema, StandardSchema } from "./schema.js";

export { BudgetExceededError, CancelledError, ConfigError, ConnectError, DecodeError, LedgerError, OverloadedError, RateLimitError, StatusError, StreamError, TimeoutError, WarmlineError } from "./errors.js";
export type { Attempt, ErrorKind } from "./errors.js";
export type { AccessToken, InferOutput, JsonSchema, Provider, Schema, StandardSchema };

/** The options of a client. */
export interface WarmlineOptions {
  /** The provider. */
  provider: Provider;
  /** The provider's API key. Not needed if `baseUrl` names a server that requires none. */
  apiKey?: string | undefined;
  /**
   * A token to send as `authorization: Bearer TOKEN` instead of a key, or a function that gives one, such as one that asks Microsoft Entra ID.
   * The function is called when a token is first needed, when it is about to expire, and once if the provider answers 401.
   */
  bearerToken?: string | (() => string | AccessToken | Promise<string | AccessToken>) | undefined;
  /** Azure: the resource, which is the first label of the host `RESOURCE.openai.azure.com`. */
  resource?: string | undefined;
  /** Azure: the deployment of URLs with a dated `apiVersion`. Default: the request's model. */
  deployment?: string | undefined;
  /** Azure: the `api-version`. With a date the URLs are the older ones of deployments. Default: the v1 API. */
  apiVersion?: string | undefined;
  /** Amazon Bedrock: the region. Google Cloud: the location. */
  region?: string | undefined;
  /** Google Cloud: the project. */
  project?: string | undefined;
  /** The model of requests without a `model`. Default: the provider's, such as `"claude-sonnet-4-5"`. Some have none. */
  model?: string | undefined;
  /**
   * The base URL of another server with the same API. As in the official SDKs, an OpenAI base URL ends in `/v1`. It may have a path and a query; the
   * whole address of an endpoint is used as it is. Default: the provider's.
   */
  baseUrl?: string | undefined;
  /** The maximum number of attempts after the first. Default: 3. */
  maxRetries?: number | undefined;
  /**
   * The timeout of a silence while text is being written, in milliseconds. Pings are silence. Default: 30,000. If you set it, it is also the
   * default of `replyTimeoutMs`.
   */
  timeoutMs?: number | undefined;
  /**
   * The timeout of every other silence of the model, in milliseconds: until the first content, while it thinks, writes a tool's input or runs a
   * tool, and of a whole reply that is not streamed. Default: 600,000.
   */
  replyTimeoutMs?: number | undefined;
  /**
   * The maximum time that a call waits for room in the budget which other calls have reserved, in milliseconds. Default: `timeoutMs` if you set it,
   * otherwise `replyTimeoutMs`.
   */
  poolTimeoutMs?: number | undefined;
  /** The timeout of a whole call with its retries, in milliseconds. Default: none. */
  deadlineMs?: number | undefined;
  /** Lets the client have no key: each request brings its own `apiKey` or `bearerToken`. Default: false. */
  credentialsPerRequest?: boolean | undefined;
  /** Headers to add to every request. They replace headers of the same name. */
  headers?: Record<string, string> | undefined;
  /** A function to call instead of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /**
   * The budget of each calendar month (UTC), for the calls of this client and of all clients that share its ledger. Each call reserves its
   * maximum cost before it is sent, so concurrent calls cannot overspend the budget. Default: no budget.
   */
  budget?: BudgetOptions | undefined;
  /** Prices by model, in dollars per million tokens. They replace those of the built-in table. */
  prices?: Record<string, Price> | undefined;
  /** Allows an `apiKey` in a web page, although every visitor can read it. Default: false. */
  dangerouslyAllowBrowser?: boolean | undefined;
}

export interface Budget {
  /** The budget's name in the ledger. Default: "default". */
  name?: string | undefined;
  /** The limit in dollars, as a decimal string (exact) or a number. */
  usd: string | number;
}

export interface BudgetOptions extends Budget {
  /** The ledger that keeps the budget. See `warmline/redis` and `warmline/durable-object`. Default: this client's memory. */
  ledger?: Ledger | undefined;
  /** The thresholds in percent at which `onAlert` is called, each once a month. Default: 50, 80 and 100. */
  alerts?: number[] | undefined;
  /** Called when the spend passes one of the thresholds. */
  onAlert?: ((alert: BudgetAlert) => void) | undefined;
  /**
   * Lets calls proceed while the ledger cannot be reached. Their cost is recorded when it can be reached again; until then the budget can be
   * overspent. Default: false, calls fail.
   */
  failOpen?: boolean | undefined;
  /**
   * Charges the whole reserved amount for a stream that is cancelled or cut, instead of the most that the model can have written by then. Default:
   * false.
   */
  strict?: boolean | undefined;
}

/** Reports that a budget has passed one of its thresholds. Amounts are dollars, as exact decimal strings. */
export interface BudgetAlert {
  /** The budget's name. */
  budget: string;
  /** The threshold that was passed, in percent. */
  percent: number;
  spent: string;
  limit: string;
  /** What to change. */
  hint: string;
}

/** Keeps the spent and reserved amounts of budgets. Amounts are whole pico-dollars (10⁻¹² of a dollar). */
export interface Ledger {
  /**
   * Reserves an amount in all of the budgets, or in none: it then returns the budget that has not enough left. If there already is a reservation
   * with this `id`, it reserves nothing more.
   */
  reserve(id: string, budgets: { name: string; limit: bigint }[], amount: bigint): Promise<BudgetExceeded | null | undefined | void>;
  /**
   * Replaces the reservation by the actual cost of the call. Returns what is then spent of each of its budgets this month, or an empty list if there
   * is no reservation with this `id`.
   */
  settle(id: string, amount: bigint): Promise<bigint[]>;
  /** Returns what is spent and reserved of a budget this month. */
  state(budget: string): Promise<{ spent: bigint; reserved: bigint }>;
}

/** The budget that has not enough left for a reservation. */
export interface BudgetExceeded {
  budget: string;
  spent: bigint;
  reserved: bigint;
}

/**
 * Dollars per million tokens. `cacheRead`, `cacheWrite` and `audioInput` default to `input`, `audioOutput` to `output`, and
 * `cacheWrite1h` to `cacheWrite`.
 */
export interface Price {
  input: string | number;
  output: string | number;
  cacheRead?: string | number | undefined;
  cacheWrite?: string | number | undefined;
  /** The price of tokens that are written to a cache for an hour. */
  cacheWrite1h?: string | number | undefined;
  audioInput?: string | number | undefined;
  audioOutput?: string | number | undefined;
  /** The fee of web searches that the provider makes, in dollars per thousand searches. */
  webSearch?: string | number | undefined;
}

/** What was spent in a calendar month (UTC). Amounts are dollars, as exact decimal strings. */
export interface Spend {
  /** The month, such as `"2026-11"`. */
  month: string;
  /** The cost of this client's calls. */
  total: string;
  /** The part of `total` that is an upper bound, as of streams that were cancelled or cut. The rest is exact. */
  estimated: string;
  models: {
    provider: Provider;
    /** The model of the request. The first 1,000 models of a month have their own row; the others share one named `other`. */
    model: string;
    /** The number of attempts, including failed ones. */
    calls: number;
    failures: number;
    usage: Usage;
    cost: string;
    /** The part of `cost` that is an upper bound, as of streams that were cancelled or cut. The rest is exact. */
    estimated: string;
  }[];
  /** Each budget, including what other clients of its ledger have spent. */
  budgets: { name: string; limit: string; spent: string; reserved: string }[];
  /** What is not yet recorded in the ledger, and so not included in `budgets`. */
  unsettled: string;
}

/** How long Anthropic caches the prompt up to and including the part with this mark. */
export type CacheTtl = "5m" | "1h";

/** Bytes, a URL, or base64 in a `data:` URL. */
export type Media = Uint8Array | ArrayBuffer | Blob | URL | string;

export interface TextPart {
  type: "text";
  text: string;
  /** The sources that a model names for it, as the provider writes them. */
  annotations?: { dialect: DialectName; json: readonly unknown[] } | undefined;
  cacheControl?: CacheTtl | undefined;
}

export interface ImagePart {
  type: "image";
  image: Media;
  /** Default: detected from the first bytes. */
  mediaType?: string | undefined;
  cacheControl?: CacheTtl | undefined;
}

export interface DocumentPart {
  type: "document";
  document: Media;
  /** With `"text/plain"`, a string is the document's text itself. */
  mediaType?: string | undefined;
  title?: string | undefined;
  cacheControl?: CacheTtl | undefined;
}

export interface ToolUsePart {
  type: "tool_use";
  id: string;
  name: string;
  /** The parsed arguments, or their text if it is not JSON. */
  arguments: unknown;
  /** The arguments as the model wrote them. */
  argumentsText?: string | undefined;
}

export interface ToolResultPart {
  type: "tool_result";
  toolUseId: string;
  content: string | readonly (TextPart | ImagePart)[];
  isError?: boolean | undefined;
  cacheControl?: CacheTtl | undefined;
}

/** The model's reasoning. Send it back unchanged in the next request. */
export interface ReasoningPart {
  type: "reasoning";
  text: string;
  signature?: string | undefined;
}

export interface RedactedReasoningPart {
  type: "redacted_reasoning";
  data: string;
}

/** The name of a wire format. */
export type DialectName = "anthropic" | "openai-chat";

/** A block of a provider's own, such as the use of a server's tool. It goes back unchanged to its own dialect. */
export interface OtherPart {
  type: "other";
  dialect: DialectName;
  /** The block as the provider wrote it. */
  json: unknown;
}

export type Part =
  | TextPart
  | ImagePart
  | DocumentPart
  | ToolUsePart
  | ToolResultPart
  | ReasoningPart
  | RedactedReasoningPart
  | OtherPart;

/** One turn of a conversation. */
export interface Message {
  role: "user" | "assistant";
  content: string | readonly Part[];
}

/** A tool that the model may call. */
export interface Tool<Name extends string = string, Input extends Schema = Schema> {
  name: Name;
  description?: string | undefined;
  /** The schema of its arguments. */
  input: Input;
  strict?: boolean | undefined;
  cacheControl?: CacheTtl | undefined;
}

/** A request to a model. Only the fields that are set are sent. */
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
  /** The schema of the reply's text. `reply.output` is then the parsed and validated value. */
  output?: Output | undefined;
  reasoning?:
    | {
        effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | undefined;
        budgetTokens?: number | undefined;
      }
    | undefined;
  /** Fields to add to the body unchanged, such as those that only one provider has. */
  extraBody?: Record<string, unknown> | undefined;
  /** Keeps the body of a streamed reply in `reply.raw`. Default: false. */
  keepRaw?: boolean | undefined;
}

export interface CallOptions {
  /** Cancels the call and frees its connection when it is aborted. */
  signal?: AbortSignal | undefined;
  /** Headers of this call, in place of the client's or the credentials' of the same name. */
  headers?: Record<string, string> | undefined;
  /** Another base URL for this call, on the client's own server. A URL on another server is an error: the client's key is not for it. */
  baseUrl?: string | undefined;
  /** The key of this call, in place of the client's. */
  apiKey?: string | undefined;
  /** The token of this call, in place of the client's, or a function that gives it. */
  bearerToken?: string | (() => string | AccessToken | Promise<string | AccessToken>) | undefined;
  /** The client's option of the same name, for this call. */
  timeoutMs?: number | undefined;
  /** The client's option of the same name, for this call. */
  replyTimeoutMs?: number | undefined;
  /** The client's option of the same name, for this call. */
  poolTimeoutMs?: number | undefined;
  /** The client's option of the same name, for this call. */
  deadlineMs?: number | undefined;
  /** The client's option of the same name, for this call. */
  maxRetries?: number | undefined;
}

/** Why the model stopped, in Anthropic's terms. A reason that Anthropic does not have is in the provider's own term. */
export type StopReason =
  | "end_turn"
  | "max_tokens"
  | "stop_sequence"
  | "tool_use"
  | "pause_turn"
  | "refusal"
  | (string & {});

/** The numbers of tokens, as the provider counts them. */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  cacheWrite1hTokens: number;
  reasoningTokens: number;
  /** The part of the prompt tokens that was audio. */
  audioInputTokens: number;
  /** The part of `outputTokens` that was audio. */
  audioOutputTokens: number;
  /** The number of web searches that the provider made and charges for. */
  webSearchRequests: number;
  /** Whether `inputTokens` includes the cached tokens (OpenAI) or not (Anthropic). */
  inputIncludesCache: boolean;
}

/** A model's request to run one of the tools. */
export type ToolCall<Tools extends readonly Tool[] = readonly Tool[]> = {
  [K in keyof Tools]: Tools[K] extends Tool<infer Name, infer Input>
    ? ToolUsePart & { name: Name; arguments: InferOutput<Input>; argumentsText: string }
    : never;
}[number];

/** A complete reply. */
export interface Reply<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  id: string;
  model: string;
  provider: Provider;
  content: Part[];
  /** The text parts, joined. */
  text: string;
  /** The reasoning parts, joined. */
  reasoning: string;
  /** The tool calls. Their arguments are not validated: check them before use. */
  toolCalls: ToolCall<Tools>[];
  stopReason: StopReason | undefined;
  stopSequence: string | undefined;
  /** The log probabilities of the text's tokens, as the provider writes them, where they were asked for. */
  logprobs: unknown[];
  /**
   * Anthropic's `container`, as the provider writes it: the id and the expiry of the container in which a server tool ran code.
   * To use it in the next request, set `extraBody.container` to the id.
   */
  container: unknown;
  usage: Usage;
  usageReported: boolean;
  requestId: string | undefined;
  /** The cost in dollars, as an exact decimal string. It is estimated if the model's price or the usage is not known. */
  cost: { usd: string; estimated: boolean } | undefined;
  /** The attempts that the call made, in their order. The last one succeeded. */
  attempts: Attempt[];
  timing: { timeToFirstTokenMs: number; totalMs: number };
  /** The provider's body, unchanged. For a streamed reply only with `keepRaw`. */
  raw: string | undefined;
  /** The reply as a message for the next request. */
  message: { role: "assistant"; content: Part[] };
  /** The value that the request's `output` describes. Undefined if the model called tools instead. */
  output: Output;
}

/** One event of a streamed reply. */
export type StreamEvent<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> =
  | { type: "start"; id: string; model: string }
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_call_start"; index: number; id: string; name: string }
  | { type: "tool_call_delta"; index: number; arguments: string }
  | { type: "other"; dialect: DialectName; json: unknown }
  | { type: "tool_call"; index: number; id: string; name: string; arguments: unknown; argumentsText: string }
  | { type: "done"; reply: Reply<Output, Tools> };

/** A streamed reply. Its events can be iterated over once. Leaving the loop cancels the call. */
export interface ReplyStream<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]>
  extends AsyncIterable<StreamEvent<Output, Tools>> {
  /** Waits for the end of the stream and returns the complete reply. */
  reply(): Promise<Reply<Output, Tools>>;
  /** Returns only the text, as a stream of UTF-8 bytes. */
  textStream(): ReadableStream<Uint8Array>;
  /** Returns a `Response` for an edge function: each event as a server-sent event, or only the text with `format: "text"`. */
  toResponse(options?: {
    format?: "events" | "text";
    status?: number;
    headers?: ConstructorParameters<typeof Headers>[0];
  }): Response;
}

/** The number of calls in flight, now and at most. The runtime owns the connections, so nothing is known of them. */
export interface PoolStats {
  active: number;
  peak: number;
}

/**
 * A client for one provider.
 *
 * In Workers, make it inside the request that uses it.
 *
 * ```ts
 * const llm = new Warmline({ provider: "anthropic", apiKey: env.ANTHROPIC_API_KEY });
 * const { text } = await llm.chat("Why is the sky blue?");
 * ```
 */
export class Warmline {
  /** @throws {ConfigError} if an option is invalid. The message names the option. */
  constructor(options: WarmlineOptions);
  /** Sends a request and returns the complete reply. */
  chat<const Output extends Schema = never, const Tools extends readonly Tool[] = readonly Tool[]>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): Promise<Reply<[Output] extends [never] ? undefined : InferOutput<Output>, Tools>>;
  /** Sends a request and returns its reply as a stream of events. Nothing is sent until the stream is read. */
  stream<const Output extends Schema = never, const Tools extends readonly Tool[] = readonly Tool[]>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): ReplyStream<[Output] extends [never] ? undefined : InferOutput<Output>, Tools>;
  /** Returns the number of calls in flight. */
  stats(): PoolStats;
  /** Returns what was spent this month (UTC). */
  spend(): Promise<Spend>;
  /**
   * Waits until every call has ended and its cost is recorded in the ledger. In an edge function, `ctx.waitUntil(llm.flush())` does this after
   * the response is sent.
   */
  flush(): Promise<void>;
  /** Returns a client with the same settings and ledger that also enforces this budget. Use it for a budget per customer, for example. */
  withBudget(budget: Budget): Warmline;
  /** Frees the client's memory. Later calls fail; calls in flight continue. */
  close(): void;
}
