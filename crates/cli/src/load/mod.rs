//! `warmline load`: measures connection pools of several sizes under several loads.

mod claims;
mod measurement;
mod plan;
mod plot;
mod recommend;
mod server;
mod table;
mod targets;
mod targets_plot;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use self::plan::{Load, Plan, Reuse};
use self::server::Server;
use crate::report::{self, Failure};

#[derive(Args)]
pub(crate) struct Options {
    /// Closed loop: the number of calls in flight. When one ends, the next starts at once. [default: 1,10,40]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "rate")]
    concurrency: Vec<u32>,
    /// Open loop instead: the number of calls that start per second, at random times, whether or not earlier ones have ended.
    #[arg(long, value_name = "PER_SECOND,…", value_delimiter = ',', value_parser = rate, allow_negative_numbers = true)]
    rate: Vec<f64>,
    /// The sizes of the pools (max_connections).
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "5,10,20,40", value_parser = clap::value_parser!(u16).range(1..))]
    connections: Vec<u16>,
    /// The maximum number of idle connections that a pool keeps. [default: its size]
    #[arg(long, value_name = "N")]
    keepalive: Option<u16>,
    /// Whether connections are open before the first call, opened when needed, or opened for each call.
    #[arg(
        long,
        value_enum,
        value_name = "HOW,…",
        value_delimiter = ',',
        default_value = "warm"
    )]
    reuse: Vec<Reuse>,
    /// The number of calls of each measurement. [default: 10 for each call in flight, or 5 s of a rate; at least 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: Option<u32>,
    /// Request whole replies instead of streams.
    #[arg(long)]
    no_stream: bool,
    /// Use HTTP/2.
    #[arg(long)]
    http2: bool,
    /// Call so many simulated providers through a router instead. The first is killed after a third of the calls, and is back after two
    /// thirds. The load is one --rate, by default 50 calls a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=6), conflicts_with_all = ["concurrency", "connections", "keepalive", "reuse", "no_stream", "http2", "live", "base_url", "tls"])]
    targets: Option<u8>,
    #[command(flatten)]
    server: server::TargetArgs,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a chart of the measurements to this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Check this project's claims about connection reuse, parallel calls and warm-up instead: measure each as a ratio, on a simulated
    /// network.
    #[arg(long, conflicts_with_all = ["targets", "concurrency", "rate", "connections", "keepalive", "reuse", "calls", "no_stream", "http2", "provider", "live", "base_url", "model", "prompt", "tokens", "pace", "delay", "tls", "plot"])]
    check_claims: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    match (0.01..=100_000.0).contains(&rate) {
        true => Ok(rate),
        false => Err("it must be from 0.01 to 100000".to_owned()),
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.check_claims {
        return claims::run(options.json);
    }
    if let Some(file) = &options.plot {
        // Fail now rather than after all measurements. A file that exists is kept until the new chart is written.
        let open = OpenOptions::new().append(true).create(true).open(file);
        let wrong = |e| Failure::Config(format!("{} cannot be written: {e}", file.display()));
        open.map_err(wrong)?;
    }
    if let Some(targets) = options.targets {
        return run_targets(options, targets);
    }
    let plans = plans(options);
    let server = Server::start(&options.server, options.http2)?;
    let runtime = measurement::client_runtime()?;
    let bar = measurement::progress(plans.iter().map(|plan| u64::from(plan.calls)).sum());
    let mut measurements = Vec::new();
    for plan in plans {
        bar.set_message(plan.to_string());
        measurements.push(runtime.block_on(measurement::measure(&server, plan, &bar))?);
    }
    bar.finish_and_clear();
    // If all calls have failed, an error is all that there is to report.
    let error = match measurements
        .iter()
        .all(|measurement| measurement.total.count == 0)
    {
        true => measurements
            .iter_mut()
            .find_map(|measurement| measurement.first_error.take()),
        false => None,
    };
    if let Some(error) = error {
        return Err(error.into());
    }
    let recommendation = recommend::recommend(&measurements);
    if options.json {
        let result = json!({
            "server": server.name, "stream": !options.no_stream, "http2": options.http2, "measurements": measurements, "recommendation": recommendation,
        });
        report::json(&result)?;
    } else {
        let mut text = format!("{}\n\n{}", server.name, table::text(&measurements));
        if let Some(recommendation) = &recommendation {
            text += &format!("\n{}\n", recommendation.reason);
        }
        report::print(&text)?;
    }
    match &options.plot {
        Some(file) => {
            let recommendation = recommendation.as_ref();
            write_plot(file, plot::svg(&measurements, &server.name, recommendation))
        }
        None => Ok(()),
    }
}

fn run_targets(options: &Options, targets: u8) -> Result<(), Failure> {
    let Options {
        server,
        rate,
        calls,
        ..
    } = options;
    let (outcome, name) = targets::run(server, targets, rate, *calls)?;
    match options.json {
        true => report::json(&json!(outcome))?,
        false => report::print(&targets::text(&outcome, &name)).map(drop)?,
    }
    match &options.plot {
        Some(file) => write_plot(file, targets_plot::svg(&outcome, &name)),
        None => Ok(()),
    }
}

fn write_plot(file: &Path, svg: Result<String, String>) -> Result<(), Failure> {
    let wrong = |e: String| Failure::Other(format!("{} cannot be drawn: {e}", file.display()));
    std::fs::write(file, svg.map_err(wrong)?).map_err(|e| wrong(e.to_string()))
}

/// Returns the measurements to make, in order.
fn plans(options: &Options) -> Vec<Plan> {
    let loads: Vec<Load> = match (&options.rate[..], &options.concurrency[..]) {
        ([], []) => [1, 10, 40].map(Load::InFlight).to_vec(),
        ([], some) => some.iter().copied().map(Load::InFlight).collect(),
        (some, _) => some.iter().copied().map(Load::PerSecond).collect(),
    };
    let mut plans = Vec::new();
    for reuse in &options.reuse {
        for load in &loads {
            for connections in &options.connections {
                let enough = match load {
                    Load::InFlight(n) => n * 10,
                    Load::PerSecond(rate) => (rate * 5.0) as u32,
                };
                plans.push(Plan {
                    load: *load,
                    connections: *connections,
                    keepalive: options.keepalive.unwrap_or(*connections).min(*connections),
                    reuse: *reuse,
                    calls: options.calls.unwrap_or(enough.max(50)),
                    stream: !options.no_stream,
                });
            }
        }
    }
    plans
}
