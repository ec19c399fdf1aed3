import type { DecodeError, WarmlineError } from "./errors.js";
import type { DialectName, Reply, Tool, ToolCall } from "./index.js";

/** One event of a streamed reply. */
export type StreamEvent<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> =
  /** The first event. */
  | { type: "start"; id: string; model: string }
  /** A piece of the text. */
  | { type: "text"; text: string }
  /** A piece of the model's reasoning. */
  | { type: "reasoning"; text: string }
  /** The start of a tool call. `index` is the same in all events of a tool call. */
  | { type: "tool_call_start"; index: number; id: string; name: string }
  /** A piece of the arguments' JSON. */
  | { type: "tool_call_delta"; index: number; arguments: string }
  /** A block of the provider's own. */
  | { type: "other"; dialect: DialectName; json: unknown }
  /** A complete tool call. Its arguments are validated as those of `reply.toolCalls`. */
  | ({ type: "tool_call"; index: number } & Omit<ToolCall<Tools>, "type"> & ToolCallFields<ToolCall<Tools>>)
  /** A complete tool call that is not valid, as those of `reply.invalidToolCalls`. */
  | { type: "invalid_tool_call"; index: number; id: string; name: string; arguments: unknown; argumentsText: string; error: DecodeError }
  /** The last event. */
  | { type: "done"; reply: Reply<Output, Tools> };

/** The name of a tool call with the type of its arguments. */
type ToolCallFields<Call> = Call extends { name: infer Name; arguments: infer Arguments } ? { name: Name; arguments: Arguments } : never;

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
  /** Headers to add. */
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
 * const stream = llm.stream("Hello");
 * ctx.waitUntil(stream.reply().then(({ text }) => save(text)));
 * return stream.toResponse();
 * ```
 */
export interface ReplyStream<Output = undefined, Tools extends readonly Tool[] = readonly Tool[]> {
  /**
   * Returns an iterator over the events.
   *
   * @throws {ConfigError} if events have already been read.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<StreamEvent<Output, Tools>, undefined, undefined>;
  /** Waits for the end of the stream and returns the complete reply. Rejects if the call fails or was cancelled. */
  reply(): Promise<Reply<Output, Tools>>;
  /** Returns the request's `output` as it grows: what has arrived so far each time, not validated, and at the end the validated value. */
  partialOutput(): AsyncIterableIterator<DeepPartial<Output>, undefined, undefined>;
  /** Returns only the text, as a stream of UTF-8 bytes. */
  textStream(): ReadableStream<Uint8Array>;
  /**
   * Returns a `Response` for an edge function, as soon as the first event has arrived. If the call fails before, the response has a status that says why:
   * the provider's own, 402 for an exceeded budget, 429 for a rate limit (with `retry-after`, if the provider gave one), 503 for an overloaded provider, 504
   * for a timeout, and 502 if the provider cannot be reached.
   *
   * ```ts
   * export const POST = async (request: Request) =>
   *   llm.stream(await request.text(), { signal: request.signal }).toResponse({ format: "ui-message-stream" });
   * ```
   */
  toResponse(options?: ResponseOptions): Promise<Response>;
}

export {};
