//! Costs, and budgets within one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};

use common::money::{MODEL, ask, billed, client, priced, state, tracker, usd};
use common::sim;
use futures_util::future::join_all;
use warmline::{
    Budget, Client, CostTracker, ErrorKind, Limits, Price, Provider, Request, StreamEvent, Usd,
};

#[tokio::test]
async fn a_reply_has_its_cost_and_the_tracker_sums_costs_up() {
    let sim = sim().await;
    let client = client(&sim, tracker("1"));
    let request = || Request::new().model(MODEL).user("Hello").max_tokens(10);
    let unary = client.chat(request()).await.unwrap();
    let cost = unary.cost.unwrap();
    assert_eq!(
        cost.usd,
        Price::lookup("anthropic", MODEL)
            .unwrap()
            .cost(&unary.usage)
    );
    assert!(!cost.estimated && cost.usd > Usd::ZERO);
    let streamed = client.stream(request()).into_reply().await.unwrap();
    assert_eq!(streamed.cost, unary.cost);
    let spend = client.cost_tracker().spend().await.unwrap();
    assert_eq!(spend.total, cost.usd * 2);
    assert_eq!((spend.models[0].calls, spend.models[0].failures), (2, 0));
    assert_eq!(
        spend.models[0].usage.output_tokens,
        unary.usage.output_tokens * 2
    );
    assert_eq!(state(&client).await, (cost.usd * 2, Usd::ZERO));
    assert_eq!(billed(&sim), spend.total);
}

/// Two hundred calls at once over ten connections, whose maximum costs together are a multiple of the budget.
#[tokio::test(start_paused = true)]
async fn parallel_calls_wait_for_what_others_have_reserved_and_all_that_fit_are_answered() {
    let sim = sim().await;
    let limit = usd("0.5");
    let scenario = "delay=1000&tokens=10";
    let tracker =
        priced(CostTracker::new(), &[scenario]).budget(Budget::monthly("test", limit).unwrap());
    let client = Client::builder(Provider::Anthropic)
        .api_key("test-key")
        .base_url(sim.anthropic_url())
        .no_proxy()
        .cost_tracker(tracker)
        .build()
        .unwrap();
    // Each reserves about $0.1, and costs about $0.0002.
    let request = || ask(scenario).max_tokens(6_000);
    let replies = join_all((0..200).map(|_| client.chat(request()))).await;
    for reply in replies {
        let reply = reply.unwrap();
        assert_eq!(reply.attempts().len(), 1);
    }
    assert_eq!((sim.stats().requests, sim.stats().aborted), (200, 0));
    assert!(billed(&sim) < usd("0.1"));
    assert_eq!(state(&client).await, (billed(&sim), Usd::ZERO));
}

#[tokio::test(start_paused = true)]
async fn calls_are_answered_until_the_budget_is_spent_and_then_refused_at_once() {
    let sim = sim().await;
    let client = client(&sim, priced(tracker("0.1"), &["delay=1000"]));
    let start = tokio::time::Instant::now();
    let request = || ask("delay=1000").max_tokens(400).user("x".repeat(9000));
    let replies = join_all((0..50).map(|_| client.chat(request()))).await;
    let (done, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
    for error in refused.iter().map(|error| error.as_ref().unwrap_err()) {
        let ErrorKind::BudgetExceeded {
            limit,
            spent,
            reserved,
            needed,
        } = error.kind()
        else {
            panic!("{error}");
        };
        // It would not have fitted even when nothing was reserved.
        assert!(*spent + *needed > *limit, "{error}");
        assert!(*spent + *reserved <= *limit, "{error}");
        assert!(error.attempts().is_empty());
    }
    assert!(!done.is_empty() && !refused.is_empty());
    assert_eq!(sim.stats().requests, done.len());
    assert!(billed(&sim) <= usd("0.1"));
    assert_eq!(state(&client).await, (billed(&sim), Usd::ZERO));
    assert!(start.elapsed() < std::time::Duration::from_secs(60));
    // What is left could not have paid for one more.
    let error = client.chat(request()).await.unwrap_err();
    assert_eq!(error.kind().name(), "budget_exceeded");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_budget_holds_no_connection_and_gives_up_after_pool_timeout() {
    let sim = sim().await;
    let tracker = priced(tracker("0.01"), &["hold", "tokens=1"]);
    let client = client(&sim, tracker);
    let holding = tokio::spawn({
        let client = client.clone();
        async move { client.chat(ask("hold").max_tokens(400)).await }
    });
    sim.wait_until(|stats| stats.holding == 1).await;
    let second = std::time::Duration::from_secs(1);
    let start = tokio::time::Instant::now();
    let waiting = ask("tokens=1").max_tokens(400).pool_timeout(5 * second);
    let waiting = client.chat(waiting);
    // A call without a budget is not delayed.
    let free = client.with_cost_tracker(priced(CostTracker::new(), &["tokens=1"]));
    let (waited, free) = futures_util::future::join(waiting, free.chat(ask("tokens=1"))).await;
    free.unwrap();
    let error = waited.unwrap_err();
    assert_eq!(
        (error.kind().name(), start.elapsed()),
        ("budget_exceeded", 5 * second)
    );
    assert!(error.message().contains("no room within 5s"), "{error}");
    assert_eq!((client.stats().waiting, client.stats().active), (0, 1));
    // A deadline ends the wait too, and the budget is named as the cause.
    let waiting = ask("tokens=1").max_tokens(400).deadline(3 * second);
    let error = client.chat(waiting).await.unwrap_err();
    assert_eq!(
        (error.kind().name(), error.attempts().len()),
        ("budget_exceeded", 0)
    );
    assert!(
        error
            .message()
            .contains("no room before the deadline of 3s"),
        "{error}"
    );
    // One that waits long enough is answered as soon as the other is settled.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.chat(ask("tokens=1").max_tokens(400)).await }
    });
    tokio::time::sleep(10 * second).await;
    assert_eq!((client.stats().waiting, client.stats().active), (0, 1));
    sim.release(1);
    holding.await.unwrap().unwrap();
    let reply = waiting.await.unwrap().unwrap();
    assert!(reply.timing.queued >= 10 * second, "{:?}", reply.timing);
}

