//! A router under simulation: targets that fail, are slow, are limited and recover, in virtual time. A history is determined by
//! its seed. `docs/invariants.md` lists what each of them checks.

mod cooldowns;
mod pacing;
mod script;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::script::{Mode, Script};
use super::stats::{RouterStats, TargetState};
use crate::shared::MemoryState;
use crate::simulation::{Behaviour, Dialing, Network, Provider, Random, SharedLedger};
use crate::{
    Attempt, Balancing, Budget, CallOptions, Client, Cooldown, CostTracker, DialectName, ErrorKind,
    Hedging, Limits, Price, Request, Result, RetryPolicy, Router, RouterBuilder, StreamEvent,
    Target, Usd,
};

/// When all targets are healthy again.
const TROUBLE: Duration = Duration::from_secs(60);
/// When the last call begins.
const CALLS: Duration = Duration::from_secs(100);
const COOLDOWN: Cooldown = Cooldown {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(8),
    max_retry_after: Duration::from_secs(15),
};

/// A call's end, for its caller.
#[derive(Debug)]
struct Ending {
    attempts: Vec<Attempt>,
    failed: Option<ErrorKind>,
    had_content: bool,
}

/// What all callers share.
#[derive(Clone)]
struct World {
    seed: u64,
    router: Router,
    random: Random,
    weights: Arc<[(u32, u32)]>,
    /// Whether callers stay until they have an answer.
    patient: bool,
    checks_moves: bool,
    /// The target of each conversation's last reply, and when that ended.
    homes: Arc<Mutex<HashMap<usize, (String, Instant)>>>,
}

fn price() -> Price {
    let usd = |text: &str| text.parse().unwrap();
    Price::per_million(usd("1"), usd("4"))
}

/// A process's client of a target.
fn client(
    provider: crate::Provider,
    origin: &str,
    process: usize,
    limit: Usd,
    ledger: &SharedLedger,
) -> Client {
    let tracker = CostTracker::new()
        .budget(Budget::monthly("shared", limit).unwrap())
        .price("simulated", price())
        .ledger(ledger.clone());
    Client::builder(provider)
        .api_key(process.to_string())
        .base_url(format!("{origin}/v1"))
        .model("simulated")
        // No call waits for a connection, so that requests are sent soon after their target was chosen.
        .limits(Limits {
            max_connections: 1000,
            max_keepalive_connections: 1000,
            ..Limits::default()
        })
        .cost_tracker(tracker)
        .build()
        .unwrap()
}

