use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tracker::ReservationState;
use super::{Cost, CostEstimate, CostTracker, Usd};
use crate::{ErrorKind, Reply, Result, runtime};

/// What one attempt has put aside. Dropped without a word, as by a caller who cancels, it settles at what the attempt can
/// have cost: all of it once something was sent, nothing before.
pub(crate) struct Reservation {
    tracker: CostTracker,
    estimate: Arc<CostEstimate>,
    id: u64,
    state: ReservationState,
    sent: AtomicBool,
    settled: AtomicBool,
}

impl Reservation {
    /// # Errors
    /// `BudgetExceeded`, or that the ledger cannot be reached.
    pub(crate) async fn make(tracker: &CostTracker, estimate: &Arc<CostEstimate>) -> Result<Self> {
        let mut reservation = Self {
            tracker: tracker.clone(),
            estimate: estimate.clone(),
            id: random_id(),
            state: ReservationState::Requested,
            sent: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        };
        let held = tracker.reserve(reservation.id, estimate.max_cost).await;
        match &held {
            Ok(state) => reservation.state = *state,
            // A ledger that refuses holds nothing that is to be given back.
            Err(error) => {
                let refused = matches!(error.kind(), ErrorKind::BudgetExceeded { .. });
                *reservation.settled.get_mut() = refused;
            }
        }
        held.map(|_| reservation)
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
        let (price, estimated) = self.estimate.price(&self.tracker, &reply.model);
        let cost = match reply.usage_reported {
            true => Cost {
                usd: price.cost(&reply.usage),
                estimated,
            },
            // It was billed, and nobody says how much.
            false => Cost {
                usd: self.estimate.max_cost,
                estimated: true,
            },
        };
        reply.cost = Some(cost);
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.end(cost, Some(reply));
        }
    }

    fn end(&self, cost: Cost, reply: Option<&Reply>) {
        let called = (self.estimate.provider, self.estimate.model.as_str());
        self.tracker
            .settle(called, self.id, self.state, cost, reply);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if *self.settled.get_mut() {
            return;
        }
        if self.state == ReservationState::Requested {
            return self.tracker.release(self.id);
        }
        let usd = match *self.sent.get_mut() {
            true => self.estimate.max_cost,
            false => Usd::ZERO,
        };
        let estimated = usd != Usd::ZERO;
        self.end(Cost { usd, estimated }, None);
    }
}

/// Told apart from those of all who share a ledger, within a lease.
pub(super) fn random_id() -> u64 {
    let half = || (runtime::random() * 2f64.powi(32)) as u64;
    half() << 32 | half()
}
