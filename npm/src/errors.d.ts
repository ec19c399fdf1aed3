/** Why calls fail. */

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

export type ErrorKind =
  | "config"
  | "connect"
  | "timeout"
  | "status"
  | "rate_limited"
  | "overloaded"
  | "budget_exceeded"
  | "ledger"
  | "decode"
  | "stream"
  | "cancelled";

/** Why a call failed. */
export class WarmlineError extends Error {
  readonly kind: ErrorKind;
  /** The HTTP status, if the provider answered. */
  readonly status: number | undefined;
  /** The provider's error code, or the error's type if it has no code. */
  readonly code: string | undefined;
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
  /** The provider's error body. */
  readonly body: string | undefined;
}
/** The client's options or the request are invalid. Nothing was sent. */
export class ConfigError extends WarmlineError {
  readonly kind: "config";
}
/** The connection could not be opened, or it broke before a reply. */
export class ConnectError extends WarmlineError {
  readonly kind: "connect";
}
/** A phase of the call, named by `which`, took longer than its timeout. */
export class TimeoutError extends WarmlineError {
  readonly kind: "timeout";
  readonly which: "reply" | "read" | "deadline";
}
/** The provider answered with an error status. */
export class StatusError extends WarmlineError {
  readonly kind: "status";
  readonly status: number;
}
/** The provider answered 429. */
export class RateLimitError extends WarmlineError {
  readonly kind: "rate_limited";
}
/** The provider is overloaded. */
export class OverloadedError extends WarmlineError {
  readonly kind: "overloaded";
}
/** The call's maximum cost does not fit into what is left of the budget. Nothing was sent. Amounts are dollars, as exact decimal strings. */
export class BudgetExceededError extends WarmlineError {
  readonly kind: "budget_exceeded";
  readonly limit: string;
  readonly spent: string;
  readonly reserved: string;
  /** The call's maximum cost. */
  readonly needed: string;
}
/** The ledger of the budgets cannot be used, for example because its server does not answer. Nothing was sent. */
export class LedgerError extends WarmlineError {
  readonly kind: "ledger";
}
/** The reply does not have the provider's format, or does not match the request's `output`. */
export class DecodeError extends WarmlineError {
  readonly kind: "decode";
}
/** A streamed reply broke off, or reported an error. */
export class StreamError extends WarmlineError {
  readonly kind: "stream";
}
/** The caller cancelled the call; `cause` is the signal's reason. */
export class CancelledError extends WarmlineError {
  readonly kind: "cancelled";
}
