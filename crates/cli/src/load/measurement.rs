//! One measurement: a load on a pool.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cpu_time::ThreadTime;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use warmline::{Client, Error, ErrorKind, Limits, Reply, Request};

use super::plan::{Load, Plan, Reuse};
use super::server::Server;
use crate::report::Failure;

/// The result of a measurement. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    #[serde(flatten)]
    pub(super) plan: Plan,
    pub(super) calls_per_second: f64,
    pub(super) queued: Quantiles,
    /// For calls that opened a connection.
    pub(super) connect: Quantiles,
    /// From the start of the call, or, in an open loop, from the time at which it was due.
    pub(super) time_to_first_token: Quantiles,
    pub(super) total: Quantiles,
    pub(super) sockets_opened: u64,
    pub(super) sockets_at_once: usize,
    /// The share of attempts whose connection was reused.
    pub(super) reused_percent: f64,
    /// The number of errors of each kind.
    pub(super) errors: BTreeMap<&'static str, u32>,
    /// The message of the first error of each kind.
    pub(super) error_messages: Vec<String>,
    #[serde(skip)]
    pub(super) first_error: Option<Error>,
    /// The CPU time of the thread on which all calls run.
    pub(super) cpu_us_per_call: f64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Quantiles {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) mean: f64,
}

impl Quantiles {
    pub(super) fn of(times: impl Iterator<Item = Duration>) -> Self {
        // Three significant digits are a valid precision, so this does not fail.
        let Ok(mut histogram) = Histogram::<u64>::new(3) else {
            return Self::default();
        };
        histogram.auto(true);
        for time in times {
            // The histogram resizes itself, so that no value is out of range.
            let _ = histogram.record(time.as_micros() as u64);
        }
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: histogram.len(),
            p50: ms(0.5),
            p95: ms(0.95),
            p99: ms(0.99),
            mean: histogram.mean() / 1e3,
        }
    }
}

/// A call that has ended.
struct Sample {
    outcome: Result<Reply, Error>,
    /// The time between when the call was due and when it started.
    late: Duration,
}

pub(super) async fn measure(
    server: &Server,
    plan: Plan,
    bar: &ProgressBar,
) -> Result<Measurement, Failure> {
    let client = client(server, plan).await?;
    let request = server.request();
    let before = client.stats().opened.unwrap_or_default();
    let (begun, cpu) = (Instant::now(), ThreadTime::now());
    let samples = match plan.load {
        Load::InFlight(n) => closed_loop(&client, &request, plan, n, bar).await,
        Load::PerSecond(rate) => open_loop(&client, &request, plan, rate, bar).await,
    };
    let (took, cpu) = (begun.elapsed(), cpu.elapsed());
    let stats = client.stats();
    let opened = stats.opened.unwrap_or_default();
    let reused = stats.reused.unwrap_or_default();
    let mut errors = BTreeMap::new();
    let mut error_messages = Vec::new();
    let mut first_error = None;
    let mut replies = Vec::new();
    for Sample { outcome, late } in samples {
        match outcome {
            Ok(reply) => replies.push((reply.timing, late)),
            Err(error) if *error.kind() == ErrorKind::Config => return Err(error.into()),
            Err(error) => {
                let count: &mut u32 = errors.entry(error.kind().name()).or_default();
                if *count == 0 {
                    error_messages.push(error.to_string());
                }
                *count += 1;
                first_error.get_or_insert(error);
            }
        }
    }
    let calls = f64::from(plan.calls);
    Ok(Measurement {
        calls_per_second: replies.len() as f64 / took.as_secs_f64(),
        queued: Quantiles::of(replies.iter().map(|(timing, _)| timing.queued)),
        connect: Quantiles::of(replies.iter().filter_map(|(timing, _)| timing.connect)),
        time_to_first_token: Quantiles::of(
            replies
                .iter()
                .map(|(timing, late)| timing.time_to_first_token + *late),
        ),
        total: Quantiles::of(replies.iter().map(|(timing, late)| timing.total + *late)),
        sockets_opened: opened,
        sockets_at_once: stats.peak,
        reused_percent: reused as f64 / ((reused + opened - before).max(1)) as f64 * 100.0,
        first_error,
        errors,
        error_messages,
        cpu_us_per_call: cpu.as_secs_f64() * 1e6 / calls,
        plan,
    })
}

/// Returns a client with the planned pool, whose connections are open already if the plan says so.
async fn client(server: &Server, plan: Plan) -> Result<Client, Failure> {
    let limits = Limits {
        max_connections: plan.connections.into(),
        max_keepalive_connections: plan.keepalive.into(),
        keepalive_expiry: match plan.reuse {
            Reuse::Off => Duration::ZERO,
            _ => Limits::default().keepalive_expiry,
        },
    };
    let client = server.client().limits(limits).build()?;
    if plan.reuse == Reuse::Warm {
        // No more are opened than are used at once.
        let connections = match plan.load {
            Load::InFlight(n) => plan.connections.min(u16::try_from(n).unwrap_or(u16::MAX)),
            Load::PerSecond(_) => plan.connections,
        };
        client.warm_up(connections.into()).await?;
    }
    Ok(client)
}

async fn call(client: Client, request: Request, plan: Plan, late: Duration) -> Sample {
    let outcome = match plan.stream {
        true => client.stream(request).into_reply().await,
        false => client.chat(request).await,
    };
    Sample { outcome, late }
}

async fn closed_loop(
    client: &Client,
    request: &Request,
    plan: Plan,
    in_flight: u32,
    bar: &ProgressBar,
) -> Vec<Sample> {
    let begun = Arc::new(AtomicU32::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (client, request, begun, bar) =
            (client.clone(), request.clone(), begun.clone(), bar.clone());
        callers.spawn(async move {
            let mut samples = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < plan.calls {
                samples.push(call(client.clone(), request.clone(), plan, Duration::ZERO).await);
                bar.inc(1);
            }
            samples
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// Starts calls when they are due, whether or not earlier ones have ended, so that the load does not fall when the server or the pool is slow.
async fn open_loop(
    client: &Client,
    request: &Request,
    plan: Plan,
    rate: f64,
    bar: &ProgressBar,
) -> Vec<Sample> {
    // A fixed seed makes the times the same for each run and pool.
    let mut chance = fastrand::Rng::with_seed(1);
    let mut due = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..plan.calls {
        // The time between independent calls is exponentially distributed.
        due += Duration::from_secs_f64(-(1.0 - chance.f64()).ln() / rate);
        sleep_until(due).await;
        let (client, request, bar) = (client.clone(), request.clone(), bar.clone());
        calls.spawn(async move {
            let sample = call(client, request, plan, due.elapsed()).await;
            bar.inc(1);
            sample
        });
    }
    calls.join_all().await
}

/// Returns a runtime on the current thread, so that the CPU time of the thread is that of the calls.
pub(super) fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Other(format!("cannot start: {e}")))
}

/// Returns a progress bar, which is hidden if stderr is not a terminal.
pub(super) fn progress(calls: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} calls, {eta} left: {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(calls).with_style(style)
}
