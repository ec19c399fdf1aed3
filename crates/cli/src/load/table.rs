//! Prints the measurements as a table.

use std::fmt::Write;

use super::measurement::{Measurement, Quantiles};
use super::plan::Load;

pub(super) fn text(measurements: &[Measurement]) -> String {
    let load = match measurements
        .first()
        .map(|measurement| measurement.plan.load)
    {
        Some(Load::PerSecond(_)) => "a second",
        _ => "in flight",
    };
    let mut text = String::new();
    let times = "p50   p95   p99";
    let _ = writeln!(
        text,
        "{:>9} {:>5} {:>5} {:>8} {:>6} {:>7} {:>7}   {:>17}   {:>17}   {:>17}   {:>17} {:>7}",
        load,
        "pool",
        "",
        "calls/s",
        "errors",
        "sockets",
        "reused",
        "queued, ms",
        "connect, ms",
        "first event, ms",
        "total, ms",
        "CPU, µs"
    );
    let _ = writeln!(
        text,
        "{:>53}   {times:>17}   {times:>17}   {times:>17}   {times:>17} {:>7}",
        "opened", "a call"
    );
    let mut messages = Vec::new();
    for measurement in measurements {
        let load = match measurement.plan.load {
            Load::InFlight(n) => n.to_string(),
            Load::PerSecond(rate) => rate.to_string(),
        };
        let (connections, keepalive) = (measurement.plan.connections, measurement.plan.keepalive);
        let pool = match keepalive < connections {
            true => format!("{connections}/{keepalive}"),
            false => connections.to_string(),
        };
        let errors: u32 = measurement.errors.values().sum();
        let _ = writeln!(
            text,
            "{load:>9} {pool:>5} {:>5} {:>8.1} {errors:>6} {:>7} {:>5.1} %   {}   {}   {}   {} {:>7.0}",
            measurement.plan.reuse.name(),
            measurement.calls_per_second,
            measurement.sockets_opened,
            measurement.reused_percent,
            quantiles(&measurement.queued),
            quantiles(&measurement.connect),
            quantiles(&measurement.time_to_first_token),
            quantiles(&measurement.total),
            measurement.cpu_us_per_call,
        );
        messages.extend(
            measurement
                .error_messages
                .iter()
                .map(|message| (measurement.plan, message)),
        );
    }
    for (plan, message) in messages {
        let _ = writeln!(text, "{plan}: {message}");
    }
    text
}

fn quantiles(times: &Quantiles) -> String {
    if times.count == 0 {
        return format!("{:>5} {:>5} {:>5}", "–", "–", "–");
    }
    let [p50, p95, p99] = [times.p50, times.p95, times.p99].map(short);
    format!("{p50:>5} {p95:>5} {p99:>5}")
}

/// Formats milliseconds with one decimal below 10 ms, and none above.
pub(super) fn short(ms: f64) -> String {
    match ms {
        ..0.05 => "0".to_owned(),
        ..9.95 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}
