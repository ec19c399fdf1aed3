//! Delays calls so that a provider's rate limits are not exceeded.

use std::time::Duration;

use crate::runtime::Instant;

/// What a call takes from the limits of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// The limits of a target, by its own names of models.
#[derive(Debug, Default)]
pub(super) struct Pacing {}

impl Pacing {
    /// Returns how long a call would have to wait.
    pub(super) fn delay(&self, _model: &str, _need: &Need, _now: Instant) -> Duration {
        Duration::ZERO
    }

    /// Takes what a call needs, and returns how long it has to wait.
    pub(super) fn take(&mut self, _model: &str, _need: &Need, _now: Instant) -> Duration {
        Duration::ZERO
    }
}
