//! Retries and timeouts, end to end against the simulator's faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ask, builder, client, sim};
use tokio::time::Instant;
use warmline::{Client, Error, ErrorKind, Provider, RetryPolicy, StreamEvent};
use warmline_sim::Sim;

/// A client with the default policy, but short delays.
fn quick(sim: &Sim) -> Client {
    let policy = RetryPolicy {
        base: Duration::from_millis(2),
        cap: Duration::from_millis(4),
        ..RetryPolicy::default()
    };
    builder(sim).retry(policy).build().unwrap()
}

#[tokio::test]
async fn temporary_failures_are_retried_until_they_pass() {
    for scenario in [
        "status=408",
        "status=409",
        "status=429",
        "status=500",
        "status=502",
        "status=503",
        "status=529",
        "fault=reset",
        "fault=close",
        "fault=reset&at=mid-head",
        "fault=close&at=mid-head",
        "fault=reset&at=body",
        "fault=close&at=body",
        "status=400&x-should-retry=true",
    ] {
        let sim = sim().await;
        let reply = quick(&sim)
            .chat(ask(&format!("{scenario}&times=2&tokens=1")))
            .await;
        assert_eq!(reply.unwrap().attempts().len(), 3, "{scenario}");
        assert_eq!(sim.stats().requests, 3, "{scenario}");
    }
}

#[tokio::test]
async fn a_stream_is_retried_only_before_its_first_content() {
    for scenario in [
        "error-event",
        "fault=reset&at=body",
        "fault=close&at=body",
        "fault=close&at=event",
        "status=529",
    ] {
        let sim = sim().await;
        let client = quick(&sim);
        let reply = client
            .stream(ask(&format!("{scenario}&times=2&tokens=4")))
            .into_reply()
            .await
            .unwrap();
        assert_eq!(
            (reply.attempts().len(), reply.usage.output_tokens),
            (3, 4),
            "{scenario}"
        );

        let mut stream = client.stream(ask(&format!("{scenario}&after=1&tokens=4&times=2")));
        if scenario.starts_with("status") {
            continue;
        }
        let mut texts = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(StreamEvent::Text { .. }) => texts += 1,
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(
            (texts, error.attempts().len()),
            (1, 1),
            "{scenario}: {error}"
        );
        assert!(stream.next().await.is_none(), "{scenario}");
        assert_eq!(sim.stats().requests, 4, "{scenario}");
    }
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    for (scenario, kind) in [
        ("status=400", "status"),
        ("status=401", "status"),
        ("status=404", "status"),
        ("status=429&type=insufficient_quota", "status"),
        ("status=503&x-should-retry=false", "overloaded"),
        ("status=429&retry-after=61", "rate_limited"),
        ("garbage=body", "decode"),
        ("garbage=head", "decode"),
        ("error-event&type=invalid_request_error", "status"),
    ] {
        let sim = sim().await;
        let error = quick(&sim).chat(ask(scenario)).await.unwrap_err();
        assert_eq!(
            (
                error.kind().name(),
                error.attempts().len(),
                sim.stats().requests
            ),
            (kind, 1, 1),
            "{scenario}: {error}"
        );
    }
}

