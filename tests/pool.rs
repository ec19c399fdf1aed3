//! The pool's limits, observed both in the client's statistics and in the server's sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{ask, builder, call, client, limits, line, sim, stats_become};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use warmline::{ErrorKind, Limits, RetryPolicy, StreamEvent};

#[tokio::test]
async fn sequential_calls_use_one_socket() {
    let sim = sim().await;
    let client = client(&sim);
    assert_eq!(
        line(&client),
        "Requests: 0 active, 0 queued | Connections: 0 active, 0 idle, 0 connecting"
    );
    for _ in 0..5 {
        client.chat(ask("tokens=3")).await.unwrap();
        assert_eq!(
            line(&client),
            "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting"
        );
        let paced = ask("tokens=3&pace=1&flush");
        client.stream(paced).into_reply().await.unwrap();
        assert_eq!(
            line(&client),
            "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting"
        );
    }
    let (ours, theirs) = (client.stats(), sim.stats());
    assert_eq!(
        (ours.opened, ours.reused, ours.closed),
        (Some(1), Some(9), Some(0))
    );
    assert_eq!(
        (theirs.total, theirs.requests_per_connection),
        (1, vec![10])
    );
}

#[tokio::test]
async fn ten_calls_open_ten_connections_and_five_stay_idle_and_the_eleventh_call_waits() {
    let sim = sim().await;
    let client = client(&sim);
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        calls.spawn(async move { client.chat(ask("hold")).await });
    }
    sim.wait_until(|s| s.holding == 10).await;
    assert_eq!(
        line(&client),
        "Requests: 10 active, 0 queued | Connections: 10 active, 0 idle, 0 connecting"
    );
    assert_eq!(client.stats().acquire_waits, Some(0));

    let eleventh = call(&client, "tokens=1");
    stats_become(
        &client,
        "Requests: 10 active, 1 queued | Connections: 10 active, 0 idle, 0 connecting",
    )
    .await;
    assert_eq!(
        (sim.stats().open, client.stats().acquire_waits),
        (10, Some(1))
    );

    sim.release(1);
    let reply = eleventh.await.unwrap().unwrap();
    assert!(reply.timing.queued > Duration::ZERO, "the wait is reported");
    assert_eq!(
        reply.timing.connect, None,
        "a connection that came free was used"
    );
    assert_eq!(
        line(&client),
        "Requests: 9 active, 0 queued | Connections: 9 active, 1 idle, 0 connecting"
    );

    sim.release(9);
    while let Some(reply) = calls.join_next().await {
        reply.unwrap().unwrap();
    }
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 5 idle, 0 connecting",
    )
    .await;
    let theirs = sim.wait_until(|s| s.open == 5).await;
    assert_eq!((theirs.peak, theirs.total), (10, 10));
    assert_eq!((client.stats().peak, client.stats().closed), (10, Some(5)));
}

#[tokio::test]
async fn waiters_are_served_in_fifo_order() {
    let sim = sim().await;
    let client = builder(&sim).limits(limits(1, 1)).build().unwrap();
    let first = call(&client, "hold");
    sim.wait_until(|s| s.holding == 1).await;
    let served = Arc::new(AtomicUsize::new(0));
    let mut calls = Vec::new();
    for n in 0..8 {
        let (client, served) = (client.clone(), served.clone());
        calls.push(async move {
            client.chat(ask("tokens=1")).await.unwrap();
            assert_eq!(served.fetch_add(1, Ordering::SeqCst), n);
        });
    }
    // The calls are polled in order, so they queue in order.
    let calls = tokio::spawn(join_all(calls));
    stats_become(
        &client,
        "Requests: 1 active, 8 queued | Connections: 1 active, 0 idle, 0 connecting",
    )
    .await;
    sim.release(1);
    calls.await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(sim.stats().total, 1);
}

