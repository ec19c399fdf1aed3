use serde::Serialize;

use super::health::Availability;
use super::state::State;
use crate::millis;
use crate::runtime::Instant;
use std::time::Duration;

/// The state of a [`Router`](crate::Router)'s targets.
///
/// ```no_run
/// # fn demo(router: warmline::Router) {
/// for target in router.stats().targets {
///     println!("{}: {:?}, {} in flight", target.name, target.state, target.in_flight);
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RouterStats {
    /// The targets, in the order in which the router was given them.
    pub targets: Vec<TargetStats>,
}

/// The state of a target.
///
/// ```no_run
/// # fn demo(router: warmline::Router) {
/// let failures: u64 = router.stats().targets.iter().map(|target| target.failures).sum();
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TargetStats {
    /// The name.
    pub name: String,
    /// Whether it can be called. In JSON: `state`, and with `cooling` the field `ready_in_ms`.
    #[serde(flatten)]
    pub state: TargetState,
    /// The number of attempts that have begun and not ended.
    pub in_flight: u32,
    /// The number of attempts so far.
    pub calls: u64,
    /// The number of attempts that failed in such a way that another target was to be tried.
    pub failures: u64,
    /// The number of calls that then went on at another target.
    pub moved_away: u64,
    /// The time to the first content that 95 of 100 of the last streams did not exceed. In JSON it is `p95_first_content_ms`.
    #[serde(
        rename = "p95_first_content_ms",
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub p95_first_content: Option<Duration>,
}

/// Whether a target can be called.
///
/// ```
/// let ready = serde_json::to_string(&warmline::TargetState::Ready)?;
/// assert_eq!(ready, r#"{"state":"ready"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TargetState {
    /// It is called.
    Ready,
    /// It has failed, and is not called for this time.
    Cooling {
        /// The time until it is probed. In JSON it is `ready_in_ms`, rounded up.
        #[serde(rename = "ready_in_ms", serialize_with = "rounded_up")]
        ready_in: Duration,
    },
    /// It has cooled down. The next call, or the one that has begun, decides whether it is ready.
    Probing,
}

fn rounded_up<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    serializer.serialize_u64(u64::try_from(ms).unwrap_or(u64::MAX))
}

impl RouterStats {
    pub(super) fn of(state: &State, names: &[&str], now: Instant) -> Self {
        let targets = state.targets.iter().zip(names);
        let stats = targets.map(|(target, name)| TargetStats {
            name: (*name).to_owned(),
            state: match target.health.availability(now) {
                Availability::Ready => TargetState::Ready,
                Availability::From(until) => TargetState::Cooling {
                    ready_in: until - now,
                },
                Availability::ForProbe | Availability::Probed => TargetState::Probing,
            },
            in_flight: target.in_flight,
            calls: target.calls,
            failures: target.failures,
            moved_away: target.moved_away,
            p95_first_content: target.streams.p95(),
        });
        Self {
            targets: stats.collect(),
        }
    }
}