async fn history(seed: u64) {
    fastrand::seed(seed);
    let random = Random::new(seed);
    let start = Instant::now();
    let count = random.with(|random| random.usize(2..=4));
    let has_healthy = random.chance(50);
    let limit = match random.chance(70) {
        true => "1000000",
        false => "0.05",
    };
    let limit: Usd = limit.parse().unwrap();
    let is_rich = limit > Usd::from_pico(1_000_000_000_000);
    let ledger = SharedLedger::new(random.clone(), 0, 0);
    let balancing = match random.with(|random| random.u32(0..4)) {
        0 => Balancing::LeastBusy,
        1 => Balancing::Weighted,
        _ => Balancing::Sticky,
    };
    let hedges = random.chance(40);
    let shares = random.chance(30);
    let patient = random.chance(50);
    let mut builder = Router::builder()
        .balancing(balancing)
        .cooldown(COOLDOWN)
        .retry(RetryPolicy::default());
    if hedges {
        builder = builder.hedging(Hedging {
            min_delay: Duration::from_millis(800),
            min_calls: 5,
        });
    }
    let mut builders = vec![builder; if shares { 2 } else { 1 }];
    let mut providers = Vec::new();
    let mut networks = Vec::new();
    let mut weights = Vec::new();
    for n in 0..count {
        let script = Script::random(&random, has_healthy && n == 0);
        let origin = format!("http://target-{n}.test");
        let (dice, dead) = (random.clone(), script.clone());
        let (network, connections) = Network::new(&origin, move || {
            let takes = dice.millis(0..100);
            match dead.mode(start) {
                Mode::Dead => Dialing::Refuses(takes),
                _ => Dialing::Connects(takes),
            }
        });
        let bills_on = random.chance(50);
        let preset = match bills_on {
            true => crate::Provider::Groq,
            false => crate::Provider::OpenAi,
        };
        let behaviour = Behaviour {
            faults: 0,
            bills_after_disconnect: preset.bills_after_disconnect(),
            speed: random.with(|random| random.u64(50..=u64::from(preset.max_output_speed()))),
            thinks: random.millis(1..1_000),
        };
        let fates = move || script.fate(start);
        let provider = Provider::scripted(behaviour, price(), random.clone(), fates);
        tokio::spawn(provider.clone().serve(connections));
        let weight = random.with(|random| random.u32(1..=3));
        let priority = u32::from(random.chance(20));
        weights.push((weight, priority));
        for (process, builder) in builders.iter_mut().enumerate() {
            let target = Target::new(client(preset, &origin, process, limit, &ledger));
            let target = target.name(n.to_string()).weight(weight).priority(priority);
            *builder = builder.clone().target(target.model("m", "simulated"));
        }
        providers.push(provider);
        networks.push(network);
    }
    let state = Arc::new(MemoryState::default());
    let build = |builder: RouterBuilder| match shares {
        true => builder.shared_state(state.clone()).build().unwrap(),
        false => builder.build().unwrap(),
    };
    let routers: Vec<_> = builders.into_iter().map(build).collect();
    // A process hears of the others from its first call on.
    routers.iter().for_each(|router| router.inner.share(false));
    let world = World {
        seed,
        router: routers[0].clone(),
        random: random.clone(),
        weights: weights.into(),
        patient,
        checks_moves: balancing == Balancing::Sticky,
        homes: Arc::default(),
    };
    let conversations = random.with(|random| random.usize(1..12));
    let mut calls = tokio::task::JoinSet::new();
    for conversation in 0..conversations {
        let mut world = world.clone();
        world.router = routers[conversation % routers.len()].clone();
        calls.spawn(world.converse(conversation, start));
    }
    let mut endings = Vec::new();
    while let Some(ended) = calls.join_next().await {
        endings.extend(ended.unwrap());
    }
    // With a target that is always healthy and money left, only a stream with content can fail.
    for ending in &endings {
        let is_fine = ending.failed.is_none() || ending.had_content;
        assert!(
            !has_healthy || !is_rich || is_fine,
            "seed {seed}: {ending:?}"
        );
    }
    for (n, provider) in providers.iter().enumerate() {
        // A probe whose caller leaves, or that another target outruns, is followed by another one.
        let one_probe = patient && !hedges && !shares;
        cooldowns::check(seed, n, &provider.arrivals(), one_probe);
    }
    for router in routers.iter().filter(|_| is_rich) {
        let router = router.clone();
        let world = World {
            router,
            ..world.clone()
        };
        world.check_recovery().await;
    }
    while providers.iter().any(|provider| provider.writing() > 0) {
        sleep(Duration::from_secs(1)).await;
    }
    // What was cancelled last is settled.
    for (_, client) in routers.iter().flat_map(Router::targets) {
        client.cost_tracker().flush().await.unwrap();
    }
    for target in routers.iter().flat_map(|router| router.stats().targets) {
        assert_eq!(target.in_flight, 0, "seed {seed}: {target:?}");
    }
    let spend = world.router.targets().next().unwrap().1.cost_tracker();
    let budget = &spend.spend().await.unwrap().budgets[0];
    let billed: Usd = providers.iter().map(Provider::billed).sum();
    assert_eq!(budget.reserved, Usd::ZERO, "seed {seed}");
    assert!(
        billed <= budget.spent && budget.spent <= limit,
        "seed {seed}: {billed} billed, {} charged of {limit}",
        budget.spent
    );
    drop((world, routers));
    sleep(Duration::from_millis(1)).await;
    for network in networks {
        assert_eq!(network.open(), 0, "seed {seed}");
    }
}

