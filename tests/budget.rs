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

#[tokio::test]
async fn parallel_calls_never_exceed_the_limit() {
    let sim = sim().await;
    let client = client(&sim, priced(tracker("0.1"), &["hold"]));
    let calls: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { client.chat(ask("hold")).await }
            })
        })
        .collect();
    sim.wait_until(|stats| stats.holding > 0).await;
    // Calls are sent as far as the sum of their bounds fits. The others fail at once, before anything is sent.
    sim.release(200);
    let (mut done, mut refused) = (0, 0);
    for reply in join_all(calls).await {
        match reply.unwrap() {
            Ok(_) => done += 1,
            Err(error) => {
                let ErrorKind::BudgetExceeded {
                    limit,
                    spent,
                    reserved,
                    needed,
                } = error.kind()
                else {
                    panic!("{error}");
                };
                assert!(*spent + *reserved + *needed > *limit, "{error}");
                assert_eq!(error.attempts().len(), 0);
                refused += 1;
            }
        }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    assert_eq!(sim.stats().requests, done);
    assert!(billed(&sim) <= usd("0.1"));
    assert_eq!(state(&client).await, (billed(&sim), Usd::ZERO));
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
    let (_, both) = state(&client).await;
    queued.abort();
    let _ = queued.await;
    let (spent, one) = state(&client).await;
    assert_eq!((spent, one * 2), (Usd::ZERO, both));
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
