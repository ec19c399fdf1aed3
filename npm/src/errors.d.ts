/** Why calls fail. */

/** What tells the classes of errors apart. */
export type ErrorKind = WarmlineError["kind"];

/** One attempt of a call. */
export interface Attempt {
  /** The kind of its error. Undefined if it succeeded. */
  kind: ErrorKind | undefined;
  /** The HTTP status of its error, if the provider responded. */
  status: number | undefined;
  /** The start of its error's message. */
  message: string | undefined;
  /** The provider's id of the request. */
  requestId: string | undefined;
  /** The time from its start to its end, in milliseconds. */
  durationMs: number;
  /** The delay before the next attempt, in milliseconds. */
  delayMs: number;
}

/** What all errors of this package have. */
declare class CallError extends Error {
  protected constructor();
  /** The HTTP status, if the provider answered. */
  readonly status: number | undefined;
  /** The provider's error code, or the error's type if it has no code. */
  readonly code: string | undefined;
  /** The provider's type of the error. */
  readonly errorType: string | undefined;
  /** The provider's request id of the last attempt. Quote it to the provider's support. */
  readonly requestId: string | undefined;
  /** How long the provider asks to wait before a retry, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The attempts that the call made, in their order. Empty if none was started. */
  readonly attempts: readonly Attempt[];
  /** What can be done about it, such as which option to change. */
  readonly hint: string | undefined;
  /** Whether the failure is temporary, so that the same call may succeed later. */
  readonly retryable: boolean;
  /** The provider's error body, or what the model wrote that cannot be read. */
  readonly body: string | undefined;
}

/**
 * Why a call failed. Its `kind` tells the classes apart, as `instanceof` does:
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
  readonly prototype: WarmlineError;
  [Symbol.hasInstance](value: unknown): value is WarmlineError;
};

/** The client's options or the request are invalid. Nothing was sent. */
export class ConfigError extends CallError {
  readonly name: "ConfigError";
  readonly kind: "config";
}

/** The connection could not be opened, or it broke before a reply. `cause` is the error of `fetch`. */
export class ConnectError extends CallError {
  readonly name: "ConnectError";
  readonly kind: "connect";
}

/** A phase of the call, named by `which`, took longer than its timeout. */
export class TimeoutError extends CallError {
  readonly name: "TimeoutError";
  readonly kind: "timeout";
  /** The timeout that expired. */
  readonly which: "reply" | "read" | "deadline";
}

/** The provider answered with an error status. */
export class StatusError extends CallError {
  readonly name: "StatusError";
  readonly kind: "status";
  /** The HTTP status. */
  readonly status: number;
}

/** The provider answered 429. */
export class RateLimitError extends CallError {
  readonly name: "RateLimitError";
  readonly kind: "rate_limited";
}

/** The provider is overloaded. */
export class OverloadedError extends CallError {
  readonly name: "OverloadedError";
  readonly kind: "overloaded";
}

/** The call's maximum cost does not fit into what is left of the budget. Nothing was sent. Amounts are dollars, as exact decimal strings. */
export class BudgetExceededError extends CallError {
  readonly name: "BudgetExceededError";
  readonly kind: "budget_exceeded";
  /** The budget's limit per month. */
  readonly limit: string;
  /** What was spent of it this month. */
  readonly spent: string;
  /** What calls in flight have reserved. */
  readonly reserved: string;
  /** The call's maximum cost. */
  readonly needed: string;
}

/** The ledger of the budgets cannot be used, for example because its server does not answer. Nothing was sent. */
export class LedgerError extends CallError {
  readonly name: "LedgerError";
  readonly kind: "ledger";
}

/**
 * The reply does not have the provider's format, or does not match the request's `output` or the tool's `input`. `cause` has the issues that the
 * validator found.
 */
export class DecodeError extends CallError {
  readonly name: "DecodeError";
  readonly kind: "decode";
}

/** A streamed reply broke off, or reported an error. */
export class StreamError extends CallError {
  readonly name: "StreamError";
  readonly kind: "stream";
}

/** The call was cancelled; `cause` is the signal's reason. Its name is that of the `DOMException` of an aborted `fetch`. */
export class CancelledError extends CallError {
  readonly name: "AbortError";
  readonly kind: "cancelled";
}

export {};
