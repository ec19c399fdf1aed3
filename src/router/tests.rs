//! Routers over simulated targets, case by case, in virtual time.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::simulation::{Behaviour, Dialing, Fate, Left, Meter, Network, Provider, Random};
use crate::{
    Balancing, Budget, Client, CostTracker, DialectName, ErrorKind, Hedging, Price, Reply, Request,
    Result, Router, Target,
};

const SECOND: Duration = Duration::from_secs(1);

fn tracker() -> CostTracker {
    let usd = |text: &str| text.parse().unwrap();
    CostTracker::new()
        .budget(Budget::monthly("all", usd("10")).unwrap())
        .price("simulated", Price::per_million(usd("1"), usd("4")))
}

/// A target, and the provider behind it.
fn target(
    name: &str,
    tracker: &CostTracker,
    fates: impl Fn() -> Fate + Send + Sync + 'static,
) -> (Target, Provider) {
    let origin = format!("http://{name}.test");
    let (_, connections) = Network::new(&origin, || Dialing::Connects(Duration::ZERO));
    let behaviour = Behaviour {
        faults: 0,
        bills_after_disconnect: false,
        speed: 100,
        thinks: Duration::ZERO,
    };
    let usd = |text: &str| text.parse().unwrap();
    let price = Price::per_million(usd("1"), usd("4"));
    let provider = Provider::scripted(behaviour, price, Random::new(7), fates);
    tokio::spawn(provider.clone().serve(connections));
    let client = Client::builder(crate::Provider::OpenAi)
        .api_key("k")
        .base_url(format!("{origin}/v1"))
        .model("simulated")
        .cost_tracker(tracker.clone())
        .build()
        .unwrap();
    (Target::new(client).name(name), provider)
}

fn attempts(reply: &Reply) -> Vec<(&str, Option<&str>)> {
    let attempts = reply.attempts().iter();
    attempts
        .map(|of| (of.target.as_deref().unwrap(), of.kind.as_deref()))
        .collect()
}

async fn ask(router: &Router) -> Result<Reply> {
    let request = Request::new().user("hi").max_tokens(5);
    router.stream(request).into_reply().await
}

/// A provider that allows 60 requests a minute.
fn metered() -> impl Fn() -> Fate + Send + Sync + 'static {
    let meter = Mutex::new(Meter::new(Some(Left::new(60, 60)), None));
    move || meter.lock().unwrap().fate(0)
}

