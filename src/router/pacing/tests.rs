use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

fn requests(limit: &str, remaining: &str, reset: &str) -> HeaderMap {
    headers(&[
        ("x-ratelimit-limit-requests", limit),
        ("x-ratelimit-remaining-requests", remaining),
        ("x-ratelimit-reset-requests", reset),
    ])
}

#[test]
fn durations_are_read_in_every_form() {
    for (text, ms) in [
        ("6m0s", Some(360_000)),
        ("120ms", Some(120)),
        ("1.5s", Some(1500)),
        ("1h2m3s", Some(3_723_000)),
        ("2m59.56s", Some(179_560)),
        ("60", Some(60_000)),
        ("1d", Some(86_400_000)),
        ("2026-11-26T04:00:01Z", None),
        ("soon", None),
        ("-1s", None),
    ] {
        let expected = ms.map(Duration::from_millis);
        assert_eq!(duration(text), expected, "{text}");
    }
}

/// Limits of a model that one call has learnt.
fn learnt(headers: &HeaderMap, at: Instant) -> Pacing {
    let mut pacing = Pacing::default();
    let call = sent(&mut pacing, "m", at);
    pacing.update(&call, headers, at);
    pacing.end(&call, at);
    pacing
}

fn unsent(model: &str) -> Taken {
    Taken {
        model: model.to_owned(),
        need: Need::default(),
        sent: None,
    }
}

/// Sends a request.
fn sent(pacing: &mut Pacing, model: &str, at: Instant) -> Taken {
    let mut call = unsent(model);
    pacing.take(model, &call.need, at);
    call.sent = Some(at);
    call
}

#[test]
fn a_response_that_comes_after_a_later_request_has_ended_changes_nothing() {
    const SECOND: Duration = Duration::from_secs(1);
    let now = Instant::now();
    let mut pacing = learnt(&requests("60", "59", "1s"), now);
    let first = sent(&mut pacing, "m", now + SECOND);
    let second = sent(&mut pacing, "m", now + SECOND);
    pacing.update(&second, &requests("60", "0", "60s"), now);
    pacing.end(&second, now);
    let delay = pacing.delay("m", &first.need, now);
    // The other one may not have been counted yet.
    pacing.update(&first, &requests("60", "58", "2s"), now);
    pacing.end(&first, now);
    assert_eq!(pacing.delay("m", &first.need, now), delay);
    assert!(!delay.is_zero());
    // Nor does a response that comes after the caller of a later request has left.
    let later = now + MAX_DELAY;
    let [first, second] = [(); 2].map(|()| sent(&mut pacing, "m", later));
    pacing.end(&second, later);
    pacing.update(&first, &requests("60", "0", "60s"), later);
    assert!(pacing.delay("m", &first.need, later).is_zero());
}

#[test]
fn calls_are_delayed_in_their_order_once_nothing_is_left() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let need = Need::default();
    // 60 a minute, one a second.
    let mut pacing = learnt(&requests("60", "2", "58s"), start);
    let delays = |pacing: &mut Pacing, n, now| {
        let delays = (0..n).map(|_| pacing.take("m", &need, now).as_millis());
        delays.collect::<Vec<_>>()
    };
    assert_eq!(delays(&mut pacing, 4, start), [0, 0, 1000, 2000]);
    assert_eq!(delays(&mut pacing, 1, at(1000)), [2000]);
    // One of those that wait leaves.
    pacing.end(&unsent("m"), at(1000));
    assert_eq!(delays(&mut pacing, 1, at(1000)), [2000]);
    // The response to one of the five need not count the other four.
    let one = Taken {
        sent: Some(at(1000)),
        ..unsent("m")
    };
    pacing.update(&one, &requests("60", "4", "56s"), at(1000));
    assert_eq!(delays(&mut pacing, 1, at(1000)), [1000]);
    assert_eq!(delays(&mut pacing, 1, at(60_000)), [0]);
    // Other models have limits of their own.
    assert_eq!(pacing.take("other", &need, start), Duration::ZERO);
}

#[test]
fn tokens_count_as_well_and_the_longest_delay_applies() {
    let start = Instant::now();
    let headers = headers(&[
        ("anthropic-ratelimit-requests-limit", "60"),
        ("anthropic-ratelimit-requests-remaining", "59"),
        ("anthropic-ratelimit-input-tokens-limit", "6000"),
        ("anthropic-ratelimit-input-tokens-remaining", "100"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-11-26T04:00:01Z",
        ),
    ]);
    let pacing = learnt(&headers, start);
    for (input_tokens, seconds) in [(100, 0), (200, 1), (6000, 59), (1_000_000, 59)] {
        let need = Need {
            input_tokens,
            output_tokens: 5,
        };
        let delay = pacing.delay("m", &need, start);
        assert_eq!(delay.as_secs(), seconds, "{input_tokens}");
    }
}

#[test]
fn implausible_values_are_ignored() {
    let start = Instant::now();
    for (limit, remaining, reset, is_known) in [
        ("60", "0", "60s", true),
        ("60", "0", "", true),
        ("-1", "-1", "60s", false),
        ("60", "-1", "60s", false),
        ("0", "0", "60s", false),
        ("60", "61", "60s", false),
        ("60", "0", "24h", false),
        ("1000", "0", "1d", false),
        ("many", "0", "60s", false),
    ] {
        let pacing = learnt(&requests(limit, remaining, reset), start);
        let delay = pacing.delay("m", &Need::default(), start);
        assert_eq!(!delay.is_zero(), is_known, "{limit} {remaining} {reset}");
        assert!(delay <= MAX_DELAY);
    }
}

#[test]
fn the_number_of_models_is_bounded_and_unknown_ones_are_forgotten() {
    let (mut pacing, now) = (Pacing::default(), Instant::now());
    for n in 0..1000 {
        let call = sent(&mut pacing, &n.to_string(), now);
        pacing.end(&call, now);
    }
    assert_eq!(pacing.models.len(), 0);
    for n in 0..1000 {
        let call = sent(&mut pacing, &n.to_string(), now);
        pacing.update(&call, &requests("60", "0", "60s"), now);
    }
    assert_eq!(pacing.models.len(), MAX_MODELS);
}