impl World {
    /// Makes the calls of one conversation, one after the other.
    async fn converse(self, conversation: usize, start: Instant) -> Vec<Ending> {
        let mut endings = Vec::new();
        while start.elapsed() < CALLS {
            sleep(self.random.millis(0..6_000)).await;
            let before = self.router.stats();
            let leaves = match !self.patient && self.random.chance(10) {
                true => self.random.millis(0..5_000),
                false => Duration::MAX,
            };
            let call = self.call(conversation);
            let Ok(ending) = tokio::time::timeout(leaves, call).await else {
                // It may have moved meanwhile.
                self.homes.lock().unwrap().remove(&conversation);
                continue;
            };
            self.check_move(conversation, &before, &ending);
            endings.push(ending);
        }
        endings
    }

    /// Now that all targets are healthy again, new conversations find each one that is to be called.
    async fn check_recovery(&self) {
        let before = self.router.stats();
        for n in 0..120 {
            let request = Request::new().model("m").user("hello").max_tokens(1);
            let reply = self.router.chat(request.conversation(n.to_string())).await;
            let reply = reply.unwrap();
            let failed = |of: &&Attempt| !matches!(of.kind.as_deref(), None | Some("cancelled"));
            let failed: Vec<_> = reply.attempts().iter().filter(failed).collect();
            assert!(failed.is_empty(), "seed {}: {failed:?}", self.seed);
        }
        let after = self.router.stats();
        let lowest = self.weights.iter().map(|(_, priority)| *priority).min();
        for (n, (before, after)) in before.targets.iter().zip(&after.targets).enumerate() {
            let is_called = after.calls > before.calls && after.state == TargetState::Ready;
            assert!(
                Some(self.weights[n].1) != lowest || is_called,
                "seed {}: {before:?} {after:?}",
                self.seed
            );
        }
    }

    async fn call(&self, conversation: usize) -> Ending {
        let (form, most, key) = self.random.with(|random| {
            let key = format!("c{conversation}");
            (random.u32(0..3), random.u32(1..200), key)
        });
        let request = Request::new()
            .model("m")
            .user("hello")
            .max_tokens(most)
            .conversation(key.clone());
        let mut had_content = false;
        let result = match form {
            0 => self
                .router
                .chat(request)
                .await
                .map(|reply| reply.attempts().to_vec()),
            1 => self.stream(request, &mut had_content).await,
            _ => self.passthrough(&key, most, &mut had_content).await,
        };
        match result {
            Ok(attempts) => Ending {
                attempts,
                failed: None,
                had_content: true,
            },
            Err(error) => Ending {
                attempts: error.attempts().to_vec(),
                failed: Some(error.kind().clone()),
                had_content,
            },
        }
    }

    async fn stream(&self, request: Request, had_content: &mut bool) -> Result<Vec<Attempt>> {
        let mut stream = self.router.stream(request);
        let mut ends = 0;
        let mut result = Ok(Vec::new());
        while let Some(event) = stream.next().await {
            match event {
                Ok(StreamEvent::Done { reply }) => {
                    ends += 1;
                    result = Ok(reply.attempts().to_vec());
                }
                Ok(event) => *had_content |= event.is_content(),
                Err(error) => {
                    ends += 1;
                    result = Err(error);
                }
            }
        }
        assert_eq!(ends, 1, "seed {}: a stream ends once", self.seed);
        assert!(stream.next().await.is_none());
        result
    }

    async fn passthrough(
        &self,
        key: &str,
        most: u32,
        had_content: &mut bool,
    ) -> Result<Vec<Attempt>> {
        let body = format!(
            r#"{{"model":"m","prompt_cache_key":"{key}","messages":[{{"role":"user","content":"hi"}}],"max_completion_tokens":{most},"stream":true}}"#
        );
        // The same conversation as of the other forms.
        let options = CallOptions {
            conversation: Some(key.to_owned()),
            ..CallOptions::default()
        };
        let dialect = DialectName::OpenAiChat;
        let mut response = self.router.passthrough(dialect, body, options).await?;
        // After its head has been handed out, its error is the caller's.
        *had_content = true;
        while let Some(bytes) = response.chunk().await {
            bytes?;
        }
        let reply = response.reply().expect("a passthrough has a reply");
        Ok(reply.attempts().to_vec())
    }

