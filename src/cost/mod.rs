//! Prices, cost tracking, and budgets that cannot be overspent.

mod bound;
mod cut;
mod ledger;
mod ledger_state;
mod memory;
mod outbox;
mod price;
mod price_table;
mod queue;
pub(crate) mod redis;
mod refusal;
pub(crate) mod remote;
mod reservation;
mod spend;
mod totals;
mod tracker;

pub(crate) use self::bound::{CostEstimate, max_input_tokens};
pub(crate) use self::cut::Seen;
pub(crate) use self::ledger::DEFAULT_BUDGET;
pub use self::ledger::{Budget, BudgetExceeded, Ledger, Settlement};
pub use self::memory::MemoryLedger;
pub use self::price::{Price, PriceFactor, PriceTier};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::reservation::Reservation;
pub use self::spend::{BudgetAlert, BudgetSpend, Spend};
pub use self::totals::ModelSpend;
pub use self::tracker::CostTracker;
use crate::Result;
use crate::usd::{Cost, Usd};

crate::runtime::native_only! {
mod file;
    pub use self::file::FileLedger;

    /// Sets the ledger of a tracker to the one in a file.
    pub(crate) fn open_file(tracker: CostTracker, path: &str) -> Result<CostTracker> {
        Ok(tracker.ledger(FileLedger::open(path)?))
    }
}

crate::runtime::wasm_only! {
    pub(crate) fn open_file(_tracker: CostTracker, _path: &str) -> Result<CostTracker> {
        Err(crate::Error::config(
            "a ledger in a file requires a native target: use a Redis over REST",
        ))
    }
}
