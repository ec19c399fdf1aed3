// The exports of every entry.
export {
  BudgetExceededError,
  CancelledError,
  ConfigError,
  ConnectError,
  DecodeError,
  LedgerError,
  OverloadedError,
  RateLimitError,
  StatusError,
  StreamError,
  TimeoutError,
  WarmlineError,
} from "./errors.js";
export { Warmline } from "./core.js";
export { Router } from "./router.js";
