//! The way to a ledger: what calls put aside and come to, kept until the ledger has heard of it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::Result;
use crate::runtime::{self, MaybeSend};

/// How long the last of its holders waits for settlements on their way.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Cheap to clone. The last clone to be dropped waits a while, so that a process that ends in good order loses nothing.
#[derive(Clone)]
pub(super) struct Outbox(Arc<Holder>);

struct Holder(Arc<Shared>);

struct Shared {
    ledger: Arc<dyn Ledger>,
    /// Reservations of whose end the ledger has not heard.
    open: AtomicUsize,
    /// Ends that it could not be told.
    undelivered: Mutex<Vec<PendingSettlement>>,
    retrying: AtomicBool,
    flushing: Mutex<Vec<Waker>>,
}

/// How a reservation ends.
struct PendingSettlement {
    id: u64,
    amount: Usd,
    /// Where the ledger could not be reached to reserve it, the budgets that owe it.
    charge_to: Option<Vec<Budget>>,
}

impl Outbox {
    pub(super) fn new(ledger: impl Ledger + 'static) -> Self {
        Self(Arc::new(Holder(Arc::new(Shared {
            ledger: Arc::new(ledger),
            open: AtomicUsize::new(0),
            undelivered: Mutex::default(),
            retrying: AtomicBool::new(false),
            flushing: Mutex::default(),
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
        let reserved = shared.ledger.reserve(id, budgets, amount).await?;
        if reserved.is_ok() {
            shared.open.fetch_add(1, Ordering::Relaxed);
        }
        // It answers: it can be told what it could not be before.
        shared.retry_later();
        Ok(reserved)
    }

    /// A call goes ahead without a reservation; what it comes to will be owed.
    pub(super) fn proceed_unreserved(&self) {
        self.shared().open.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes a reservation of which it is not known whether it was made.
    pub(super) fn release(&self, id: u64) {
        // If that fails too, its lease ends by itself.
        if let Settlement::Pending(given_back) = self.shared().ledger.settle(id, Usd::ZERO) {
            runtime::background(async move { drop(given_back.await) });
        }
    }

    /// Ends a reservation, or with `charge_to` what was begun without one. `told` hears what is then spent of each budget.
    pub(super) fn settle(
        &self,
        id: u64,
        amount: Usd,
        charge_to: Option<&[Budget]>,
        told: impl FnOnce(&[Usd]) + MaybeSend + 'static,
    ) {
        let shared = self.shared();
        let charge_to = charge_to.map(<[Budget]>::to_vec);
        let end = PendingSettlement {
            id,
            amount,
            charge_to,
        };
        let later = match end.charge_to {
            Some(_) => None,
            None => match shared.ledger.settle(id, amount) {
                Settlement::Done(spent) => return shared.arrived(end, spent, told),
                Settlement::Pending(spent) => Some(spent),
            },
        };
        let (shared, mut end) = (shared.clone(), end);
        runtime::background(async move {
            let spent = match later {
                Some(spent) => spent.await,
                None => shared.tell(&mut end).await,
            };
            shared.arrived(end, spent, told);
        });
    }

    pub(super) async fn state(&self, budget: &str) -> Result<(Usd, Usd)> {
        self.shared().ledger.state(budget).await
    }

    /// What the ledger has still to be told.
    pub(super) fn unsettled(&self) -> Usd {
        self.shared()
            .undelivered()
            .iter()
            .map(|end| end.amount)
            .sum()
    }

    pub(super) async fn flush(&self) -> Result<()> {
        let shared = self.shared();
        loop {
            shared.drained().await;
            if shared.undelivered().is_empty() {
                return Ok(());
            }
            shared.retry().await?;
        }
    }
}

impl Shared {
    fn undelivered(&self) -> MutexGuard<'_, Vec<PendingSettlement>> {
        self.undelivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(
        self: &Arc<Self>,
        end: PendingSettlement,
        spent: Result<Vec<Usd>>,
        told: impl FnOnce(&[Usd]),
    ) {
        match spent {
            Ok(spent) => {
                self.close();
                told(&spent);
            }
            Err(error) => {
                tracing::warn!(%error, "a call's cost has not reached its ledger yet");
                self.undelivered().push(end);
                self.wake();
                self.retry_later();
            }
        }
    }

    fn close(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = std::mem::take(&mut *flushing);
        drop(flushing);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Until every reservation is ended, or undelivered.
    async fn drained(&self) {
        poll_fn(|cx| {
            let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
            match self.open.load(Ordering::Relaxed) <= self.undelivered().len() {
                true => Poll::Ready(()),
                false => {
                    flushing.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Tells the ledger an end. What fails here can be done again: an end that was owed is by then one that is reserved, if it
    /// came so far, and to reserve or to settle twice is as once.
    async fn tell(&self, end: &mut PendingSettlement) -> Result<Vec<Usd>> {
        if let Some(budgets) = &mut end.charge_to {
            // It is spent, whatever the limit.
            let most = Usd::from_pico(u64::MAX);
            budgets.iter_mut().for_each(|budget| budget.limit = most);
            // A denied is a sum that no number can hold.
            let _ = self.ledger.reserve(end.id, budgets, end.amount).await?;
            end.charge_to = None;
        }
        match self.ledger.settle(end.id, end.amount) {
            Settlement::Done(spent) => spent,
            Settlement::Pending(spent) => spent.await,
        }
    }

    /// Tells the ledger once more what is undelivered, until it fails again.
    async fn retry(&self) -> Result<()> {
        loop {
            // Nobody else tells it meanwhile.
            let end = self.undelivered().pop();
            let mut telling = UndeliveredGuard { shared: self, end };
            let Some(end) = &mut telling.end else {
                return Ok(());
            };
            self.tell(end).await?;
            telling.end = None;
            self.close();
        }
    }

    /// Tries again in the background, ever more slowly, and in the end not before the ledger is heard of again.
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

/// An end that is being told. It is undelivered again where that fails, or whoever waited for it goes away.
struct UndeliveredGuard<'a> {
    shared: &'a Shared,
    end: Option<PendingSettlement>,
}

impl Drop for UndeliveredGuard<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            self.shared.undelivered().push(end);
            self.shared.wake();
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let shared = self.0.clone();
        if shared.open.load(Ordering::Relaxed) > shared.undelivered().len() {
            runtime::wait_for(async move { shared.drained().await }, LAST_WAIT);
        }
        let undelivered = self.0.undelivered().len();
        if undelivered > 0 {
            tracing::error!(
                calls = undelivered,
                "the ledger was never told what these cost; what they had put aside counts as spent"
            );
        }
    }
}

#[cfg(test)]
mod tests;
