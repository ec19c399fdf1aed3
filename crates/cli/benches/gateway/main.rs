//! What gateways add to a call: Warmline's, and those of others if they are installed.
//!
//! `cargo bench -p warmline-cli --bench gateway` prints a table. `cargo xtask peers` installs LiteLLM's proxy, liter-llm and wrk,
//! and runs the same with them. A plain proxy on the same libraries is the floor. Each gateway is a process of its own in front of the same upstream, a process that sends
//! canned replies. The rounds alternate between the upstream directly and each gateway, so that noise affects all alike. A
//! figure is the median of the rounds, with the lowest and the highest.
#![allow(unreachable_pub)]

mod plain;
mod probe;
#[path = "../../tests/common/process.rs"]
mod process;
mod report;
mod target;
mod upstream;
mod wrk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use probe::{Probe, request_body};
use report::{Report, Rounds};
use target::Target;
use tokio::task::JoinSet;
use upstream::{EVENTS, PACE, PACED_STREAMS, Reply};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ROUNDS: usize = 5;
const SHORT_PROMPT: usize = 50;
/// About 100,000 tokens.
const LONG_PROMPT: usize = 400_000;
/// The time after which the memory is read once more.
const REST: Duration = Duration::from_secs(60);

/// What gateways add to a call.
#[derive(Parser)]
struct Options {
    /// The program of LiteLLM's proxy.
    #[arg(long)]
    litellm: Option<PathBuf>,
    /// The program of liter-llm.
    #[arg(long)]
    liter_llm: Option<PathBuf>,
    /// The program wrk, which measures the calls per second.
    #[arg(long)]
    wrk: Option<PathBuf>,
    /// Runs the upstream instead.
    #[arg(long, hide = true)]
    upstream: bool,
    /// Runs the plain proxy instead, in front of this address.
    #[arg(long, hide = true)]
    plain: Option<SocketAddr>,
    /// Cargo passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    // The proxy has as many threads as servers have by default.
    let mut runtime = match options.plain {
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
        None => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        match options {
            Options { upstream: true, .. } => upstream::serve().await,
            Options {
                plain: Some(upstream),
                ..
            } => plain::serve(upstream).await,
            options => run(&options).await,
        }
    })
}

async fn run(options: &Options) -> Result<(), Failure> {
    let upstream = upstream::start()?;
    let mut targets = vec![
        Target::directly(&upstream),
        Target::plain(upstream.address)?,
        Target::warmline(upstream.address)?,
    ];
    if let Some(program) = &options.liter_llm {
        targets.push(Target::liter_llm(program, upstream.address)?);
    }
    if let Some(program) = &options.litellm {
        targets.push(Target::litellm(program, upstream.address)?);
    }
    let mut report = Report::new(&targets);
    // The first call opens the connections, and loads what is loaded late.
    for target in &targets {
        let mut probe = Probe::connect(target.address).await?;
        probe
            .call(&request_body(Reply::Unary, SHORT_PROMPT))
            .await?;
    }
    let memory = |index: usize| {
        let read = targets
            .iter()
            .map(|target| Ok(vec![target.memory()?[index]]));
        read.collect::<Result<Rounds, Failure>>()
    };
    let at_first = memory(0)?;

    unary(&targets, &mut report).await?;
    burst(&targets, &mut report).await?;
    paced(&targets, &mut report).await?;
    long_prompt(&targets, &mut report).await?;
    if let Some(program) = &options.wrk {
        wrk::measure(program, &targets, &mut report)?;
    }
    let peak = memory(1)?;
    tokio::time::sleep(REST).await;
    report.absolute("resident memory after the first call, MiB", &at_first);
    report.absolute("at its peak, MiB", &peak);
    report.absolute("60 s after the last call, MiB", &memory(0)?);
    report.print();
    Ok(())
}

/// Measures each target in turn, in so many rounds. Returns each of the figures of `measure` by target and round.
async fn rounds<const N: usize>(
    targets: &[Target],
    measure: impl AsyncFn(&Target) -> Result<[f64; N], Failure>,
) -> Result<[Rounds; N], Failure> {
    let mut figures = [(); N].map(|()| vec![Vec::new(); targets.len()]);
    for _ in 0..ROUNDS {
        for (index, target) in targets.iter().enumerate() {
            let measured = measure(target).await?;
            for (figure, value) in figures.iter_mut().zip(measured) {
                figure[index].push(value);
            }
        }
    }
    Ok(figures)
}

