// One error class for each kind, so both `instanceof` and `kind` distinguish them.

/** Converts the core's attempts to the public type. */
export const toAttempts = (attempts = []) =>
  attempts.map(({ kind, status, message, request_id: requestId, duration_ms: durationMs, delay_ms: delayMs = 0 }) => ({
    kind,
    status,
    message,
    requestId,
    durationMs,
    delayMs,
  }));

/** Why a call failed. */
export class WarmlineError extends Error {
  constructor(failure, cause) {
    super(failure.message, cause === undefined ? undefined : { cause });
    this.kind = failure.kind;
    this.status = failure.status ?? undefined;
    this.code = failure.code ?? undefined;
    this.errorType = failure.error_type ?? undefined;
    this.requestId = failure.request_id ?? undefined;
    this.retryAfterMs = failure.retry_after_ms ?? undefined;
    this.attempts = toAttempts(failure.attempts);
    this.hint = failure.hint ?? undefined;
    this.retryable = failure.retryable ?? false;
    this.body = failure.body ?? undefined;
    if (failure.which) this.which = failure.which;
    if (failure.budget) Object.assign(this, failure.budget);
  }

  get name() {
    return this.constructor.name;
  }

  toJSON() {
    const { kind, message, hint, retryable, status, code, requestId, retryAfterMs, attempts } = this;
    return { kind, message, hint, retryable, status, code, requestId, retryAfterMs, attempts };
  }
}

/** The client's options or the request are invalid. Nothing was sent. */
export class ConfigError extends WarmlineError {}
/** The connection could not be opened, or it broke before a reply. */
export class ConnectError extends WarmlineError {}
/** A phase of the call, named by `which`, took longer than its timeout. */
export class TimeoutError extends WarmlineError {}
/** The provider answered with an error status. */
export class StatusError extends WarmlineError {}
/** The provider answered 429. */
export class RateLimitError extends WarmlineError {}
/** The provider is overloaded. */
export class OverloadedError extends WarmlineError {}
/** The call's maximum cost does not fit into what is left of the budget. Nothing was sent. */
export class BudgetExceededError extends WarmlineError {}
/** The ledger of the budgets cannot be used, for example because its server does not answer. Nothing was sent. */
export class LedgerError extends WarmlineError {}
/** The reply does not have the provider's format. */
export class DecodeError extends WarmlineError {}
/** A streamed reply broke off, or reported an error. */
export class StreamError extends WarmlineError {}
/** The caller cancelled the call; `cause` is the signal's reason. */
export class CancelledError extends WarmlineError {}

const KINDS = {
  config: ConfigError,
  connect: ConnectError,
  timeout: TimeoutError,
  status: StatusError,
  rate_limited: RateLimitError,
  overloaded: OverloadedError,
  budget_exceeded: BudgetExceededError,
  ledger: LedgerError,
  decode: DecodeError,
  stream: StreamError,
  cancelled: CancelledError,
};

/** Throws a configuration error. */
export function fail(message) {
  throw new ConfigError({ kind: "config", message });
}

/** Returns a failure that the core reports, which is JSON text, as a `WarmlineError`; anything else that was thrown, unchanged. */
export function fromCore(error, cause) {
  if (typeof error !== "string") return error;
  const failure = JSON.parse(error);
  return new (KINDS[failure.kind] ?? WarmlineError)(failure, cause);
}
