/// <reference lib="esnext.disposable" />
/** An LLM API client for edge functions, servers and browsers. */

import type { Attempt, DecodeError } from "./errors.js";
import type { CallInfo, Hooks } from "./hooks.js";
import type { Budget, BudgetOptions, Price, Spend } from "./budget.js";
import type { CacheTtl, Message, Part, TextPart, ToolUsePart } from "./message.js";
import type { AccessToken, Provider } from "./provider.js";
import type { InferOutput, JsonSchema, Schema, StandardSchema } from "./schema.js";
import type { DeepPartial, ReplyStream, ResponseOptions, StreamEvent } from "./stream.js";

export * from "./errors.js";
export type * from "./budget.js";
export type * from "./message.js";
export type { AccessToken, CallInfo, DeepPartial, Hooks, InferOutput, JsonSchema, Provider, ReplyStream, ResponseOptions, Schema, StandardSchema, StreamEvent };

/** The options of a client. */
export interface WarmlineOptions extends Hooks {
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
  headers?: Record<string, string> | Headers | undefined;
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

/** A tool that the model may call. */
export interface Tool<Name extends string = string, Input extends Schema = Schema> {
  /** The name by which the model calls the tool. */
  name: Name;
  /** The description that the model reads. */
  description?: string | undefined;
  /** The schema of its arguments. */
  input: Input;
  /** Whether the provider, if it can, enforces the schema. It is made fit for that as `output` is. Default: false. */
  strict?: boolean | undefined;
  /** Asks the provider to cache the tools up to and including this one. */
  cacheControl?: CacheTtl | undefined;
}

/** A request to a model. Only the fields that are set are sent. */
export interface ChatRequest<Output extends Schema | undefined = Schema | undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /** The conversation so far. The last message is usually the user's. */
  messages: readonly Message[];
  /** The model. Default: the client's. */
  model?: string | undefined;
  /** The instructions. */
  system?: string | readonly TextPart[] | undefined;
  /** The maximum number of output tokens. Default: the provider's; 4,096 for Anthropic. */
  maxTokens?: number | undefined;
  /** How random the choice of tokens is, from 0 to 2 (Anthropic: 1). */
  temperature?: number | undefined;
  /** The share of the most probable tokens to choose from, from 0 to 1. */
  topP?: number | undefined;
  /** Texts at which the model stops. */
  stopSequences?: readonly string[] | undefined;
  /** The tools that the model may call. */
  tools?: Tools | undefined;
  /** Whether the model may, must or must not call tools, or which one it must call. Default: "auto". */
  toolChoice?: "auto" | "any" | "none" | { tool: string } | undefined;
  /** Whether the model may call several tools at once. Default: the provider's, which is true. */
  parallelToolCalls?: boolean | undefined;
  /**
   * The schema of the reply's text. `reply.output` is then the parsed and validated value. The schema is made fit for the provider's strict mode where that
   * keeps its meaning; otherwise OpenAI's dialect sends it without `strict`.
   */
  output?: Output | undefined;
  /** How much the model reasons before it answers. Default: the model's own. */
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

/** The options of one call. */
export interface CallOptions extends Hooks {
  /** Cancels the call and frees its connection when it is aborted. */
  signal?: AbortSignal | null | undefined;
  /** Headers of this call, in place of the client's or the credentials' of the same name. */
  headers?: Record<string, string> | Headers | undefined;
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

/** A model's request to run one of the tools. */
export type ToolCall<Tools extends readonly Tool[] = readonly Tool[]> = Tools extends readonly []
  ? ToolCall
  : {
      [K in keyof Tools]: Tools[K] extends Tool<infer Name, infer Input>
        ? ToolUsePart & { name: Name; arguments: InferOutput<Input>; argumentsText: string }
        : never;
    }[number];

/** A tool call that must not be run. Answer it with a `tool_result` that has the error's message and `isError: true`. */
export interface InvalidToolCall extends ToolUsePart {
  /** The arguments as the model wrote them. */
  argumentsText: string;
  /** Why it is invalid: the arguments are not JSON or do not match the tool's schema, or the request has no tool of this name. */
  error: DecodeError;
}

/** A complete reply. */
export interface Reply<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /** The provider's id of the reply. */
  id: string;
  /** The model that answered. */
  model: string;
  /** The provider. */
  provider: Provider;
  /** All parts, in order. */
  content: Part[];
  /** The text parts, joined. */
  text: string;
  /** The reasoning parts, joined. */
  reasoning: string;
  /** The tool calls. Where a tool's `input` is a validator, their arguments are validated, and have its output type. */
  toolCalls: ToolCall<Tools>[];
  /** The tool calls that are not valid. They must be answered too. */
  invalidToolCalls: InvalidToolCall[];
  /** Why the model stopped. */
  stopReason: StopReason | undefined;
  /** The one of `stopSequences` at which it stopped. */
  stopSequence: string | undefined;
  /** The log probabilities of the text's tokens, as the provider writes them, where they were asked for. */
  logprobs: unknown[];
  /**
   * Anthropic's `container`, as the provider writes it: the id and the expiry of the container in which a server tool ran code.
   * To use it in the next request, set `extraBody.container` to the id.
   */
  container: unknown;
  /** The tokens of the call. */
  usage: Usage;
  /** Whether the provider reported the usage. If not, `usage` is zero. */
  usageReported: boolean;
  /** The provider's id of the request. Quote it to the provider's support. */
  requestId: string | undefined;
  /** The cost in dollars, as an exact decimal string. It is estimated if the model's price or the usage is not known. */
  cost: { usd: string; estimated: boolean } | undefined;
  /** The attempts that the call made, in their order. The last one succeeded. */
  attempts: Attempt[];
  /** The time to the first content and to the end, in milliseconds. */
  timing: { timeToFirstTokenMs: number; totalMs: number };
  /** The provider's body, unchanged. For a streamed reply only with `keepRaw`. */
  raw: string | undefined;
  /** The reply as a message for the next request. */
  message: { role: "assistant"; content: Part[] };
  /** The value that the request's `output` describes, validated. Undefined if the model called tools instead. */
  output: Tools extends readonly [] ? Output : Output | undefined;
}

/** The number of calls in flight, now and at most. The runtime owns the connections, so nothing is known of them. */
export interface PoolStats {
  /** The number of calls in flight. */
  active: number;
  /** The highest number so far. */
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
  chat<const Output extends Schema | undefined = undefined, const Tools extends readonly Tool[] = readonly []>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): Promise<Reply<InferOutput<Output>, Tools>>;
  /** Sends a request and returns its reply as a stream of events. Nothing is sent until the stream is read. */
  stream<const Output extends Schema | undefined = undefined, const Tools extends readonly Tool[] = readonly []>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): ReplyStream<InferOutput<Output>, Tools>;
  /** Returns the number of calls in flight. */
  stats(): PoolStats;
  /** Returns what was spent this month (UTC). */
  spend(): Promise<Spend>;
  /**
   * Waits until every call has ended and its cost is recorded in the ledger. In an edge function, `ctx.waitUntil(llm.flush())` does this after
   * the response is sent. A stream that is not read on is read to its end, and kept for its readers.
   */
  flush(): Promise<void>;
  /** Returns a client with the same settings and ledger that also enforces this budget. Use it for a budget per customer, for example. */
  withBudget(budget: Budget): Warmline;
  /** Frees the client's memory. Later calls fail; calls in flight continue. */
  close(): void;
  /** Does the same as `close()`, for `using llm = new Warmline(…)`. */
  [Symbol.dispose](): void;
}