#[tokio::test(start_paused = true)]
async fn calls_are_paced_so_that_no_limit_is_exceeded() {
    for pacing in [true, false] {
        let (target, provider) = target("paced", &tracker(), metered());
        let router = Router::builder().target(target).pacing(pacing);
        let router = router.build().unwrap();
        ask(&router).await.unwrap();
        let start = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..80 {
            let router = router.clone();
            calls.spawn(async move { ask(&router).await.map(drop) });
        }
        let mut failed = 0;
        while let Some(called) = calls.join_next().await {
            failed += usize::from(called.unwrap().is_err());
        }
        let arrivals = provider.arrivals();
        let limited = arrivals
            .iter()
            .filter(|of| matches!(of.fate, Fate::Limited(_)));
        let limited = limited.count();
        assert_eq!((failed, limited) == (0, 0), pacing, "{failed} {limited}");
        let took = start.elapsed();
        let is_slow = took >= 20 * SECOND && took < 25 * SECOND;
        assert!(!pacing || is_slow, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paced_call_holds_nothing_and_gives_its_turn_back_when_its_caller_leaves() {
    let (target, provider) = target("paced", &tracker(), metered());
    let router = Router::builder().target(target).build().unwrap();
    let mut calls = 0;
    // Until the rate limit lets a call wait.
    while tokio::time::timeout(SECOND / 2, ask(&router)).await.is_ok() {
        calls += 1;
    }
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(ask(&router))).collect();
    for call in &mut waiting {
        assert!(
            tokio::time::timeout(Duration::from_millis(1), call)
                .await
                .is_err()
        );
    }
    let client = router.targets().next().unwrap().1;
    let spend = client.cost_tracker().spend().await.unwrap();
    assert_eq!(spend.budgets[0].reserved, crate::Usd::ZERO);
    assert_eq!((client.stats().active, client.stats().waiting), (0, 0));
    drop(waiting);
    let start = Instant::now();
    ask(&router).await.unwrap();
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    assert_eq!(provider.arrivals().len(), calls + 1);
    assert_eq!(router.stats().targets[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_made_at_a_second_target_and_the_slower_attempt_is_cut() {
    for (hedges, expected) in [
        (true, vec![("slow", Some("cancelled")), ("fast", None)]),
        (false, vec![("slow", None)]),
    ] {
        let tracker = tracker();
        let calls = Mutex::new(0);
        let (slow, provider) = target("slow", &tracker, move || {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                ..=20 => Fate::Answered,
                _ => Fate::Slow(20 * SECOND),
            }
        });
        let (fast, other) = target("fast", &tracker, || Fate::Answered);
        let mut builder = Router::builder().target(slow).target(fast.priority(1));
        if hedges {
            builder = builder.hedging(Hedging::default());
        }
        let router = builder.build().unwrap();
        for _ in 0..20 {
            let reply = ask(&router).await.unwrap();
            assert_eq!(attempts(&reply), [("slow", None)]);
        }
        let start = Instant::now();
        let reply = ask(&router).await.unwrap();
        assert_eq!(attempts(&reply), expected);
        assert_eq!(start.elapsed() < SECOND, hedges);
        // Both have been charged, and nothing stays reserved.
        sleep(SECOND).await;
        assert_eq!((provider.writing(), other.writing()), (0, 0));
        let spend = tracker.spend().await.unwrap();
        let billed = provider.billed() + other.billed();
        assert_eq!(spend.budgets[0].reserved, crate::Usd::ZERO);
        assert!(billed <= spend.total, "{billed} {}", spend.total);
        let in_flight = router
            .stats()
            .targets
            .iter()
            .map(|of| of.in_flight)
            .sum::<u32>();
        assert_eq!(in_flight, 0);
        // The conversation stays where it was answered.
        let next = ask(&router).await.unwrap();
        let first = attempts(&next)[0].0;
        assert_eq!(first, expected.last().unwrap().0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_fails_or_is_refused_does_not_end_the_call() {
    for (fate, limit, expected) in [
        (Fate::Status(400), "10", vec![("slow", None)]),
        (Fate::Answered, "0.000035", vec![("slow", None)]),
    ] {
        let usd = |text: &str| text.parse().unwrap();
        let tracker = CostTracker::new()
            .budget(Budget::monthly("all", usd(limit)).unwrap())
            .price("simulated", Price::per_million(usd("0"), usd("4")));
        let calls = Mutex::new(0);
        let (slow, _) = target("slow", &tracker, move || {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                ..=5 => Fate::Status(400),
                _ => Fate::Slow(20 * SECOND),
            }
        });
        let (fast, _) = target("fast", &tracker, move || fate);
        let hedging = Hedging {
            min_calls: 0,
            ..Hedging::default()
        };
        let router = Router::builder()
            .target(slow)
            .target(fast.priority(1))
            .hedging(hedging)
            .build()
            .unwrap();
        router.inner.state().targets[0].streams.add(SECOND);
        for _ in 0..5 {
            ask(&router).await.unwrap_err();
        }
        let reply = ask(&router).await.unwrap();
        let shown: Vec<_> = attempts(&reply)
            .into_iter()
            .filter(|of| of.1.is_none())
            .collect();
        assert_eq!(shown, expected, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_targets_that_fail_are_called_again_after_a_pause_and_attempts_are_not_multiplied() {
    let tracker = tracker();
    let (a, of_a) = target("a", &tracker, || Fate::Status(500));
    let (b, of_b) = target("b", &tracker, || Fate::Status(500));
    let router = Router::builder()
        .target(a)
        .target(b.priority(1))
        .build()
        .unwrap();
    let error = ask(&router).await.unwrap_err();
    // One each, and no more than three pauses with one each after them.
    let arrivals = of_a.arrivals().len() + of_b.arrivals().len();
    assert_eq!(error.attempts().len(), arrivals);
    assert!((5..=8).contains(&arrivals), "{arrivals}");
    let paused = error.attempts().iter().filter(|of| !of.delay.is_zero());
    assert_eq!(paused.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_only_target_and_fails_at_once_if_that_takes_too_long() {
    let tracker = tracker();
    let asked = Mutex::new(vec![Fate::Limited(100 * SECOND), Fate::Limited(5 * SECOND)]);
    let (target, provider) = target("only", &tracker, move || {
        asked.lock().unwrap().pop().unwrap_or(Fate::Answered)
    });
    let router = Router::builder().target(target).build().unwrap();
    let start = Instant::now();
    let error = ask(&router).await.unwrap_err();
    assert!(start.elapsed() >= 5 * SECOND);
    assert!(error.message().contains("max_retry_after"), "{error}");
    let error = ask(&router).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Overloaded);
    assert!(error.message().contains("(only)"), "{error}");
    assert!(error.retry_after().unwrap() > 90 * SECOND);
    sleep(60 * SECOND).await;
    let reply = ask(&router).await.unwrap();
    assert_eq!(attempts(&reply), [("only", None)]);
    assert_eq!(provider.arrivals().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_says_when_the_first_target_is_ready() {
    // The delays that the targets ask for, how often a call pauses, its deadline, and after how many seconds to try again.
    for (asked, retries, deadline, expected) in [
        ([40, 100], 0, None, 40),
        ([100, 40], 0, None, 40),
        // It has waited for the first target once.
        ([10, 25], 1, None, 10),
        ([25, 10], 1, None, 10),
        // The deadline comes before the first target is ready.
        ([50, 40], 3, Some(10), 30),
    ] {
        let tracker = tracker();
        let mut builder = Router::builder().retry(crate::RetryPolicy {
            max_retries: retries,
            ..crate::RetryPolicy::default()
        });
        for (name, asked) in ["a", "b"].into_iter().zip(asked) {
            let (target, _) = target(name, &tracker, move || Fate::Limited(asked * SECOND));
            builder = builder.target(target);
        }
        let router = builder.build().unwrap();
        let mut request = Request::new().user("hi").max_tokens(5);
        if let Some(deadline) = deadline {
            request = request.deadline(deadline * SECOND);
        }
        let error = router.chat(request).await.unwrap_err();
        let is_right = |error: &crate::Error| {
            let after = error.retry_after().unwrap();
            after.abs_diff(expected * SECOND) < SECOND / 10
        };
        assert!(is_right(&error), "{asked:?} {retries}: {error:?}");
        // A call that is made before that fails at once, and says the same.
        if retries == 0 {
            let error = ask(&router).await.unwrap_err();
            assert!(is_right(&error), "{asked:?}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_connection_leave_a_target_that_cools_down() {
    let dials = Mutex::new(0);
    let (_network, _connections) = Network::new("http://full.test", move || {
        let mut dials = dials.lock().unwrap();
        *dials += 1;
        match *dials {
            1 => Dialing::Refuses(SECOND),
            _ => Dialing::Stalls,
        }
    });
    let tracker = tracker();
    let client = Client::builder(crate::Provider::OpenAi)
        .api_key("k")
        .base_url("http://full.test/v1")
        .model("simulated")
        .limits(crate::Limits {
            max_connections: 1,
            max_keepalive_connections: 1,
            ..crate::Limits::default()
        })
        .cost_tracker(tracker.clone())
        .build()
        .unwrap();
    let (other, provider) = target("other", &tracker, || Fate::Answered);
    let router = Router::builder()
        .target(Target::new(client).name("full"))
        .target(other.priority(1))
        .build()
        .unwrap();
    let start = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let router = router.clone();
        calls.spawn(async move { ask(&router).await });
    }
    let mut counts = Vec::new();
    while let Some(reply) = calls.join_next().await {
        counts.push(reply.unwrap().unwrap().attempts().len());
    }
    // Only the first one has made an attempt there.
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 1, 1, 2]);
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    assert_eq!(provider.arrivals().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_passthrough_moves_on_until_events_have_been_handed_out() {
    let tracker = tracker();
    let (a, _) = target("a", &tracker, || Fate::ErrorEvent);
    let (b, of_b) = target("b", &tracker, || Fate::Answered);
    let router = Router::builder()
        .target(a.model("m", "simulated"))
        .target(b.model("m", "simulated").priority(1))
        .balancing(Balancing::LeastBusy)
        .build()
        .unwrap();
    let body = r#"{"model":"m","messages":[],"max_completion_tokens":5,"stream":true}"#;
    let dialect = DialectName::OpenAiChat;
    let mut response = router.passthrough(dialect, body, []).await.unwrap();
    let mut text = String::new();
    while let Some(bytes) = response.chunk().await {
        text += std::str::from_utf8(&bytes.unwrap()).unwrap();
    }
    assert!(
        text.contains("word") && !text.contains("overloaded"),
        "{text}"
    );
    assert_eq!(response.attempts(), 2);
    assert_eq!(of_b.arrivals().len(), 1);
}

mod sharing;
