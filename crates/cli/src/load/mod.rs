//! `warmline load`: what a pool of which size does under which load.

mod cell;
mod plot;
mod recommend;
mod seed;
mod server;
mod table;

use std::fs::OpenOptions;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use self::cell::{Load, Plan};
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
    /// How many calls each cell of the grid makes. [default: 10 for each in flight, 5 s of a rate, and no fewer than 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: Option<u32>,
    /// Wait for whole replies instead of streaming them.
    #[arg(long)]
    no_stream: bool,
    /// Speak HTTP/2.
    #[arg(long)]
    http2: bool,
    #[command(flatten)]
    server: server::Whom,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the grid into this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure what this project claims of connection reuse, parallel calls and warm-up, as ratios in one run on a simulated network,
    /// instead of a grid.
    #[arg(long, conflicts_with_all = ["concurrency", "rate", "connections", "keepalive", "reuse", "calls", "no_stream", "http2", "provider", "live", "base_url", "model", "prompt", "tokens", "pace", "delay", "tls", "plot"])]
    seed_table: bool,
}

/// Which connections the calls of a cell find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reuse {
    /// Opened before the first call.
    Warm,
    /// Opened by the calls that need them, and kept.
    Cold,
    /// Each call opens one, which is closed after it.
    Off,
}

impl Reuse {
    fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Off => "off",
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    match (0.01..=100_000.0).contains(&rate) {
        true => Ok(rate),
        false => Err("it must be from 0.01 to 100000".to_owned()),
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.seed_table {
        return seed::run(options.json);
    }
    if let Some(file) = &options.plot {
        // Said now rather than after all has been measured; what is there is kept until there is a new one.
        let open = OpenOptions::new().append(true).create(true).open(file);
        let wrong = |e| Failure::Config(format!("{} cannot be written: {e}", file.display()));
        open.map_err(wrong)?;
    }
    let plans = plans(options);
    let server = Server::start(&options.server, options.http2)?;
    let runtime = client_runtime()?;
    let bar = progress(plans.iter().map(|plan| u64::from(plan.calls)).sum());
    let mut cells = Vec::new();
    for plan in plans {
        bar.set_message(plan.to_string());
        cells.push(runtime.block_on(cell::measure(&server, plan, &bar))?);
    }
    bar.finish_and_clear();
    // Where nothing went well there is nothing to tell but why.
    let error = match cells.iter().all(|cell| cell.total.count == 0) {
        true => cells.iter_mut().find_map(|cell| cell.first_error.take()),
        false => None,
    };
    if let Some(error) = error {
        return Err(error.into());
    }
    let recommendation = recommend::recommend(&cells);
    if options.json {
        let of = json!({
            "server": server.name, "stream": !options.no_stream, "http2": options.http2, "cells": cells, "recommendation": recommendation,
        });
        report::json(&of);
    } else {
        println!("{}\n", server.name);
        print!("{}", table::text(&cells));
        if let Some(recommendation) = &recommendation {
            println!("\n{}", recommendation.reason);
        }
    }
    if let Some(file) = &options.plot {
        let svg = plot::svg(&cells, &server.name, recommendation.as_ref());
        let wrong = |e: String| Failure::Other(format!("{} cannot be drawn: {e}", file.display()));
        let svg = svg.map_err(wrong)?;
        std::fs::write(file, svg).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(())
}

/// The grid, one cell after the other.
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

/// One thread, this one: so its CPU time is that of the calls.
fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Other(format!("cannot start: {e}")))
}

/// Hidden where stderr is no terminal.
fn progress(calls: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} calls, {eta} left: {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(calls).with_style(style)
}
