import type { ChatRequest, Reply } from "./index.js";
import type { Provider } from "./provider.js";
import type { WarmlineError } from "./errors.js";

/** A call, as hooks know it. All events of a call have the same object, so it can be the key of a `WeakMap`. */
export interface CallInfo {
  /** A number that no other call of this program has, from 1. */
  readonly id: number;
  /** The client's provider. Undefined for a call of a router, whose targets may have several. */
  readonly provider: Provider | undefined;
  /** The model of the request or of the client, if one of them names it. */
  readonly model: string | undefined;
  /** Whether the reply is streamed. */
  readonly stream: boolean;
  /** The request as it was given. */
  readonly request: string | ChatRequest;
}

/**
 * Functions that are told about calls, as options of a client, of a router or of one call. If several of them have one, all are called. They are not waited
 * for, and what they throw is ignored. In a router, the hooks of a target's client are told about the attempts of that client, and about the end of each call
 * that it has made an attempt of.
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
  /** Called before an attempt is sent. */
  onRequest?: ((event: RequestHookEvent) => unknown) | undefined;
  /** Called when the headers of an attempt's response have arrived. */
  onResponse?: ((event: ResponseHookEvent) => unknown) | undefined;
  /** Called before an attempt after the first is sent. */
  onRetry?: ((event: RetryHookEvent) => unknown) | undefined;
  /** Called once if the call fails. If it was cancelled, the error's `kind` is `"cancelled"`. */
  onError?: ((event: ErrorHookEvent) => unknown) | undefined;
  /** Called once with the complete reply. Use it to keep what was streamed. */
  onFinish?: ((event: FinishHookEvent) => unknown) | undefined;
}

/** What every hook is told. */
export interface HookEvent {
  /** The call. */
  call: CallInfo;
}

/** An attempt that is about to be sent. */
export interface RequestHookEvent extends HookEvent {
  /** The number of the attempt, from 1. */
  attempt: number;
  /** The name of the router's target. Undefined for a call of a client. */
  target: string | undefined;
  /** The address, without its query. */
  url: string;
  /** The headers, without those that can contain a secret. */
  headers: Headers;
  /** The body, as JSON text in the provider's wire format. */
  body: string;
}

/** A response of which the headers have arrived. */
export interface ResponseHookEvent extends HookEvent {
  /** The number of the attempt, from 1. */
  attempt: number;
  /** The name of the router's target. Undefined for a call of a client. */
  target: string | undefined;
  /** The HTTP status. */
  status: number;
  /** The headers of the response. */
  headers: Headers;
  /** The time since the attempt was sent, in milliseconds. */
  durationMs: number;
}

/** A retry that is about to be sent. */
export interface RetryHookEvent extends HookEvent {
  /** The number of the attempt, from 2. */
  attempt: number;
  /** The name of the router's target. Undefined for a call of a client. */
  target: string | undefined;
  /** The outcome of the attempt before. */
  previous: PreviousAttempt;
}

/** The outcome of an attempt that is retried. */
export interface PreviousAttempt {
  /** The HTTP status, if the provider responded. */
  status: number | undefined;
  /** The error of `fetch`, if the provider did not respond. */
  error: unknown;
}

/** A call that failed. */
export interface ErrorHookEvent extends HookEvent {
  /** Why it failed. */
  error: WarmlineError;
}

/** A call that succeeded. */
export interface FinishHookEvent extends HookEvent {
  /** The complete reply. */
  reply: Reply<unknown>;
}
