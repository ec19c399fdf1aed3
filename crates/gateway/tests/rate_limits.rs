//! The limits of requests and tokens per minute of each key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use warmline::shared::{Quota, QuotaExceeded, SharedState, Taken};
use warmline::{BoxFuture, Client, CostTracker, Error, ErrorKind, Provider, Result};
use warmline_gateway::{ApiKeys, Gateway, GatewayBuilder};
use warmline_sim::{Config, Sim};

const KEY: &str = "alice-0123456789abcdef";
const MESSAGES: &str = "/v1/messages";
const CHAT: &str = "/v1/chat/completions";

struct Fixture {
    app: Router,
    sim: Sim,
}

impl Fixture {
    /// A gateway whose only key has these limits.
    async fn new(limits: Value) -> Self {
        Self::with(limits, |builder| builder).await
    }

    async fn with(limits: Value, change: impl Fn(GatewayBuilder) -> GatewayBuilder) -> Self {
        let sim = Sim::start(Config::default()).await.unwrap();
        let tracker = CostTracker::new();
        let mut builder = Gateway::builder();
        for (provider, url) in [
            (Provider::Anthropic, sim.anthropic_url()),
            (Provider::OpenAi, sim.openai_url()),
        ] {
            let client = Client::builder(provider).api_key("simulated").base_url(url);
            let client = client.no_proxy().cost_tracker(tracker.clone());
            builder = builder.client(client.build().unwrap());
        }
        let mut key = json!({"name": "alice", "key": KEY});
        let fields = key.as_object_mut().unwrap();
        fields.extend(limits.as_object().unwrap().clone());
        let keys = ApiKeys::from_json(&json!([key]).to_string()).unwrap();
        let gateway = change(builder.api_keys(keys)).build().unwrap();
        Self {
            app: gateway.router(),
            sim,
        }
    }