/// Returns the value below which a share of the values lies.
fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values[index.min(values.len() - 1)]
}

/// The times of several calls, one after another, in microseconds.
struct Times {
    first_text: Vec<f64>,
    end: Vec<f64>,
    /// The CPU time of the target per call.
    cpu: f64,
}

async fn one_by_one(target: &Target, body: &Bytes, calls: usize) -> Result<Times, Failure> {
    let calls = if target.is_slow { calls / 10 } else { calls };
    let mut probe = Probe::connect(target.address).await?;
    let before = target.cpu()?;
    let mut arrivals = Vec::with_capacity(calls);
    for _ in 0..calls {
        arrivals.push(probe.call(body).await?);
    }
    let cpu = target.cpu()? - before;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Times {
        first_text: arrivals.iter().map(|a| micros(a.first_text)).collect(),
        end: arrivals.iter().map(|a| micros(a.end)).collect(),
        cpu: micros(cpu) / calls as f64,
    })
}

/// Whole replies, one call in flight.
async fn unary(targets: &[Target], report: &mut Report) -> Result<(), Failure> {
    let body = request_body(Reply::Unary, SHORT_PROMPT);
    let [p50, p99, cpu] = rounds(targets, async |target| {
        let times = one_by_one(target, &body, 2000).await?;
        Ok([
            percentile(times.end.clone(), 0.5),
            percentile(times.end, 0.99),
            times.cpu,
        ])
    })
    .await?;
    report.added("added to a unary call, p50, µs", &p50);
    report.added("added to a unary call, p99, µs", &p99);
    report.absolute("CPU of a unary call, µs", &cpu);
    Ok(())
}

/// Streams whose events arrive as fast as they are read, one stream in flight.
async fn burst(targets: &[Target], report: &mut Report) -> Result<(), Failure> {
    let body = request_body(Reply::Burst, SHORT_PROMPT);
    let [first_text, end, cpu] = rounds(targets, async |target| {
        let times = one_by_one(target, &body, 200).await?;
        Ok([
            percentile(times.first_text, 0.5),
            percentile(times.end, 0.5),
            times.cpu / EVENTS as f64,
        ])
    })
    .await?;
    report.added("added before the first text, p50, µs", &first_text);
    report.added("added to a stream of 400 events, p50, µs", &end);
    report.absolute("CPU of an event, µs", &cpu);
    Ok(())
}

/// Many streams at the pace of a real model, all open at once.
async fn paced(targets: &[Target], report: &mut Report) -> Result<(), Failure> {
    let body = request_body(Reply::Paced, SHORT_PROMPT);
    let [gaps] = rounds(targets, async |target| {
        let mut streams = JoinSet::new();
        for stream in 0..PACED_STREAMS {
            let (address, body) = (target.address, body.clone());
            streams.spawn(async move {
                // The beginnings are spread over one pace, as those of independent callers are.
                let offset = PACE * stream as u32 / PACED_STREAMS as u32;
                tokio::time::sleep(offset).await;
                Probe::connect(address).await?.call(&body).await
            });
        }
        let mut gaps = Vec::new();
        while let Some(stream) = streams.join_next().await {
            let stream = stream??.gaps;
            gaps.extend(stream.iter().map(|gap| gap.as_secs_f64() * 1e3));
        }
        Ok([percentile(gaps, 0.999)])
    })
    .await?;
    report.added(
        "added to the p99.9 of the gaps of 500 paced streams, ms",
        &gaps,
    );
    Ok(())
}

/// Prompts of about 100,000 tokens, one call in flight.
async fn long_prompt(targets: &[Target], report: &mut Report) -> Result<(), Failure> {
    let body = request_body(Reply::Unary, LONG_PROMPT);
    let [p50] = rounds(targets, async |target| {
        let times = one_by_one(target, &body, 100).await?;
        Ok([percentile(times.end, 0.5)])
    })
    .await?;
    report.ratio("a prompt of 100,000 tokens, p50, ÷ directly", &p50);
    Ok(())
}
