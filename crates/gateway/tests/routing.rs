//! The targets of a gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use warmline::{Client, CostTracker, Provider, RetryPolicy, Target};
use warmline_gateway::{ApiKeys, Gateway};
use warmline_sim::{Config, ScriptedServer, Sim, Step};

const KEY: &str = "alice-0123456789abcdef";

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

fn client(sim: &Sim, provider: Provider, tracker: &CostTracker) -> Client {
    let client = Client::builder(provider).api_key("simulated").no_proxy();
    let client = client
        .base_url(sim.openai_url())
        .cost_tracker(tracker.clone());
    client.retry(RetryPolicy::never()).build().unwrap()
}

async fn call(app: &Router, model: &str) -> (u16, Value) {
    let body =
        json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]});
    send(app, Request::post("/v1/chat/completions"), body.to_string()).await
}

async fn send(app: &Router, request: axum::http::request::Builder, body: String) -> (u16, Value) {
    let request = request.header("host", "localhost").header("x-api-key", KEY);
    let response = app.clone().oneshot(request.body(Body::from(body)).unwrap());
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn stats(app: &Router) -> Value {
    let request = Request::get("/v1/llm/stats?samples=0");
    send(app, request, String::new()).await.1
}

#[tokio::test]
async fn the_only_client_of_a_model_is_called_whatever_it_answered_before() {
    let (openai, groq, tracker) = (sim().await, sim().await, CostTracker::new());
    let gateway = Gateway::builder()
        .client(client(&openai, Provider::OpenAi, &tracker))
        .client(client(&groq, Provider::Groq, &tracker));
    let app = gateway.build().unwrap().router();
    for n in 1..=5 {
        let (status, _) = call(&app, "openai/m?status=529&retry-after=30").await;
        assert_eq!((status, openai.stats().requests), (529, n));
    }
    assert_eq!(groq.stats().requests, 0);
    let stats = stats(&app).await;
    let target = &stats["providers"]["openai"]["target"];
    assert_eq!(
        (&target["state"], &target["calls"]),
        (&json!("ready"), &json!(5)),
        "{stats}"
    );
    assert_eq!(
        stats["providers"]["openai"]["calls"]["failed"], 5,
        "{stats}"
    );
}

#[tokio::test]
async fn a_router_can_be_replaced_and_callers_keep_what_they_have_spent() {
    let (first, second, tracker) = (sim().await, sim().await, CostTracker::new());
    let target = |sim, name: &str| {
        let target = Target::new(client(sim, Provider::OpenAi, &tracker)).name(name);
        target.model("fast", "gpt-4.1-mini")
    };
    let router = |target| warmline::Router::builder().target(target).build().unwrap();
    let keys = json!([{"name": "alice", "key": KEY, "budget": "1", "operator": true}]);
    let gateway = Gateway::builder()
        .router(router(target(&first, "first")))
        .api_keys(ApiKeys::from_json(&keys.to_string()).unwrap());
    let gateway = gateway.build().unwrap();
    let app = gateway.router();
    assert_eq!(call(&app, "fast").await.0, 200);
    let before = stats(&app).await;
    gateway.set_router(router(target(&second, "second")));
    let after = stats(&app).await;
    assert_eq!(before["spend"]["keys"], after["spend"]["keys"]);
    assert_ne!(after["spend"]["keys"][0]["total"], "0", "{after}");
    assert!(after["providers"]["first"].is_null(), "{after}");
    let (status, reply) = call(&app, "fast").await;
    assert_eq!((status, &reply["model"]), (200, &json!("gpt-4.1-mini")));
    assert_eq!((first.stats().requests, second.stats().requests), (1, 1));
    let last = stats(&app).await;
    let alice = &last["spend"]["keys"][0];
    assert_eq!(alice["total"], alice["budget"]["spent"], "{last}");
    assert_eq!(alice["total"], last["spend"]["total"], "{last}");
    assert_eq!(last["providers"]["second"]["calls"]["total"], 1, "{last}");
}

#[tokio::test]
async fn a_gateway_has_either_clients_or_a_router() {
    let (sim, tracker) = (sim().await, CostTracker::new());
    let client = || client(&sim, Provider::OpenAi, &tracker);
    let router = warmline::Router::builder().target(Target::new(client()));
    let both = Gateway::builder()
        .client(client())
        .router(router.build().unwrap());
    let error = both.build().unwrap_err().to_string();
    assert!(
        error.contains("make the clients targets of the router"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_is_counted_for_the_target_that_has_served_it_or_failed_last() {
    let (first, second, tracker) = (sim().await, sim().await, CostTracker::new());
    let target = |sim, provider, name: &str, model: &str| {
        let target = Target::new(client(sim, provider, &tracker)).name(name);
        target.model("fast", model)
    };
    let router = warmline::Router::builder()
        .retry(RetryPolicy::never())
        .target(target(&first, Provider::OpenAi, "first", "m?status=529"))
        .target(target(&second, Provider::Groq, "second", "m?hold&tokens=3").priority(1));
    let gateway = Gateway::builder().router(router.build().unwrap());
    let app = gateway.build().unwrap().router();
    let body = json!({"model": "fast", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/v1/chat/completions").header("host", "localhost");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = tokio::spawn(app.clone().oneshot(request));
    second.wait_until(|stats| stats.active == 1).await;
    second.release(1);
    // The caller leaves while the reply comes.
    drop(response.await.unwrap().unwrap());
    let counts = async || {
        let stats = stats(&app).await;
        ["first", "second"].map(|name| {
            let calls = &stats["providers"][name]["calls"];
            ["total", "under_way", "failed", "abandoned", "retries"]
                .map(|field| calls[field].as_u64().unwrap())
        })
    };
    assert_eq!(counts().await, [[0; 5], [1, 0, 0, 1, 1]]);
    let (status, _) = call(&app, "second/m?status=503").await;
    assert_eq!(status, 503);
    assert_eq!(counts().await, [[0; 5], [2, 0, 1, 1, 1]]);
    let request = Request::get("/metrics").header("host", "localhost");
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap());
    let body = response.await.unwrap().into_body();
    let text = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    for line in [
        r#"warmline_failures_total{gen_ai_provider_name="groq",error_type="abandoned"} 1"#,
        r#"warmline_failures_total{gen_ai_provider_name="groq",error_type="overloaded"} 1"#,
        r#"warmline_retries_total{gen_ai_provider_name="groq"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn models_are_listed_under_the_names_by_which_they_are_called() {
    let list = |ids: &[&str]| {
        let data: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        let body = json!({"object": "list", "data": data}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        vec![vec![Step::Write(head + &body)]]
    };
    let us = ScriptedServer::start(list(&[
        "gpt-4.1",
        "text-embedding-3-small",
        "ft:mine",
        "gpt-image-1",
    ]));
    let local = ScriptedServer::start(list(&["llama3.2", "gpt-4.1", "nomic-embed-text"]));
    let (us, local) = (us.await.unwrap(), local.await.unwrap());
    let target = |server: &ScriptedServer, provider, name: &str| {
        let client = Client::builder(provider).api_key("k").no_proxy();
        let client = client.base_url(server.url()).retry(RetryPolicy::never());
        Target::new(client.build().unwrap()).name(name)
    };
    let router = warmline::Router::builder()
        .target(target(&us, Provider::OpenAi, "us").model("fast", "gpt-4.1-mini"))
        .target(target(&local, Provider::Ollama, "local").model("small", "llama3.2"));
    let gateway = Gateway::builder().router(router.build().unwrap());
    let gateway = gateway.build().unwrap();
    let (status, models) = send(&gateway.router(), Request::get("/v1/models"), String::new()).await;
    assert_eq!(status, 200, "{models}");
    let ids = models["data"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|model| model["id"].as_str().unwrap()).collect();
    let expected = [
        "gpt-4.1",
        "us/text-embedding-3-small",
        "us/ft:mine",
        "us/gpt-image-1",
        "llama3.2",
        "local/gpt-4.1",
        "local/nomic-embed-text",
        "fast",
        "small",
    ];
    assert_eq!(ids, expected);
}
