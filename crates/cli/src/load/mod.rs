//! `warmline load`: what a pool of which size does under which load.

mod claims;
mod measurement;
mod plan;
mod plot;
mod recommend;

mod server;
mod table;

use std::fs::OpenOptions;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use self::plan::{Load, Plan, Reuse};
use self::server::Server;
use crate::report::{self, Failure};

#[derive(Args)]
pub(crate) struct Options {
    /// Closed loop: how many calls are in flight, each followed by the next at once. [default: 1,10,40]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "rate")]
    concurrency: Vec<u32>,
    /// Open loop instead: how many calls begin a second (at random, as independent callers do), whether those before have ended or not.
    #[arg(long, value_name = "PER_SECOND,…", value_delimiter = ',', value_parser = rate, allow_negative_numbers = true)]
    rate: Vec<f64>,
    /// The pools' sizes.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "5,10,20,40", value_parser = clap::value_parser!(u16).range(1..))]
    connections: Vec<u16>,
    /// How many idle connections a pool keeps, at most its size. [default: its size]
    #[arg(long, value_name = "N")]
    keepalive: Option<u16>,
    /// Which connections the calls find.
    #[arg(
        long,
        value_enum,
        value_name = "HOW,…",
        value_delimiter = ',',
        default_value = "warm"
    )]
    reuse: Vec<Reuse>,
    /// How many calls each measurement of the grid makes. [default: 10 for each in flight, 5 s of a rate, and no fewer than 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: Option<u32>,
    /// Wait for whole replies instead of streaming them.
    #[arg(long)]
    no_stream: bool,
    /// Speak HTTP/2.
    #[arg(long)]
    http2: bool,
    #[command(flatten)]
    server: server::TargetArgs,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the grid into this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure what this project claims of connection reuse, parallel calls and warm-up, as ratios in one run on a simulated network,
    /// instead of a grid.
    #[arg(long, conflicts_with_all = ["concurrency", "rate", "connections", "keepalive", "reuse", "calls", "no_stream", "http2", "provider", "live", "base_url", "model", "prompt", "tokens", "pace", "delay", "tls", "plot"])]
    check_claims: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
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
        // Said now rather than after all has been measured; what is there is kept until there is a new one.
        let open = OpenOptions::new().append(true).create(true).open(file);
        let wrong = |e| Failure::Config(format!("{} cannot be written: {e}", file.display()));
        open.map_err(wrong)?;
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
    // Where nothing went well there is nothing to tell but why.
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
        let of = json!({
            "server": server.name, "stream": !options.no_stream, "http2": options.http2, "measurements": measurements, "recommendation": recommendation,
        });
        report::json(&of);
    } else {
        println!("{}\n", server.name);
        print!("{}", table::text(&measurements));
        if let Some(recommendation) = &recommendation {
            println!("\n{}", recommendation.reason);
        }
    }
    if let Some(file) = &options.plot {
        let svg = plot::svg(&measurements, &server.name, recommendation.as_ref());
        let wrong = |e: String| Failure::Other(format!("{} cannot be drawn: {e}", file.display()));
        let svg = svg.map_err(wrong)?;
        std::fs::write(file, svg).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(())
}

/// The grid, one measurement after the other.
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
