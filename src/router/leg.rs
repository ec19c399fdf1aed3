//! An attempt of a routed call on one target.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Inner;
use super::health::Begun;
use super::rules::RoutingAction;
use crate::client::Call;
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
    is_reported: bool,
}

impl Running {
    pub(super) fn new(inner: &Arc<Inner>, target: usize, begun: Begun) -> Self {
        Self {
            inner: inner.clone(),
            target,
            begun,
            since: Instant::now(),
            is_reported: false,
        }
    }

    /// The target has answered; with its first content, if that `took` a time.
    pub(super) fn answered(&mut self, took: Option<Duration>) {
        self.is_reported = true;
        self.inner.state().answered(self.target, self.begun, took);
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
            &self.inner.cooldown,
            Instant::now(),
        );
        if let Some(until) = until {
            let target = self.inner.name(self.target);
            let cooldown = until - Instant::now();
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
        if !self.is_reported {
            target.health.abandoned(self.begun, Instant::now());
        }
    }
}

impl Leg {
    /// Returns the attempts, each with the name of the target.
    pub(super) fn named(&self, inner: &Inner, attempts: &[Attempt]) -> Vec<Attempt> {
        let name = |attempt: &Attempt| Attempt {
            target: Some(inner.name(self.target).to_owned()),
            ..attempt.clone()
        };
        attempts.iter().map(name).collect()
    }
}
