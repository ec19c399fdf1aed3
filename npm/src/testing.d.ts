/** A `fetch` for tests: nothing is sent. */

/** One reply of a script. */
export interface ScriptedReply {
  /** The text. A stream sends each piece in its own event, and waits where an async iterable waits. */
  text?: string | Iterable<string> | AsyncIterable<string> | undefined;
  /** The tool calls after the text. */
  toolCalls?: readonly ScriptedToolCall[] | undefined;
  /** Why the model stopped, in Anthropic's terms. Default: `"tool_use"` with tool calls, else `"end_turn"`. */
  stopReason?: string | undefined;
  /** The numbers of tokens. Default: 1 each. */
  usage?: ScriptedUsage | undefined;
  /** After the text, a stream reports this error, or breaks off if it is an `Error`. */
  streamError?: Error | ScriptedStreamError | undefined;
  /** The HTTP status. From 400 on, the reply is an error. Default: 200. */
  status?: number | undefined;
  /** Headers of the response, such as `retry-after`. */
  headers?: Record<string, string> | undefined;
  /** The message of an error. Default: one that names the status. */
  message?: string | undefined;
  /** The type of an error. Default: that of its status. */
  type?: string | undefined;
  /** The code of an error, in OpenAI's format. Default: none. */
  code?: string | undefined;
}

/** A tool call of a script. */
export interface ScriptedToolCall {
  /** The id of the call. Default: one that no other call has. */
  id?: string | undefined;
  /** The tool's name. */
  name: string;
  /**
   * The arguments. A string is sent as it is, also if it is not JSON. In a reply of Anthropic's that is not streamed, such a string is the value of the
   * arguments, because that format has no place for their text. Default: `{}`.
   */
  arguments?: unknown;
}

/** The numbers of tokens of a script. */
export interface ScriptedUsage {
  /** The tokens of the prompt. Default: 1. */
  inputTokens?: number | undefined;
  /** The tokens of the reply. Default: 1. */
  outputTokens?: number | undefined;
}

/** An error within a stream. */
export interface ScriptedStreamError {
  /** The error's type. Default: that of an error of the server. */
  type?: string | undefined;
  /** The error's message. Default: `"scripted error"`. */
  message?: string | undefined;
  /** The error's code, in OpenAI's format. Default: none. */
  code?: string | undefined;
}

/** A request that was made. */
export interface ScriptedRequest {
  /** The whole address. */
  url: string;
  /** The headers, with names in lower case. */
  headers: Record<string, string>;
  /** The parsed JSON body, in the provider's wire format. */
  body: any;
  /** The signal of `fetch`, which is aborted when the call is cancelled or has timed out. */
  signal: AbortSignal | undefined;
}

/** One step of a script: a text, a reply, a response, or an error that `fetch` rejects with. */
export type Scripted = string | ScriptedReply | Response | Error;

/** A `fetch` that answers with the replies of a script. */
export type ScriptedFetch = typeof globalThis.fetch & {
  /** The requests that were made, in their order. */
  readonly requests: readonly ScriptedRequest[];
};

/**
 * Returns a `fetch` that answers the first request with the first reply, and so on, in the wire format of the request. A function is called with the request
 * and returns the reply. A request after the last reply fails with status 400, which is not retried.
 *
 * ```ts
 * const fetch = scriptedFetch(["Hello", { status: 429 }, { toolCalls: [{ name: "weather", arguments: { city: "Bern" } }] }]);
 * const llm = new Warmline({ provider: "anthropic", apiKey: "test", fetch });
 * await llm.chat("Hi"); // "Hello"
 * fetch.requests[0]?.body.messages;
 * ```
 */
export function scriptedFetch(
  replies: readonly (Scripted | ((request: ScriptedRequest) => Scripted | Promise<Scripted>))[],
): ScriptedFetch;
