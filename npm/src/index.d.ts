/// <reference lib="esnext.disposable" />
/** An LLM API client for edge functions, servers and browsers. */

import type { Attempt, DecodeError } from "./errors.js";
import type { Hooks } from "./hooks.js";
import type { Budget, BudgetOptions, Price, Spend } from "./budget.js";
import type { CacheTtl, DialectName, Message, Part, TextPart, ToolUsePart } from "./message.js";
import type { AccessToken, Provider } from "./provider.js";
import type { InferOutput, Schema } from "./schema.js";
import { Caller } from "./caller.js";

export * from "./errors.js";
export type * from "./budget.js";
export type * from "./hooks.js";
export type * from "./message.js";
export type * from "./provider.js";
export type * from "./schema.js";
export * from "./router.js";
export type * from "./stream.js";

/** The options of a client. */
export interface WarmlineOptions extends Hooks {
  /** The provider: who is called, at which URL, in which wire format, at which prices. */
  provider: Provider;
  /**
   * The wire format, for providers that speak several: for `"openai"` either `"openai-chat"` (Chat Completions) or `"openai-responses"` (the Responses API).
   * Default: the provider's first in the table of `docs/providers.md`.
   */
  dialect?: DialectName | undefined;
  /** The provider's API key. Not needed if `baseUrl` or the provider is a server that requires none. */
  apiKey?: string | undefined;
  /**
   * A token to send as `authorization: Bearer TOKEN` instead of a key, or a function that gives one, such as one that asks Microsoft Entra ID.
   * The function is called when a token is first needed, five minutes before it expires, and once if the provider answers 401. However many calls wait,
   * one token is asked for at a time.
   */
  bearerToken?: string | (() => string | AccessToken | Promise<string | AccessToken>) | undefined;
  /** Azure: the resource, which is the first label of the host `RESOURCE.openai.azure.com`. */
  resource?: string | undefined;
  /** Azure: the deployment of URLs with a dated `apiVersion`. Default: the request's model. */
  deployment?: string | undefined;
  /** Azure: the `api-version`. With a date, the URLs are the older ones of deployments; with `"preview"`, those of the v1 API. Default: the v1 API. */
  apiVersion?: string | undefined;
  /** Amazon Bedrock: the region, such as `"us-east-1"`. Google Cloud: the location, such as `"global"`. */
  region?: string | undefined;
  /** Google Cloud: the project. */
  project?: string | undefined;
  /** The model of requests without a `model`. Default: the provider's, such as `"claude-sonnet-4-5"`. Some have none: each request must then name its model. */
  model?: string | undefined;
  /**
   * The base URL of another server with the same API. As in the official SDKs, an OpenAI base URL ends in `/v1` and an Anthropic one does not (it may).
   * It may have a path and a query, which are kept. The whole address of an endpoint is used as it is. Default: the provider's.
   */
  baseUrl?: string | undefined;
  /**
   * The maximum number of retries after the first attempt. Default: 3.
   *
   * Retried are failed connections, the statuses 408, 409, 429 and 5xx, and streams that break off before their first content. The delay is the
   * provider's, up to a minute, or else random and at most 8 s.
   */
  maxRetries?: number | undefined;
  /**
   * The timeout of a silence while text is being written, in milliseconds. Pings are silence. Default: 30,000. If you set it, it is also the
   * default of `replyTimeoutMs` and `poolTimeoutMs`.
   */
  timeoutMs?: number | undefined;
  /**
   * The timeout of every other silence of the model, in milliseconds: until the first content, while it thinks, writes a tool's input or runs a
   * tool, and of a whole reply that is not streamed. Default: 600,000.
   */
  replyTimeoutMs?: number | undefined;
  /**
   * The maximum time that a call waits for the part of a budget that other calls have reserved, in milliseconds. Default: `timeoutMs` if you set it,
   * otherwise `replyTimeoutMs`.
   */
  poolTimeoutMs?: number | undefined;
  /** The maximum duration of a whole call, including its retries, in milliseconds. Default: none. */
  deadlineMs?: number | undefined;
  /** Lets the client have no key: each request brings its own `apiKey` or `bearerToken`. Default: false. */
  credentialsPerRequest?: boolean | undefined;
  /** Headers to add to every request. They replace headers of the same name. */
  headers?: Record<string, string> | Headers | undefined;
  /** A function to call instead of the global `fetch`, such as `scriptedFetch` from `warmline/testing`. */
  fetch?: typeof fetch | undefined;
  /**
   * The budget of each calendar month (UTC), for the calls of this client and of all clients that share its ledger. Each call reserves its
   * maximum cost before it is sent, so concurrent calls cannot overspend the budget. A call that may not fit fails with a `BudgetExceededError`. Default: no
   * budget.
   */
  budget?: BudgetOptions | undefined;
  /** Prices by model, in US dollars per million tokens. They replace those of the built-in table. */
  prices?: Record<string, Price> | undefined;
  /** Allows an `apiKey` in a web page, although every visitor can read it. Default: false. */
  dangerouslyAllowBrowser?: boolean | undefined;
}

