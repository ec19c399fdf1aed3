import type { Usage } from "./index.js";
import type { Provider } from "./provider.js";

/** A limit of what calls may cost in a calendar month (UTC). */
export interface Budget {
  /** The budget's name in the ledger. Default: "default". */
  name?: string | undefined;
  /** The limit in dollars, as a decimal string (exact) or a number. */
  usd: string | number;
}

/** The budget of a client, and the ledger that keeps it. */
export interface BudgetOptions extends Budget {
  /** The ledger that keeps the budget. See `warmline/redis` and `warmline/durable-object`. Default: this client's memory. */
  ledger?: Ledger | undefined;
  /** The thresholds in percent at which `onAlert` is called, each once a month. Default: 50, 80 and 100. */
  alerts?: number[] | undefined;
  /** Called when the spend passes one of the thresholds. */
  onAlert?: ((alert: BudgetAlert) => void) | undefined;
  /**
   * Lets calls proceed while the ledger cannot be reached. Their cost is recorded when it can be reached again; until then the budget can be
   * overspent. Default: false, calls fail.
   */
  failOpen?: boolean | undefined;
  /**
   * Charges the whole reserved amount for a stream that is cancelled or cut, instead of the most that the model can have written by then. Default:
   * false.
   */
  strict?: boolean | undefined;
}

/** Reports that a budget has passed one of its thresholds. Amounts are dollars, as exact decimal strings. */
export interface BudgetAlert {
  /** The budget's name. */
  budget: string;
  /** The threshold that was passed, in percent. */
  percent: number;
  /** What was spent this month. */
  spent: string;
  /** The limit per month. */
  limit: string;
  /** What to change. */
  hint: string;
}

/** Keeps the spent and reserved amounts of budgets. Amounts are whole pico-dollars (10⁻¹² of a dollar). */
export interface Ledger {
  /**
   * Reserves an amount in all of the budgets, or in none: it then returns the budget that has not enough left. If there already is a reservation
   * with this `id`, it reserves nothing more.
   */
  reserve(id: string, budgets: { name: string; limit: bigint }[], amount: bigint): Promise<BudgetExceeded | null | undefined | void>;
  /**
   * Replaces the reservation by the actual cost of the call. Returns what is then spent of each of its budgets this month, or an empty list if there
   * is no reservation with this `id`.
   */
  settle(id: string, amount: bigint): Promise<bigint[]>;
  /** Returns what is spent and reserved of a budget this month. */
  state(budget: string): Promise<{ spent: bigint; reserved: bigint }>;
}

/** The budget that has not enough left for a reservation. */
export interface BudgetExceeded {
  /** The budget's name. */
  budget: string;
  /** What was spent of it this month. */
  spent: bigint;
  /** What calls in flight have reserved. */
  reserved: bigint;
}

/**
 * Dollars per million tokens. `cacheRead`, `cacheWrite` and `audioInput` default to `input`, `audioOutput` to `output`, and
 * `cacheWrite1h` to `cacheWrite`.
 */
export interface Price {
  /** The price of input tokens. */
  input: string | number;
  /** The price of output tokens. */
  output: string | number;
  /** The price of tokens that are read from a cache. */
  cacheRead?: string | number | undefined;
  /** The price of tokens that are written to a cache. */
  cacheWrite?: string | number | undefined;
  /** The price of tokens that are written to a cache for an hour. */
  cacheWrite1h?: string | number | undefined;
  /** The price of audio in the input. */
  audioInput?: string | number | undefined;
  /** The price of audio in the output. */
  audioOutput?: string | number | undefined;
  /** The fee of web searches that the provider makes, in dollars per thousand searches. */
  webSearch?: string | number | undefined;
}

/** What was spent in a calendar month (UTC). Amounts are dollars, as exact decimal strings. */
export interface Spend {
  /** The month, such as `"2026-11"`. */
  month: string;
  /** The cost of this client's calls. */
  total: string;
  /** The part of `total` that is an upper bound, as of streams that were cancelled or cut. The rest is exact. */
  estimated: string;
  /** The spend of each model. */
  models: {
    /** The provider. */
    provider: Provider;
    /** The model of the request. The first 1,000 models of a month have their own row; the others share one named `other`. */
    model: string;
    /** The number of attempts, including failed ones. */
    calls: number;
    /** The number of failed attempts. */
    failures: number;
    /** The tokens of all calls. */
    usage: Usage;
    /** The cost of all calls. */
    cost: string;
    /** The part of `cost` that is an upper bound, as of streams that were cancelled or cut. The rest is exact. */
    estimated: string;
  }[];
  /** Each budget, including what other clients of its ledger have spent. */
  budgets: { name: string; limit: string; spent: string; reserved: string }[];
  /** What is not yet recorded in the ledger, and so not included in `budgets`. */
  unsettled: string;
}
