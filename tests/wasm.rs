//! The crate as a Rust library on wasm32, without its JavaScript bindings. Runs in Node, or in a browser if
//! `WASM_BINDGEN_USE_BROWSER` is set. `cargo xtask test` starts the simulator and runs the tests in both.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use futures_util::future::join_all;
use js_sys::Function;
use warmline::{
    Budget, Client, CostTracker, ErrorKind, Provider, Request, RestLedger, RetryPolicy,
    StreamEvent, TimeoutKind, Usd,
};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use wasm_bindgen_test::wasm_bindgen_test;

/// The URL of the simulator, which `cargo xtask test` sets.
const SIM: Option<&str> = option_env!("WARMLINE_SIM");

fn client(provider: Provider) -> Client {
    let base = SIM.expect("set WARMLINE_SIM to the simulator's address, or run `cargo xtask test`");
    let base = match provider {
        Provider::OpenAi => format!("{base}/v1"),
        _ => base.to_owned(),
    };
    let retry = RetryPolicy {
        base: Duration::from_millis(5),
        ..RetryPolicy::default()
    };
    let builder = Client::builder(provider)
        .api_key("test-key-1234")
        .base_url(base);
    builder.retry(retry).build().unwrap()
}

fn ask(scenario: &str) -> Request {
    Request::new()
        .model(format!("wasm?{scenario}"))
        .user("Hello")
}

#[wasm_bindgen_test]
async fn a_chat_in_both_dialects() {
    for provider in [Provider::Anthropic, Provider::OpenAi] {
        let reply = client(provider).chat(ask("tokens=5")).await.unwrap();
        assert!(!reply.text().is_empty());
        assert_eq!(reply.usage.output_tokens, 5);
        assert_eq!(reply.attempts().len(), 1);
    }
}

#[wasm_bindgen_test]
async fn a_stream_returns_its_events_and_then_the_reply() {
    for provider in [Provider::Anthropic, Provider::OpenAi] {
        let mut stream = client(provider).stream(ask("tokens=7"));
        let (mut text, mut whole) = (String::new(), None);
        while let Some(event) = stream.next().await {
            match event.unwrap() {
                StreamEvent::Text { text: piece } => text.push_str(&piece),
                StreamEvent::Done { reply } => whole = Some(reply),
                _ => {}
            }
        }
        assert_eq!(whole.unwrap().text(), text);
    }
}

#[wasm_bindgen_test]
async fn a_failure_is_retried_and_the_last_error_returned() {
    // Node and Chromium may share a simulator, which counts the requests of each scenario.
    let run = js_sys::Math::random();
    let reply = client(Provider::OpenAi)
        .chat(ask(&format!("status=503&times=2&id={run}")))
        .await;
    assert_eq!(reply.unwrap().attempts().len(), 3);
    let error = client(Provider::OpenAi)
        .chat(ask("status=400"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Status { status: 400, .. }),
        "{error}"
    );
    assert_eq!(error.attempts().len(), 1);
}

#[wasm_bindgen_test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let base = SIM.unwrap();
    let builder = Client::builder(Provider::Anthropic)
        .api_key("test-key-1234")
        .base_url(base);
    let client = builder
        .timeout(Duration::from_millis(100))
        .retry(RetryPolicy::never());
    let error = client.build().unwrap().chat(ask("hold")).await.unwrap_err();
    let head = ErrorKind::Timeout {
        which: TimeoutKind::Reply,
    };
    assert_eq!(*error.kind(), head, "{error}");
}

#[wasm_bindgen_test]
async fn concurrent_calls_get_their_own_replies_and_are_counted() {
    let client = client(Provider::Anthropic);
    let calls = (1..=20).map(|n| client.chat(ask(&format!("tokens={n}"))));
    for (n, reply) in (1..).zip(join_all(calls).await) {
        assert_eq!(reply.unwrap().usage.output_tokens, n);
    }
    let stats = client.stats();
    assert_eq!((stats.active, stats.peak, stats.open), (0, 20, None));
}