#[tokio::test]
async fn a_pool_timeout_names_the_limit_and_the_time_spent_waiting() {
    let sim = sim().await;
    let client = builder(&sim)
        .limits(limits(1, 1))
        .pool_timeout(Duration::from_millis(30))
        .build()
        .unwrap();
    let holder = call(&client, "hold");
    sim.wait_until(|s| s.holding == 1).await;
    let error = client.chat(ask("")).await.unwrap_err();
    let ErrorKind::PoolTimeout {
        max_connections,
        waited,
    } = error.kind()
    else {
        panic!("{error:?}")
    };
    assert_eq!(*max_connections, 1);
    assert!(*waited >= Duration::from_millis(30));
    assert!(error.to_string().contains("LLM_MAX_CONNECTIONS"), "{error}");
    assert_eq!(
        line(&client),
        "Requests: 1 active, 0 queued | Connections: 1 active, 0 idle, 0 connecting"
    );
    sim.release(1);
    holder.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_waiter_leaves_the_queue_at_once() {
    let sim = sim().await;
    let client = builder(&sim).limits(limits(1, 1)).build().unwrap();
    let holder = call(&client, "hold");
    sim.wait_until(|s| s.holding == 1).await;
    let waiter = call(&client, "");
    stats_become(
        &client,
        "Requests: 1 active, 1 queued | Connections: 1 active, 0 idle, 0 connecting",
    )
    .await;
    waiter.abort();
    stats_become(
        &client,
        "Requests: 1 active, 0 queued | Connections: 1 active, 0 idle, 0 connecting",
    )
    .await;
    sim.release(1);
    holder.await.unwrap().unwrap();
    assert_eq!(sim.stats().requests, 1);
}

#[tokio::test]
async fn a_dropped_stream_closes_its_connection() {
    let sim = sim().await;
    let client = builder(&sim).limits(limits(1, 1)).build().unwrap();
    let mut stream = client.stream(ask("tokens=50&stall&after=3"));
    while !matches!(
        stream.next().await.unwrap().unwrap(),
        StreamEvent::Text { .. }
    ) {}
    assert_eq!(
        line(&client),
        "Requests: 1 active, 0 queued | Connections: 1 active, 0 idle, 0 connecting"
    );
    drop(stream);
    client.chat(ask("tokens=1")).await.unwrap();
    let theirs = sim.wait_until(|s| s.open == 1 && s.aborted == 1).await;
    assert_eq!((theirs.peak, theirs.total), (1, 2));
}

#[tokio::test]
async fn a_call_dropped_in_any_phase_releases_its_connection() {
    let sim = sim().await;
    let client = builder(&sim).limits(limits(1, 1)).build().unwrap();
    let call = call(&client, "hold");
    sim.wait_until(|s| s.holding == 1).await;
    call.abort();
    sim.wait_until(|s| s.open == 0 && s.active == 0).await;
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 0 idle, 0 connecting",
    )
    .await;
}

#[tokio::test]
async fn idle_connections_are_closed_at_their_expiry() {
    let sim = sim().await;
    let client = client(&sim);
    client.warm_up(3).await.unwrap();
    sim.wait_until(|s| s.open == 3).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(29_900)).await;
    tokio::time::resume();
    assert_eq!(
        line(&client),
        "Requests: 0 active, 0 queued | Connections: 0 active, 3 idle, 0 connecting"
    );
    // Using a connection restarts its expiry.
    client.chat(ask("tokens=1")).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(200)).await;
    tokio::time::resume();
    sim.wait_until(|s| s.open == 1).await;
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting",
    )
    .await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    sim.wait_until(|s| s.open == 0).await;
}

#[tokio::test]
async fn no_connection_is_kept_if_none_may_be_idle() {
    let sim = sim().await;
    let client = builder(&sim).limits(limits(2, 0)).build().unwrap();
    for _ in 0..3 {
        client.chat(ask("tokens=1")).await.unwrap();
    }
    sim.wait_until(|s| s.open == 0 && s.total == 3).await;
    assert_eq!(sim.stats().peak, 1);
}

#[tokio::test]
async fn the_shortest_and_the_longest_durations_are_accepted() {
    let sim = sim().await;
    let with = |keepalive_expiry, wait| {
        let limits = Limits {
            keepalive_expiry,
            ..Limits::default()
        };
        let builder = builder(&sim).limits(limits).timeout(wait);
        builder.pool_timeout(wait).deadline(wait).build().unwrap()
    };
    let never_kept = with(Duration::ZERO, Duration::from_secs(10));
    never_kept.chat(ask("tokens=1")).await.unwrap();
    never_kept
        .stream(ask("tokens=3&pace=15"))
        .into_reply()
        .await
        .unwrap();
    sim.wait_until(|s| s.open == 0 && s.total == 2).await;
    let for_ever = with(Duration::MAX, Duration::MAX);
    for_ever
        .stream(ask("tokens=3&pace=1"))
        .into_reply()
        .await
        .unwrap();
    for_ever
        .chat(ask("status=429&retry-after-ms=1&times=1"))
        .await
        .unwrap();
    assert_eq!(sim.stats().open, 1);
}

#[tokio::test]
async fn dropping_the_last_client_closes_idle_connections() {
    let sim = sim().await;
    let client = client(&sim);
    client.warm_up(2).await.unwrap();
    let clone = client.clone();
    drop(client);
    clone.chat(ask("tokens=1")).await.unwrap();
    assert_eq!(sim.stats().open, 2);
    drop(clone);
    sim.wait_until(|s| s.open == 0).await;
}

