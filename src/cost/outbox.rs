//! The way to a ledger: what calls put aside and come to, kept until the ledger has heard of it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{Budget, Ledger, Refusal, Settled, Usd};
use crate::Result;
use crate::runtime::{self, Shareable};

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
    late: Mutex<Vec<End>>,
    retrying: AtomicBool,
    flushing: Mutex<Vec<Waker>>,
}

/// How a reservation ends.
#[derive(Clone)]
struct End {
    id: u64,
    amount: Usd,
    /// Where the ledger could not be reached to reserve it, the budgets that owe it.
    owed_by: Option<Vec<Budget>>,
}

impl Outbox {
    pub(super) fn new(ledger: impl Ledger + 'static) -> Self {
        Self(Arc::new(Holder(Arc::new(Shared {
            ledger: Arc::new(ledger),
            open: AtomicUsize::new(0),
            late: Mutex::default(),
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
    ) -> Result<Result<(), Refusal>> {
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
    pub(super) fn owe(&self) {
        self.shared().open.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes a reservation of which it is not known whether it was made.
    pub(super) fn give_back(&self, id: u64) {
        // If that fails too, its lease ends by itself.
        if let Settled::Later(given_back) = self.shared().ledger.settle(id, Usd::ZERO) {
            runtime::background(async move { drop(given_back.await) });
        }
    }

    /// Ends a reservation, or with `owed_by` what was begun without one. `told` hears what is then spent of each budget.
    pub(super) fn settle(
        &self,
        id: u64,
        amount: Usd,
        owed_by: Option<&[Budget]>,
        told: impl FnOnce(&[Usd]) + Shareable + 'static,
    ) {
        let shared = self.shared();
        let owed_by = owed_by.map(<[Budget]>::to_vec);
        let end = End {
            id,
            amount,
            owed_by,
        };
        let settled = match &end.owed_by {
            None => shared.ledger.settle(id, amount),
            Some(_) => {
                let (shared, end) = (shared.clone(), end.clone());
                Settled::Later(Box::pin(async move { shared.tell(&end).await }))
            }
        };
        match settled {
            Settled::Now(spent) => shared.arrived(end, spent, told),
            Settled::Later(spent) => {
                let shared = shared.clone();
                runtime::background(async move {
                    let spent = spent.await;
                    shared.arrived(end, spent, told);
                });
            }
        }
    }

    pub(super) async fn state(&self, budget: &str) -> Result<(Usd, Usd)> {
        self.shared().ledger.state(budget).await
    }

    /// What the ledger has still to be told.
    pub(super) fn unsettled(&self) -> Usd {
        self.shared().late().iter().map(|end| end.amount).sum()
    }

    pub(super) async fn flush(&self) -> Result<()> {
        let shared = self.shared();
        shared.on_its_way().await;
        while !shared.late().is_empty() {
            shared.retry().await?;
        }
        Ok(())
    }
}

impl Shared {
    fn late(&self) -> MutexGuard<'_, Vec<End>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(self: &Arc<Self>, end: End, spent: Result<Vec<Usd>>, told: impl FnOnce(&[Usd])) {
        match spent {
            Ok(spent) => {
                self.close();
                told(&spent);
            }
            Err(error) => {
                tracing::warn!(%error, "a call's cost has not reached its ledger yet");
                self.late().push(end);
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

    /// Until every reservation is ended, or late.
    async fn on_its_way(&self) {
        poll_fn(|cx| {
            let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
            match self.open.load(Ordering::Relaxed) <= self.late().len() {
                true => Poll::Ready(()),
                false => {
                    flushing.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Tells the ledger an end, as often as it takes: twice is as once.
    async fn tell(&self, end: &End) -> Result<Vec<Usd>> {
        if let Some(budgets) = &end.owed_by {
            // It is spent, whatever the limit.
            let mut budgets = budgets.clone();
            let most = Usd::from_pico(u64::MAX);
            budgets.iter_mut().for_each(|budget| budget.limit = most);
            // A refusal is a sum that no number can hold.
            let _ = self.ledger.reserve(end.id, &budgets, end.amount).await?;
        }
        match self.ledger.settle(end.id, end.amount) {
            Settled::Now(spent) => spent,
            Settled::Later(spent) => spent.await,
        }
    }

    /// Tells the ledger once more what is late, until it fails again.
    async fn retry(&self) -> Result<()> {
        loop {
            let Some(end) = self.late().first().cloned() else {
                return Ok(());
            };
            self.tell(&end).await?;
            let mut late = self.late();
            let told = late.iter().position(|late| late.id == end.id);
            // Another may have told it meanwhile.
            if let Some(told) = told {
                late.swap_remove(told);
                drop(late);
                self.close();
            }
        }
    }

    /// Tries again in the background, ever more slowly, and in the end not before the ledger is heard of again.
    fn retry_later(self: &Arc<Self>) {
        if self.late().is_empty() || self.retrying.swap(true, Ordering::Relaxed) {
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

impl Drop for Holder {
    fn drop(&mut self) {
        let shared = self.0.clone();
        if shared.open.load(Ordering::Relaxed) > shared.late().len() {
            runtime::wait_for(async move { shared.on_its_way().await }, LAST_WAIT);
        }
        let late = self.0.late().len();
        if late > 0 {
            tracing::error!(
                calls = late,
                "the ledger was never told what these cost; what they had put aside counts as spent"
            );
        }
    }
}
