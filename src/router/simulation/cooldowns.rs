//! Checks when requests have arrived at a target.

use std::time::Duration;

use super::COOLDOWN;
use crate::router::health::{self, PROBE_LASTS};
use crate::simulation::{Arrival, Fate};

/// How long a request that was sent before a failure was known can be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// How long another process that makes calls can take to hear of it.
const HEARD: Duration = Duration::from_millis(600);

/// No request arrives in a cooldown, and while a probe is under way there is no other.
pub(super) fn check(seed: u64, target: usize, arrivals: &[Arrival], one_probe: bool, shares: bool) {
    let on_its_way = match shares {
        true => ON_ITS_WAY + HEARD,
        false => ON_ITS_WAY,
    };
    for (at, failed) in arrivals.iter().enumerate() {
        let cooldown = match failed.fate {
            Fate::Limited(after) => after.min(COOLDOWN.max_retry_after),
            Fate::Status(503) | Fate::Lost => COOLDOWN.base,
            _ => continue,
        };
        let Some(decided) = failed.decided else {
            continue;
        };
        // Requests that were under way together and fail together are one failure. The longest delay asked for counts.
        let is_known = |other: &Arrival| {
            let cools = matches!(
                other.fate,
                Fate::Limited(_) | Fate::Status(503) | Fate::Lost
            );
            let at = other.decided.unwrap_or(other.at);
            cools && at < decided && failed.at <= at + on_its_way
        };
        if !matches!(failed.fate, Fate::Limited(_)) && arrivals.iter().any(is_known) {
            continue;
        }
        let later = &arrivals[at + 1..];
        let known = decided + on_its_way;
        // Marks that end at almost the same time are one.
        let cooldown = match shares {
            true => cooldown.saturating_sub(health::ON_ITS_WAY),
            false => cooldown,
        };
        let over = decided + cooldown;
        let next = later.iter().find(|of| of.at > known);
        if let Some(arrival) = next {
            assert!(
                arrival.at >= over,
                "seed {seed}: target {target} was called {:?} after {failed:?}",
                arrival.at - decided
            );
        }
        // The first request after a cooldown is the probe.
        if let Some(probe) = later.iter().position(|of| of.at >= over) {
            let cooled = later[..probe].iter().all(|of| of.at <= known);
            let answered = later[probe].decided.unwrap_or(later[probe].at);
            let until = answered.min(later[probe].at + PROBE_LASTS);
            if let Some(next) = later.get(probe + 1).filter(|_| cooled && one_probe) {
                assert!(
                    next.at >= until,
                    "seed {seed}: target {target} was called during its probe: {:?} {next:?}",
                    later[probe]
                );
            }
        }
    }
}
