//! Waiting: for a target, for the next round, for the deadline.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Phase, RECHECK, RoutedCall};
use crate::error::seconds;
use crate::millis;
use crate::router::leg::Leg;
use crate::runtime::{self, Instant, Timer};
use crate::{Error, ErrorKind, Result, TimeoutKind};

impl RoutedCall {
    /// Waits for a time, or for the deadline.
    pub(super) fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let start = self.start.unwrap_or(until);
        let deadline = self.deadline.map(|deadline| (start + deadline, deadline));
        let (due, exceeded) = match deadline {
            Some((at, deadline)) if at < until => (at, Some(deadline)),
            _ => (until, None),
        };
        if Instant::now() < due {
            let timer = self.timer.get_or_insert_with(|| Timer::new(RECHECK));
            ready!(timer.poll_until(cx, due));
        }
        Poll::Ready(match exceeded {
            None => Ok(()),
            Some(deadline) => Err(match self.failed.take() {
                Some(error) => {
                    let error = self.with_first_ready(error, Instant::now());
                    error.with_no_time_left(deadline)
                }
                None => Error::timeout(TimeoutKind::Deadline, deadline),
            }),
        })
    }

    /// All targets that serve the call have failed, or are cooling down: waits before the next round.
    pub(super) fn back_off(&mut self, now: Instant) -> Result<()> {
        let Some(error) = self.failed.take() else {
            return Err(Error::config("no target can serve the request"));
        };
        let wish = self.wish(&[]);
        let random = runtime::random();
        let inner = &self.router.inner;
        let available = inner.state().available_at(&wish, now);
        let backoff = self.retry.backoff(self.retries, random);
        let after = match inner.cooldown {
            Some(_) => available.map(|at| at.saturating_duration_since(now).max(backoff)),
            None => error.retry_after(),
        };
        let budget = &inner.retry_budget;
        let decided = self
            .retry
            .decide_after(self.retries, &error, after, budget, random);
        let delay = match decided {
            Ok(delay) => delay,
            Err(reason) => {
                let error = self.with_first_ready(error, now);
                return Err(match reason {
                    Some(reason) => error.with_reason(&reason),
                    None => error,
                });
            }
        };
        let shown = millis::rounded(delay);
        tracing::warn!(delay = ?shown, %error, "all targets have failed; trying again");
        if let Some(attempt) = self.history.last_mut() {
            attempt.delay = delay;
        }
        self.retries += 1;
        self.tried.clear();
        self.failed = Some(error);
        self.phase = Phase::Waiting(now + delay);
        Ok(())
    }

    /// Waits until a target has cooled down, or until its probe has succeeded.
    pub(super) fn wait(&mut self, until: Option<Instant>, now: Instant) -> Result<()> {
        let since = *self.waiting_since.get_or_insert(now);
        let most = match self.retry.max_retries {
            0 => Duration::ZERO,
            _ => self.retry.max_retry_after,
        };
        let until = until.unwrap_or(now + RECHECK);
        if until > since + most {
            return Err(match self.failed.take() {
                Some(error) => self.with_first_ready(error, now),
                None => self.all_cool_down(until - now),
            });
        }
        self.phase = Phase::Waiting(until);
        Ok(())
    }

    /// Lets the last error of a call say when the first of all targets is ready, because its own target may be ready later.
    fn with_first_ready(&self, error: Error, now: Instant) -> Error {
        let inner = &self.router.inner;
        if inner.cooldown.is_none() {
            return error;
        }
        let first = inner.state().available_at(&self.wish(&[]), now);
        error.with_retry_after(first.map(|at| at.saturating_duration_since(now)))
    }

    fn all_cool_down(&self, wait: Duration) -> Error {
        let names = self.candidates.iter();
        let names: Vec<_> = names.map(|of| self.router.inner.name(of.target)).collect();
        let message = [
            "every target that serves the model is cooling down after failures (",
            &names.join(", "),
            "); the first is tried again in ",
            &seconds(wait),
        ];
        Error::new(ErrorKind::Overloaded, message.concat()).with_retry_after(Some(wait))
    }

    /// Leaves targets that have begun to cool down while the request waits for a connection to them. To be called before the attempts are
    /// polled, so that none is sent in a cooldown.
    pub(super) fn leave_cooling(&mut self) {
        if self.hedge.as_ref().is_some_and(Leg::is_to_be_left) {
            self.hedge = None;
        }
        if self.leg.as_ref().is_some_and(Leg::is_to_be_left) {
            self.leave();
        }
    }

    /// While a request has not been sent, waits until it is time to look again whether its target cools down. Ready if it is.
    pub(super) fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut legs = [&self.leg, &self.hedge].into_iter().flatten();
        if legs.all(|leg| leg.call.is_sent()) {
            return Poll::Pending;
        }
        let now = Instant::now();
        let at = *self.look_at.get_or_insert(now + RECHECK);
        if now < at {
            let timer = self.timer.get_or_insert_with(|| Timer::new(RECHECK));
            ready!(timer.poll_until(cx, at));
        }
        self.look_at = None;
        Poll::Ready(())
    }
}
