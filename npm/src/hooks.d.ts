import type { ChatRequest, Reply } from "./index.js";
import type { Provider } from "./provider.js";
import type { WarmlineError } from "./errors.js";

/** The call of an event. All events of a call have the same object, so it can be the key of a `Map`. */
export interface CallInfo {
  /** A number that no other call of this program has. */
  readonly id: number;
  /** The client's provider. */
  readonly provider: Provider;
  /** The model of the request or of the client, if one of them names it. */
  readonly model: string | undefined;
  /** Whether the reply is streamed. */
  readonly stream: boolean;
  /** The request as it was given. */
  readonly request: string | ChatRequest;
}

/**
 * Functions that are told about calls, as options of a client or of one call. They are not waited for, and what they throw is ignored.
 *
 * ```ts
 * const llm = new Warmline({
 *   provider: "openai",
 *   apiKey,
 *   onRetry: ({ attempt, previous }) => console.warn(`attempt ${attempt} after status ${previous.status}`),
 *   onFinish: ({ reply }) => console.log(reply.usage.outputTokens),
 * });
 * ```
 */
export interface Hooks {
  /** Called before an attempt is sent. `headers` has none that can contain a secret. */
  onRequest?: ((event: { call: CallInfo; attempt: number; url: string; headers: Headers; body: string }) => unknown) | undefined;
  /** Called when the headers of an attempt's response have arrived. */
  onResponse?: ((event: { call: CallInfo; attempt: number; status: number; headers: Headers; durationMs: number }) => unknown) | undefined;
  /** Called before an attempt after the first is sent. `previous` has the status of the one before, or the error of its `fetch`. */
  onRetry?:
    | ((event: { call: CallInfo; attempt: number; previous: { status: number | undefined; error: unknown } }) => unknown)
    | undefined;
  /** Called once if the call fails. If it was cancelled, the error's `kind` is `"cancelled"`. */
  onError?: ((event: { call: CallInfo; error: WarmlineError }) => unknown) | undefined;
  /** Called once with the complete reply. Use it to keep what was streamed. */
  onFinish?: ((event: { call: CallInfo; reply: Reply<unknown> }) => unknown) | undefined;
}
