//! What targets do in a history.

use std::time::Duration;

use tokio::time::Instant;

use super::TROUBLE;
use crate::simulation::{Fate, Random};

/// What a target does for a while.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Healthy,
    Dead,
    Failing(u16),
    Limited(Duration),
    Slow(Duration),
    /// An error event before the first content.
    Erring,
    /// The stream breaks after its first content.
    Breaking,
}

/// What a target does, each until a time after the start.
#[derive(Clone)]
pub(super) struct Script(Vec<(Duration, Mode)>);

impl Script {
    pub(super) fn random(random: &Random, always_healthy: bool) -> Self {
        let mut at = Duration::ZERO;
        let mut modes = Vec::new();
        while at < TROUBLE && !always_healthy {
            at += random.millis(1_000..20_000);
            let mode = match random.with(|random| random.u32(0..10)) {
                0..3 => Mode::Healthy,
                3 => Mode::Dead,
                4 => Mode::Failing(500),
                5 => Mode::Failing(503),
                6 => Mode::Limited(random.millis(500..20_000)),
                7 => Mode::Slow(random.millis(2_000..15_000)),
                8 => Mode::Erring,
                _ => Mode::Breaking,
            };
            modes.push((at.min(TROUBLE), mode));
        }
        Self(modes)
    }

    pub(super) fn mode(&self, start: Instant) -> Mode {
        let elapsed = start.elapsed();
        let now = self.0.iter().find(|(until, _)| elapsed < *until);
        now.map_or(Mode::Healthy, |(_, mode)| *mode)
    }

    pub(super) fn fate(&self, start: Instant) -> Fate {
        match self.mode(start) {
            Mode::Healthy => Fate::Answered,
            Mode::Dead => Fate::Lost,
            Mode::Failing(status) => Fate::Status(status),
            Mode::Limited(after) => Fate::Limited(after),
            Mode::Slow(silence) => Fate::Slow(silence),
            Mode::Erring => Fate::ErrorEvent,
            Mode::Breaking => Fate::Broken,
        }
    }
}
