//! A router over several simulated providers, one of which is killed and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use warmline::{Balancing, ErrorKind, Limits, Request, Router, StreamEvent, Target};

use super::measurement::{Quantiles, client_runtime, progress};
use super::server::{Server, TargetArgs};
use crate::report::Failure;

/// The default load, in calls a second.
const RATE: f64 = 50.0;
/// The default time, in seconds.
const SECONDS: f64 = 18.0;
/// The name under which all targets serve the model.
const MODEL: &str = "simulated";
/// How many parts of a second the result has.
pub(super) const PARTS: usize = 4;

/// What became of the calls.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) calls: usize,
    pub(super) rate: f64,
    /// When the first target was killed, and when it was back, in seconds after the start.
    pub(super) killed_at: f64,
    pub(super) back_at: f64,
    /// The calls that the death of a target has moved to another one.
    pub(super) moved: usize,
    /// The errors of calls that had content, and of those that had none, by their kind.
    pub(super) errors_after_content: BTreeMap<&'static str, usize>,
    pub(super) errors_without_content: BTreeMap<&'static str, usize>,
    pub(super) time_to_first_token: Quantiles,
    /// By quarters of a second in which the calls began.
    pub(super) quarters: Vec<Quarter>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Quarter {
    /// The number of calls that each target has answered.
    pub(super) answered: Vec<usize>,
    pub(super) errors: usize,
    /// The longest time to the first token, in milliseconds.
    pub(super) slowest_first_token: f64,
}

/// A call that has ended.
struct Sample {
    began: Duration,
    first_token: Option<Duration>,
    attempts: usize,
    outcome: Result<usize, ErrorKind>,
}

/// Makes the calls. Returns what became of them, and a description of the targets.
pub(super) fn run(
    server: &TargetArgs,
    targets: u8,
    rates: &[f64],
    calls: Option<u32>,
) -> Result<(Outcome, String), Failure> {
    let rate = match *rates {
        [] => RATE,
        [rate] => rate,
        _ => return Err(Failure::Config("--targets takes one --rate".into())),
    };
    let calls = calls.unwrap_or((rate * SECONDS) as u32).max(3);
    let servers = (0..targets).map(|_| Server::start(server, false));
    let mut servers = servers.collect::<Result<Vec<_>, _>>()?;
    let name = format!("{targets} times {}", servers[0].name);
    let outcome = client_runtime()?.block_on(measure(&mut servers, rate, calls))?;
    Ok((outcome, name))
}

async fn measure(servers: &mut [Server], rate: f64, calls: u32) -> Result<Outcome, Failure> {
    let mut builder = Router::builder().balancing(Balancing::LeastBusy);
    for (n, server) in servers.iter().enumerate() {
        let limits = Limits {
            max_connections: 1000,
            max_keepalive_connections: 1000,
            ..Limits::default()
        };
        let client = server.client().limits(limits).build()?;
        let own = server.request().model.unwrap_or_default();
        let target = Target::new(client).name(n.to_string()).model(MODEL, own);
        builder = builder.target(target);
    }
    let router = builder.build()?;
    let request = servers[0].request().model(MODEL);
    let bar = progress(calls.into());
    let start = Instant::now();
    let (mut killed_at, mut back_at) = (Duration::ZERO, Duration::ZERO);
    let mut running = JoinSet::new();
    for n in 0..calls {
        // At even times, so that the picture shows what the killing changes.
        let due = start + Duration::from_secs_f64(f64::from(n) / rate);
        sleep_until(due).await;
        if n == calls / 3 {
            servers[0].kill();
            killed_at = start.elapsed();
        }
        if n == calls * 2 / 3 {
            servers[0].revive()?;
            back_at = start.elapsed();
        }
        let (router, bar) = (router.clone(), bar.clone());
        let request = request.clone().conversation(n.to_string());
        running.spawn(async move {
            let sample = call(&router, request, due - start).await;
            bar.inc(1);
            sample
        });
    }
    let samples = running.join_all().await;
    bar.finish_and_clear();
    let (killed_at, back_at) = (killed_at.as_secs_f64(), back_at.as_secs_f64());
    Ok(summary(&samples, servers.len(), rate, killed_at, back_at))
}

async fn call(router: &Router, request: Request, began: Duration) -> Sample {
    let start = Instant::now();
    let mut stream = router.stream(request);
    let mut sample = Sample {
        began,
        first_token: None,
        attempts: 0,
        outcome: Err(ErrorKind::Stream),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(StreamEvent::Done { reply }) => {
                let last = reply.attempts().last();
                let target = last.and_then(|last| last.target.as_ref()?.parse().ok());
                sample.attempts = reply.attempts().len();
                sample.outcome = Ok(target.unwrap_or_default());
            }
            Ok(StreamEvent::Text { .. }) => {
                sample.first_token.get_or_insert_with(|| start.elapsed());
            }
            Ok(_) => {}
            Err(error) => {
                sample.attempts = error.attempts().len();
                sample.outcome = Err(error.kind().clone());
            }
        }
    }
    sample
}

fn summary(samples: &[Sample], targets: usize, rate: f64, killed_at: f64, back_at: f64) -> Outcome {
    let mut outcome = Outcome {
        calls: samples.len(),
        rate,
        killed_at,
        back_at,
        moved: 0,
        errors_after_content: BTreeMap::new(),
        errors_without_content: BTreeMap::new(),
        time_to_first_token: Quantiles::of(samples.iter().filter_map(|of| of.first_token)),
        quarters: Vec::new(),
    };
    for sample in samples {
        let at = (sample.began.as_secs_f64() * PARTS as f64) as usize;
        while outcome.quarters.len() <= at {
            outcome.quarters.push(Quarter {
                answered: vec![0; targets],
                ..Quarter::default()
            });
        }
        let quarter = &mut outcome.quarters[at];
        if let Some(first) = sample.first_token {
            let ms = first.as_secs_f64() * 1e3;
            quarter.slowest_first_token = quarter.slowest_first_token.max(ms);
        }
        match &sample.outcome {
            Ok(target) => {
                quarter.answered[*target] += 1;
                outcome.moved += usize::from(sample.attempts > 1);
            }
            Err(kind) => {
                quarter.errors += 1;
                let errors = match sample.first_token {
                    Some(_) => &mut outcome.errors_after_content,
                    None => &mut outcome.errors_without_content,
                };
                *errors.entry(kind.name()).or_default() += 1;
            }
        }
    }
    outcome
}

pub(super) fn text(outcome: &Outcome, name: &str) -> String {
    let Outcome {
        calls,
        rate,
        killed_at,
        back_at,
        moved,
        time_to_first_token: first,
        ..
    } = outcome;
    let errors = |errors: &BTreeMap<&str, usize>| {
        let total: usize = errors.values().sum();
        let kinds = errors.iter().map(|(kind, count)| format!("{kind} {count}"));
        match kinds.collect::<Vec<_>>().join(", ") {
            kinds if kinds.is_empty() => total.to_string(),
            kinds => format!("{total} ({kinds})"),
        }
    };
    format!(
        "{name}\n\n{calls} calls, {rate} a second; target 0 was killed after {killed_at:.1} s and was back after {back_at:.1} s\n\n\
         calls that moved to another target: {moved}\n\
         calls that failed without content:  {}\n\
         calls that failed after content:    {}\n\
         first token: {:.1} ms (p50), {:.1} ms (p95), {:.1} ms (p99)\n",
        errors(&outcome.errors_without_content),
        errors(&outcome.errors_after_content),
        first.p50,
        first.p95,
        first.p99
    )
}