/// A `fetch` whose replies say this.
fn saying(text: &str) -> Function {
    Function::new_with_args(
        "url, init",
        &format!(
            "if (!(init.body instanceof Uint8Array) || !init.signal) throw new Error('what is sent');
            const message = {{ content: '{text} ' + init.method + ' ' + url + ' ' + init.headers.authorization }};
            return Response.json({{ choices: [{{ message, finish_reason: 'stop' }}] }});"
        ),
    )
}

#[wasm_bindgen_test]
async fn a_fetch_of_the_callers_sends_the_requests() {
    let builder = Client::builder(Provider::OpenAi)
        .api_key("key")
        .base_url("https://example.com/v1")
        .model("m");
    let client = builder.fetch(saying("first")).build().unwrap();
    let other = client.with_fetch(saying("second"));
    for (client, says) in [(&client, "first"), (&other, "second"), (&client, "first")] {
        let reply = client.chat("Hi").await.unwrap();
        let expected = "POST https://example.com/v1/chat/completions Bearer key";
        assert_eq!(reply.text(), format!("{says} {expected}"));
    }
    assert_eq!((client.stats().active, other.stats().peak), (0, 1));
}

#[wasm_bindgen_test]
async fn what_a_fetch_throws_or_returns_instead_of_a_response_is_an_error() {
    for (body, says) in [
        ("throw new Error('down')", "fetch failed: down"),
        (
            "return Promise.reject(new TypeError('down', { cause: new Error('refused') }))",
            "fetch failed: down: refused",
        ),
        ("return null", "fetch failed: it returned no Response"),
        ("return {}", "fetch failed: it returned no Response"),
        (
            "const response = new Response('x'); response.body.getReader(); return response",
            "in use",
        ),
    ] {
        let builder = Client::builder(Provider::OpenAi).api_key("key").model("m");
        let client = builder
            .fetch(Function::new_with_args("url, init", body))
            .retry(RetryPolicy::never());
        let error = client.build().unwrap().chat("Hi").await.unwrap_err();
        assert!(error.to_string().contains(says), "{body}: {error}");
    }
}

#[wasm_bindgen_test]
async fn a_dropped_stream_ends_its_call() {
    let client = client(Provider::OpenAi);
    let mut stream = client.stream(ask("tokens=1000&flush"));
    while !matches!(stream.next().await, Some(Ok(StreamEvent::Text { .. }))) {}
    assert_eq!(client.stats().active, 1);
    drop(stream);
    assert_eq!(client.stats().active, 0);
}

#[wasm_bindgen_test]
async fn a_budget_in_a_redis_over_rest() {
    let (url, token) = (
        option_env!("UPSTASH_REDIS_REST_URL"),
        option_env!("UPSTASH_REDIS_REST_TOKEN"),
    );
    let ledger = RestLedger::new(url.unwrap(), token.unwrap()).unwrap();
    let tracker = CostTracker::new()
        .budget(Budget::monthly("wasm", "100".parse().unwrap()).unwrap())
        .ledger(ledger.name("wasm-library").unwrap());
    let before = tracker.spend().await.unwrap().budgets.remove(0).spent;
    let client = client(Provider::Anthropic).with_cost_tracker(tracker.clone());
    // As a promise, which is how an application passes it to JavaScript.
    let promise = future_to_promise(async move {
        let calls = (0..5).map(|_| client.chat(ask("tokens=5")));
        let replies = join_all(calls).await.into_iter();
        let costs: Usd = replies.map(|reply| reply.unwrap().cost.unwrap().usd).sum();
        Ok(costs.to_string().into())
    });
    let costs = JsFuture::from(promise).await.unwrap();
    let costs: Usd = costs.as_string().unwrap().parse().unwrap();
    tracker.flush().await.unwrap();
    let spend = tracker.spend().await.unwrap();
    let budget = &spend.budgets[0];
    assert_eq!((budget.spent, budget.reserved), (before + costs, Usd::ZERO));
    assert_eq!(spend.unsettled, Usd::ZERO);
}
