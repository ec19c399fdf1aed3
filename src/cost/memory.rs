use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::ledger_state::{LedgerState, OpenReservation};
use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::Result;
use crate::runtime::{self, BoxFuture};

/// A ledger in memory, for one process.
///
/// A new one is empty.
///
/// ```
/// let ledger = warmline::MemoryLedger::default();
/// ```
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<LedgerState>);

impl MemoryLedger {
    fn with<T>(&self, f: impl FnOnce(&mut LedgerState, SystemTime) -> T) -> T {
        // No panic can leave the state half changed, so a poisoned lock is safe to use.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = runtime::wall_clock();
        state.expire(now);
        f(&mut state, now)
    }
}

impl Ledger for MemoryLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        let reserved = self.with(|state, now| {
            if state.check(id, budgets, amount, now)? {
                state.open(id, OpenReservation::new(budgets, amount, now));
            }
            Ok(())
        });
        Box::pin(std::future::ready(Ok(reserved)))
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        let spent = self.with(|state, now| state.settle(id, amount, now));
        Settlement::Done(Ok(spent.unwrap_or_default()))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let state = self.with(|state, now| state.state(budget, now));
        Box::pin(std::future::ready(Ok(state)))
    }
}
