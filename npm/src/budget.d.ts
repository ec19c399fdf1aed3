import type { Usage } from "./index.js";
import type { Provider } from "./provider.js";

/** The limit of what calls may cost in a calendar month (UTC). */
export interface Budget {
  /** The budget's name in the ledger: 1 to 128 ASCII letters, digits and `-_.:@`. Default: `"default"`. */
  name?: string | undefined;
  /** The limit in US dollars per month, as a decimal string (exact) or a number. */
  usd: string | number;
}

/** The budget of a client, and the ledger that keeps it. */
export interface BudgetOptions extends Budget {
  /**
   * The ledger that keeps the budget: a `RedisLedger` (`warmline/redis`), a Durable Object (`warmline/durable-object`), or an object with the three
   * methods of `Ledger`. Default: this client's memory.
   */
  ledger?: Ledger | undefined;
  /** The thresholds at which `onAlert` is called, each once a month, in whole percent of the limit. Default: 50, 80 and 100. */
  alerts?: readonly number[] | undefined;
  /** Called when the spend passes one of the thresholds. What it throws is ignored. */
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

/** Reports that a budget has passed one of its thresholds. Amounts are US dollars, as exact decimal strings. */
export interface BudgetAlert {
  /** The budget's name. */
  budget: string;
  /** The threshold that was passed, in percent of the limit. */
  percent: number;
  /** The amount spent this month. */
  spent: string;
  /** The limit per month. */
  limit: string;
  /** What to change. */
  hint: string;
}

/** Keeps the spent and reserved amounts of budgets. Amounts are whole pico-dollars (10⁻¹² of a US dollar). */
export interface Ledger {
  /**
   * Reserves an amount in all of the budgets, or in none of them. Returns the first budget that the amount does not fit into, and nothing if it was
   * reserved. If there already is a reservation with this `id`, it reserves nothing more, so a call without an answer can be repeated.
   *
   * If it rejects, or does not answer within 10 seconds, the call fails with a `LedgerError`.
   */
  reserve(id: string, budgets: LedgerBudget[], amount: bigint): Promise<BudgetExceeded | null | undefined | void>;
  /**
   * Replaces the reservation by the actual cost of the call. Returns what is then spent of each of its budgets this month, or an empty list if there
   * is no reservation with this `id`.
   */
  settle(id: string, amount: bigint): Promise<bigint[]>;
  /** Returns the amounts spent and reserved of a budget this month. Both are 0 for a name that is new. */
  state(budget: string): Promise<LedgerState>;
}

/** A budget in which a `Ledger` reserves. */
export interface LedgerBudget {
  /** The budget's name. */
  name: string;
  /** The limit per month, in pico-dollars. */
  limit: bigint;
}

/** What a `Ledger` knows of a budget in this month. Amounts are pico-dollars. */
export interface LedgerState {
  /** The amount spent. */
  spent: bigint;
  /** The amount that calls in flight have reserved. */
  reserved: bigint;
}

/** The budget that has not enough left for a reservation. Amounts are pico-dollars. */
export interface BudgetExceeded extends LedgerState {
  /** The budget's name. */
  budget: string;
}

/** The prices of a model in US dollars per million tokens, as decimal strings (exact) or numbers. */
export interface Price {
  /** The price of input tokens. */
  input: string | number;
  /** The price of output tokens. */
  output: string | number;
  /** The price of tokens that are read from a cache. Default: `input`. */
  cacheRead?: string | number | undefined;
  /** The price of tokens that are written to a cache. Default: `input`. */
  cacheWrite?: string | number | undefined;
  /** The price of tokens that are written to a cache for an hour. Default: `cacheWrite`. */
  cacheWrite1h?: string | number | undefined;
  /** The price of audio in the input. Default: `input`. */
  audioInput?: string | number | undefined;
  /** The price of audio in the output. Default: `output`. */
  audioOutput?: string | number | undefined;
  /** The fee of web searches that the provider makes, in US dollars per thousand searches. Default: the highest in the provider's price list. */
  webSearch?: string | number | undefined;
}

/** What was spent in a calendar month (UTC). Amounts are US dollars, as exact decimal strings. */
export interface Spend {
  /** The month, such as `"2026-11"`. */
  month: string;
  /** The cost of this client's calls, including failed ones. */
  total: string;
  /** The part of `total` that is an upper bound; see `ModelSpend`. The rest is exact. */
  estimated: string;
  /** The costs by provider and model: at most 1,000 models, and one row `"other"` per provider for all further ones. */
  models: ModelSpend[];
  /** The state of each budget, including what other clients of its ledger have spent. */
  budgets: BudgetSpend[];
  /** The cost that is not yet recorded in the ledger, and so not included in `budgets`. */
  unsettled: string;
}

/** What was spent on a model. Amounts are US dollars, as exact decimal strings. */
export interface ModelSpend {
  /** The provider. */
  provider: Provider;
  /** The model name in the requests, or `"other"`. */
  model: string;
  /** The number of attempts, including failed ones. */
  calls: number;
  /** The number of attempts that failed or were cancelled. */
  failures: number;
  /** The tokens of all replies. */
  usage: Usage;
  /** The cost of all attempts. */
  cost: string;
  /**
   * The part of `cost` that is an upper bound, because the usage or the price is not known: that of streams that were cancelled or cut, and of other
   * attempts that failed and may have been billed. The rest is exact.
   */
  estimated: string;
}

/** The state of a budget. Amounts are US dollars, as exact decimal strings. */
export interface BudgetSpend {
  /** The budget's name. */
  name: string;
  /** The limit per month. */
  limit: string;
  /** The amount spent this month. */
  spent: string;
  /** The amount that calls in flight have reserved. */
  reserved: string;
}
