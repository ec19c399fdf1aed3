// One error class for each kind, so both `instanceof` and `kind` distinguish them.

/** The classes by kind. */
export const KINDS = {};

/** Gives a class its kind and the name of its errors, which minifiers would change. */
function define(Class, name, kind) {
  Object.defineProperty(Class.prototype, "name", { value: name, writable: true, configurable: true });
  Object.defineProperty(Class, "kind", { value: kind });
  if (kind) KINDS[kind] = Class;
}

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
const OF_ONE_KIND = ["which", "limit", "spent", "reserved", "needed"];

/** Returns whether a failure is temporary, if nothing else is known of it. */
const isTemporary = (kind, status) =>
  ["connect", "rate_limited", "overloaded", "stream"].includes(kind) || (kind === "status" && (status === 408 || status === 409 || status >= 500));

/** Why a call failed. */
export class WarmlineError extends Error {
  static {
    define(this, "WarmlineError");
  }

  constructor(message, details = {}) {
    const { kind } = new.target;
    const { cause, status, errorType, attempts = [], retryable = isTemporary(kind, status) } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.status = status;
    this.code = details.code ?? errorType;
    this.errorType = errorType;
    this.requestId = details.requestId;
    this.retryAfterMs = details.retryAfterMs;
    this.attempts = attempts;
    this.hint = details.hint;
    this.retryable = retryable;
    this.body = details.body;
    for (const name of OF_ONE_KIND) if (details[name] !== undefined) this[name] = details[name];
  }

  toJSON() {
    const { kind, message, hint, retryable, status, code, requestId, retryAfterMs, attempts } = this;
    return { kind, message, hint, retryable, status, code, requestId, retryAfterMs, attempts };
  }
}

/** The client's options or the request are invalid. Nothing was sent. */
export class ConfigError extends WarmlineError {
  static {
    define(this, "ConfigError", "config");
  }
}
/** The connection could not be opened, or it broke before a reply. */
export class ConnectError extends WarmlineError {
  static {
    define(this, "ConnectError", "connect");
  }
}
/** A phase of the call, named by `which`, took longer than its timeout. */
export class TimeoutError extends WarmlineError {
  static {
    define(this, "TimeoutError", "timeout");
  }
}
/** The provider answered with an error status. */
export class StatusError extends WarmlineError {
  static {
    define(this, "StatusError", "status");
  }
}
/** The provider answered 429. */
export class RateLimitError extends WarmlineError {
  static {
    define(this, "RateLimitError", "rate_limited");
  }
}
/** The provider is overloaded. */
export class OverloadedError extends WarmlineError {
  static {
    define(this, "OverloadedError", "overloaded");
  }
}
/** The call's maximum cost does not fit into what is left of the budget. Nothing was sent. */
export class BudgetExceededError extends WarmlineError {
  static {
    define(this, "BudgetExceededError", "budget_exceeded");
  }
}
/** The ledger of the budgets cannot be used, for example because its server does not answer. Nothing was sent. */
export class LedgerError extends WarmlineError {
  static {
    define(this, "LedgerError", "ledger");
  }
}
/** The reply does not have the provider's format. */
export class DecodeError extends WarmlineError {
  static {
    define(this, "DecodeError", "decode");
  }
}
/** A streamed reply broke off, or reported an error. */
export class StreamError extends WarmlineError {
  static {
    define(this, "StreamError", "stream");
  }
}
/** The caller cancelled the call; `cause` is the signal's reason. Its name is that of the `DOMException` of an aborted `fetch`. */
export class CancelledError extends WarmlineError {
  static {
    define(this, "AbortError", "cancelled");
  }
}

/** Throws a configuration error. */
export function fail(message, cause) {
  throw new ConfigError(message, { cause });
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
  let { error: failure, message, retryable } = JSON.parse(error);
  const { kind, attempts, ...rest } = failure;
  const details = Object.fromEntries(Object.entries(rest).map(([name, value]) => [camel(name), value ?? undefined]));
  message = message.replace(/longer than max_retry_after(?: \(\w+\))?, which is (\S+?)(?=[;\s]|$)/, "longer than the $1 that a call waits at most");
  // Other messages can contain text of the provider's.
  if (kind === "config") message = translated(message);
  if (details.hint) {
    const hint = translated(details.hint).replace("max_tokens", "maxTokens");
    message = message.replace(details.hint, () => hint);
    details.hint = hint;
  }
  return new KINDS[kind](message, { ...details, retryable, attempts: toAttempts(attempts), cause: kind === "connect" ? cause : undefined });
}
