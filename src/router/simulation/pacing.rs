//! Calls of one process that are paced, over providers that report limits and refuse what exceeds them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{client, price};
use crate::router::pacing::MAX_DELAY;
use crate::simulation::{
    Behaviour, Dialing, Fate, Left, Meter, Network, Provider, Random, SharedLedger,
};
use crate::{Balancing, Request, Router, Target, Usd};

/// When the last call begins.
const CALLS: Duration = Duration::from_secs(150);
/// The most that a call asks for.
const MAX_TOKENS: u32 = 200;
/// The longest time that a call takes, unless it is paced: to think, and to write 50 tokens a second.
const MAX_WORK: Duration = Duration::from_secs(4 + 4);

/// Runs a history, and returns how many requests have exceeded a limit.
async fn history(seed: u64, pacing: bool) -> usize {
    fastrand::seed(seed);
    let random = Random::new(seed);
    let limit: Usd = "1000000".parse().unwrap();
    let ledger = SharedLedger::new(random.clone(), 0, 0);
    let balancing = [Balancing::Sticky, Balancing::LeastBusy, Balancing::Weighted];
    let balancing = random.with(|random| random.choice(balancing).unwrap());
    let mut builder = Router::builder().balancing(balancing).pacing(pacing);
    let mut providers = Vec::new();
    let mut networks = Vec::new();
    // At any time, no more than a target allows in a minute, so that no call waits longer than that for its turn.
    let mut callers = 40;
    for n in 0..random.with(|random| random.usize(1..=2)) {
        let (requests, tokens) = random.with(|of| (of.u32(20..300), of.u32(2_000..40_000)));
        let (of_requests, of_tokens) = match random.with(|random| random.u32(0..3)) {
            0 => (Some(requests), None),
            1 => (None, Some(tokens)),
            _ => (Some(requests), Some(tokens)),
        };
        for most in [of_requests, of_tokens.map(|of| of / (MAX_TOKENS + 1))] {
            callers = callers.min(most.map_or(u32::MAX, |most| most * 4 / 5));
        }
        let left = |limit: u32| Left::new(limit, random.with(|of| of.u32(limit / 2..=limit)));
        let meter = Meter::new(of_requests.map(left), of_tokens.map(left));
        let origin = format!("http://target-{n}.test");
        let (network, connections) = Network::new(&origin, || Dialing::Connects(Duration::ZERO));
        let behaviour = Behaviour {
            faults: 0,
            bills_after_disconnect: true,
            speed: random.with(|random| random.u64(50..500)),
            thinks: random.millis(1..4_000),
        };
        let provider = Provider::metered(behaviour, price(), random.clone(), meter);
        tokio::spawn(provider.clone().serve(connections));
        let client = client(crate::Provider::Groq, &origin, 0, limit, &ledger);
        let target = Target::new(client).name(n.to_string());
        builder = builder.target(target.model("m", "simulated"));
        providers.push(provider);
        networks.push(network);
    }
    let world = World {
        seed,
        router: builder.build().unwrap(),
        random,
        providers: providers.into(),
    };
    // Before its first response, nothing is known of a target's limits.
    for n in 0..world.providers.len() {
        world.call(format!("{n}/m")).await;
    }
    let start = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let world = world.clone();
        calls.spawn(async move {
            while start.elapsed() < CALLS {
                sleep(world.random.millis(0..8_000)).await;
                let leaves = match world.random.chance(5) {
                    true => world.random.millis(0..5_000),
                    false => Duration::MAX,
                };
                let call = world.call("m".into());
                let began = Instant::now();
                if timeout(leaves, call).await.is_ok() && pacing {
                    let took = began.elapsed();
                    assert!(took <= MAX_DELAY + MAX_WORK, "seed {seed}: {took:?}");
                }
            }
        });
    }
    while !calls.is_empty() {
        sleep(world.random.millis(1..1_000)).await;
        world.check_held().await;
        while let Some(ended) = calls.try_join_next() {
            ended.unwrap();
        }
    }
    let arrivals = world.providers.iter().flat_map(Provider::arrivals);
    let limited = arrivals.filter(|of| matches!(of.fate, Fate::Limited(_)));
    limited.count()
}

#[derive(Clone)]
struct World {
    seed: u64,
    router: Router,
    random: Random,
    providers: Arc<[Provider]>,
}

impl World {
    async fn call(&self, model: String) {
        let most = self.random.with(|random| random.u32(1..=MAX_TOKENS));
        let conversation = self.random.with(|random| random.u32(0..20));
        let request = Request::new()
            .model(model)
            .user("hello")
            .max_tokens(most)
            .conversation(conversation.to_string());
        let result = match self.random.chance(50) {
            true => self.router.chat(request).await,
            false => self.router.stream(request).into_reply().await,
        };
        // Without pacing, a target can refuse it as often as it is tried.
        assert!(
            result.is_ok() || !self.router.inner.pacing,
            "seed {}: {result:?}",
            self.seed
        );
    }

    /// A call that waits for its turn holds neither a connection nor a reservation.
    async fn check_held(&self) {
        // What happens at this instant comes to its end.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut writing = 0;
        for ((_, client), provider) in self.router.targets().zip(&*self.providers) {
            let stats = client.stats();
            let held = stats.active + stats.waiting;
            assert!(held <= provider.writing(), "seed {}: {stats}", self.seed);
            writing += provider.writing();
        }
        let client = self.router.targets().next().unwrap().1;
        let spend = client.cost_tracker().spend().await.unwrap();
        assert!(
            spend.budgets[0].reserved == Usd::ZERO || writing > 0,
            "seed {}: {spend:?}",
            self.seed
        );
    }
}

fn run(seed: u64, pacing: bool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(history(seed, pacing))
}

pub(super) fn check(seed: u64) {
    assert_eq!(run(seed, true), 0, "seed {seed}");
}

#[test]
fn paced_calls_exceed_no_limit_and_hold_nothing_while_they_wait() {
    (0..10).for_each(check);
    // The histories ask for more than the limits.
    let exceeding: usize = (0..3).map(|seed| run(seed, false)).sum();
    assert!(exceeding > 10, "{exceeding}");
}
