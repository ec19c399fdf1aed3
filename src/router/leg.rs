//! An attempt of a routed call on one target.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::handle::Inner;
use super::health::Begun;
use super::pacing::Taken;
use super::rules::RoutingAction;
use crate::client::Call;
use crate::millis;
use crate::runtime::Instant;
use crate::{Attempt, Error};

/// A target's call, and its part in the target's state.
pub(super) struct Leg {
    pub(super) call: Box<Call>,
    /// `None` once the call has ended.
    pub(super) running: Option<Running>,
    pub(super) target: usize,
}

/// An attempt that has begun. Its target counts it as in flight until it is dropped.
pub(super) struct Running {
    inner: Arc<Inner>,
    pub(super) target: usize,
    begun: Begun,
    pub(super) since: Instant,
    stream: bool,
    is_reported: bool,
    /// `None` once there is a response.
    taken: Option<Taken>,
}

impl Running {
    pub(super) fn new(
        inner: &Arc<Inner>,
        target: usize,
        begun: Begun,
        stream: bool,
        taken: Taken,
    ) -> Self {
        Self {
            inner: inner.clone(),
            target,
            begun,
            since: Instant::now(),
            stream,
            is_reported: false,
            taken: Some(taken),
        }
    }

    /// The attempt no longer waits for its time, and is made.
    pub(super) fn sent(&mut self) {
        self.since = Instant::now();
        if let Some(taken) = &mut self.taken {
            taken.sent = Some(self.since);
        }
    }

    /// Whether the target has begun to cool down since.
    pub(super) fn is_outdated(&self) -> bool {
        let state = self.inner.state();
        state.targets[self.target].health.is_outdated(self.begun)
    }

    /// Takes the limits over that the response reports.
    pub(super) fn update_limits(&mut self, headers: &HeaderMap) {
        if let Some(taken) = self.taken.take() {
            let mut state = self.inner.state();
            let pacing = &mut state.targets[self.target].pacing;
            let now = Instant::now();
            // In this order, because a model without limits and calls is forgotten.
            pacing.update(&taken, headers, now);
            pacing.end(&taken, now);
        }
    }

    /// The target has answered; with its first content, if that `took` a time.
    pub(super) fn answered(&mut self, took: Option<Duration>) {
        self.is_reported = true;
        let now = Instant::now();
        let mut state = self.inner.state();
        state.answered(self.target, self.begun, self.stream, took, now);
        drop(state);
        self.inner.share(self.begun.is_probe);
    }

    /// Reports a failure, as the rules have it. Returns their action.
    pub(super) fn failed(&mut self, error: &Error) -> RoutingAction {
        let action = self.inner.rules.action(error);
        if action == RoutingAction::Answer {
            // Whoever refuses a request is there. Without a status, the answer is not the target's.
            if error.status().is_some() {
                self.answered(None);
            }
            return action;
        }
        self.is_reported = true;
        let until = self.inner.state().failed(
            self.target,
            self.begun,
            action == RoutingAction::CoolDown,
            error.retry_after(),
            self.inner.cooldown.as_ref(),
            Instant::now(),
        );
        if let Some(until) = until {
            self.inner.share(true);
            let target = self.inner.name(self.target);
            let cooldown = millis::rounded(until - Instant::now());
            tracing::warn!(target, ?cooldown, %error, "the target cools down");
        }
        action
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let target = &mut state.targets[self.target];
        target.in_flight -= 1;
        if let Some(taken) = &self.taken {
            target.pacing.end(taken, Instant::now());
        }
        if !self.is_reported {
            target.health.abandoned(self.begun, Instant::now());
            drop(state);
            self.inner.share(self.begun.is_probe);
        }
    }
}

impl Leg {
    /// Whether its target has begun to cool down before the request was sent.
    pub(super) fn is_to_be_left(&self) -> bool {
        !self.call.is_sent() && self.running.as_ref().is_some_and(Running::is_outdated)
    }

    /// Returns the attempts, each with the name of the target.
    pub(super) fn named(&self, inner: &Inner, attempts: &[Attempt]) -> Vec<Attempt> {
        let name = |attempt: &Attempt| Attempt {
            target: Some(inner.name(self.target).to_owned()),
            ..attempt.clone()
        };
        attempts.iter().map(name).collect()
    }
}
