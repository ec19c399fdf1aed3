#![allow(clippy::unwrap_used)]

use tokio::time::advance;

use super::*;

fn quota(name: &str, limit: u64) -> Quota {
    Quota::new(name, limit, Duration::from_secs(60)).unwrap()
}

/// Takes an amount, and returns the time until it fits if it does not.
async fn take(state: &MemoryState, quota: &Quota, amount: u64) -> Result<u64, Option<Duration>> {
    match state.take(&[(quota.clone(), amount)]).await.unwrap() {
        Ok(taken) => Ok(taken.states[0].used),
        Err(exceeded) => Err(exceeded.retry_after),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_is_taken_comes_back_after_the_period() {
    let (state, quota) = (MemoryState::default(), quota("q", 10));
    let wait = |seconds: u32| Err(Some(seconds * SECOND));
    // After so many seconds, an amount is taken, and this is the outcome.
    for (after, amount, expected) in [
        (0, 4, Ok(4)),
        (10, 6, Ok(10)),
        (0, 1, wait(50)),
        (0, 5, wait(60)),
        (0, 0, Ok(10)),
        (0, 11, Err(None)),
        (49, 1, wait(1)),
        (1, 4, Ok(10)),
        (0, 1, wait(10)),
        (10, 7, wait(50)),
        (0, 6, Ok(10)),
        (60, 10, Ok(10)),
    ] {
        advance(after * SECOND).await;
        assert_eq!(take(&state, &quota, amount).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_than_the_limit_and_the_whole_of_it_can_be_used() {
    let (state, quota) = (MemoryState::default(), quota("q", 30));
    let random = fastrand::Rng::with_seed(7);
    let mut random = random;
    let mut granted: Vec<(Duration, u64)> = Vec::new();
    let mut now = Duration::ZERO;
    for _ in 0..20_000 {
        let pause = Duration::from_millis(random.u64(0..800));
        advance(pause).await;
        now += pause;
        let amount = random.u64(1..=5);
        if take(&state, &quota, amount).await.is_ok() {
            granted.push((now, amount));
        }
    }
    let mut most = 0;
    for (i, (end, _)) in granted.iter().enumerate() {
        let within = granted[..=i].iter().rev();
        let within = within.take_while(|(at, _)| *at + 60 * SECOND > *end);
        let sum: u64 = within.map(|(_, amount)| amount).sum();
        assert!(sum <= 30, "{sum} in the minute before {end:?}");
        most = most.max(sum);
    }
    assert_eq!(most, 30);
    let total: u64 = granted.iter().map(|(_, amount)| amount).sum();
    let share = total as f64 / (now.as_secs_f64() / 60.0 * 30.0);
    assert!(share > 0.95, "only {share} of what is allowed was granted");
    // The memory is bounded by the number of slots.
    let text = format!("{state:?}");
    assert!(text.matches("number").count() <= 61, "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_can_be_taken_at_once_but_not_twice() {
    let (state, tokens) = (MemoryState::default(), quota("q", 10));
    let first = state.take(&[(tokens.clone(), 8)]).await.unwrap().unwrap();
    advance(5 * SECOND).await;
    state
        .give_back(&[(tokens.clone(), 6)], first.at)
        .await
        .unwrap();
    assert_eq!(take(&state, &tokens, 8).await, Ok(10));
    assert_eq!(take(&state, &tokens, 2).await, Err(Some(55 * SECOND)));
    advance(60 * SECOND).await;
    // It has come back by itself.
    state
        .give_back(&[(tokens.clone(), 2)], first.at)
        .await
        .unwrap();
    assert_eq!(take(&state, &tokens, 10).await, Ok(10));
    assert_eq!(take(&state, &tokens, 1).await, Err(Some(60 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn unused_quotas_and_ended_marks_need_no_memory() {
    let state = MemoryState::default();
    for n in 0..1000 {
        take(&state, &quota(&format!("q{n}"), 1), 1).await.unwrap();
        state.mark(&format!("m{n}"), SECOND).await.unwrap();
        advance(SECOND).await;
    }
    let text = format!("{state:?}");
    assert!(text.matches("number").count() <= 61, "{text}");
    assert!(text.matches("\"m").count() <= 2, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_mark_lasts_a_year_at_most() {
    let state = MemoryState::default();
    state.mark("m", Duration::MAX).await.unwrap();
    let left = state.marks(&["m".to_owned()]).await.unwrap();
    assert_eq!(left, [365 * 86_400 * SECOND]);
}

#[test]
fn wrong_quotas_are_refused() {
    for (limit, period, message) in [
        (
            1 << 53,
            SECOND,
            "a quota's limit is 9007199254740992: it must be at most 9007199254740991",
        ),
        (
            1,
            Duration::ZERO,
            "a quota's period is 0ns: it must be from 1 ms to 24 hours",
        ),
        (
            1,
            86_401 * SECOND,
            "a quota's period is 86401s: it must be from 1 ms to 24 hours",
        ),
    ] {
        assert_eq!(
            Quota::new("q", limit, period).unwrap_err().message(),
            message
        );
    }
}