/**
 * A tool that the model may call. The package does not run it: run the calls of `reply.toolCalls`, and send their results in the next request.
 *
 * ```ts
 * const weather = { name: "weather", description: "The weather in a city.", input: z.object({ city: z.string() }) };
 * ```
 */
export interface Tool<Name extends string = string, Input extends Schema = Schema> {
  /** The name by which the model calls the tool. */
  name: Name;
  /** The description that the model reads. */
  description?: string | undefined;
  /** The schema of its arguments: a JSON schema, or a validator that provides one, such as zod's. */
  input: Input;
  /** Whether the provider, if it can, enforces the schema. It is made fit for that as `output` is. Default: false. */
  strict?: boolean | undefined;
  /** Asks the provider to cache the tools up to and including this one (Anthropic only; OpenAI caches automatically). */
  cacheControl?: CacheTtl | undefined;
}

/** A request to a model. Only the fields that are set are sent. */
export interface ChatRequest<Output extends Schema | undefined = Schema | undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /** The conversation so far. The last message is usually the user's. */
  messages: readonly Message[];
  /** The model. Default: the client's. */
  model?: string | undefined;
  /** The system prompt. */
  system?: string | readonly TextPart[] | undefined;
  /** The maximum number of tokens to generate, at least 1. Default: the provider's; 4,096 for Anthropic. */
  maxTokens?: number | undefined;
  /** The sampling temperature, from 0 to 2 (Anthropic: from 0 to 1). Default: the provider's. */
  temperature?: number | undefined;
  /** The probability mass for nucleus sampling, from 0 to 1. Default: the provider's. */
  topP?: number | undefined;
  /** Texts that end the reply when the model generates one of them. */
  stopSequences?: readonly string[] | undefined;
  /** The tools that the model may call. */
  tools?: Tools | undefined;
  /**
   * Whether the model may (`"auto"`), must (`"any"`) or must not (`"none"`) call tools, or which one it must call. Default: the provider's, which is
   * `"auto"`.
   */
  toolChoice?: "auto" | "any" | "none" | ToolChoice | undefined;
  /** Whether the model may call several tools at once. Default: the provider's, which is true. */
  parallelToolCalls?: boolean | undefined;
  /**
   * The schema of the reply's text: a JSON schema, or a validator that provides one, such as zod's. `reply.output` is then the parsed and validated value. If
   * the text does not match, the call fails with a `DecodeError`.
   *
   * The schema is made fit for the provider's strict mode where that keeps its meaning: objects are closed, and in OpenAI's dialect optional properties
   * become nullable. Otherwise OpenAI's dialect sends it without `strict`.
   */
  output?: Output | undefined;
  /** How much the model reasons before it answers. Default: the model's own. */
  reasoning?: Reasoning | undefined;
  /**
   * Whether the provider keeps the reply, so that `previousResponseId` can name it. Default: false in the dialect `"openai-responses"`, unless the request
   * continues a stored reply; else the provider's.
   */
  store?: boolean | undefined;
  /** The `id` of a stored reply that this request continues (only in the dialect `"openai-responses"`). `messages` are then only what is new. */
  previousResponseId?: string | undefined;
  /** Additional fields of the request body, as the provider defines them. They replace fields of the same name. */
  extraBody?: Record<string, unknown> | undefined;
  /** Whether to keep the body of a streamed reply in `reply.raw`. That of a reply that is not streamed is always kept. Default: false. */
  keepRaw?: boolean | undefined;
}

/** The tool that the model must call. */
export interface ToolChoice {
  /** The tool's name. */
  tool: string;
}

/** How much a model reasons before it answers. Set one of the two fields. */
export interface Reasoning {
  /**
   * The effort, for models that decide themselves how much to reason. Each model supports some of these: `"none"` and `"minimal"` are OpenAI's, `"max"` is
   * Anthropic's.
   */
  effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | undefined;
  /** The maximum number of reasoning tokens: Anthropic's `thinking.budget_tokens`, at least 1,024 and less than `maxTokens`. */
  budgetTokens?: number | undefined;
}

