import type { WarmlineError } from "./errors.js";
import type { DialectName, InvalidToolCall, Reply, Tool, ToolCall } from "./index.js";

/**
 * An event of a streamed reply. Its `type` tells the events apart. The last one is `done`; a stream that fails ends with an error instead.
 *
 * ```ts
 * for await (const event of llm.stream("Hello")) {
 *   if (event.type === "text") process.stdout.write(event.text);
 *   if (event.type === "done") console.log(event.reply.usage.outputTokens);
 * }
 * ```
 */
export type StreamEvent<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> =
  | StartEvent
  | TextEvent
  | ReasoningEvent
  | ToolCallStartEvent
  | ToolCallDeltaEvent
  | ToolCallEvent<Tools>
  | InvalidToolCallEvent
  | OtherEvent
  | DoneEvent<Output, Tools>;

/** The reply has started. It is the first event. */
export interface StartEvent {
  /** Says that the reply has started. */
  type: "start";
  /** The provider's id of the reply. */
  id: string;
  /** The model that replies, as the provider names it. */
  model: string;
}

/** A piece of text. */
export interface TextEvent {
  /** Says that the event is text. */
  type: "text";
  /** The text. */
  text: string;
}

/** A piece of the model's reasoning. */
export interface ReasoningEvent {
  /** Says that the event is reasoning. */
  type: "reasoning";
  /** The text. */
  text: string;
}

/** A tool call has started. Its arguments follow in pieces. */
export interface ToolCallStartEvent {
  /** Says that a tool call has started. */
  type: "tool_call_start";
  /** The index of the call in this reply, from 0. */
  index: number;
  /** The provider's id of the call. */
  id: string;
  /** The tool's name. */
  name: string;
}

/** A piece of the arguments of a tool call. */
export interface ToolCallDeltaEvent {
  /** Says that the event is a piece of a tool call's arguments. */
  type: "tool_call_delta";
  /** The index of the call in this reply, from 0. */
  index: number;
  /** A piece of the arguments' JSON text. */
  arguments: string;
}

/** A complete tool call. Its arguments are validated as those of `reply.toolCalls`. */
export type ToolCallEvent<Tools extends readonly Tool[] = readonly Tool[]> = {
  /** Says that the event is a complete tool call. */
  type: "tool_call";
  /** The index of the call in this reply, from 0. */
  index: number;
} & Omit<ToolCall<Tools>, "type"> &
  ToolCallFields<ToolCall<Tools>>;

/** The name of a tool call with the type of its arguments. */
type ToolCallFields<Call> = Call extends { name: infer Name; arguments: infer Arguments } ? { name: Name; arguments: Arguments } : never;

/** A complete tool call that is not valid, as those of `reply.invalidToolCalls`. */
export interface InvalidToolCallEvent extends Omit<InvalidToolCall, "type"> {
  /** Says that the event is a tool call that is not valid. */
  type: "invalid_tool_call";
  /** The index of the call in this reply, from 0. */
  index: number;
}

/** A complete block that this package does not model; see `OtherPart`. */
export interface OtherEvent {
  /** Says that the event is a block of the provider's own. */
  type: "other";
  /** The wire format that the block is written in. */
  dialect: DialectName;
  /** The block as the provider wrote it. */
  json: unknown;
}

/** The end of a complete reply. It is the last event. */
export interface DoneEvent<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /** Says that the reply is complete. */
  type: "done";
  /** The complete reply. */
  reply: Reply<Output, Tools>;
}

/** A type of which everything can still be missing. */
export type DeepPartial<T> = T extends readonly (infer Item)[]
  ? DeepPartial<Item>[]
  : T extends object
    ? { [K in keyof T]?: DeepPartial<T[K]> | undefined }
    : T;

/** The options of `toResponse()`. */
export interface ResponseOptions {
  /**
   * What the body is:
   * - `"events"`: each event as a server-sent event. A failure is an event named `stream_error`.
   * - `"text"`: only the text. A failure breaks the body off.
   * - `"ui-message-stream"`: the stream that `useChat` of the AI SDK reads.
   *
   * Default: `"events"`.
   */
  format?: "events" | "text" | "ui-message-stream" | undefined;
  /** The status if the call succeeds. Default: 200. */
  status?: number | undefined;
  /** Headers to add to the response. `content-type` and `cache-control` are the format's. */
  headers?: ConstructorParameters<typeof Headers>[0] | undefined;
  /**
   * Returns the message that the client reads if the call fails. Default: a general message for each kind of error, because the provider's own can
   * name accounts and prompts, and `BudgetExceededError`'s has amounts. `(error) => error.message` shows them.
   */
  errorMessage?: ((error: WarmlineError) => string) | undefined;
}

/**
 * A streamed reply. Nothing is sent until it is read.
 *
 * It can be read in several ways at once: by iterating, as a response, as text, and by `reply()`. Each reader gets all events, if it is created before one
 * of them has read the first. `reply()` can be called at any time. When the last reader leaves the stream (by `break`, or because the client of the
 * response has gone), the call is cancelled at once, unless `reply()` waits for its end.
 *
 * ```ts
 * export async function POST(request: Request) {
 *   const stream = llm.stream(await request.text());
 *   ctx.waitUntil(stream.reply().then(({ text }) => save(text)));
 *   return stream.toResponse();
 * }
 * ```
 */
export interface ReplyStream<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /**
   * Returns an iterator over the events.
   *
   * @throws {ConfigError} if events have already been read.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<StreamEvent<Output, Tools>, undefined, undefined>;
  /** Waits for the end of the stream and returns the complete reply. Rejects with a `WarmlineError` if the call fails or was cancelled. */
  reply(): Promise<Reply<Output, Tools>>;
  /**
   * Returns the request's `output` as it grows: what has arrived so far each time, not validated, and at the end the validated value.
   *
   * @throws {ConfigError} if events have already been read.
   */
  partialOutput(): AsyncIterableIterator<DeepPartial<Output>, undefined, undefined>;
  /**
   * Returns only the text, as a stream of UTF-8 bytes. If the call fails, the stream is in error.
   *
   * @throws {ConfigError} if events have already been read.
   */
  textStream(): ReadableStream<Uint8Array>;
  /**
   * Returns a `Response` for an edge function, as soon as the first event has arrived. If the call fails before, the response has a status that says why:
   * the provider's own, 402 for an exceeded budget, 429 for a rate limit (with `retry-after`, if the provider gave one), 503 for an overloaded provider, 504
   * for a timeout, and 502 if the provider cannot be reached.
   *
   * The promise rejects with a `ConfigError` if an option is invalid.
   *
   * ```ts
   * export const POST = async (request: Request) =>
   *   llm.stream(await request.text(), { signal: request.signal }).toResponse({ format: "ui-message-stream" });
   * ```
   */
  toResponse(options?: ResponseOptions): Promise<Response>;
}

export {};
