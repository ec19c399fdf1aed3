//! Ledgers: one suite for all of them, failures of remote ones, and budgets that several processes share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Command, Stdio};

use common::money::{ask, billed, client, client_of, priced, tracker, usd};
use common::sim;
use futures_util::future::join_all;
use warmline::{
    Budget, BudgetExceeded, FileLedger, Ledger, MemoryLedger, RestLedger, Settlement, Usd,
};
use warmline_sim::{RedisRestServer, RedisServer, Sim};
#[cfg(feature = "redis")]
use {
    common::money::state,
    warmline::{CostTracker, RedisLedger},
    warmline_sim::RedisCluster,
};

async fn settle(ledger: &impl Ledger, id: u64, amount: &str) -> Vec<Usd> {
    match ledger.settle(id, usd(amount)) {
        Settlement::Done(spent) => spent.unwrap(),
        Settlement::Pending(spent) => spent.await.unwrap(),
    }
}

/// The suite for every ledger. Its budgets have unique names, in case the ledger is shared.
async fn conforms(ledger: impl Ledger) {
    let run = format!("{:x}", fastrand::u64(..));
    let budget = |name: &str, limit| Budget::monthly(format!("{run}-{name}"), limit).unwrap();
    let (a, b) = (budget("a", usd("1")), budget("b", usd("2")));
    let both = [a.clone(), b.clone()];
    let [first, exact, most, more] = std::array::from_fn(|_| fastrand::u64(..));
    let reserve =
        async |id, budgets: &[Budget], amount| ledger.reserve(id, budgets, amount).await.unwrap();
    reserve(first, &both, usd("0.6")).await.unwrap();
    // A caller that did not receive the answer repeats the request.
    reserve(first, &both, usd("0.6")).await.unwrap();
    let denied = reserve(more, &both, usd("0.6")).await.unwrap_err();
    assert_eq!(
        (denied.budget, denied.spent, denied.reserved),
        (a.clone(), Usd::ZERO, usd("0.6"))
    );
    // A reservation is made in all budgets or in none: the amount that did not fit into `a` was not reserved in `b`.
    let state = async |budget: &Budget| ledger.state(&budget.name).await.unwrap();
    assert_eq!(state(&b).await, (Usd::ZERO, usd("0.6")));
    reserve(exact, &both, usd("0.4")).await.unwrap();
    assert_eq!(settle(&ledger, first, "0.25").await, [usd("0.25"); 2]);
    assert_eq!(settle(&ledger, first, "0.25").await, []);
    assert_eq!(state(&a).await, (usd("0.25"), usd("0.4")));
    assert_eq!(settle(&ledger, exact, "0").await, [usd("0.25"); 2]);
    assert_eq!(settle(&ledger, more, "1").await, []);
    assert_eq!(state(&a).await, (usd("0.25"), Usd::ZERO));
    let nothing = (Usd::ZERO, Usd::ZERO);
    assert_eq!(state(&budget("unheard-of", Usd::ZERO)).await, nothing);
    // Free calls fit into a budget of zero, and the full amount fits exactly into a large one.
    reserve(fastrand::u64(..), &[budget("none", Usd::ZERO)], Usd::ZERO)
        .await
        .unwrap();
    let huge = [budget("huge", usd("9000000.000000000001"))];
    reserve(most, &huge, usd("9000000")).await.unwrap();
    let pico = Usd::from_pico(1);
    assert!(reserve(more, &huge, pico + pico).await.is_err());
    reserve(more, &huge, pico).await.unwrap();
    assert_eq!(
        settle(&ledger, most, "8999999.000000000003").await,
        [usd("8999999.000000000003")]
    );
    // The caller's limit applies, so a larger one for the same budget takes effect at once.
    let unbounded = [Budget::monthly(huge[0].name.clone(), Usd::from_pico(u64::MAX)).unwrap()];
    reserve(exact, &unbounded, usd("2")).await.unwrap();
    assert_eq!(
        state(&huge[0]).await,
        (usd("8999999.000000000003"), usd("2.000000000001"))
    );
    for id in [exact, more] {
        settle(&ledger, id, "0").await;
    }
}

#[tokio::test]
async fn every_ledger_conforms() {
    conforms(MemoryLedger::default()).await;
    let folder = tempfile::tempdir().unwrap();
    conforms(FileLedger::open(folder.path().join("spend.log")).unwrap()).await;
    let redis = RedisServer::start().await.unwrap();
    let server = RedisRestServer::start(&redis.url).await.unwrap();
    conforms(rest(&server)).await;
    #[cfg(feature = "redis")]
    conforms(RedisLedger::open(&redis.url).unwrap()).await;
}

