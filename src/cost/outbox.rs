//! Delivers reservations and settlements to a ledger, and keeps settlements until they have been delivered.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::runtime::{self, MaybeSend};
use crate::{Error, ErrorKind, Result};

/// The maximum time that dropping the last clone waits for settlements in progress. Within a runtime it waits for less.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// Cheap to clone. Dropping the last clone waits up to [`DROP_TIMEOUT`] for settlements in progress, so that a process that
/// exits normally loses none. They continue afterwards if the process does not exit.
#[derive(Clone)]
pub(super) struct Outbox(Arc<DrainOnDrop>);

struct DrainOnDrop(Arc<Shared>);

struct Shared {
    ledger: Arc<dyn Ledger>,
    /// The number of reservations that are not settled in the ledger.
    open: AtomicUsize,
    /// Settlements that failed and are retried.
    undelivered: Mutex<Vec<PendingSettlement>>,
    retrying: AtomicBool,
    /// The tasks that wait in [`drained`](Self::drained).
    drain_wakers: Mutex<Vec<Waker>>,
}

/// A settlement that the ledger has not confirmed yet.
struct PendingSettlement {
    id: u64,
    amount: Usd,
    /// The budgets to charge, for a call that proceeded without a reservation.
    charge_to: Option<Vec<Budget>>,
}

impl Outbox {
    pub(super) fn new(ledger: impl Ledger + 'static) -> Self {
        Self(Arc::new(DrainOnDrop(Arc::new(Shared {
            ledger: Arc::new(ledger),
            open: AtomicUsize::new(0),
            undelivered: Mutex::default(),
            retrying: AtomicBool::new(false),
            drain_wakers: Mutex::default(),
        }))))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    pub(super) async fn reserve(
        &self,
        id: u64,
        budgets: &[Budget],
        amount: Usd,
    ) -> Result<Result<(), BudgetExceeded>> {
        let shared = self.shared();
        let reserved = shared.ledger.reserve(id, budgets, amount).await;
        let reserved = reserved.map_err(of_ledger)?;
        if reserved.is_ok() {
            shared.open.fetch_add(1, Ordering::Relaxed);
        }
        // The ledger can be reached again, so settlements that failed before can be delivered.
        shared.retry_later();
        Ok(reserved)
    }

    /// Counts a call that proceeds without a reservation. [`settle`](Self::settle) charges its cost.
    pub(super) fn proceed_unreserved(&self) {
        self.shared().open.fetch_add(1, Ordering::Relaxed);
    }

    /// Releases a reservation that the ledger may have made.
    pub(super) fn release(&self, id: u64) {
        // If this fails too, the reservation expires.
        if let Settlement::Pending(released) = self.shared().ledger.settle(id, Usd::ZERO) {
            runtime::background(async move { drop(released.await) });
        }
    }

    /// Settles a reservation, or charges the budgets in `charge_to` for a call that proceeded without one. `on_settled` is
    /// called with what is then spent of each budget.
    pub(super) fn settle(
        &self,
        id: u64,
        amount: Usd,
        charge_to: Option<&[Budget]>,
        on_settled: impl FnOnce(&[Usd]) + MaybeSend + 'static,
    ) {
        let shared = self.shared();
        let charge_to = charge_to.map(<[Budget]>::to_vec);
        let settlement = PendingSettlement {
            id,
            amount,
            charge_to,
        };
        let pending = match settlement.charge_to {
            Some(_) => None,
            None => match shared.ledger.settle(id, amount) {
                Settlement::Done(spent) => return shared.finish(settlement, spent, on_settled),
                Settlement::Pending(spent) => Some(spent),
            },
        };
        let (shared, mut settlement) = (shared.clone(), settlement);
        runtime::background(async move {
            let spent = match pending {
                Some(spent) => spent.await,
                None => shared.deliver(&mut settlement).await,
            };
            shared.finish(settlement, spent, on_settled);
        });
    }

    pub(super) async fn state(&self, budget: &str) -> Result<(Usd, Usd)> {
        self.shared().ledger.state(budget).await.map_err(of_ledger)
    }

    /// Returns the sum of the settlements that failed and are retried.
    pub(super) fn unsettled(&self) -> Usd {
        self.shared()
            .undelivered()
            .iter()
            .map(|settlement| settlement.amount)
            .sum()
    }

    /// Waits until every reservation is settled in the ledger.
    pub(super) async fn flush(&self) -> Result<()> {
        let shared = self.shared();
        loop {
            shared.drained().await;
            if shared.undelivered().is_empty() {
                return Ok(());
            }
            shared.retry().await.map_err(of_ledger)?;
        }
    }
}

/// Marks an error as one of the ledger, unless it is a mistake of the program, such as a call outside a Tokio runtime. A ledger
/// of the user's own can return errors of any kind.
fn of_ledger(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Config => error,
        _ => error.with_kind(ErrorKind::Ledger),
    }
}

