//! The time that `warmline serve` adds to a call, compared with calling the simulated provider directly.
//!
//! `cargo bench -p warmline-cli --bench gateway` prints a table. Both are measured in turns, with 64 calls in flight. A ratio is the
//! median of the ratios of all rounds. The caller, the gateway and the simulated provider share the cores of this machine.
#![allow(unreachable_pub)]

#[path = "../../../benches/common/mod.rs"]
mod common;
#[path = "../tests/common/process.rs"]
mod process;

use std::process::Command;
use std::time::{Duration, Instant};

use common::median;
use process::GatewayProcess;
use serde_json::json;
use tokio::task::JoinSet;
use warmline_sim::{Config, Sim};

const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 15;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A kind of call, and the number of calls in a round.
struct Case {
    title: &'static str,
    model: &'static str,
    stream: bool,
    calls: usize,
}

const CASES: [Case; 3] = [
    Case {
        title: "whole replies, from a model that answers at once",
        model: "gpt-4.1?tokens=20",
        stream: false,
        calls: 2000,
    },
    Case {
        title: "streams of 100 tokens, from a model that answers at once",
        model: "gpt-4.1?tokens=100",
        stream: true,
        calls: 1000,
    },
    Case {
        title: "streams of 40 tokens at 15 ms each, as a real model writes",
        model: "gpt-4.1?tokens=40&pace=15&flush",
        stream: true,
        calls: 128,
    },
];

fn start(sim: &Sim) -> std::io::Result<GatewayProcess> {
    let most = IN_FLIGHT.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_warmline"));
    command
        .args(["serve", "--port", "0"])
        .env_clear()
        .current_dir(std::env::temp_dir())
        .env("OPENAI_API_KEY", "sk-bench-0001")
        .env("OPENAI_BASE_URL", sim.openai_url())
        .env("LLM_MAX_CONNECTIONS", &most)
        .env("LLM_MAX_KEEPALIVE", &most)
        .env("LLM_BUDGET_LIMIT", "1000000");
    GatewayProcess::start(command)
}

async fn call(http: reqwest::Client, url: String, body: String) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let request = http
        .post(url)
        .header("content-type", "application/json")
        .bearer_auth("sk-bench");
    let response = request.body(body).send().await?.error_for_status()?;
    response.bytes().await?;
    Ok(begun.elapsed())
}

/// Makes the calls of a round, and returns their median time in milliseconds.
async fn round(http: &reqwest::Client, base: &str, case: &Case) -> Result<f64, Failure> {
    let url = format!("{base}/chat/completions");
    let body = json!({"model": case.model, "stream": case.stream, "messages": [{"role": "user", "content": "Hello"}]}).to_string();
    let next = || call(http.clone(), url.clone(), body.clone());
    let mut calls = JoinSet::new();
    let mut times = Vec::new();
    for _ in 0..IN_FLIGHT {
        calls.spawn(next());
    }
    while let Some(ended) = calls.join_next().await {
        times.push(ended??.as_secs_f64() * 1e3);
        if times.len() + calls.len() < case.calls {
            calls.spawn(next());
        }
    }
    Ok(median(times))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let sim = Sim::start(Config::default()).await?;
    let gateway = start(&sim)?;
    let (direct, through) = (sim.openai_url(), format!("{}/v1", gateway.url));
    let http = reqwest::Client::builder().no_proxy().build()?;
    println!("{IN_FLIGHT} calls in flight, median time of a call, {ROUNDS} rounds");
    for case in CASES {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (base, times) in [&direct, &through].into_iter().zip(&mut times) {
                times.push(round(&http, base, &case).await?);
            }
        }
        let ratio = median(times[1].iter().zip(&times[0]).map(|(a, b)| a / b).collect());
        let [direct, through] = times.map(median);
        println!(
            "\n{}\n  directly {direct:>8.2} ms\n  through the gateway {through:>8.2} ms   {ratio:.2} × directly",
            case.title
        );
    }
    Ok(())
}
