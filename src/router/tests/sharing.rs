//! Routers of several processes that share state.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::runtime::BoxFuture;
use crate::shared::{MemoryState, Quota, QuotaExceeded, SharedState, Taken};
use crate::{Error, TargetState};

/// The routers of two processes, with the same targets.
fn two(targets: &[Target], state: &Arc<MemoryState>) -> [Router; 2] {
    [(); 2].map(|()| {
        let mut builder = Router::builder().shared_state(state.clone());
        for target in targets {
            builder = builder.target(target.clone());
        }
        builder.build().unwrap()
    })
}

fn state(router: &Router) -> TargetState {
    router.stats().targets[0].state
}

/// Begins a conversation, and returns the target that has answered.
async fn last_target(router: &Router) -> String {
    let request = Request::new().user("hi").max_tokens(5);
    let request = request.conversation(format!("{:?}", Instant::now()));
    let reply = router.chat(request).await.unwrap();
    attempts(&reply).last().unwrap().0.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cools_down_is_called_by_no_process_and_probed_by_one() {
    let tracker = tracker();
    let phase = Arc::new(AtomicU32::new(0));
    let of_provider = phase.clone();
    let (first, provider) = target("first", &tracker, move || {
        match of_provider.load(Ordering::Relaxed) {
            1 => Fate::Limited(20 * SECOND),
            2 => Fate::Slow(5 * SECOND),
            _ => Fate::Answered,
        }
    });
    let (second, _) = target("second", &tracker, || Fate::Answered);
    let [one, other] = two(&[first, second.priority(1)], &Arc::default());
    assert_eq!(last_target(&other).await, "first");
    phase.store(1, Ordering::Relaxed);
    let failed = Instant::now();
    assert_eq!(last_target(&one).await, "second");
    assert_eq!(provider.arrivals().len(), 2);
    phase.store(2, Ordering::Relaxed);
    sleep(SECOND).await;
    assert!(matches!(state(&other), TargetState::Cooling { .. }));
    let start = Instant::now();
    while start.elapsed() < 17 * SECOND {
        assert_eq!(last_target(&other).await, "second");
        sleep(SECOND / 4).await;
    }
    assert_eq!(provider.arrivals().len(), 2);
    // The process whose call failed probes first, and the other one does not while that takes.
    sleep(20 * SECOND + SECOND / 4 - failed.elapsed()).await;
    let probing = one.clone();
    let probe = tokio::spawn(async move { last_target(&probing).await });
    sleep(SECOND / 10).await;
    phase.store(0, Ordering::Relaxed);
    let start = Instant::now();
    while start.elapsed() < 4 * SECOND {
        assert_eq!(last_target(&other).await, "second");
        sleep(SECOND / 4).await;
    }
    assert_eq!(provider.arrivals().len(), 3);
    assert_eq!(probe.await.unwrap(), "first");
    // Its success ends the wait of the other one.
    sleep(SECOND).await;
    assert_eq!(state(&other), TargetState::Probing);
    assert_eq!(last_target(&other).await, "first");
    assert_eq!(state(&other), TargetState::Ready);
}

#[tokio::test(start_paused = true)]
async fn processes_together_are_paced_so_that_no_limit_is_exceeded() {
    for shares in [true, false] {
        let (target, provider) = target("paced", &tracker(), metered());
        let mut routers = two(std::slice::from_ref(&target), &Arc::default());
        if !shares {
            routers = [(); 2].map(|()| Router::builder().target(target.clone()).build().unwrap());
        }
        // More than the limit allows, and not the same from each.
        let start = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..150 {
            let router = routers[usize::from(n % 4 == 0)].clone();
            calls.spawn(async move { ask(&router).await.map(drop) });
            sleep(SECOND * 2 / 5).await;
        }
        while calls.join_next().await.is_some() {}
        let arrivals = provider.arrivals();
        let limited = arrivals.iter();
        let limited = limited.filter(|of| matches!(of.fate, Fate::Limited(_)));
        let (limited, took) = (limited.count(), start.elapsed());
        assert_eq!(limited == 0, shares, "{limited}");
        // 60 at once, and one a second all the time.
        assert!(!shares || took < 110 * SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_leaves_room_for_what_few_calls_of_others_need_and_no_more() {
    let (target, _) = target("paced", &tracker(), metered());
    let [busy, quiet] = two(&[target], &Arc::default());
    for router in [&busy, &quiet, &busy, &quiet] {
        ask(router).await.unwrap();
        sleep(SECOND).await;
    }
    let start = Instant::now();
    for reply in futures_util::future::join_all((0..50).map(|_| ask(&busy))).await {
        reply.unwrap();
    }
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

/// A state that cannot be reached, or that never answers.
struct Broken {
    hangs: bool,
    asked: Arc<AtomicU32>,
}

impl Broken {
    fn fail<T: Send + 'static>(&self) -> BoxFuture<'static, Result<T>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.hangs {
            true => Box::pin(pending()),
            false => Box::pin(async { Err(Error::new(ErrorKind::Ledger, "down")) }),
        }
    }
}

impl SharedState for Broken {
    fn take<'a>(
        &'a self,
        _: &'a [(Quota, u64)],
    ) -> BoxFuture<'a, Result<Result<Taken, QuotaExceeded>>> {
        self.fail()
    }

    fn give_back(&self, _: &[(Quota, u64)], _: u64) -> BoxFuture<'static, Result<()>> {
        self.fail()
    }

    fn mark(&self, _: &str, _: Duration) -> BoxFuture<'static, Result<()>> {
        self.fail()
    }

    fn marks(&self, _: &[String]) -> BoxFuture<'static, Result<Vec<Duration>>> {
        self.fail()
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_fails_or_hangs_changes_nothing() {
    let mut outcomes = Vec::new();
    for hangs in [None, Some(false), Some(true)] {
        let tracker = tracker();
        let fates = Mutex::new(vec![Fate::Limited(5 * SECOND); 1]);
        let (first, provider) = target("first", &tracker, move || {
            fates.lock().unwrap().pop().unwrap_or(Fate::Answered)
        });
        let (second, _) = target("second", &tracker, metered());
        let mut builder = Router::builder().target(first).target(second.priority(1));
        let asked = Arc::new(AtomicU32::new(0));
        if let Some(hangs) = hangs {
            let asked = asked.clone();
            builder = builder.shared_state(Broken { hangs, asked });
        }
        let router = builder.build().unwrap();
        let start = Instant::now();
        let mut outcome = Vec::new();
        for n in 0..40 {
            let request = Request::new().user("hi").max_tokens(5);
            let reply = router.chat(request.conversation(n.to_string())).await;
            let reply = reply.unwrap();
            let target = attempts(&reply).last().unwrap().0.to_owned();
            outcome.push((target, start.elapsed().as_millis()));
            sleep(SECOND / 5).await;
        }
        assert_eq!(state(&router), TargetState::Ready);
        // It is asked at most every 500 ms, however many calls there are.
        let most = 1 + start.elapsed().as_millis() / 500;
        assert!(u128::from(asked.load(Ordering::Relaxed)) <= most);
        assert_eq!(asked.load(Ordering::Relaxed) > 0, hangs.is_some());
        outcomes.push((outcome, provider.arrivals().len()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_exchanged_while_no_calls_are_made() {
    let (target, _) = target("only", &tracker(), || Fate::Answered);
    let asked = Arc::new(AtomicU32::new(0));
    let state = Broken {
        hangs: false,
        asked: asked.clone(),
    };
    let router = Router::builder().target(target).shared_state(state);
    let router = router.build().unwrap();
    let count = || asked.load(Ordering::Relaxed);
    ask(&router).await.unwrap();
    sleep(20 * SECOND).await;
    let before = count();
    assert!(before > 10, "{before}");
    sleep(100 * SECOND).await;
    assert_eq!(count(), before);
    ask(&router).await.unwrap();
    sleep(SECOND).await;
    assert!(count() > before);
}