#[tokio::test]
async fn a_call_that_may_have_been_billed_is_charged_its_bound_and_a_refused_one_is_not_charged() {
    let sim = sim().await;
    let scenarios = [
        "status=400",
        "status=503&times=2",
        "fault=reset&at=head",
        "tokens=10&fault=close&at=event&after=3",
    ];
    for (scenario, attempts_charged) in scenarios.into_iter().zip([0, 0, 4, 1]) {
        let client = client(&sim, priced(tracker("10"), &scenarios));
        let mut stream = client.stream(ask(scenario));
        let mut cost = Usd::ZERO;
        while let Some(event) = stream.next().await {
            if let Ok(StreamEvent::Done { reply }) = event {
                cost = reply.cost.unwrap().usd;
            }
        }
        drop(stream);
        let (spent, reserved) = state(&client).await;
        assert_eq!(reserved, Usd::ZERO, "{scenario}");
        // The bound counts each byte of the body as a token, plus a margin, and all of max_tokens.
        let least = Price::lookup("anthropic", MODEL).unwrap().output * 10 * attempts_charged;
        match attempts_charged {
            0 => assert_eq!(spent, cost, "{scenario}"),
            _ => assert!(spent > least, "{scenario}: {spent}"),
        }
    }
}

#[tokio::test]
async fn a_dropped_call_is_charged_only_if_it_was_sent() {
    let sim = sim().await;
    let tracker = priced(tracker("10"), &["hold"]);
    let limits = Limits {
        max_connections: 1,
        max_keepalive_connections: 1,
        ..Limits::default()
    };
    let builder = Client::builder(Provider::Anthropic)
        .api_key("test-key")
        .no_proxy()
        .limits(limits);
    let client = builder
        .base_url(sim.anthropic_url())
        .cost_tracker(tracker)
        .build()
        .unwrap();
    let call = |client: Client| tokio::spawn(async move { client.chat(ask("hold")).await });
    let sent = call(client.clone());
    sim.wait_until(|stats| stats.holding == 1).await;
    let queued = call(client.clone());
    while client.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    // A call that waits for a connection has reserved nothing.
    let (spent, one) = state(&client).await;
    queued.abort();
    let _ = queued.await;
    assert_eq!(state(&client).await, (spent, one));
    assert!(spent == Usd::ZERO && one > Usd::ZERO);
    sent.abort();
    let _ = sent.await;
    assert_eq!(state(&client).await, (one, Usd::ZERO));
}

#[tokio::test]
async fn an_unknown_model_has_the_highest_price_and_an_estimated_cost() {
    let sim = sim().await;
    let client = client(&sim, tracker("1"));
    let reply = client
        .chat(Request::new().model("claude-nobody-knows").user("Hello"))
        .await
        .unwrap();
    let cost = reply.cost.unwrap();
    assert!(cost.estimated);
    assert!(
        cost.usd
            >= Price::lookup("anthropic", MODEL)
                .unwrap()
                .cost(&reply.usage)
    );
}

