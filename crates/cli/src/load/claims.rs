//! Checks the project's claims about connection reuse, parallel calls and warm-up: each is measured as a ratio, all in one run.

use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;
use warmline::{Provider, Request};
use warmline_sim::Config;

use super::measurement::{Measurement, client_runtime, measure, progress};
use super::plan::{Load, Plan, Reuse};
use super::server::Server;
use crate::report::{self, Failure};

/// The delay in each direction, about that to a provider's nearest data centre.
const ONE_WAY: Duration = Duration::from_millis(5);

/// The number of sequential requests, and of parallel calls.
const REQUESTS: u32 = 100;
const AT_ONCE: u32 = 10;

/// The number of first calls whose median is taken.
const FIRSTS: u32 = 20;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    claimed: &'static str,
    measured: String,
    /// The measurements that the ratio is made of.
    from: String,
}

pub(super) fn run(as_json: bool) -> Result<(), Failure> {
    let config = Config {
        tls: true,
        one_way_delay: ONE_WAY,
        ..Config::default()
    };
    let server = |tokens, pace| {
        let request = Request::new().user("Count.").max_tokens(tokens);
        Server::simulated(Provider::Anthropic, &config, request, tokens, pace)
    };
    let (short, long) = (server(1, 1)?, server(10, 5)?);
    let (bar, runtime) = (
        progress(u64::from(3 * REQUESTS + 19 * AT_ONCE + 2 * FIRSTS)),
        client_runtime()?,
    );
    bar.set_message("connection reuse, parallel calls, warm-up");
    let rows = runtime.block_on(rows(&short, &long, &bar))?;
    bar.finish_and_clear();
    if as_json {
        return report::json(
            &json!({"network": {"one_way_ms": ONE_WAY.as_millis() as u64, "tls": true}, "rows": rows}),
        );
    }
    let mut text = format!(
        "Measured in this run, on a network with a delay of {ONE_WAY:?} in each direction, over TLS:\n\n\
         | | claimed | measured | from |\n| --- | --- | --- | --- |\n"
    );
    for Row {
        what,
        claimed,
        measured,
        from,
    } in rows
    {
        text += &format!("| {what} | {claimed} | **{measured}** | {from} |\n");
    }
    report::print(&text).map(drop)
}

async fn rows(short: &Server, long: &Server, bar: &ProgressBar) -> Result<Vec<Row>, Failure> {
    let plan = |in_flight, connections, reuse, calls| Plan {
        load: Load::InFlight(in_flight),
        connections,
        keepalive: connections,
        reuse,
        calls,
        stream: true,
    };
    let each = measure(short, plan(1, 10, Reuse::Off, REQUESTS), bar).await?;
    let kept = measure(short, plan(1, 10, Reuse::Cold, REQUESTS), bar).await?;
    let warm = measure(short, plan(1, 10, Reuse::Warm, REQUESTS), bar).await?;
    let one_by_one = measure(long, plan(1, 10, Reuse::Warm, AT_ONCE * 3), bar).await?;
    let naive = measure(long, plan(1, 10, Reuse::Off, AT_ONCE * 3), bar).await?;
    let at_once = measure(long, plan(AT_ONCE, 10, Reuse::Warm, AT_ONCE * 10), bar).await?;
    let through_one = measure(long, plan(AT_ONCE, 1, Reuse::Warm, AT_ONCE * 3), bar).await?;
    let mut firsts = [Vec::new(), Vec::new()];
    let mut handshakes = 0;
    for _ in 0..FIRSTS {
        let cold = measure(short, plan(1, 10, Reuse::Cold, 1), bar).await?;
        let warm = measure(short, plan(1, 10, Reuse::Warm, 1), bar).await?;
        handshakes += warm.connect.count;
        firsts[0].push(cold.time_to_first_token.p50);
        firsts[1].push(warm.time_to_first_token.p50);
    }
    let [cold_first, warm_first] = firsts.map(median);

    let spent =
        |measurement: &Measurement| connecting(measurement) / f64::from(measurement.plan.calls);
    let (without, with) = (connecting(&each), connecting(&kept));
    Ok(vec![
        Row {
            what: "connection overhead per request, without reuse ÷ with reuse",
            claimed: "12 ×",
            measured: format!("{:.0} ×", without / with),
            from: format!(
                "{:.2} ms and {:.3} ms, means of {REQUESTS} requests one after the other",
                spent(&each),
                spent(&kept)
            ),
        },
        Row {
            what: "connection overhead of 100 requests, less by",
            claimed: "99 %",
            measured: format!("{:.1} %", 100.0 * (1.0 - with / without)),
            from: format!(
                "{without:.0} ms in {} handshakes, and {with:.1} ms in {}",
                each.connect.count, kept.connect.count
            ),
        },
        Row {
            what: "the same after a warm-up, less by",
            claimed: "",
            measured: format!("{:.1} %", 100.0 * (1.0 - connecting(&warm) / without)),
            from: format!("{} handshakes in {REQUESTS} requests", warm.connect.count),
        },
        Row {
            what: "10 parallel calls ÷ one at a time, in calls a second, both on warm connections",
            claimed: "10 ×",
            measured: format!(
                "{:.1} ×",
                at_once.calls_per_second / one_by_one.calls_per_second
            ),
            from: rates(&at_once, &one_by_one),
        },
        Row {
            what: "10 parallel calls ÷ one at a time as without a pool, a connection each",
            claimed: "10 ×",
            measured: format!("{:.1} ×", at_once.calls_per_second / naive.calls_per_second),
            from: rates(&at_once, &naive),
        },
        Row {
            what: "connections that 10 calls at once use",
            claimed: "1 → 10",
            measured: format!(
                "{} → {}",
                through_one.sockets_at_once, at_once.sockets_at_once
            ),
            from: format!(
                "max_connections 1 and 10; {}",
                rates(&at_once, &through_one)
            ),
        },
        Row {
            what: "the very first call, cold ÷ warmed up, to its first token",
            claimed: "",
            measured: format!("{:.1} ×", cold_first / warm_first),
            from: format!(
                "{cold_first:.1} ms and {warm_first:.1} ms, medians of {FIRSTS}; {handshakes} of the warmed-up ones made a handshake"
            ),
        },
    ])
}

/// The time that all calls spent on connections, in milliseconds.
fn connecting(measurement: &Measurement) -> f64 {
    measurement.connect.mean * measurement.connect.count as f64
        + measurement.queued.mean * measurement.queued.count as f64
}

fn rates(one: &Measurement, other: &Measurement) -> String {
    format!(
        "{:.1} and {:.1} calls a second",
        one.calls_per_second, other.calls_per_second
    )
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
