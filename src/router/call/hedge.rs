//! The second attempt beside a slow one.

use std::task::{Context, Poll, ready};

use super::{RECHECK, RoutedCall};
use crate::router::leg::Running;
use crate::runtime::{Instant, Timer};
use crate::{Error, ErrorKind};

impl RoutedCall {
    /// Waits for the second attempt's content, or for its time. Ready if the state has changed.
    pub(super) fn poll_hedge(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(hedge) = &mut self.hedge {
            match ready!(hedge.call.poll_content(cx)) {
                Ok(()) => {
                    let key = self.conversation.key;
                    let mut state = self.router.inner.state();
                    state.moved(key, hedge.target, Instant::now());
                    drop(state);
                    std::mem::swap(&mut self.leg, &mut self.hedge);
                    self.content_has_come();
                }
                Err(error) => {
                    if let Some(mut failed) = self.hedge.take() {
                        self.record(&mut failed, &error);
                    }
                }
            }
            return Poll::Ready(());
        }
        let Some(at) = self.hedge_at else {
            return Poll::Pending;
        };
        if Instant::now() < at {
            let timer = self.timer.get_or_insert_with(|| Timer::new(RECHECK));
            ready!(timer.poll_until(cx, at));
        }
        self.hedge_at = None;
        self.begin_hedge();
        Poll::Ready(())
    }

    fn begin_hedge(&mut self) {
        let Some(leg) = &self.leg else {
            return;
        };
        let inner = &self.router.inner;
        let mut tried = self.tried.clone();
        tried.push(leg.target);
        if leg.call.is_committed() {
            return;
        }
        let may_begin = || inner.retry_budget.take_hedge();
        let mut state = inner.state();
        let begun = state.hedge(&self.wish(&tried), Instant::now(), may_begin);
        drop(state);
        let Some((candidate, begun)) = begun else {
            return;
        };
        let target = self.candidates[candidate].target;
        tracing::info!(
            target = inner.name(target),
            "the call is made at a second target too"
        );
        let taken = self.taken(candidate);
        let running = Running::new(inner, target, begun, self.stream, taken);
        // Where the request cannot be written, the first attempt goes on alone.
        self.hedge = self.leg(candidate, running).ok();
    }

    /// Ends the attempt that is not the call's.
    pub(super) fn cancel_hedge(&mut self, reason: &'static str) {
        let Some(hedge) = self.hedge.take() else {
            return;
        };
        let took = hedge
            .running
            .as_ref()
            .map(|running| running.since.elapsed());
        let error = Error::new(ErrorKind::Cancelled, reason);
        let attempt = error.attempt(took.unwrap_or_default());
        self.history
            .extend(hedge.named(&self.router.inner, &[attempt]));
    }
}
