//! Checks when requests have arrived at a target. They arrive at the instant at which they were sent.

use std::time::Duration;

use tokio::time::Instant;

use super::COOLDOWN;
use crate::router::health::{self, PROBE_LASTS};
use crate::router::sharing::INTERVAL;
use crate::simulation::{Arrival, Fate};

/// What happens within this time happens at the same instant: the resolution of the timers.
const INSTANT: Duration = Duration::from_millis(2);

/// The maximum time until a process that makes calls has heard of another one's failure: until it asks for the marks. If its own mark has
/// taken the place of the other one's, it is another interval until that is written again.
const HEARD: Duration = INTERVAL.saturating_mul(2);

/// A request that lets its target cool down, in the process that has sent it.
struct Failure<'a> {
    arrival: &'a Arrival,
    /// When it is known there.
    known: Instant,
    /// When the cooldown ends.
    over: Instant,
}

impl<'a> Failure<'a> {
    fn of(arrival: &'a Arrival) -> Option<Self> {
        let cooldown = match arrival.fate {
            Fate::Limited(after) => after.min(COOLDOWN.max_retry_after),
            Fate::Status(503) | Fate::Lost => COOLDOWN.base,
            _ => return None,
        };
        let known = arrival.decided?;
        Some(Self {
            arrival,
            known,
            over: known + cooldown,
        })
    }

    /// When a process cannot but know of it.
    fn known_to(&self, process: Option<usize>) -> Instant {
        match self.arrival.key == process {
            true => self.known + INSTANT,
            false => self.known + HEARD + INSTANT,
        }
    }

    /// Whether `other` is the same failure, because both requests were under way together. Then the longest delay asked for counts.
    fn is_part_of(&self, other: &Self) -> bool {
        let is_asked = matches!(self.arrival.fate, Fate::Limited(_));
        !is_asked && other.known < self.known && self.arrival.at <= other.known_to(self.arrival.key)
    }
}

/// No process that knows of a failure sends a request in the cooldown, and while a probe is under way there is no other.
pub(super) fn check(seed: u64, target: usize, arrivals: &[Arrival], one_probe: bool) {
    let failures: Vec<_> = arrivals.iter().filter_map(Failure::of).collect();
    for failure in &failures {
        if failures.iter().any(|other| failure.is_part_of(other)) {
            continue;
        }
        for arrival in arrivals {
            // A process that cools the target down itself stands by its own end, if that is almost the same.
            let over = match arrival.key == failure.arrival.key {
                true => failure.over,
                false => failure.over - health::ON_ITS_WAY,
            };
            assert!(
                arrival.at <= failure.known_to(arrival.key) || arrival.at >= over,
                "seed {seed}: target {target} was called {:?} after the failure of {:?} was known: {arrival:?}",
                arrival.at - failure.known,
                failure.arrival
            );
        }
        if one_probe {
            check_probe(seed, target, arrivals, failure);
        }
    }
}

/// The first request after a cooldown is the probe, and no other arrives until it has been answered.
fn check_probe(seed: u64, target: usize, arrivals: &[Arrival], failure: &Failure<'_>) {
    let later = arrivals.iter().filter(|of| of.at > failure.known + INSTANT);
    let mut later = later.skip_while(|of| of.at < failure.over);
    let Some(probe) = later.next() else {
        return;
    };
    let answered = probe.decided.unwrap_or(probe.at);
    let until = answered.min(probe.at + PROBE_LASTS);
    if let Some(next) = later.next() {
        assert!(
            next.at >= until,
            "seed {seed}: target {target} was called during its probe: {probe:?} {next:?}"
        );
    }
}
