//! What the load test measures.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// When calls start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Load {
    /// Closed loop: this many calls are in flight. When one ends, the next starts at once.
    InFlight(u32),
    /// Open loop: this many calls start per second, at random times, whether or not earlier ones have ended.
    PerSecond(f64),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight(n) => write!(f, "{n} in flight"),
            Self::PerSecond(rate) => write!(f, "{rate} a second"),
        }
    }
}

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) connections: u16,
    pub(super) keepalive: u16,
    pub(super) reuse: Reuse,
    pub(super) calls: u32,
    pub(super) stream: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            load,
            connections,
            reuse,
            ..
        } = self;
        write!(f, "{load} on {connections} connections, {}", reuse.name())
    }
}

/// The connections that calls find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reuse {
    /// Opened before the first call.
    Warm,
    /// Opened by the first calls that need them, then kept.
    Cold,
    /// Opened by each call and closed after it.
    Off,
}

impl Reuse {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Off => "off",
        }
    }
}
