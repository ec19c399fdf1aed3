//! Quotas and marks: one suite for every kind of shared state, and quotas that several processes take from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use warmline::RestLedger;
use warmline::shared::{MemoryState, Quota, QuotaState, SharedState};
use warmline_sim::{RedisRestServer, RedisServer};
#[cfg(feature = "redis")]
use {
    std::process::{Command, Stdio},
    warmline::{Ledger, RedisLedger},
};

const MINUTE: Duration = Duration::from_secs(60);

fn quota(name: &str, limit: u64) -> Quota {
    Quota::new(name, limit, MINUTE).unwrap()
}

/// The suite for every state.
async fn conforms(state: impl SharedState) {
    let run = format!("{:x}", fastrand::u64(..));
    let quota = |name: &str, limit| quota(&format!("{run}-{name}"), limit);
    let (requests, tokens) = (quota("requests", 2), quota("tokens", Quota::MAX_LIMIT));
    let both = |amount| [(requests.clone(), 1), (tokens.clone(), amount)];
    let used = |states: &[QuotaState]| states.iter().map(|state| state.used).collect::<Vec<_>>();
    let within = |time: Duration| Duration::from_secs(50)..=time;

    let nothing = state.take(&[(requests.clone(), 0)]).await.unwrap().unwrap();
    assert_eq!(nothing.states, [QuotaState::default()]);
    let most = Quota::MAX_LIMIT - 5;
    let first = state.take(&both(most)).await.unwrap().unwrap();
    assert_eq!(used(&first.states), [1, most]);
    assert_eq!(first.states[0].reset, MINUTE);
    // All or nothing: the request that would fit is not taken.
    let exceeded = state.take(&both(6)).await.unwrap().unwrap_err();
    assert_eq!((exceeded.index, used(&exceeded.states)), (1, vec![1, most]));
    let retry_after = exceeded.retry_after.unwrap();
    assert!(within(MINUTE).contains(&retry_after), "{retry_after:?}");
    assert!(exceeded.states[0].reset <= MINUTE);
    let second = state.take(&both(5)).await.unwrap().unwrap();
    assert_eq!(used(&second.states), [2, Quota::MAX_LIMIT]);
    let exceeded = state.take(&both(0)).await.unwrap().unwrap_err();
    assert_eq!(exceeded.index, 0);
    // What can never fit is told apart, and reading is always possible.
    let small = [(requests.clone(), 0), (quota("small", 9), 10)];
    let never = state.take(&small).await.unwrap().unwrap_err();
    assert_eq!(
        (never.index, never.retry_after, used(&never.states)),
        (1, None, vec![2, 0])
    );
    state
        .give_back(&[(tokens.clone(), most)], first.at)
        .await
        .unwrap();
    let read = [(requests.clone(), 0), (tokens.clone(), 0)];
    let left = state.take(&read).await.unwrap().unwrap();
    // What was taken at nearly the same time can be in one slot.
    assert_eq!(used(&left.states), [2, 5]);
    // A limit that was lowered applies at once.
    let lower = [(quota("tokens", 4), 1)];
    assert!(state.take(&lower).await.unwrap().is_err());
    // What was never taken, or is given back twice, is not there to be taken.
    state
        .give_back(&[(quota("unheard-of", 1), 1)], first.at)
        .await
        .unwrap();
    state
        .give_back(&[(tokens.clone(), most)], first.at)
        .await
        .unwrap();

    // After its period an amount is available again.
    let short = Quota::new(format!("{run}-short"), 1, Duration::from_millis(50)).unwrap();
    let amounts = [(short, 1)];
    state.take(&amounts).await.unwrap().unwrap();
    loop {
        match state.take(&amounts).await.unwrap() {
            Ok(taken) => break assert_eq!(used(&taken.states), [1]),
            Err(exceeded) => tokio::time::sleep(exceeded.retry_after.unwrap()).await,
        }
    }

    let keys = ["a", "b", "c"].map(|name| format!("{run}-{name}"));
    let [a, b, c] = &keys;
    for (key, time) in [
        (a, MINUTE),
        (a, 2 * MINUTE),
        (b, MINUTE),
        (b, Duration::ZERO),
        (c, Duration::from_nanos(1)),
    ] {
        state.mark(key, time).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    let marks = state.marks(&keys).await.unwrap();
    assert!((MINUTE..2 * MINUTE).contains(&marks[0]), "{marks:?}");
    assert_eq!(marks[1..], [Duration::ZERO; 2]);
}

#[tokio::test]
async fn every_state_conforms() {
    conforms(MemoryState::default()).await;
    let redis = RedisServer::start().await.unwrap();
    let server = RedisRestServer::start(&redis.url).await.unwrap();
    conforms(RestLedger::new(&server.url, &server.token).unwrap()).await;
    #[cfg(feature = "redis")]
    conforms(RedisLedger::open(&redis.url).unwrap()).await;
}

/// Takes often, and returns how many of the amounts were granted.
async fn take_often(state: &impl SharedState, amounts: &[(Quota, u64)]) -> usize {
    let taken = join_all((0..200).map(|_| state.take(amounts))).await;
    taken
        .iter()
        .filter(|taken| taken.as_ref().unwrap().is_ok())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_callers_in_one_process_take_exactly_the_limit() {
    let state = MemoryState::default();
    let amounts = [(quota("requests", 150), 1), (quota("tokens", 1001), 10)];
    let granted = join_all((0..4).map(|_| take_often(&state, &amounts))).await;
    assert_eq!(granted.iter().sum::<usize>(), 100);
}

#[cfg(feature = "redis")]
const URL: &str = "TEST_SHARED_STATE";

/// What each process of the test below does. On its own it does nothing.
#[cfg(feature = "redis")]
#[tokio::test]
async fn worker() {
    let Ok(url) = std::env::var(URL) else { return };
    let state = RedisLedger::open(&url).unwrap();
    let amounts = [(quota("requests", 150), 1), (quota("tokens", 1001), 10)];
    println!("granted {}", take_often(&state, &amounts).await);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn processes_and_connections_take_exactly_the_limit_together() {
    let redis = RedisServer::start().await.unwrap();
    let children = [(); 3].map(|()| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["worker", "--exact", "--nocapture"]);
        command.env(URL, &redis.url).stdout(Stdio::piped());
        command.spawn().unwrap()
    });
    // This process takes over two connections more.
    let amounts = [(quota("requests", 150), 1), (quota("tokens", 1001), 10)];
    let states = [(); 2].map(|()| RedisLedger::open(&redis.url).unwrap());
    let own = join_all(states.iter().map(|state| take_often(state, &amounts))).await;
    let mut granted: usize = own.iter().sum();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let (_, count) = output.split_once("granted ").expect("a worker's line");
        granted += count.lines().next().unwrap().parse::<usize>().unwrap();
    }
    assert_eq!(granted, 100);
    // Beside the ledger, in keys of their own that expire.
    for key in ["{warmline}:quota:requests", "{warmline}:quota:tokens"] {
        let left: i64 = redis
            .command(&["PTTL", key])
            .await
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60_000).contains(&left), "{key}: {left}");
    }
    assert_eq!(redis.command(&["DBSIZE"]).await.unwrap(), "2");
    assert!(states[0].state("any").await.is_ok());
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_server_that_is_gone_is_an_error_and_one_that_is_back_is_used() {
    let mut redis = RedisServer::start().await.unwrap();
    let state = RedisLedger::open(&redis.url).unwrap();
    let amounts = [(quota("q", 2), 1)];
    let taken = state.take(&amounts).await.unwrap().unwrap();
    redis.kill().unwrap();
    for error in [
        state.take(&amounts).await.unwrap_err(),
        state.give_back(&amounts, taken.at).await.unwrap_err(),
        state.mark("a", MINUTE).await.unwrap_err(),
        state.marks(&["a".to_owned()]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind().name(), "ledger", "{error}");
    }
    redis.restart().await.unwrap();
    assert!(state.take(&amounts).await.unwrap().is_ok());
}
