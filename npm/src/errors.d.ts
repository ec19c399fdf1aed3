/** Why calls fail. */

/** The kind of an error, which tells the classes apart. */
export type ErrorKind = WarmlineError["kind"];

/** One attempt of a call. */
export interface Attempt {
  /** The name of the router's target that it was made at. Undefined for a call of a client. */
  target: string | undefined;
  /** The kind of its error. Undefined if it succeeded. */
  kind: ErrorKind | undefined;
  /** The HTTP status of its error, if the provider responded. */
  status: number | undefined;
  /** The start of its error's message. Undefined if it succeeded. */
  message: string | undefined;
  /** The provider's id of the request, if the provider responded with one. */
  requestId: string | undefined;
  /** The time from its start to its end, in milliseconds. */
  durationMs: number;
  /** The delay before the next attempt, in milliseconds. 0 for the last one. */
  delayMs: number;
}

/** The properties of an error besides its message, for its constructor. All are optional, unless the class says otherwise. */
export interface ErrorDetails {
  /** What caused the error. */
  cause?: unknown;
  /** The HTTP status. */
  status?: number | undefined;
  /** The provider's error code. Default: `errorType`. */
  code?: string | undefined;
  /** The provider's type of the error. */
  errorType?: string | undefined;
  /** The provider's id of the request. */
  requestId?: string | undefined;
  /** How long the provider asks to wait before a retry, in milliseconds. */
  retryAfterMs?: number | undefined;
  /** The attempts of the call. Default: none. */
  attempts?: readonly Attempt[] | undefined;
  /** What to do about the error. */
  hint?: string | undefined;
  /**
   * Whether the failure is temporary. Default: true for `ConnectError`, `RateLimitError`, `OverloadedError` and `StreamError`, and for a `StatusError` with
   * the status 408, 409 or from 500 on; otherwise false.
   */
  retryable?: boolean | undefined;
  /** The body of the provider's error response. */
  body?: string | undefined;
}

/** What all errors of this package have. */
declare class CallError<Name extends string, Kind extends string> extends Error {
  /** Creates an error, for tests and middleware. */
  constructor(message: string, details?: ErrorDetails);
  /** The name of the class; `"AbortError"` for a `CancelledError`. */
  readonly name: Name;
  /** The kind of the error. Each class has its own. */
  readonly kind: Kind;
  /**
   * The HTTP status, if the provider responded. An error within a reply, such as an `error` event of a stream, has the status that it names itself, or
   * else the one with which the provider documents its code: 529 for `overloaded_error`, 429 for `insufficient_quota`. An unknown code has 500.
   */
  readonly status: number | undefined;
  /** The provider's error code, or the error's type if it has no code. */
  readonly code: string | undefined;
  /** The provider's type of the error, such as `"invalid_request_error"`. */
  readonly errorType: string | undefined;
  /** The provider's request id of the last attempt. Quote it to the provider's support. */
  readonly requestId: string | undefined;
  /** How long the provider asks to wait before a retry, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The attempts that the call made, in their order. Empty if none was started. */
  readonly attempts: readonly Attempt[];
  /** What to do about the error, such as which option to change. It is also part of the message. */
  readonly hint: string | undefined;
  /**
   * Whether the failure is temporary, so that the same call may succeed later. The client has already retried it, up to `maxRetries` times, unless
   * content had been handed out. It is false for a timeout, because the provider may bill that request.
   */
  readonly retryable: boolean;
  /** The body of the provider's error response, or what the model wrote that cannot be read. It can contain parts of the request. */
  readonly body: string | undefined;
  /** Returns what a log needs: the error's fields without its stack, its cause and its body. */
  toJSON(): Pick<this, "kind" | "message" | "hint" | "retryable" | "status" | "code" | "requestId" | "retryAfterMs" | "attempts">;
}

/**
 * Why a call failed. The `kind` tells the classes apart, as `instanceof` does:
 *
 * ```ts
 * try {
 *   await llm.chat("Hello");
 * } catch (error) {
 *   if (error instanceof WarmlineError && error.kind === "timeout") console.warn(error.which);
 * }
 * ```
 */
export type WarmlineError =
  | ConfigError
  | ConnectError
  | TimeoutError
  | StatusError
  | RateLimitError
  | OverloadedError
  | BudgetExceededError
  | LedgerError
  | DecodeError
  | StreamError
  | CancelledError;

/** The class that all errors of this package extend. */
export const WarmlineError: {
  /** The prototype of all errors of this package. */
  readonly prototype: WarmlineError;
  /** Returns whether a value is an error of this package; called by `instanceof`. */
  [Symbol.hasInstance](value: unknown): value is WarmlineError;
};

/** The client's options or the request are invalid. Nothing was sent. The message names the value and what would be accepted. */
export class ConfigError extends CallError<"ConfigError", "config"> {}

/** The connection could not be opened, or it broke before a reply. `cause` is the error of `fetch`. */
export class ConnectError extends CallError<"ConnectError", "connect"> {}

/** A timeout expired. The hint names the option that would have waited longer. */
export class TimeoutError extends CallError<"TimeoutError", "timeout"> {
  /** Creates an error, for tests and middleware. */
  constructor(message: string, details: ErrorDetails & Pick<TimeoutError, "which">);
  /** The timeout that expired: `"read"` is `timeoutMs`, `"reply"` is `replyTimeoutMs`, and `"deadline"` is `deadlineMs`. */
  readonly which: "reply" | "read" | "deadline";
}

/** The provider responded with an error status that no other class stands for. */
export class StatusError extends CallError<"StatusError", "status"> {
  /** Creates an error, for tests and middleware. */
  constructor(message: string, details: ErrorDetails & Pick<StatusError, "status">);
  /** The HTTP status. */
  readonly status: number;
}

/** The provider responded with status 429: too many requests or tokens. `retryAfterMs` is the delay that it asks for. */
export class RateLimitError extends CallError<"RateLimitError", "rate_limited"> {}

/** The provider is overloaded: status 529 or 503, or an `overloaded_error` in a stream. */
export class OverloadedError extends CallError<"OverloadedError", "overloaded"> {}

/** The maximum cost of the call does not fit into what is left of a budget. Nothing was sent. Amounts are US dollars, as exact decimal strings. */
export class BudgetExceededError extends CallError<"BudgetExceededError", "budget_exceeded"> {
  /** Creates an error, for tests and middleware. */
  constructor(message: string, details: ErrorDetails & Pick<BudgetExceededError, "limit" | "spent" | "reserved" | "needed">);
  /** The budget's limit per month. */
  readonly limit: string;
  /** The amount spent this month. */
  readonly spent: string;
  /** The amount that calls in flight have reserved. */
  readonly reserved: string;
  /** The maximum cost of the call. */
  readonly needed: string;
}

/** The ledger of the budgets cannot be used, for example because its server does not answer. Nothing was sent. */
export class LedgerError extends CallError<"LedgerError", "ledger"> {}

/**
 * The reply does not have the provider's format, or does not match the request's `output` or the tool's `input`. `body` is what the model wrote, and
 * `cause` has the issues that the validator found.
 */
export class DecodeError extends CallError<"DecodeError", "decode"> {}

/** A reply broke off, or reported an error after it had started. */
export class StreamError extends CallError<"StreamError", "stream"> {}

/**
 * The call was cancelled: by its `signal`, whose reason is the `cause`, or because its last reader left. Its name is that of the `DOMException` of an
 * aborted `fetch`.
 */
export class CancelledError extends CallError<"AbortError", "cancelled"> {}

export {};