#[tokio::test]
async fn each_threshold_raises_one_alert() {
    let sim = sim().await;
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let list = alerts.clone();
    let tracker = tracker("0.03").on_alert(move |alert| list.lock().unwrap().push(alert.percent));
    let client = client(&sim, tracker.thresholds([25, 10]));
    let request = || {
        Request::new()
            .model(MODEL)
            .user("x".repeat(2000))
            .max_tokens(600)
    };
    while client.chat(request()).await.is_ok() {}
    let alerts = alerts.lock().unwrap().clone();
    assert!(
        !alerts.is_empty() && alerts.is_sorted() && alerts[0] == 10,
        "{alerts:?}"
    );
    assert_eq!(
        alerts.len(),
        alerts
            .iter()
            .collect::<std::collections::HashSet<_>>()
            .len()
    );
}

#[tokio::test]
async fn a_call_must_fit_into_every_budget() {
    let sim = sim().await;
    let tracker = tracker("10").budget(Budget::monthly("team", usd("0.000001")).unwrap());
    let client = client(&sim, tracker);
    let error = client.chat(ask("tokens=1")).await.unwrap_err();
    assert!(error.to_string().contains("the budget \"team\""), "{error}");
    // The setting is that of the budget `default` only.
    assert_eq!(
        error.hint(),
        Some("lower max_tokens, or raise the budget \"team\"")
    );
    assert_eq!(state(&client).await, (Usd::ZERO, Usd::ZERO));
}

#[tokio::test]
async fn a_tag_has_its_own_budget_within_the_total() {
    let sim = sim().await;
    let whole = client(&sim, tracker("10"));
    let team = |name, limit| {
        let budget = Budget::monthly(name, usd(limit)).unwrap();
        whole.with_cost_tracker(whole.cost_tracker().clone().budget(budget))
    };
    let (poor, rich) = (team("poor", "0.000001"), team("rich", "1"));
    assert!(poor.chat(ask("tokens=1")).await.is_err());
    let cost = rich.chat(ask("tokens=1")).await.unwrap().cost.unwrap().usd;
    assert_eq!(state(&whole).await, (cost, Usd::ZERO));
    let of_rich = rich.cost_tracker().spend().await.unwrap().budgets;
    assert_eq!((of_rich[1].name.as_str(), of_rich[1].spent), ("rich", cost));
    // The clients share a pool, so they open at most two connections.
    assert!(sim.stats().total <= 1);
}

/// Makes sequential calls with the same body. Each costs most of the budget if a server parses it as leniently as some do.
#[tokio::test]
async fn ambiguous_json_does_not_overspend_a_budget() {
    let accepted = [
        r#""max_tokens": 60, "max_completion_tokens": 1"#,
        r#""max_tokens": 60"#,
        r#""max_tokens": 6e1"#,
        r#""max_tokens": 60.0"#,
        r#""max_tokens": 1, "max_completion_tokens": 60"#,
        r#""max_tokens": 6, "n": 10"#,
        r#""max_tokens": 6, "n": 1e1"#,
        r#""max_tokens": 6, "n": 10.0, "stream": true"#,
        r#""max_tokens": 6, "n": 1, "best_of": 10"#,
        r#""max_tokens": 1, "n_predict": 60"#,
        r#""max_tokens": 1, "max_new_tokens": 60"#,
    ];
    let refused = [
        r#""max_tokens": 1, "max_tokens": 60"#,
        r#""max_tokens": 60, "max_tokens": 1"#,
        r#""max_tokens": 1, "max\u005ftokens": 60"#,
        r#""max_tokens": 1, "MAX_TOKENS": 60"#,
        r#""max_tokens": "60""#,
        r#""max_tokens": 1, "max_completion_tokens": "60""#,
        r#""max_tokens": 6, "n": "10""#,
        r#""max_tokens": 6, "n": 10.5"#,
        r#""max_tokens": -1"#,
    ];
    let both = [(&accepted[..], true), (&refused[..], false)];
    let bodies = both.map(|(bodies, goes)| bodies.iter().map(move |body| (body, goes)));
    for (limits, goes) in bodies.into_iter().flatten() {
        let sim = sim().await;
        // Sixty tokens cost 0.90 dollars.
        let rate = usd("15000");
        let model = "m?lenient&tokens=60";
        let tracker = CostTracker::new()
            .budget(Budget::monthly("test", usd("1")).unwrap())
            .price(model, Price::per_million(Usd::ZERO, rate));
        let client = Client::builder(Provider::OpenAi)
            .api_key("test-key")
            .base_url(sim.openai_url())
            .no_proxy()
            .cost_tracker(tracker)
            .build()
            .unwrap();
        let body = format!(
            r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "x"}}], {limits}}}"#
        );
        let mut kinds = Vec::new();
        for _ in 0..3 {
            match client.passthrough(body.clone(), []).await {
                Ok(mut reply) => {
                    while let Some(bytes) = reply.chunk().await {
                        bytes.unwrap();
                    }
                    kinds.push("done");
                }
                Err(error) => kinds.push(error.kind().name()),
            }
        }
        let billed = Price::per_million(Usd::ZERO, rate).output * sim.stats().output_tokens;
        assert!(billed <= usd("1"), "${billed} were billed for {limits}");
        let expected = match goes {
            true => ["done", "budget_exceeded", "budget_exceeded"],
            false => ["config"; 3],
        };
        assert_eq!(kinds, expected, "{limits}");
        assert_eq!(state(&client).await, (billed, Usd::ZERO), "{limits}");
    }
}