fn rest(server: &RedisRestServer) -> RestLedger {
    RestLedger::new(&server.url, &server.token).unwrap()
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_redis_with_tls_is_trusted_by_its_root_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (_redis, url, pem) = RedisServer::start_tls(folder.path()).await.unwrap();
    assert!(url.starts_with("rediss://"));
    let ledger = || RedisLedger::open(&url).unwrap();
    conforms(ledger().root_certificate(pem.clone()).unwrap()).await;
    let error = ledger().state("a").await.unwrap_err();
    assert_eq!(error.kind().name(), "ledger");
    assert!(error.to_string().contains("certificate"), "{error}");
    let key = std::fs::read(folder.path().join("redis.key")).unwrap();
    let error = ledger().root_certificate(key).err().unwrap();
    assert!(error.to_string().contains("PRIVATE KEY"), "{error}");
    let plain = RedisLedger::open("redis://localhost").unwrap();
    assert!(plain.root_certificate(pem).is_err());
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_ledger_finds_its_node_of_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = RedisCluster::start(folder.path()).await.unwrap();
    let ledgers = || {
        let nodes = cluster.nodes.iter();
        nodes.map(|node| RedisLedger::open(&node.url).unwrap())
    };
    // At most one of them has the keys.
    for ledger in ledgers() {
        conforms(ledger).await;
    }
    let open: Vec<_> = ledgers().collect();
    let budget = [Budget::monthly("moved", usd("1")).unwrap()];
    for (id, node) in (0..).zip(&cluster.nodes) {
        cluster.move_slot("{warmline}", node).await.unwrap();
        let reserved = open[0].reserve(id, &budget, usd("0.5")).await.unwrap();
        reserved.unwrap();
        for ledger in &open {
            assert_eq!(
                ledger.state("moved").await.unwrap(),
                (Usd::ZERO, usd("0.5"))
            );
        }
        assert_eq!(settle(&open[1], id, "0.1").await, [usd("0.1")]);
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn both_redis_ledgers_share_their_state() {
    let redis = RedisServer::start().await.unwrap();
    let server = RedisRestServer::start(&redis.url).await.unwrap();
    let (direct, rest) = (RedisLedger::open(&redis.url).unwrap(), rest(&server));
    let budget = [Budget::monthly("shared", usd("1")).unwrap()];
    direct
        .reserve(1, &budget, usd("0.6"))
        .await
        .unwrap()
        .unwrap();
    assert!(rest.reserve(2, &budget, usd("0.6")).await.unwrap().is_err());
    assert_eq!(settle(&rest, 1, "0.5").await, [usd("0.5")]);
    assert_eq!(
        direct.state("shared").await.unwrap(),
        (usd("0.5"), Usd::ZERO)
    );
    // Another key prefix has separate state.
    let other = RedisLedger::open(&redis.url)
        .unwrap()
        .name("other")
        .unwrap();
    assert_eq!(other.state("shared").await.unwrap(), (Usd::ZERO, Usd::ZERO));
    assert!(RedisLedger::open(&redis.url).unwrap().name("a{b}").is_err());
}

#[tokio::test]
async fn an_invalid_answer_of_a_ledger_is_an_error_and_nothing_is_sent() {
    let redis = RedisServer::start().await.unwrap();
    let server = RedisRestServer::start(&redis.url).await.unwrap();
    let (sim, elsewhere) = (sim().await, sim().await);
    let wrong = RestLedger::new(&server.url, "wrong-token").unwrap();
    // The server there is not a ledger.
    let nowhere = RestLedger::new(&elsewhere.url(), "token").unwrap();
    // The message of this one quotes the path, and with it the token.
    let token = "token-of-the-ledger-0123456789";
    let echo = RestLedger::new(&format!("{}/{token}", elsewhere.url()), token).unwrap();
    for (ledger, says) in [
        (wrong, "WRONGPASS"),
        (nowhere, "Invalid URL"),
        (echo, "[redacted]"),
    ] {
        let error = client(&sim, tracker("1").ledger(ledger))
            .chat(ask("tokens=1"))
            .await;
        let error = error.unwrap_err();
        assert_eq!((error.kind().name(), error.attempts().len()), ("ledger", 0));
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains("wrong-token"), "{error}");
        assert!(!error.to_string().contains(token), "{error}");
    }
    assert_eq!(sim.stats().requests, 0);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn settlements_with_a_remote_ledger_do_not_delay_calls_and_are_not_lost() {
    let redis = RedisServer::start().await.unwrap();
    let sim = sim().await;
    let ledger = || RedisLedger::open(&redis.url).unwrap();
    let client = client(&sim, priced(tracker("1"), &["tokens=1"]).ledger(ledger()));
    for _ in 0..10 {
        client.chat(ask("tokens=1")).await.unwrap();
    }
    client.cost_tracker().flush().await.unwrap();
    assert_eq!(state(&client).await, (billed(&sim), Usd::ZERO));
    for _ in 0..10 {
        client.chat(ask("tokens=1")).await.unwrap();
    }
    // Nothing is flushed, so dropping the last client waits for the settlements.
    drop(client);
    let state = ledger().state("test").await.unwrap();
    assert_eq!(state, (billed(&sim), Usd::ZERO));
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_call_without_its_ledger_fails_or_is_charged_later() {
    let mut redis = RedisServer::start().await.unwrap();
    let sim = sim().await;
    let ledger = RedisLedger::open(&redis.url).unwrap();
    let tracker = priced(tracker("1"), &["tokens=1"]).ledger(ledger);
    let closed = client(&sim, tracker.clone());
    closed.chat(ask("tokens=1")).await.unwrap();
    closed.cost_tracker().flush().await.unwrap();
    redis.kill().unwrap();
    let error = closed.chat(ask("tokens=1")).await.unwrap_err();
    assert_eq!(error.kind().name(), "ledger");
    assert!(
        error
            .to_string()
            .contains("the ledger in the Redis at 127.0.0.1"),
        "{error}"
    );
    let before = sim.stats().requests;
    let open = closed.with_cost_tracker(tracker.fail_open());
    let cost = open.chat(ask("tokens=1")).await.unwrap().cost.unwrap().usd;
    assert_eq!(sim.stats().requests, before + 1);
    open.cost_tracker().flush().await.unwrap_err();
    // The ledger returns without its state, and the outstanding amounts are charged.
    redis.restart().await.unwrap();
    assert_eq!(open.cost_tracker().spend().await.unwrap().unsettled, cost);
    open.cost_tracker().flush().await.unwrap();
    let spend = open.cost_tracker().spend().await.unwrap();
    assert_eq!((spend.unsettled, spend.budgets[0].spent), (Usd::ZERO, cost));
}

/// The ledger's state, as redis-cli shows it.
#[cfg(feature = "redis")]
#[tokio::test]
async fn an_expired_reservation_counts_as_spent_and_months_follow_the_servers_clock() {
    let redis = RedisServer::start().await.unwrap();
    let ledger = RedisLedger::open(&redis.url).unwrap();
    let budget = [Budget::monthly("a", usd("1")).unwrap()];
    ledger
        .reserve(7, &budget, usd("0.6"))
        .await
        .unwrap()
        .unwrap();
    redis
        .command(&["ZADD", "{warmline}:leases", "1", "7"])
        .await
        .unwrap();
    assert_eq!(ledger.state("a").await.unwrap(), (usd("0.6"), Usd::ZERO));
    assert_eq!(settle(&ledger, 7, "0.1").await, []);
    assert_eq!(
        redis
            .command(&["ZCARD", "{warmline}:leases"])
            .await
            .unwrap(),
        "0"
    );
    // A reservation of another month is settled in that month, and does not change this month's sums.
    let books = "{warmline}:books";
    redis
        .command(&[
            "HSET",
            books,
            "lease:8",
            "2020-02 500 a",
            "reserved:2020-02:a",
            "500",
        ])
        .await
        .unwrap();
    assert_eq!(settle(&ledger, 8, "0.000000000002").await, []);
    assert_eq!(
        redis
            .command(&["HGET", books, "spent:2020-02:a"])
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(
        redis
            .command(&["HGET", books, "reserved:2020-02:a"])
            .await
            .unwrap(),
        "0"
    );
    assert_eq!(ledger.state("a").await.unwrap(), (usd("0.6"), Usd::ZERO));
    // When a month begins, the latest twelve before it are kept, however long ago they were.
    for month in 1..=12 {
        let (spent, reserved) = (
            format!("spent:2019-{month:02}:a"),
            format!("reserved:2019-{month:02}:a"),
        );
        redis
            .command(&["HSET", books, &spent, "1", &reserved, "0"])
            .await
            .unwrap();
    }
    redis
        .command(&["HSET", books, "month", "2020-03"])
        .await
        .unwrap();
    ledger.state("a").await.unwrap();
    for (field, kept) in [
        ("spent:2019-01:a", ""),
        ("reserved:2019-01:a", ""),
        ("spent:2019-02:a", "1"),
        ("reserved:2019-02:a", "0"),
        ("spent:2020-02:a", "2"),
    ] {
        let value = redis.command(&["HGET", books, field]).await.unwrap();
        assert_eq!(value, kept, "{field}");
    }
    let month = CostTracker::new().spend().await.unwrap().month;
    assert_eq!(
        redis.command(&["HGET", books, "month"]).await.unwrap(),
        month
    );
    assert_eq!(ledger.state("a").await.unwrap(), (usd("0.6"), Usd::ZERO));
}

/// Not a test: the program of the worker processes below.
#[tokio::test]
async fn worker() {
    let (Ok(url), Ok(path)) = (std::env::var("WORKER_SIM"), std::env::var("WORKER_LEDGER")) else {
        return;
    };
    let tracker = priced(tracker("0.25"), &["tokens=10&pace=1"]);
    let tracker = match path.strip_prefix("redis://") {
        #[cfg(feature = "redis")]
        Some(_) => tracker.ledger(RedisLedger::open(&path).unwrap()),
        _ => tracker.ledger(FileLedger::open(path).unwrap()),
    };
    let client = client_of(&url, tracker);
    // A call waits for what others have reserved. At the end, the budget is spent, or reserved by the killed worker.
    let work = |_| async {
        let request = || ask("tokens=10&pace=1").pool_timeout(std::time::Duration::from_secs(1));
        loop {
            if let Err(error) = client.stream(request()).into_reply().await {
                assert_eq!(error.kind().name(), "budget_exceeded", "{error}");
                break;
            }
        }
    };
    join_all((0..16).map(work)).await;
}

/// Runs 64 tasks in 4 processes and kills one. The billed amount must be within the limit, and the ledger must know all of it.
async fn four_processes_share(sim: &Sim, path: &str, ledger: impl Ledger) {
    let start = |_| {
        let mut worker = Command::new(std::env::current_exe().unwrap());
        worker.args(["--exact", "worker", "--nocapture"]);
        worker
            .env("WORKER_SIM", sim.anthropic_url())
            .env("WORKER_LEDGER", path);
        worker.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut workers: Vec<_> = (0..4).map(start).collect();
    sim.wait_until(|stats| stats.requests > 40).await;
    // SIGKILL, so that the worker cannot settle.
    workers[0].kill().unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        workers
            .iter_mut()
            .map(|worker| worker.wait().unwrap().success())
            .collect::<Vec<_>>()
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended, [false, true, true, true]);
    let (spent, reserved) = ledger.state("test").await.unwrap();
    let billed = billed(sim);
    assert!(billed <= usd("0.25"), "billed {billed}");
    // No billed amount is missing. The killed worker's last calls stay reserved until their reservations expire.
    assert!(
        spent + reserved >= billed && spent + reserved <= usd("0.25"),
        "{spent} + {reserved} against {billed}"
    );
    assert!(reserved > Usd::ZERO || spent == billed);
    assert!(spent > usd("0.05"), "{spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_share_a_file_and_one_is_killed() {
    let sim = sim().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spend.log");
    let ledger = FileLedger::open(&path).unwrap();
    four_processes_share(&sim, path.to_str().unwrap(), ledger).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn four_processes_share_a_redis_and_one_is_killed() {
    let sim = sim().await;
    let redis = RedisServer::start().await.unwrap();
    let ledger = RedisLedger::open(&redis.url).unwrap();
    four_processes_share(&sim, &redis.url, ledger).await;
}

/// A custom ledger that refuses every reservation.
struct Empty;

impl Ledger for Empty {
    fn reserve<'a>(
        &'a self,
        _id: u64,
        budgets: &'a [Budget],
        _amount: Usd,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = warmline::Result<Result<(), BudgetExceeded>>> + Send + 'a>,
    > {
        Box::pin(async {
            Ok(Err(BudgetExceeded {
                budget: budgets[0].clone(),
                spent: budgets[0].limit,
                reserved: Usd::ZERO,
            }))
        })
    }

    fn settle(&self, _id: u64, _amount: Usd) -> Settlement {
        Settlement::Done(Ok(Vec::new()))
    }

    fn state<'a>(
        &'a self,
        _budget: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = warmline::Result<(Usd, Usd)>> + Send + 'a>> {
        Box::pin(async { Ok((Usd::ZERO, Usd::ZERO)) })
    }
}

#[tokio::test]
async fn a_custom_ledger_can_refuse_before_anything_is_sent() {
    let sim = sim().await;
    let client = client(&sim, tracker("1").ledger(Empty));
    let error = client.chat(ask("tokens=1")).await.unwrap_err();
    assert_eq!(error.kind().name(), "budget_exceeded", "{error}");
    assert_eq!(sim.stats().requests, 0);
}