#[tokio::test]
async fn two_origins_have_two_pools() {
    let (one, two) = (sim().await, sim().await);
    let clients = [
        builder(&one).limits(limits(1, 1)).build().unwrap(),
        builder(&two).limits(limits(1, 1)).build().unwrap(),
    ];
    let holder = call(&clients[0], "hold");
    one.wait_until(|s| s.holding == 1).await;
    clients[1].chat(ask("tokens=1")).await.unwrap();
    assert_eq!(
        line(&clients[0]),
        "Requests: 1 active, 0 queued | Connections: 1 active, 0 idle, 0 connecting"
    );
    assert_eq!(
        line(&clients[1]),
        "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting"
    );
    one.release(1);
    holder.await.unwrap().unwrap();
}

#[tokio::test]
async fn warm_up_opens_as_many_connections_as_may_be_idle_and_calls_use_them() {
    let sim = sim().await;
    let client = client(&sim);
    assert_eq!(client.warm_up(2).await.unwrap(), 2);
    assert_eq!(
        line(&client),
        "Requests: 0 active, 0 queued | Connections: 0 active, 2 idle, 0 connecting"
    );
    assert_eq!(
        client.warm_up(9).await.unwrap(),
        3,
        "five may be kept, and two are there"
    );
    let replies = join_all((0..5).map(|_| client.chat(ask("tokens=1")))).await;
    assert!(
        replies
            .into_iter()
            .all(|reply| reply.unwrap().timing.connect.is_none())
    );
    assert_eq!(sim.stats().total, 5);
    assert_eq!(client.stats().handshake.unwrap().count, 5);
}

#[tokio::test]
async fn warm_up_fails_if_the_server_is_unreachable() {
    let sim = sim().await;
    let client = client(&sim);
    drop(sim);
    let error = client.warm_up(2).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    assert_eq!(
        line(&client),
        "Requests: 0 active, 0 queued | Connections: 0 active, 0 idle, 0 connecting"
    );
}

#[tokio::test]
async fn a_stale_connection_never_fails_a_call() {
    let sim = sim().await;
    let client = builder(&sim).retry(RetryPolicy::never()).build().unwrap();
    for _ in 0..20 {
        client.warm_up(3).await.unwrap();
        // The server closes the connection. The client may or may not have noticed by the next call.
        sim.close_idle().await;
        assert_eq!(
            client.chat(ask("tokens=1")).await.unwrap().attempts().len(),
            1
        );
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closes_leaves_the_pool() {
    let sim = sim().await;
    let client = client(&sim);
    client.warm_up(2).await.unwrap();
    sim.close_idle().await;
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 0 idle, 0 connecting",
    )
    .await;
    assert_eq!(client.stats().closed, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_under_a_thousand_random_calls_with_aborts() {
    let sim = Arc::new(sim().await);
    let limits = Limits {
        max_connections: 7,
        max_keepalive_connections: 3,
        ..Limits::default()
    };
    let client = builder(&sim)
        .limits(limits)
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let caller = client.clone();
        let scenario = *random.choice(&SCENARIOS).unwrap();
        let (streamed, reads, patience) = (random.bool(), random.usize(0..12), random.u64(0..40));
        calls.spawn(async move {
            let call = async {
                if !streamed {
                    return caller.chat(ask(scenario)).await.is_ok();
                }
                let mut stream = caller.stream(ask(scenario));
                for _ in 0..reads {
                    if !matches!(stream.next().await, Some(Ok(_))) {
                        return false;
                    }
                }
                true
            };
            // One call in four is dropped at a random time.
            let patience = if patience < 10 { patience } else { 20_000 };
            tokio::time::timeout(Duration::from_millis(patience), call)
                .await
                .unwrap_or(false)
        });
        let stats = client.stats();
        assert!(
            stats.open.unwrap() <= 7 && stats.idle.unwrap() <= 3,
            "{stats:?}"
        );
    }
    let mut whole = 0;
    while let Some(ok) = calls.join_next().await {
        whole += usize::from(ok.unwrap());
        let stats = client.stats();
        assert!(
            stats.open.unwrap() <= 7 && stats.idle.unwrap() <= 3,
            "{stats:?}"
        );
    }
    assert!(whole > 300, "only {whole} calls came through");
    stats_become(&client, &line(&client)).await;
    let theirs = sim.wait_until(|s| s.active == 0 && s.open <= 3).await;
    assert!(
        theirs.peak <= 7,
        "the server saw {} sockets at once",
        theirs.peak
    );
    let ours = client.stats();
    assert_eq!((ours.active, ours.waiting, ours.in_use), (0, 0, Some(0)));
    assert!(ours.peak <= 7);
}

const SCENARIOS: [&str; 8] = [
    "tokens=1",
    "tokens=5",
    "tokens=20&flush",
    "tokens=4&pace=1",
    "delay=2",
    "status=500",
    "fault=close&at=event&after=2",
    "fault=reset",
];