impl Shared {
    fn undelivered(&self) -> MutexGuard<'_, Vec<PendingSettlement>> {
        self.undelivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles the ledger's answer to a settlement: a failed one is kept and retried.
    fn finish(
        self: &Arc<Self>,
        settlement: PendingSettlement,
        spent: Result<Vec<Usd>>,
        on_settled: impl FnOnce(&[Usd]),
    ) {
        match spent {
            Ok(spent) => {
                self.close();
                on_settled(&spent);
            }
            Err(error) => {
                tracing::warn!(%error, "a settlement has failed and is retried");
                self.undelivered().push(settlement);
                self.wake();
                self.retry_later();
            }
        }
    }

    fn drain_wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.drain_wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        // The lock is released before the tasks are woken.
        let wakers = std::mem::take(&mut *self.drain_wakers());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until every reservation is settled, or its settlement has failed.
    async fn drained(&self) {
        poll_fn(|cx| {
            let mut wakers = self.drain_wakers();
            match self.open.load(Ordering::Relaxed) <= self.undelivered().len() {
                true => Poll::Ready(()),
                false => {
                    wakers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Delivers a settlement to the ledger. It can be repeated after a failure: `charge_to` is cleared once the amount is
    /// reserved, and reserving or settling twice has the effect of once.
    async fn deliver(&self, settlement: &mut PendingSettlement) -> Result<Vec<Usd>> {
        if let Some(budgets) = &mut settlement.charge_to {
            // The cost has been incurred, whatever the limit.
            let unlimited = Usd::from_pico(u64::MAX);
            budgets
                .iter_mut()
                .for_each(|budget| budget.limit = unlimited);
            // Only a sum that overflows is refused.
            let _ = self
                .ledger
                .reserve(settlement.id, budgets, settlement.amount)
                .await?;
            settlement.charge_to = None;
        }
        match self.ledger.settle(settlement.id, settlement.amount) {
            Settlement::Done(spent) => spent,
            Settlement::Pending(spent) => spent.await,
        }
    }

    /// Delivers the settlements that failed before, until one fails again.
    async fn retry(&self) -> Result<()> {
        loop {
            let mut guard = UndeliveredGuard {
                shared: self,
                settlement: self.undelivered().pop(),
            };
            let Some(settlement) = &mut guard.settlement else {
                return Ok(());
            };
            self.deliver(settlement).await?;
            guard.settlement = None;
            self.close();
        }
    }

    /// Retries in the background, at most eight times, with exponential backoff. After that, the next reservation that succeeds
    /// or settlement that fails starts the retries again.
    fn retry_later(self: &Arc<Self>) {
        if self.undelivered().is_empty() || self.retrying.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = self.clone();
        runtime::background(async move {
            for n in 0..8 {
                runtime::sleep(Duration::from_millis(100 << n)).await;
                if shared.retry().await.is_ok() {
                    break;
                }
            }
            shared.retrying.store(false, Ordering::Relaxed);
        });
    }
}

/// A settlement that is being delivered. It becomes undelivered again if the delivery fails or its future is dropped.
struct UndeliveredGuard<'a> {
    shared: &'a Shared,
    settlement: Option<PendingSettlement>,
}

impl Drop for UndeliveredGuard<'_> {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            self.shared.undelivered().push(settlement);
            self.shared.wake();
        }
    }
}

impl Drop for DrainOnDrop {
    fn drop(&mut self) {
        let shared = self.0.clone();
        if shared.open.load(Ordering::Relaxed) > shared.undelivered().len() {
            runtime::wait_for(async move { shared.drained().await }, DROP_TIMEOUT);
        }
        let undelivered = self.0.undelivered().len();
        if undelivered > 0 {
            tracing::error!(
                settlements = undelivered,
                "settlements have not reached the ledger yet; if the process exits now, their reservations count as spent in full when they expire"
            );
        }
    }
}

#[cfg(test)]
mod tests;
