use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Ask, Cost, CostTracker, Usd};
use crate::{Reply, Result};

/// What one attempt has put aside. Dropped without a word, as by a caller who cancels, it settles at what the attempt can
/// have cost: all of it once something was sent, nothing before.
pub(crate) struct Reservation {
    tracker: CostTracker,
    ask: Arc<Ask>,
    /// None where there is no budget.
    id: Option<u64>,
    sent: AtomicBool,
    settled: AtomicBool,
}

impl Reservation {
    /// # Errors
    /// `BudgetExceeded`, or that the ledger cannot be reached.
    pub(crate) async fn make(tracker: &CostTracker, ask: &Arc<Ask>) -> Result<Self> {
        Ok(Self {
            id: tracker.reserve(ask.worst).await?,
            tracker: tracker.clone(),
            ask: ask.clone(),
            sent: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        })
    }

    /// From here on the provider may have been asked, and may bill.
    pub(crate) fn sent(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    /// The provider has refused, and bills nothing.
    pub(crate) fn refused(&self) {
        self.sent.store(false, Ordering::Relaxed);
    }

    /// The reply is whole; it is given its cost.
    pub(crate) fn settle(&self, reply: &mut Reply) {
        let (price, estimated) = self.ask.price(&self.tracker, &reply.model);
        let cost = match reply.usage_reported {
            true => Cost {
                usd: price.cost(&reply.usage),
                estimated,
            },
            // It was billed, and nobody says how much.
            false => Cost {
                usd: self.ask.worst,
                estimated: true,
            },
        };
        reply.cost = Some(cost);
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.tracker.settle(&self.ask, self.id, cost, Some(reply));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            let usd = match *self.sent.get_mut() {
                true => self.ask.worst,
                false => Usd::ZERO,
            };
            let estimated = usd != Usd::ZERO;
            self.tracker
                .settle(&self.ask, self.id, Cost { usd, estimated }, None);
        }
    }
}
