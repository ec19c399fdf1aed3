//! Money: what calls cost, and budgets that cannot be overspent.

mod books;
mod bound;
mod facts;
mod file;
mod ledger;
mod outbox;
mod price;
pub(crate) mod redis;
pub(crate) mod remote;
mod reservation;
mod totals;
mod tracker;

pub(crate) use self::bound::CostEstimate;
pub(crate) use self::facts::RequestFacts;
pub use self::file::FileLedger;
pub use self::ledger::{Budget, BudgetExceeded, Ledger, MemoryLedger, Settlement};
pub use self::price::{Price, PriceTier};
pub(crate) use self::reservation::Reservation;
pub use self::totals::ModelSpend;
pub use self::tracker::{BudgetAlert, BudgetSpend, CostTracker, Spend};
use crate::usd::{Cost, Usd};