#[tokio::test]
async fn the_providers_delay_is_observed() {
    for (header, at_least) in [("retry-after-ms=60", 60), ("retry-after=0.05", 50)] {
        let sim = sim().await;
        let start = Instant::now();
        client(&sim)
            .chat(ask(&format!("status=429&{header}&times=1")))
            .await
            .unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(at_least),
            "{header}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn the_last_error_has_all_details() {
    let sim = sim().await;
    let error = quick(&sim)
        .chat(ask("status=529&message=too+much"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Overloaded);
    assert_eq!(
        (error.status(), error.code(), error.attempts().len()),
        (Some(529), Some("overloaded_error"), 4)
    );
    assert!(error.request_id().unwrap().starts_with("req_"));
    assert!(error.body().unwrap().contains("too much"));
    let text = error.to_string();
    for part in [
        "anthropic",
        "529 overloaded_error",
        "too much",
        "after 4 attempts",
        error.request_id().unwrap(),
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(sim.stats().requests, 4);
    assert_eq!(
        sim.stats().total,
        1,
        "error bodies were read, so that the connection stayed warm"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_and_an_error_hold_the_history_of_their_attempts() {
    let sim = sim().await;
    let scenario = "status=503&times=2&retry-after-ms=1500&delay=100&tokens=1";
    let reply = client(&sim).chat(ask(scenario)).await.unwrap();
    let history = |attempts: &[warmline::Attempt]| -> Vec<_> {
        let ms =
            |attempt: &warmline::Attempt| (attempt.duration.as_millis(), attempt.delay.as_millis());
        attempts
            .iter()
            .map(|a| (a.kind.clone(), a.status, ms(a)))
            .collect()
    };
    let failed = |delay| (Some("overloaded".to_owned()), Some(503), (100, delay));
    assert_eq!(
        history(reply.attempts()),
        [failed(1500), failed(1500), (None, None, (0, 0))]
    );
    assert!(reply.attempts().iter().all(|a| a.request_id.is_some()));
    let error = client(&sim)
        .chat(ask("status=503&retry-after-ms=1500&delay=100"))
        .await
        .unwrap_err();
    assert_eq!(
        history(error.attempts()),
        [failed(1500), failed(1500), failed(1500), failed(0)]
    );
    assert!(
        format!("{error:?}").contains("duration: 100ms, delay: 1.5s"),
        "{error:?}"
    );
    assert!(error.is_retryable() && error.hint().unwrap().contains("overloaded"));
}

#[tokio::test]
async fn a_long_retry_after_fails_at_once() {
    let sim = sim().await;
    let error = client(&sim)
        .chat(ask("status=429&retry-after=120"))
        .await
        .unwrap_err();
    let long = Some(Duration::from_secs(120));
    assert_eq!(*error.kind(), ErrorKind::RateLimited { retry_after: long });
    assert_eq!(error.retry_after(), long);
    assert!(error.to_string().contains("120s"), "{error}");
}

#[tokio::test]
async fn a_call_that_waits_for_a_retry_can_be_dropped() {
    let sim = sim().await;
    let client = client(&sim);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.chat(ask("status=429&retry-after=50")).await }
    });
    // The response has been read and its connection is idle again, so the call is waiting for its retry.
    sim.wait_until(|s| s.requests == 1).await;
    common::stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting",
    )
    .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(sim.stats().requests, 1);
}

#[tokio::test]
async fn an_unreachable_server_is_a_connect_error_after_all_attempts() {
    let sim = sim().await;
    let client = quick(&sim);
    drop(sim);
    let error = client.chat(ask("")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts().len()),
        (&ErrorKind::Connect, 4)
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn many_failures_spend_the_retry_budget() {
    let sim = sim().await;
    let client = quick(&sim);
    let mut attempts = 0;
    let mut last = None;
    for _ in 0..60 {
        let error = client.chat(ask("status=503")).await.unwrap_err();
        attempts += error.attempts().len();
        last = Some(error);
    }
    // 500 tokens at five per retry allow one hundred retries.
    assert_eq!(attempts, 60 + 100);
    assert!(last.unwrap().to_string().contains("retry budget"));
}

fn timed_out(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::Timeout { which } => Some(which.name()),
        _ => None,
    }
}

#[tokio::test]
async fn each_phase_has_its_own_timeout() {
    let sim = sim().await;
    let impatient = |ms| {
        builder(&sim)
            .timeout(Duration::from_millis(ms))
            .retry(RetryPolicy::never())
            .build()
            .unwrap()
    };

    let error = impatient(40).chat(ask("hold")).await.unwrap_err();
    assert_eq!(timed_out(&error), Some("reply"), "{error}");

    let error = impatient(250).chat(ask("stall")).await.unwrap_err();
    assert_eq!(timed_out(&error), Some("reply"), "{error}");

    for pings in ["", "&pings"] {
        let mut stream = impatient(250).stream(ask(&format!("tokens=9&stall&after=2{pings}")));
        let error = loop {
            if let Err(error) = stream.next().await.unwrap() {
                break error;
            }
        };
        assert_eq!(timed_out(&error), Some("read"), "{pings} {error}");
        assert!(error.request_id().is_some());
    }

    // Content that keeps arriving may take longer than the timeout in total, and so may its reader.
    let mut stream = impatient(400).stream(ask("tokens=12&pace=50"));
    let mut texts = 0;
    while let Some(event) = stream.next().await {
        if let StreamEvent::Text { .. } = event.unwrap() {
            texts += 1;
        }
        if texts == 3 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    assert_eq!(texts, 12);
    sim.wait_until(|s| s.active == 0).await;
}

#[tokio::test]
async fn a_deadline_bounds_the_whole_call() {
    let sim = sim().await;
    let bounded = |ms| {
        builder(&sim)
            .deadline(Duration::from_millis(ms))
            .build()
            .unwrap()
    };

    let error = bounded(50).chat(ask("hold")).await.unwrap_err();
    assert_eq!(
        (timed_out(&error), error.attempts().len()),
        (Some("deadline"), 1),
        "{error}"
    );

    let error = bounded(50)
        .stream(ask("tokens=100&pace=5"))
        .into_reply()
        .await
        .unwrap_err();
    assert_eq!(timed_out(&error), Some("deadline"), "{error}");

    // A delay that would exceed the deadline is not started.
    let start = Instant::now();
    let error = bounded(5_000)
        .chat(ask("status=429&retry-after=20"))
        .await
        .unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(2) && error.to_string().contains("deadline"),
        "{error}"
    );
    assert_eq!(error.kind().name(), "rate_limited");
}

#[tokio::test]
async fn a_server_that_does_not_finish_its_handshake_is_a_connect_timeout() {
    // The listener accepts connections but never answers the TLS handshake.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let client = Client::builder(Provider::Anthropic)
        .api_key("k")
        .base_url(url)
        .no_proxy()
        .timeout(Duration::from_millis(40))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let error = client.chat("hello").await.unwrap_err();
    assert_eq!(timed_out(&error), Some("connect"), "{error}");
    assert_eq!(client.stats().open, Some(0));
}