    /// A conversation moves only because its target was not ready, failed, was overloaded, or was slower than another.
    fn check_move(&self, conversation: usize, before: &RouterStats, ending: &Ending) {
        let is_cancelled = |of: &&Attempt| of.kind.as_deref() == Some("cancelled");
        let last = ending.attempts.iter().rfind(|of| !is_cancelled(of));
        let mut homes = self.homes.lock().unwrap();
        // A call that its budget has refused has no attempt, but the conversation may have moved.
        let home = homes.remove(&conversation);
        let Some(last) = last.and_then(|last| last.target.clone()) else {
            return;
        };
        if ending.failed.is_none() {
            homes.insert(conversation, (last.clone(), Instant::now()));
        }
        let Some((home, _)) = home.filter(|(home, _)| self.checks_moves && *home != last) else {
            return;
        };
        let at: usize = home.parse().unwrap();
        let target = &before.targets[at];
        let was_tried = ending
            .attempts
            .iter()
            .any(|attempt| attempt.target.as_ref() == Some(&home));
        // The call may have left it before its request was sent, because another call or another process has met a failure.
        let after = &self.router.stats().targets[at];
        let has_failed = after.failures > target.failures || after.state != TargetState::Ready;
        // 1.25 times the weighted mean of the targets of its priority that can be called, with this call. Those that are being probed can be
        // called or not, which their state does not tell.
        let (weight, priority) = self.weights[at];
        let is_overloaded = |with_probed: bool| {
            let group = before.targets.iter().zip(&*self.weights);
            let group = group.filter(|(of, (_, other))| {
                let can_be_called = match of.state {
                    TargetState::Ready => true,
                    TargetState::Probing => with_probed,
                    _ => false,
                };
                *other == priority && can_be_called
            });
            let (calls, weights) = group.fold((0, 0), |(calls, weights), (of, (weight, _))| {
                (calls + of.in_flight, weights + weight)
            });
            let share = 1.25 * f64::from(calls + 1) * f64::from(weight) / f64::from(weights);
            f64::from(target.in_flight) + 1.0 > share
        };
        assert!(
            target.state != TargetState::Ready
                || was_tried
                || has_failed
                || is_overloaded(true)
                || is_overloaded(false),
            "seed {}: conversation {conversation} moved from {home} to {last}: {before:?} {after:?} {ending:?}",
            self.seed
        );
    }
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(history(seed));
}

/// Runs each third of the histories of `ROUTER_SEEDS`, `0..105` by default. In parts, because they run on several threads.
fn run_third(third: u64) {
    let range = std::env::var("ROUTER_SEEDS").unwrap_or_else(|_| "0..105".to_owned());
    let (from, to) = range.split_once("..").expect("ROUTER_SEEDS is FROM..TO");
    let seeds = from.parse::<u64>().unwrap()..to.parse().unwrap();
    // The panics have told what has failed.
    let fails = |seed: &u64| std::panic::catch_unwind(|| run(*seed)).is_err();
    let failed: Vec<u64> = seeds
        .filter(|seed| seed % 3 == third)
        .filter(fails)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_invariant_of_routing_holds_in_the_first_histories() {
    run_third(0);
}

#[test]
fn every_invariant_of_routing_holds_in_the_second_histories() {
    run_third(1);
}

#[test]
fn every_invariant_of_routing_holds_in_the_third_histories() {
    run_third(2);
}

#[test]
fn every_invariant_of_routing_holds_in_the_histories_that_once_failed() {
    [226, 347, 750, 1447, 1753, 1863].into_iter().for_each(run);
}
