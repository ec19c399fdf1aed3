//! The whole client under simulation: pool, retries, budgets and ledger together, in virtual time, over a provider and a
//! ledger that fail, stall and lose messages.
//!
//! A history is determined by its seed. `docs/invariants.md` lists what each of them checks.

mod caller;
mod ledger;
mod meter;
mod network;
mod provider;

use std::time::Duration;

use tokio::time::sleep;

use self::caller::Ending;
pub(crate) use self::ledger::SharedLedger;
pub(crate) use self::meter::{Left, Meter};
pub(crate) use self::network::{Dialing, Network, Random};
pub(crate) use self::provider::{Arrival, Behaviour, Fate, Provider};
use crate::{Budget, Client, CostTracker, ErrorKind, Limits, Price, Usd};

/// A client, with its network and its provider.
struct Process {
    client: Client,
    network: Network,
    provider: Provider,
}

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
struct Setting {
    seed: u64,
    /// How many percent of dials, requests and messages fail.
    faults: u32,
    limits: Limits,
    limit: Usd,
    calls: u64,
    processes: usize,
    /// Whether callers stay until they have an answer.
    patient: bool,
}

fn price() -> Price {
    let usd = |text: &str| text.parse().unwrap();
    Price::per_million(usd("1"), usd("4"))
}

impl Setting {
    fn random(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let max_connections = random.usize(1..6);
        Self {
            seed,
            faults: random.choice([0, 10, 40]).unwrap(),
            limits: Limits {
                max_connections,
                max_keepalive_connections: random.usize(0..=max_connections),
                keepalive_expiry: Duration::from_millis(random.u64(1..30_000)),
            },
            limit: Usd::from_pico(random.u64(1_000_000_000..300_000_000_000)),
            calls: random.u64(1..30),
            processes: random.usize(1..=2),
            patient: random.bool(),
        }
    }

    fn process(&self, n: usize, ledger: &SharedLedger, random: &Random) -> Process {
        let preset = match random.chance(50) {
            true => crate::Provider::OpenAi,
            false => crate::Provider::Groq,
        };
        let (faults, dice) = (self.faults, random.clone());
        let origin = format!("http://provider-{n}.test");
        let (network, connections) = Network::new(&origin, move || {
            let takes = dice.millis(0..100);
            match dice.with(|random| random.u32(0..300)) {
                n if n < faults => Dialing::Refuses(takes),
                n if n < faults + faults / 4 => Dialing::Stalls,
                _ => Dialing::Connects(takes),
            }
        });
        let behaviour = Behaviour {
            faults: self.faults,
            bills_after_disconnect: preset.bills_after_disconnect(),
            speed: random.with(|random| random.u64(50..=u64::from(preset.max_output_speed()))),
            thinks: random.millis(1..20_000),
        };
        let provider = Provider::new(behaviour, price(), random.clone());
        tokio::spawn(provider.clone().serve(connections));
        let tracker = CostTracker::new()
            .budget(Budget::monthly("shared", self.limit).unwrap())
            .price("simulated", price())
            .ledger(ledger.clone());
        let builder = Client::builder(preset)
            .api_key("k")
            .base_url(format!("{origin}/v1"))
            .model("simulated")
            .limits(self.limits)
            .pool_timeout(Duration::from_secs(3600))
            .cost_tracker(tracker);
        let client = builder.build().unwrap();
        Process {
            client,
            network,
            provider,
        }
    }
}

impl Process {
    /// Checks what holds at every instant.
    fn check(&self, limits: &Limits, seed: u64) {
        let stats = self.client.stats();
        assert!(
            self.network.peak() <= limits.max_connections,
            "seed {seed}: {stats}"
        );
        // A call that is reserving its cost has a turn in the pool, and may not have begun to dial.
        assert!(
            self.network.open() <= stats.open.unwrap_or_default(),
            "seed {seed}: {stats}"
        );
        assert!(
            stats.idle.unwrap() <= limits.max_keepalive_connections,
            "seed {seed}: {stats}"
        );
    }
}

async fn history(setting: Setting) {
    let Setting {
        seed,
        limits,
        limit,
        ..
    } = setting;
    fastrand::seed(seed);
    let random = Random::new(seed);
    let (loss, delay) = match random.chance(50) {
        true => (0, 0),
        false => (setting.faults / 2, 40),
    };
    let ledger = SharedLedger::new(random.clone(), loss, delay);
    let processes: Vec<_> = (0..setting.processes)
        .map(|n| setting.process(n, &ledger, &random))
        .collect();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..setting.calls {
        let client = processes[n as usize % processes.len()].client.clone();
        calls.spawn(caller::call(client, random.clone(), setting.patient));
    }
    let mut endings = Vec::new();
    while let Some(ending) = calls.join_next().await {
        endings.push(ending.unwrap());
        processes
            .iter()
            .for_each(|process| process.check(&limits, seed));
    }
    assert_eq!(endings.len() as u64, setting.calls);
    if setting.faults == 0 {
        for ending in &endings {
            let fine = match ending {
                Ending::Answered => true,
                // Only a call that does not fit even when nothing is reserved is refused.
                Ending::Failed(ErrorKind::BudgetExceeded { spent, needed, .. }) => {
                    *spent + *needed > limit
                }
                Ending::Left => !setting.patient,
                Ending::Failed(_) => false,
            };
            assert!(fine, "seed {seed}: {ending:?}");
        }
    }
    // The providers that bill after a disconnect write to the end.
    while processes
        .iter()
        .any(|process| process.provider.writing() > 0)
    {
        sleep(Duration::from_secs(1)).await;
    }
    ledger.repair();
    for process in &processes {
        process.client.cost_tracker().flush().await.unwrap();
        let stats = process.client.stats();
        assert_eq!(
            (stats.active, stats.waiting),
            (0, 0),
            "seed {seed}: {stats}"
        );
    }
    // A reservation whose answer was lost, and whose release was lost too, expires after an hour.
    sleep(Duration::from_secs(3601)).await;
    let spend = processes[0].client.cost_tracker().spend().await.unwrap();
    let budget = &spend.budgets[0];
    let billed: Usd = processes
        .iter()
        .map(|process| process.provider.billed())
        .sum();
    assert_eq!(budget.reserved, Usd::ZERO, "seed {seed}");
    assert!(
        budget.spent <= limit,
        "seed {seed}: {} of {limit}",
        budget.spent
    );
    assert!(
        billed <= budget.spent,
        "seed {seed}: {billed} billed, {} charged",
        budget.spent
    );
    for process in processes {
        process.check(&limits, seed);
        drop(process.client);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(process.network.open(), 0, "seed {seed}");
    }
}

fn run(setting: Setting) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(history(setting));
}

fn run_all(seeds: std::ops::Range<u64>) {
    seeds.map(Setting::random).for_each(run);
}

// In parts, which run on several threads.
#[test]
fn every_invariant_holds_in_the_first_thousand_histories() {
    run_all(0..1000);
}

#[test]
fn every_invariant_holds_in_the_second_thousand_histories() {
    run_all(1000..2000);
}

#[test]
fn every_invariant_holds_in_the_third_thousand_histories() {
    run_all(2000..3000);
}
