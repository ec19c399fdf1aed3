//! One measurement of the grid: a load on a pool.

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

/// What came of it. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    #[serde(flatten)]
    pub(super) plan: Plan,
    pub(super) calls_per_second: f64,
    pub(super) queued: Quantiles,
    /// Of the calls that opened a connection.
    pub(super) connect: Quantiles,
    /// From the call's start; in an open loop, from when it should have started.
    pub(super) time_to_first_token: Quantiles,
    pub(super) total: Quantiles,
    pub(super) sockets_opened: u64,
    pub(super) sockets_at_once: usize,
    /// Of the attempts that had a connection.
    pub(super) reused_percent: f64,
    /// By kind.
    pub(super) errors: BTreeMap<&'static str, u32>,
    /// One of each kind.
    pub(super) error_messages: Vec<String>,
    #[serde(skip)]
    pub(super) first_error: Option<Error>,
    /// Of this thread, on which all calls run.
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
        // None is for a number of digits that no histogram has.
        let Ok(mut histogram) = Histogram::<u64>::new(3) else {
            return Self::default();
        };
        histogram.auto(true);
        for time in times {
            // It grows with what is recorded.
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
    /// How much later than it should have it began.
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

/// A client with a pool as planned, its connections open where they are to be.
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
        // More than are ever used at once would only be opened for nothing.
        let overrides = match plan.load {
            Load::InFlight(n) => plan.connections.min(u16::try_from(n).unwrap_or(u16::MAX)),
            Load::PerSecond(_) => plan.connections,
        };
        client.warm_up(overrides.into()).await?;
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

/// Calls begin when it is their time, whatever became of those before: so that a server or a pool that is slow is not spared.
async fn open_loop(
    client: &Client,
    request: &Request,
    plan: Plan,
    rate: f64,
    bar: &ProgressBar,
) -> Vec<Sample> {
    // The same times in each run and for each pool.
    let mut chance = fastrand::Rng::with_seed(1);
    let mut due = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..plan.calls {
        // Between independent callers the time is exponentially distributed.
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

/// A runtime on this thread alone, whose CPU time is then that of the calls.
pub(super) fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Other(format!("cannot start: {e}")))
}

/// A progress bar, hidden if stderr is not a terminal.
pub(super) fn progress(calls: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} calls, {eta} left: {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(calls).with_style(style)
}
