//! Money: what calls cost, and budgets that cannot be overspent.

mod books;
mod bound;
mod file;
mod ledger;
mod outbox;
mod outline;
mod price;
pub(crate) mod redis;
pub(crate) mod remote;
mod reservation;
mod totals;
mod tracker;
mod usd;

pub(crate) use self::bound::Ask;
pub use self::file::FileLedger;
pub use self::ledger::{Budget, Ledger, MemoryLedger, Refusal, Settled};
pub(crate) use self::outline::Outline;
pub use self::price::{LongContext, Price};
pub(crate) use self::reservation::Reservation;
pub use self::totals::ModelSpend;
pub use self::tracker::{BudgetAlert, BudgetSpend, Cost, CostTracker, Spend};
pub use self::usd::Usd;
