// One error class for each kind, so both `instanceof` and `kind` distinguish them.

// Minifiers change the names of classes.
const named = ({ prototype }, name) => Object.defineProperty(prototype, "name", { value: name, writable: true, configurable: true });

/** Converts the core's attempts to the public type. */
export const toAttempts = (attempts = []) =>
  attempts.map(({ target, kind, status, message, request_id: requestId, duration_ms: durationMs, delay_ms: delayMs = 0 }) => ({
    target,
    kind,
    status,
    message,
    requestId,
    durationMs,
    delayMs,
  }));

/** What only errors of one kind have. */
const DETAILS = ["which", "limit", "spent", "reserved", "needed"];

/** Why a call failed. */
export class WarmlineError extends Error {
  static {
    named(this, "WarmlineError");
  }

  constructor(failure, cause) {
    super(failure.message, cause === undefined ? undefined : { cause });
    this.kind = failure.kind;
    this.status = failure.status ?? undefined;
    this.code = failure.code ?? failure.error_type ?? undefined;
    this.errorType = failure.error_type ?? undefined;
    this.requestId = failure.request_id ?? undefined;
    this.retryAfterMs = failure.retry_after_ms ?? undefined;
    this.attempts = toAttempts(failure.attempts);
    this.hint = failure.hint ?? undefined;
    this.retryable = failure.retryable ?? false;
    this.body = failure.body ?? undefined;
    for (const name of DETAILS) if (failure[name] !== undefined) this[name] = failure[name];
  }

  toJSON() {
    const { kind, message, hint, retryable, status, code, requestId, retryAfterMs, attempts } = this;
    return { kind, message, hint, retryable, status, code, requestId, retryAfterMs, attempts };
  }
}

/** The client's options or the request are invalid. Nothing was sent. */
export class ConfigError extends WarmlineError {
  static {
    named(this, "ConfigError");
  }
}
/** The connection could not be opened, or it broke before a reply. */
export class ConnectError extends WarmlineError {
  static {
    named(this, "ConnectError");
  }
}
/** A phase of the call, named by `which`, took longer than its timeout. */
export class TimeoutError extends WarmlineError {
  static {
    named(this, "TimeoutError");
  }
}
/** The provider answered with an error status. */
export class StatusError extends WarmlineError {
  static {
    named(this, "StatusError");
  }
}
/** The provider answered 429. */
export class RateLimitError extends WarmlineError {
  static {
    named(this, "RateLimitError");
  }
}
/** The provider is overloaded. */
export class OverloadedError extends WarmlineError {
  static {
    named(this, "OverloadedError");
  }
}
/** The call's maximum cost does not fit into what is left of the budget. Nothing was sent. */
export class BudgetExceededError extends WarmlineError {
  static {
    named(this, "BudgetExceededError");
  }
}
/** The ledger of the budgets cannot be used, for example because its server does not answer. Nothing was sent. */
export class LedgerError extends WarmlineError {
  static {
    named(this, "LedgerError");
  }
}
/** The reply does not have the provider's format. */
export class DecodeError extends WarmlineError {
  static {
    named(this, "DecodeError");
  }
}
/** A streamed reply broke off, or reported an error. */
export class StreamError extends WarmlineError {
  static {
    named(this, "StreamError");
  }
}
/** The caller cancelled the call; `cause` is the signal's reason. Its name is that of the `DOMException` of an aborted `fetch`. */
export class CancelledError extends WarmlineError {
  static {
    named(this, "AbortError");
  }
}

/** The classes by kind. */
export const KINDS = {
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
export function fail(message, cause) {
  throw new ConfigError({ kind: "config", message }, cause);
}

// The core is also a Rust library, and some of its messages name settings as that does.
const NAMES = [
  // The text of the request that the core reads is not the caller's.
  [/ at line \d+ column \d+/g, ""],
  [/ \((?:[A-Z]+_)+[A-Z]+(?: or (?:[A-Z]+_)+[A-Z]+)*\)/g, ""],
  [/set [A-Z_]+ or pass a key to the client/, "pass it to the client as apiKey, or a token as bearerToken"],
  [/\b(?:base_url|cache_control|media_type|tool_use_id|is_error|extra_body|tool_choice|stop_sequences|response_format|budget_tokens|top_p|api_key|bearer_token|api_version)\b/g, camel],
  [/\bresponseFormat\b/g, "output"],
  [/`(timeout|deadline|reply_timeout|pool_timeout|max_retries)`/g, (_, name) => camel(name) + (name === "max_retries" ? "" : "Ms")],
];

function camel(name) {
  return name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
}

/** Returns a message of the core's own in the terms of this package. */
export const translated = (message) => NAMES.reduce((text, [from, to]) => text.replace(from, to), message);

/** Returns a failure that the core reports, which is JSON text, as a `WarmlineError`; anything else that was thrown, unchanged. */
export function fromCore(error, cause) {
  if (typeof error !== "string") return error;
  const { error: details, message, retryable } = JSON.parse(error);
  const failure = { ...details, message, retryable };
  failure.message = failure.message.replace(/longer than max_retry_after(?: \(\w+\))?, which is (\S+?)(?=[;\s]|$)/, "longer than the $1 that a call waits at most");
  // Other messages can contain text of the provider's.
  if (failure.kind === "config") failure.message = translated(failure.message);
  if (failure.hint) {
    const hint = translated(failure.hint).replace("max_tokens", "maxTokens");
    failure.message = failure.message.replace(failure.hint, () => hint);
    failure.hint = hint;
  }
  return new (KINDS[failure.kind] ?? WarmlineError)(failure, failure.kind === "connect" ? cause : undefined);
}