/** The options of one call. */
export interface CallOptions extends Hooks {
  /** Cancels the call when it is aborted. The call then fails with a `CancelledError`, whose `cause` is the signal's reason. */
  signal?: AbortSignal | null | undefined;
  /** Headers of this call, in place of the client's or the credentials' of the same name. */
  headers?: Record<string, string> | Headers | undefined;
  /** The base URL of this call: another path or query on the client's server. A URL on another server is an error, because the client's key is not for it. */
  baseUrl?: string | undefined;
  /** The key of this call, in place of the client's. */
  apiKey?: string | undefined;
  /** The token of this call, in place of the client's, or a function that gives it. */
  bearerToken?: string | (() => string | AccessToken | Promise<string | AccessToken>) | undefined;
  /** The timeout of a silence while text is being written, in milliseconds. Default: the client's. */
  timeoutMs?: number | undefined;
  /** The timeout of every other silence of the model, in milliseconds. Default: `timeoutMs` if you set it here, otherwise the client's. */
  replyTimeoutMs?: number | undefined;
  /** The maximum time that the call waits for the part of a budget that other calls have reserved, in milliseconds. Default: as for `replyTimeoutMs`. */
  poolTimeoutMs?: number | undefined;
  /** The maximum duration of the whole call, including its retries, in milliseconds. Default: the client's. */
  deadlineMs?: number | undefined;
  /** The maximum number of retries after the first attempt. Default: the client's. */
  maxRetries?: number | undefined;
  /**
   * The key of the conversation that the request continues, such as the id of a session. A `Router` keeps a conversation on one target; a client ignores the
   * key. It is not sent. Default: `prompt_cache_key` or `metadata.user_id` of `extraBody`, or else the model, the system prompt and the first message.
   */
  conversation?: string | undefined;
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
  /** Tokens of the prompt, with or without cached ones: see `inputIncludesCache`. */
  inputTokens: number;
  /** Tokens that the model generated, including reasoning. */
  outputTokens: number;
  /** Tokens of the prompt that were read from the provider's cache. */
  cacheReadTokens: number;
  /** Tokens of the prompt that were written to the provider's cache, for any time. */
  cacheWriteTokens: number;
  /** The part of `cacheWriteTokens` that is cached for an hour, at a higher price. */
  cacheWrite1hTokens: number;
  /** The part of `outputTokens` that was reasoning, if the provider reports it. */
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

/** A model's request to run one of the tools. Where the tool's `input` is a validator, the arguments are validated and have its output type. */
export type ToolCall<Tools extends readonly Tool[] = readonly Tool[]> = Tools extends readonly []
  ? ToolCall
  : {
      [K in keyof Tools]: Tools[K] extends Tool<infer Name, infer Input>
        ? ToolUsePart & {
            /** The tool's name. */
            name: Name;
            /** The arguments, validated if the tool's `input` is a validator. */
            arguments: InferOutput<Input>;
            /** The arguments as the model wrote them. */
            argumentsText: string;
          }
        : never;
    }[number];

/** A tool call that must not be run. Answer it with a `tool_result` that has the error's message and `isError: true`. */
export interface InvalidToolCall extends ToolUsePart {
  /** The arguments as the model wrote them. */
  argumentsText: string;
  /** Why it is invalid: the arguments are not JSON or do not match the tool's schema, or the request has no tool of this name. */
  error: DecodeError;
}

/** A complete reply. A streamed reply and one that is not streamed have the same form. */
export interface Reply<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /** The provider's id of the reply. Empty if the provider reported none. */
  id: string;
  /** The model that replied, as the provider names it. */
  model: string;
  /** The provider. */
  provider: Provider;
  /** Reasoning, text and tool calls, in the order in which the model generated them. */
  content: Part[];
  /** The text parts, joined. */
  text: string;
  /** The reasoning parts, joined. Empty if the model did not reason or the provider does not show it. */
  reasoning: string;
  /** The tool calls. Where a tool's `input` is a validator, their arguments are validated and have its output type. */
  toolCalls: ToolCall<Tools>[];
  /** The tool calls that are not valid. They must be answered too. */
  invalidToolCalls: InvalidToolCall[];
  /** Why the model stopped, if the provider reported it. */
  stopReason: StopReason | undefined;
  /** The one of `stopSequences` that ended the reply, if one did and the provider reported it. */
  stopSequence: string | undefined;
  /** The log probabilities of the text's tokens as the provider writes them, if `extraBody` requested them. */
  logprobs: unknown[];
  /**
   * Anthropic's `container` as the provider writes it: the id and the expiry of the container in which a server tool ran code.
   * To use it in the next request, set `extraBody.container` to the id.
   */
  container: unknown;
  /** The tokens of the call. If `usageReported` is false, these are only the counts that are known, or 0. */
  usage: Usage;
  /** Whether the provider reported the usage. */
  usageReported: boolean;
  /** The provider's id of the HTTP request. Quote it to the provider's support. */
  requestId: string | undefined;
  /** The cost of the call, including its failed attempts. Undefined if it is not known. */
  cost: Cost | undefined;
  /** The attempts that the call made, in their order. The last one succeeded. */
  attempts: Attempt[];
  /** How long the call took. */
  timing: Timing;
  /** The body of the response, unchanged. For a streamed reply only with `keepRaw`. */
  raw: string | undefined;
  /** The reply as a message for the next request, including reasoning and its signatures. */
  message: AssistantMessage;
  /**
   * The value that the request's `output` describes, validated if `output` is a validator. Undefined without `output`, and if the model called tools instead.
   */
  output: Tools extends readonly [] ? Output : Output | undefined;
}

