//! Timeouts, in virtual time: the clock of the paused runtime advances whenever nothing else can happen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ask, builder, client, sim};
use futures_util::future::join_all;
use tokio::time::Instant;
use warmline::{Effort, Error, ErrorKind, Reply, RetryPolicy};
use warmline_sim::Sim;

const SECOND: Duration = Duration::from_secs(1);

fn which(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Timeout { which } => which.name(),
        kind => kind.name(),
    }
}

/// The number of attempts, and the seconds that the call took.
fn took(reply: &Reply) -> (usize, u64) {
    (reply.attempts().len(), reply.timing.total.as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_hundred_slow_calls_over_ten_connections_are_all_answered() {
    let sim = sim().await;
    let client = client(&sim);
    let calls = (0..100).map(|_| client.chat(ask("delay=40000&tokens=1")));
    let replies = join_all(calls).await;
    for (n, reply) in replies.iter().enumerate() {
        let reply = reply.as_ref().unwrap();
        let turn = n as u64 / 10 + 1;
        assert_eq!(took(reply), (1, 40 * turn), "call {n}");
    }
    assert_eq!((sim.stats().requests, sim.stats().peak), (100, 10));
}

#[tokio::test(start_paused = true)]
async fn a_silent_model_is_waited_for_and_a_request_is_not_repeated() {
    let sim = sim().await;
    let client = client(&sim);
    // Silence before the head, and between the start of a stream and its first content.
    for scenario in ["delay=300000&tokens=1", "pace=300000&tokens=1"] {
        let reply = client.stream(ask(scenario)).into_reply().await.unwrap();
        assert_eq!(took(&reply), (1, 300), "{scenario}");
        let reply = client.chat(ask(scenario)).await.unwrap();
        assert_eq!(took(&reply), (1, 300), "{scenario}");
    }
    let unstreamed = client.chat(ask("delay=40000&tokens=1")).await.unwrap();
    assert_eq!(took(&unstreamed), (1, 40));
    // Each piece of reasoning may take longer than `timeout`.
    let thinking = ask("pace=40000&tokens=1").effort(Effort::High);
    let reply = client.stream(thinking).into_reply().await.unwrap();
    assert!(took(&reply).1 > 300 && took(&reply).0 == 1, "{reply:?}");
    assert_eq!(sim.stats().requests, 6);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_after_the_request_was_sent_is_not_retried_by_default() {
    let sim = sim().await;
    for (scenario, expected, after) in [
        ("hold", "reply", 600),
        ("stall", "reply", 600),
        ("stall&pings", "reply", 600),
        ("stall&after=2&tokens=9", "read", 30),
        ("stall&after=2&tokens=9&pings", "read", 30),
    ] {
        let before = sim.stats().requests;
        let start = Instant::now();
        let stream = client(&sim).stream(ask(scenario));
        let error = stream.into_reply().await.unwrap_err();
        assert_eq!(
            (which(&error), start.elapsed().as_secs()),
            (expected, after)
        );
        assert_eq!((error.attempts().len(), error.is_retryable()), (1, false));
        assert_eq!(sim.stats().requests - before, 1, "{scenario}");
        let setting = match expected {
            "read" => "`timeout` (LLM_TIMEOUT)",
            _ => "`reply_timeout` (LLM_REPLY_TIMEOUT)",
        };
        assert!(error.hint().unwrap().contains(setting), "{error}");
    }
    // If it is only `timeout` that is set, that is named too.
    let set = ask("hold").timeout(std::time::Duration::from_secs(5));
    let error = client(&sim).chat(set).await.unwrap_err();
    assert_eq!(which(&error), "reply");
    for setting in [
        "`timeout` (LLM_TIMEOUT)",
        "`reply_timeout` (LLM_REPLY_TIMEOUT)",
    ] {
        assert!(error.hint().unwrap().contains(setting), "{error}");
    }
    let policy = RetryPolicy {
        retry_timeouts: true,
        ..RetryPolicy::default()
    };
    let error = client(&sim)
        .chat(ask("stall").retry(policy))
        .await
        .unwrap_err();
    assert_eq!(error.attempts().len(), 4);
    let kinds = error.attempts().iter().map(|a| a.kind.as_deref());
    assert!(kinds.into_iter().all(|kind| kind == Some("timeout")));
    assert_eq!(error.attempts()[0].duration, 600 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_is_set_is_that_of_the_reply_and_of_the_pool_too() {
    let sim = sim().await;
    let client = builder(&sim).timeout(5 * SECOND).build().unwrap();
    let start = Instant::now();
    let error = client.chat(ask("delay=40000")).await.unwrap_err();
    assert_eq!((which(&error), start.elapsed()), ("reply", 5 * SECOND));

    let patient = builder(&sim)
        .timeout(5 * SECOND)
        .reply_timeout(60 * SECOND)
        .limits(common::limits(1, 1))
        .build()
        .unwrap();
    let [slow, waiting] = join_all([
        patient.chat(ask("delay=40000&tokens=1")),
        patient.chat(ask("tokens=1")),
    ])
    .await
    .try_into()
    .unwrap();
    assert_eq!(took(&slow.unwrap()), (1, 40));
    let error = waiting.unwrap_err();
    assert_eq!((which(&error), error.attempts().len()), ("pool_timeout", 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_can_have_its_own_timeouts_deadline_and_retries() {
    let sim = sim().await;
    let client = client(&sim);
    let ends = |sim: &Sim, request| {
        let (client, before) = (client.clone(), sim.stats().requests);
        async move {
            let start = Instant::now();
            let error: Error = client.chat(request).await.unwrap_err();
            (which(&error), start.elapsed().as_secs(), before)
        }
    };
    let (kind, after, _) = ends(&sim, ask("hold").timeout(2 * SECOND)).await;
    assert_eq!((kind, after), ("reply", 2));
    let (kind, after, _) = ends(&sim, ask("hold").reply_timeout(3 * SECOND)).await;
    assert_eq!((kind, after), ("reply", 3));
    let (kind, after, _) = ends(&sim, ask("hold").deadline(4 * SECOND)).await;
    assert_eq!((kind, after), ("deadline", 4));
    let (kind, _, before) = ends(&sim, ask("status=503").retry(RetryPolicy::never())).await;
    assert_eq!((kind, sim.stats().requests - before), ("overloaded", 1));
    let error = client
        .chat(ask("tokens=1").deadline(Duration::ZERO))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("deadline is 0"), "{error}");
}
