/** A `fetch` for tests: nothing is sent. */

/** One reply of a script. */
export interface ScriptedReply {
  /** The text. A stream sends each piece in its own event, and waits where an async iterable waits. */
  text?: string | Iterable<string> | AsyncIterable<string> | undefined;
  /** The tool calls after the text. `arguments` as a string are sent as they are, also if they are not JSON. */
  toolCalls?: readonly { id?: string | undefined; name: string; arguments?: unknown }[] | undefined;
  /** Default: `"tool_use"` with tool calls, else `"end_turn"`. */
  stopReason?: string | undefined;
  /** Default: 1 token each. */
  usage?: { inputTokens?: number; outputTokens?: number } | undefined;
  /** After the text, a stream reports this error, or breaks off if it is an `Error`. */
  streamError?: Error | { type?: string; message?: string; code?: string } | undefined;
  /** From 400 on, the reply is an error. Default: 200. */
  status?: number | undefined;
  /** Headers of the response, such as `retry-after`. */
  headers?: Record<string, string> | undefined;
  /** The message of an error. */
  message?: string | undefined;
  /** The type of an error. Default: that of its status. */
  type?: string | undefined;
  /** The code of an error, in OpenAI's format. */
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
  /** It is aborted when the call is cancelled or has timed out. */
  signal: AbortSignal | undefined;
}

/** A text, a reply, a response, or an error that `fetch` rejects with. */
export type Scripted = string | ScriptedReply | Response | Error;

/**
 * Returns a `fetch` that answers the first request with the first reply, and so on, in the wire format of the request. A request after the last reply fails
 * with status 400.
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
): typeof globalThis.fetch & { readonly requests: readonly ScriptedRequest[] };