/** What a call cost. */
export interface Cost {
  /** The cost in US dollars, as an exact decimal string. */
  usd: string;
  /** Whether the cost is an upper bound, because the model's price or the usage is not known. */
  estimated: boolean;
}

/** How long a call took, in milliseconds. */
export interface Timing {
  /** The time from the start of the call to the first content. */
  timeToFirstTokenMs: number;
  /** The time from the start of the call to its end. */
  totalMs: number;
}

/** A reply as a message. */
export interface AssistantMessage {
  /** The model's role. */
  role: "assistant";
  /** The parts of the reply. */
  content: Part[];
}

/** A model that the provider offers. */
export interface ModelInfo {
  /** The name by which requests ask for it. */
  id: string;
  /** A name for people, if the provider gives one. */
  displayName: string | undefined;
  /** When it was created, in seconds since 1970 (UTC), if the provider says so. */
  created: number | undefined;
  /** Who owns it, if the provider says so, such as `"openai"`. */
  ownedBy: string | undefined;
  /** Everything that the provider says about it. */
  raw: unknown;
}

/** The number of input tokens of a request. */
export interface TokenCount {
  /** The number of tokens. */
  inputTokens: number;
  /** Whether it is an upper bound, which budgets reserve, because the provider does not count. It is several times the true count. */
  isUpperBound: boolean;
  /** The provider's reply, if it counted. */
  raw: unknown;
}

/** The options of a count. */
export type CountOptions = Omit<CallOptions, "signal" | keyof Hooks>;

/** The number of calls in flight. The runtime owns the connections, so nothing is known of them. */
export interface PoolStats {
  /** The number of calls in flight now. */
  active: number;
  /** The highest number of calls that were in flight at once. */
  peak: number;
}

/**
 * A client for one provider.
 *
 * Make one client and keep it. In Workers, make it inside the request that uses it.
 *
 * ```ts
 * const llm = new Warmline({ provider: "anthropic", apiKey: env.ANTHROPIC_API_KEY });
 * const { text } = await llm.chat("Why is the sky blue?");
 * ```
 */
export class Warmline extends Caller {
  /**
   * Creates a client. Nothing is sent.
   *
   * @throws {ConfigError} if an option is invalid. The message names the option and what would be accepted. Where the WebAssembly module is loaded
   * asynchronously (in browsers), a wrong URL, header or amount is reported by the first call instead.
   */
  constructor(options: WarmlineOptions);
  /**
   * Returns the models that the provider offers, from all pages of its list. It costs nothing. Rejects with a `WarmlineError` if the list cannot be had.
   *
   * ```ts
   * for (const { id, displayName } of await llm.models()) console.log(id, displayName);
   * ```
   */
  models(): Promise<ModelInfo[]>;
  /**
   * Returns the number of input tokens of a request: the provider's own count where it has an endpoint for that (Anthropic, OpenAI), else an upper bound.
   * It costs nothing. Rejects with a `WarmlineError` if the provider refuses the request.
   *
   * ```ts
   * const { inputTokens, isUpperBound } = await llm.countTokens("Why is the sky blue?");
   * ```
   */
  countTokens(request: string | ChatRequest, options?: CountOptions): Promise<TokenCount>;
  /** Returns the number of calls in flight. */
  stats(): PoolStats;
  /** Returns what was spent this month (UTC). Rejects with a `LedgerError` if the ledger cannot be reached. */
  spend(): Promise<Spend>;
  /**
   * Returns a client with the same settings and ledger that also enforces this budget. Use it for a budget per customer, for example.
   *
   * ```ts
   * const customer = llm.withBudget({ name: "customer:42", usd: "1" });
   * ```
   */
  withBudget(budget: Budget): Warmline;
}
