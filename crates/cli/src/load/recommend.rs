//! Recommends one of the measured pool sizes.

use serde::Serialize;

use super::measurement::Measurement;
use super::plan::Load;

/// A pool is too small if the 95th percentile of its calls' times is larger than the best pool's by more than this factor.
const TOLERANCE: f64 = 1.15;

#[derive(Debug, Serialize)]
pub(super) struct Recommendation {
    pub(super) connections: u16,
    pub(super) reason: String,
}

/// Recommends the smallest pool that is nearly as good as the best under the heaviest load.
pub(super) fn recommend(measurements: &[Measurement]) -> Option<Recommendation> {
    let weight = |measurement: &Measurement| match measurement.plan.load {
        Load::InFlight(n) => f64::from(n),
        Load::PerSecond(rate) => rate,
    };
    // Only the first `reuse` of the options is considered.
    let reuse = measurements.first()?.plan.reuse;
    let heaviest = measurements.iter().map(weight).fold(0.0, f64::max);
    let mut pools: Vec<&Measurement> = measurements
        .iter()
        .filter(|measurement| {
            measurement.plan.reuse == reuse
                && weight(measurement) == heaviest
                && measurement.total.count > 0
        })
        .collect();
    pools.sort_by_key(|measurement| measurement.plan.connections);
    let best = pools
        .iter()
        .map(|measurement| measurement.total.p95)
        .reduce(f64::min)?;
    let at = pools
        .iter()
        .position(|measurement| measurement.total.p95 <= best * TOLERANCE)?;
    let chosen = pools[at];
    let (connections, total) = (chosen.plan.connections, chosen.total.p95);
    let load = chosen.plan.load;
    let s = if connections == 1 { "" } else { "s" };
    let mut reason =
        format!("{connections} connection{s}: with {load}, 95 % of calls end within {total:.0} ms");
    if let Some(smaller) = at.checked_sub(1).map(|at| pools[at]) {
        let (fewer, longer) = (smaller.plan.connections, smaller.total.p95);
        reason += &format!(
            "; with {fewer} it is {longer:.0} ms, and {}",
            waiting(smaller)
        );
    }
    if let Some(larger) = pools
        .last()
        .filter(|larger| larger.plan.connections > connections)
    {
        let (more, shorter) = (larger.plan.connections, larger.total.p95);
        reason += &format!("; with {more} it is {shorter:.0} ms, which is no better");
    } else if chosen.queued.p95 > total / 10.0 {
        reason += &format!(
            ". This is the largest pool measured, and still {}: measure larger ones (--connections)",
            waiting(chosen)
        );
    } else if pools.len() == 1 {
        reason += ". This is the only size measured: measure others as well (--connections)";
    }
    reason += ". Set LLM_MAX_KEEPALIVE to the same number: connections above it are closed and opened again at each peak.";
    Some(Recommendation {
        connections,
        reason,
    })
}

fn waiting(measurement: &Measurement) -> String {
    let (share, longer) = match (measurement.queued.p50, measurement.queued.p95) {
        (half, _) if half >= 1.0 => ("half", half),
        (_, few) => ("5 %", few),
    };
    format!("{share} of the calls wait longer than {longer:.0} ms for a connection")
}
