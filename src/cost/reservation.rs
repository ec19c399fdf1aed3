use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cut::Seen;
use super::queue::Place;
use super::refusal::Refusal;
use super::tracker::ReservationState;
use super::{Cost, CostEstimate, CostTracker, Usd};
use crate::runtime::Instant;
use crate::{Error, ErrorKind, Reply, Result, runtime};

/// The reservation of one attempt.
///
/// When it is dropped unsettled, as by a caller who cancels, it is settled at the most that it can have cost if the request was
/// sent, and at zero otherwise.
pub(crate) struct Reservation {
    tracker: CostTracker,
    estimate: Arc<CostEstimate>,
    id: u64,
    state: ReservationState,
    sent: OnceLock<Instant>,
    /// Whether the provider has not processed the request that was sent, and so does not bill it.
    refused: AtomicBool,
    settled: AtomicBool,
}

impl Reservation {
    /// Reserves the maximum cost of an attempt.
    ///
    /// # Errors
    /// As for `CostTracker::reserve`.
    pub(crate) async fn make(
        tracker: &CostTracker,
        estimate: &Arc<CostEstimate>,
    ) -> Result<Self, Refusal> {
        let mut reservation = Self {
            tracker: tracker.clone(),
            estimate: estimate.clone(),
            id: random_id(),
            state: ReservationState::Requested,
            sent: OnceLock::new(),
            refused: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        };
        let reserved = tracker.reserve(reservation.id, estimate.max_cost).await;
        match &reserved {
            Ok(state) => reservation.state = *state,
            // After a refusal there is nothing to release. After any other error the amount may be reserved.
            Err(Refusal::Wait { .. }) => *reservation.settled.get_mut() = true,
            Err(Refusal::Final(error)) => {
                let refused = matches!(error.kind(), ErrorKind::BudgetExceeded { .. });
                *reservation.settled.get_mut() = refused;
            }
        }
        reserved.map(|_| reservation)
    }

    /// Takes a place behind the calls that wait for room in one of the budgets, if there are any. The error is for a call that
    /// waits in vain.
    ///
    /// # Errors
    /// `BudgetExceeded` if the call would not fit even when nothing is reserved, or the ledger's error.
    pub(crate) async fn queue_up(
        tracker: &CostTracker,
        estimate: &CostEstimate,
    ) -> Result<Option<(Place, Error)>> {
        tracker.queue_up(estimate.max_cost).await
    }

    /// Takes the last place in a budget's queue.
    pub(crate) fn join_queue(tracker: &CostTracker, budget: &str) -> Place {
        tracker.join(budget)
    }

    /// Records that the request was sent: from here on the provider may bill it.
    pub(crate) fn sent(&self) {
        let _ = self.sent.set(Instant::now());
        self.refused.store(false, Ordering::Relaxed);
    }

    /// Returns when the request was sent.
    pub(crate) fn sent_at(&self) -> Option<Instant> {
        self.sent.get().copied()
    }

    /// Records that the provider refused the request and does not bill it.
    pub(crate) fn refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Settles a stream that ended before its reply was complete.
    pub(crate) fn settle_cut(mut self, seen: &Seen<'_>) {
        self.settle_failed(|estimate, tracker, sent| estimate.cut_cost(tracker, sent, Some(seen)));
    }

    /// Settles an attempt whose connection broke before the head of a response. The provider may have billed all of it.
    pub(crate) fn settle_lost(mut self) {
        self.settle_failed(|estimate, _, _| estimate.max_cost);
    }

    /// Settles an attempt without a complete reply.
    fn settle_failed(&mut self, cost: impl Fn(&CostEstimate, &CostTracker, Instant) -> Usd) {
        *self.settled.get_mut() = true;
        let usd = match self.sent_at() {
            Some(sent) if !*self.refused.get_mut() => cost(&self.estimate, &self.tracker, sent),
            _ => Usd::ZERO,
        };
        let estimated = usd != Usd::ZERO;
        self.settle_at(Cost { usd, estimated }, None);
    }

    /// Settles at the cost of a complete reply, and sets `reply.cost`.
    pub(crate) fn settle(&self, reply: &mut Reply) {
        let cost = self.estimate.cost(&self.tracker, reply);
        reply.cost = Some(cost);
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.settle_at(cost, Some(reply));
        }
    }

    fn settle_at(&self, cost: Cost, reply: Option<&Reply>) {
        let model = (self.estimate.provider, self.estimate.model.as_str());
        self.tracker.settle(model, self.id, self.state, cost, reply);
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
        // The caller has left before the response began.
        self.settle_failed(|estimate, tracker, sent| estimate.cut_cost(tracker, sent, None));
    }
}

/// Returns an id that is unique, with near certainty, among the open reservations of a shared ledger.
pub(super) fn random_id() -> u64 {
    let half = || (runtime::random() * 2f64.powi(32)) as u64;
    half() << 32 | half()
}