    async fn call(&self, path: &str, scenario: &str, more: Value) -> Response {
        let mut body = json!({"model": format!("m?{scenario}"), "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]});
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let request = Request::post(path).header("x-api-key", KEY);
        let request = request.body(Body::from(body.to_string())).unwrap();
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Calls, and returns the status and how many tokens are left.
    async fn left(&self, scenario: &str) -> (u16, u64) {
        let response = self.call(CHAT, scenario, json!({})).await;
        let left = number(&response, "x-ratelimit-remaining-tokens");
        let status = response.status().as_u16();
        response.into_body().collect().await.unwrap();
        (status, left)
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    let value = value.unwrap_or_else(|| panic!("no {name}: {:?}", response.headers()));
    value.to_str().unwrap()
}

fn number(response: &Response, name: &str) -> u64 {
    header(response, name).parse().unwrap()
}

async fn json_of(response: Response) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn parallel_calls_make_exactly_as_many_requests_as_are_allowed() {
    let fixture = Fixture::new(json!({"requests_per_minute": 5})).await;
    let calls = (0..40).map(|n| fixture.call([MESSAGES, CHAT][n % 2], "tokens=3", json!({})));
    let responses = join_all(calls).await;
    let allowed = responses.iter().filter(|response| response.status() == 200);
    assert_eq!(allowed.count(), 5);
    for (n, response) in responses.into_iter().enumerate() {
        let limits: &[(&str, &str)] = match n % 2 {
            0 => &[("anthropic-ratelimit-requests-limit", "5")],
            _ => &[("x-ratelimit-limit-requests", "5")],
        };
        for (name, value) in limits {
            assert_eq!(header(&response, name), *value);
        }
        if response.status() == 200 {
            assert!(response.headers().get("retry-after").is_none());
            continue;
        }
        assert_eq!(response.status(), 429);
        assert!((1..=60).contains(&number(&response, "retry-after")));
        match n % 2 {
            0 => {
                assert_eq!(
                    number(&response, "anthropic-ratelimit-requests-remaining"),
                    0
                );
                let reset = header(&response, "anthropic-ratelimit-requests-reset");
                assert!(reset.len() == 20 && reset.ends_with('Z'), "{reset}");
                let error = json_of(response).await;
                assert_eq!(error["type"], "error");
                assert_eq!(error["error"]["type"], "rate_limit_error");
            }
            _ => {
                assert_eq!(number(&response, "x-ratelimit-remaining-requests"), 0);
                assert!(header(&response, "x-ratelimit-reset-requests").ends_with('s'));
                let error = json_of(response).await;
                assert_eq!(error["error"]["code"], "rate_limit_exceeded");
                let message = error["error"]["message"].as_str().unwrap();
                assert!(message.contains("5 of the 5 requests"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_reserves_its_maximum_of_tokens_and_gives_back_the_rest() {
    let fixture = Fixture::new(json!({"tokens_per_minute": 600})).await;
    // A call can use a little more than 400. It is streamed, and has not ended.
    let stream = fixture.call(CHAT, "hold&tokens=3", json!({"stream": true}));
    let mut stream = Box::pin(stream);
    tokio::select! {
        _ = &mut stream => panic!("the reply is held"),
        _ = fixture.sim.wait_until(|stats| stats.active == 1) => {}
    }
    let second = fixture.call(MESSAGES, "tokens=3", json!({})).await;
    assert_eq!(second.status(), 429);
    assert!((100..250).contains(&number(&second, "anthropic-ratelimit-tokens-remaining")));
    assert_eq!(number(&second, "anthropic-ratelimit-tokens-limit"), 600);
    fixture.sim.release(1);
    let stream = stream.await;
    assert_eq!(stream.status(), 200);
    assert!((100..250).contains(&number(&stream, "x-ratelimit-remaining-tokens")));
    stream.into_body().collect().await.unwrap();
    // What is not used is there again at once, after streams and other replies.
    let (status, first) = fixture.left("tokens=3").await;
    assert_eq!(status, 200);
    let (status, second) = fixture.left("tokens=3").await;
    assert_eq!(status, 200);
    let used = first - second;
    assert!((1..50).contains(&used), "{used}");
}

#[tokio::test]
async fn a_call_that_was_not_processed_gives_all_tokens_back_and_one_that_was_cut_none() {
    let limits = json!({"tokens_per_minute": 2000, "requests_per_minute": 100});
    let fixture = Fixture::new(limits).await;
    let refused = fixture.call(CHAT, "status=400", json!({})).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 99);
    let (_, before) = fixture.left("status=400").await;
    assert_eq!(fixture.left("status=400").await.1, before);
    // A caller leaves: how much the model has written is not known.
    let stream = fixture
        .call(CHAT, "tokens=90&pace=5", json!({"stream": true}))
        .await;
    drop(stream);
    let (_, after) = fixture.left("status=400").await;
    assert!(before - after > 300, "{before} {after}");
    // So is a reply whose usage the provider does not tell.
    fixture.left("no-usage&tokens=3").await;
    let (_, last) = fixture.left("status=400").await;
    assert!(after - last > 300, "{after} {last}");
}

#[tokio::test]
async fn a_call_that_can_never_fit_is_refused_as_such() {
    let limits = json!({"tokens_per_minute": 300, "requests_per_minute": 1});
    let fixture = Fixture::new(limits).await;
    for path in [MESSAGES, CHAT] {
        let response = fixture.call(path, "", json!({"max_tokens": 5000})).await;
        assert_eq!(response.status(), 400);
        assert!(response.headers().get("retry-after").is_none());
        let error = json_of(response).await;
        assert_eq!(error["error"]["type"], "invalid_request_error");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("this key may use 300 in a minute"),
            "{message}"
        );
    }
    // It has not taken the request either.
    let (status, _) = fixture.left("tokens=1").await;
    assert_eq!(status, 400);
    let small = fixture
        .call(CHAT, "tokens=1", json!({"max_tokens": 1}))
        .await;
    assert_eq!(small.status(), 200, "{:?}", small.headers());
}

#[tokio::test]
async fn a_call_that_is_refused_before_it_is_sent_takes_nothing() {
    let limits =
        json!({"requests_per_minute": 1, "tokens_per_minute": 100_000, "budget": "0.000001"});
    let fixture = Fixture::new(limits).await;
    for _ in 0..3 {
        let response = fixture.call(CHAT, "", json!({"model": "gpt-4.1"})).await;
        assert_eq!(response.status(), 402);
    }
    assert_eq!(fixture.sim.stats().requests, 0);
    // A call that the provider has refused counts.
    let fixture = Fixture::new(json!({"requests_per_minute": 1})).await;
    for status in [400, 429] {
        let response = fixture.call(CHAT, "status=400", json!({})).await;
        assert_eq!(response.status(), status);
    }
    assert_eq!(fixture.sim.stats().requests, 1);
}

/// A state that cannot be reached.
struct Unreachable;

fn failed<T: Send + 'static>() -> BoxFuture<'static, Result<T>> {
    let error = Error::new(ErrorKind::Ledger, "the Redis at 10.0.0.7 is gone");
    Box::pin(std::future::ready(Err(error)))
}

impl SharedState for Unreachable {
    fn take<'a>(
        &'a self,
        _: &'a [(Quota, u64)],
    ) -> BoxFuture<'a, Result<Result<Taken, QuotaExceeded>>> {
        failed()
    }

    fn give_back(&self, _: &[(Quota, u64)], _: u64) -> BoxFuture<'static, Result<()>> {
        failed()
    }

    fn mark(&self, _: &str, _: Duration) -> BoxFuture<'static, Result<()>> {
        failed()
    }

    fn marks(&self, _: &[String]) -> BoxFuture<'static, Result<Vec<Duration>>> {
        failed()
    }
}

#[tokio::test]
async fn without_its_state_a_limited_key_cannot_call() {
    let broken = |builder: GatewayBuilder| builder.shared_state(Unreachable);
    let fixture = Fixture::with(json!({"requests_per_minute": 5}), broken).await;
    for path in [MESSAGES, CHAT] {
        let response = fixture.call(path, "tokens=3", json!({})).await;
        assert_eq!(response.status(), 503);
        let error = json_of(response).await.to_string();
        assert!(
            error.contains("the ledger") && !error.contains("10.0.0.7"),
            "{error}"
        );
    }
    // Keys without limits do not need it.
    let fixture = Fixture::with(json!({}), broken).await;
    let response = fixture.call(CHAT, "tokens=3", json!({})).await;
    assert_eq!(response.status(), 200);
    assert!(
        response
            .headers()
            .get("x-ratelimit-limit-requests")
            .is_none()
    );
}

#[test]
fn wrong_limits_name_the_field() {
    for (field, value) in [
        ("requests_per_minute", json!(0)),
        ("requests_per_minute", json!("5")),
        ("tokens_per_minute", json!(-1)),
        ("tokens_per_minute", json!(1.5)),
        ("tokens_per_minute", json!(u64::MAX)),
    ] {
        let keys = json!([{"name": "alice", "key": KEY, field: value}]);
        let error = ApiKeys::from_json(&keys.to_string())
            .unwrap_err()
            .to_string();
        let is_named = error.contains(field) || error.contains("the rate limits of alice");
        assert!(is_named, "{error}");
    }
}

#[tokio::test]
async fn counts_of_tokens_have_a_window_of_their_own() {
    let fixture = Fixture::new(json!({"requests_per_minute": 5, "tokens_per_minute": 5000})).await;
    for _ in 0..3 {
        for path in ["/v1/messages/count_tokens", "/v1/responses/input_tokens"] {
            let more = json!({"input": "Hi"});
            let response = fixture.call(path, "", more).await;
            let status = response.status().as_u16();
            if response.headers().contains_key("retry-after") {
                assert_eq!((status, path), (429, "/v1/responses/input_tokens"));
                let error = json_of(response).await.to_string();
                assert!(error.contains("5 of the 5 counts of tokens"), "{error}");
                continue;
            }
            assert_eq!(status, 200);
        }
    }
    assert_eq!(fixture.sim.stats().requests, 5);
    // They have taken nothing of the calls' limits.
    for _ in 0..5 {
        assert_eq!(fixture.left("tokens=1").await.0, 200);
    }
    assert_eq!(fixture.left("tokens=1").await.0, 429);
}
