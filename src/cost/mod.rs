//! Prices, cost tracking, and budgets that cannot be overspent.

mod bound;
mod file;
mod ledger;
mod ledger_state;
mod memory;
mod outbox;
mod price;
mod price_table;
pub(crate) mod redis;
pub(crate) mod remote;
mod reservation;
mod spend;
mod totals;
mod tracker;

pub(crate) use self::bound::CostEstimate;
pub use self::file::FileLedger;
pub use self::ledger::{Budget, BudgetExceeded, Ledger, Settlement};
pub use self::memory::MemoryLedger;
pub use self::price::{Price, PriceFactor, PriceTier};
pub(crate) use self::reservation::Reservation;
pub use self::spend::{BudgetAlert, BudgetSpend, Spend};
pub use self::totals::ModelSpend;
pub use self::tracker::CostTracker;
use crate::usd::{Cost, Usd};