/// Starts a stream, and drops it after some pieces of text.
async fn press_stop(client: &Client, request: Request, pieces: usize) {
    let mut stream = client.stream(request);
    let mut texts = 0;
    while texts < pieces {
        let event = stream.next().await.unwrap().unwrap();
        texts += usize::from(matches!(event, StreamEvent::Text { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_stream_is_charged_what_can_have_been_written_and_no_more() {
    const PRESSES: usize = 18;
    // The model writes 50 tokens a second, of which 100 are read.
    let scenario = "tokens=5000&pace=20&flush";
    let request = || ask(scenario).max_tokens(20_000);
    for (strict, most) in [(false, "0.5"), (true, "10")] {
        let mut tracker = priced(tracker("10"), &[scenario]);
        if strict {
            tracker = tracker.strict();
        }
        let sim = sim().await;
        let client = client(&sim, tracker);
        for _ in 0..PRESSES {
            press_stop(&client, request(), 100).await;
        }
        sim.wait_until(|stats| stats.active == 0).await;
        let spend = client.cost_tracker().spend().await.unwrap();
        let cost = billed(&sim);
        assert!(
            cost <= spend.total && spend.total < usd(most),
            "{cost} {spend:?}"
        );
        // Each reserves at least $0.30.
        assert_eq!(spend.total > usd("5"), strict, "{spend:?}");
        assert_eq!(
            (spend.estimated, spend.budgets[0].spent),
            (spend.total, spend.total)
        );
        assert_eq!(spend.models[0].failures, PRESSES as u64);
        // A complete reply is exact.
        let reply = client
            .chat(Request::new().model(MODEL).user("Hi"))
            .await
            .unwrap();
        let after = client.cost_tracker().spend().await.unwrap();
        assert_eq!(after.total, spend.total + reply.cost.unwrap().usd);
        assert_eq!(after.estimated, spend.total);
    }
}

#[tokio::test(start_paused = true)]
async fn providers_that_bill_on_after_a_disconnect_are_charged_the_reservation() {
    let sim = sim().await;
    let model = "m?tokens=900&pace=20&flush&bills-on";
    let price = Price::per_million(usd("1"), usd("100"));
    for (provider, bills_on) in [(Provider::Groq, true), (Provider::XAi, false)] {
        let tracker = tracker("10").price(model, price);
        let client = Client::builder(provider)
            .api_key("k")
            .base_url(sim.openai_url())
            .no_proxy()
            .cost_tracker(tracker)
            .build()
            .unwrap();
        let before = sim.stats();
        press_stop(
            &client,
            Request::new().model(model).user("Hi").max_tokens(5_000),
            10,
        )
        .await;
        let stats = sim.wait_until(|stats| stats.active == 0).await;
        let billed = price.input * (stats.input_tokens - before.input_tokens)
            + price.output * (stats.output_tokens - before.output_tokens);
        assert_eq!(stats.output_tokens - before.output_tokens, 900);
        let spent = state(&client).await.0;
        let reserved = price.output * 5_000;
        assert_eq!(provider.bills_after_disconnect(), bills_on);
        assert_eq!(spent > reserved, bills_on, "{spent}");
        assert!(billed <= spent, "{billed} billed, {spent} charged");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_while_the_model_thinks_is_charged_for_that_time() {
    let sim = sim().await;
    let scenario = "delay=60000";
    let client = client(&sim, priced(tracker("10"), &[scenario]));
    let request = || ask(scenario).max_tokens(64_000);
    let seconds = |n| std::time::Duration::from_secs(n);
    let stopped = tokio::time::timeout(seconds(3), client.stream(request()).into_reply()).await;
    assert!(stopped.is_err());
    let output = Price::lookup("anthropic", MODEL).unwrap().output;
    let speed = u64::from(Provider::Anthropic.max_output_speed());
    let (spent, reserved) = state(&client).await;
    assert!(
        spent >= output * (3 * speed) && spent < output * (5 * speed),
        "{spent}"
    );
    assert_eq!(reserved, Usd::ZERO);
    // An unstreamed reply is written to its end, whether its caller is there or not.
    let stopped = tokio::time::timeout(seconds(3), client.chat(request())).await;
    assert!(stopped.is_err());
    assert!(state(&client).await.0 > spent + output * 64_000);
}
