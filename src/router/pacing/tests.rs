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
    let none = Need::default();
    pacing.take("m", &none, at);
    pacing.update("m", &none, headers, at);
    pacing.end("m", &none, true, at);
    pacing
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
    pacing.end("m", &need, false, at(1000));
    assert_eq!(delays(&mut pacing, 1, at(1000)), [2000]);
    // The response to one of the five need not count the other four.
    pacing.update("m", &need, &requests("60", "4", "56s"), at(1000));
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
    let (mut pacing, need, now) = (Pacing::default(), Need::default(), Instant::now());
    for n in 0..1000 {
        pacing.take(&n.to_string(), &need, now);
        pacing.end(&n.to_string(), &need, true, now);
    }
    assert_eq!(pacing.models.len(), 0);
    for n in 0..1000 {
        pacing.take(&n.to_string(), &need, now);
        pacing.update(&n.to_string(), &need, &requests("60", "0", "60s"), now);
    }
    assert_eq!(pacing.models.len(), MAX_MODELS);
}
