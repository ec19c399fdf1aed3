//! The CPU time of a reservation and its settlement, with few and with many open reservations.
//!
//! `cargo bench --bench ledgers` prints a table. Rounds with few and many open reservations alternate, and each ratio is the
//! median of the rounds' ratios, so that noise affects both alike.

use std::time::Duration;
#[cfg(feature = "redis")]
use std::time::Instant;

use cpu_time::ProcessTime;
use warmline::{Budget, FileLedger, Ledger, MemoryLedger, Settlement, Usd};

const ROUNDS: usize = 31;
const OPEN: [usize; 3] = [64, 256, 32_768];

type Failure = Box<dyn std::error::Error>;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures a reservation and its settlement on each ledger, which first gets that many open reservations of [`OPEN`].
async fn local<L: Ledger>(title: &str, repetitions: u32, ledgers: [L; 3]) -> Result<(), Failure> {
    let budgets = [Budget::monthly("bench", "1000".parse()?)?];
    let amount: Usd = "0.01".parse()?;
    for (ledger, open) in ledgers.iter().zip(OPEN) {
        for _ in 0..open {
            ledger
                .reserve(fastrand::u64(..), &budgets, amount)
                .await?
                .map_err(|_| "refused")?;
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let mut round = [Duration::ZERO; 3];
        for (ledger, time) in ledgers.iter().zip(&mut round) {
            let start = ProcessTime::now();
            for _ in 0..repetitions {
                let id = fastrand::u64(..);
                ledger
                    .reserve(id, &budgets, amount)
                    .await?
                    .map_err(|_| "refused")?;
                if let Settlement::Pending(settled) = ledger.settle(id, Usd::ZERO) {
                    settled.await?;
                }
            }
            *time = start.elapsed() / repetitions;
        }
        rounds.push(round.map(|time| time.as_secs_f64() * 1e6));
    }
    // The first round warms the caches.
    rounds.remove(0);
    println!("reserve and settle {title}, per call");
    for (i, open) in OPEN.into_iter().enumerate() {
        let time = median(rounds.iter().map(|round| round[i]).collect());
        let ratio = median(rounds.iter().map(|round| round[i] / round[1]).collect());
        println!(
            "  {open:>6} open {time:>8.3} µs CPU   {ratio:.2} × {} open",
            OPEN[1]
        );
    }
    Ok(())
}

/// Measures what a shared budget adds to a call: the round trip of a reservation, compared to that of a PING.
#[cfg(feature = "redis")]
async fn redis_ledger() -> Result<(), Failure> {
    const TIMES: u64 = 1000;
    let server = warmline_sim::RedisServer::start().await?;
    let client = redis::Client::open(&*server.url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let ledger = warmline::RedisLedger::open(&server.url)?;
    let budgets = [Budget::monthly("bench", "1000".parse()?)?];
    let amount: Usd = "0.01".parse()?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS as u64 {
        let ids = round * TIMES..(round + 1) * TIMES;
        let start = Instant::now();
        for _ in 0..TIMES {
            redis::cmd("PING").exec_async(&mut connection).await?;
        }
        times[0].push(start.elapsed());
        let start = Instant::now();
        for id in ids.clone() {
            let _ = ledger.reserve(id, &budgets, amount).await?;
        }
        times[1].push(start.elapsed());
        let start = Instant::now();
        for id in ids {
            if let Settlement::Pending(settled) = ledger.settle(id, Usd::ZERO) {
                settled.await?;
            }
        }
        times[2].push(start.elapsed());
    }
    let names = ["PING", "reserve", "settle, in the background"];
    println!("Redis on loopback, one after the other, wall clock");
    for (name, all) in names.into_iter().zip(&times) {
        let each = |time: &Duration| time.as_secs_f64() * 1e6 / TIMES as f64;
        let ratios = all.iter().zip(&times[0]);
        let ratio = median(
            ratios
                .map(|(a, b)| a.as_secs_f64() / b.as_secs_f64())
                .collect(),
        );
        let us = median(all.iter().map(each).collect());
        println!("  {name:<28} {us:>8.1} µs   {ratio:.2} × PING");
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let files = ["few", "some", "many"].map(|name| FileLedger::open(folder.path().join(name)));
    let [few, some, many] = files;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(async {
        local(
            "in memory",
            10_000,
            [(); 3].map(|()| MemoryLedger::default()),
        )
        .await?;
        local("in a file", 1_000, [few?, some?, many?]).await?;
        #[cfg(feature = "redis")]
        redis_ledger().await?;
        Ok(())
    })
}
