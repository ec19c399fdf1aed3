//! What callers are told of failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use axum::http::Method;
use common::{App, KEY, client, reply};
use serde_json::{Value, json};
use warmline::{Client, Provider, RetryPolicy, Target};
use warmline_gateway::Gateway;
use warmline_sim::{ScriptedServer, Step};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn body(model: &str) -> Value {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "input": "Hi"})
}

/// A gateway with a router of one target called `eu`, which tries nothing again.
fn app(provider: Provider, base_url: &str) -> App {
    let target = Target::new(client(provider, base_url)).name("eu");
    let router = warmline::Router::builder()
        .retry(RetryPolicy::never())
        .target(target);
    App::new(Gateway::builder().router(router.build().unwrap()))
}

#[tokio::test]
async fn the_address_of_a_target_that_cannot_be_reached_is_not_shown() {
    // Nobody listens there once this is dropped.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (provider, base_url, paths) in [
        (
            Provider::OpenAi,
            format!("http://127.0.0.1:{port}/v1"),
            &[
                CHAT,
                "/v1/responses",
                "/v1/responses/input_tokens",
                "/v1/embeddings",
            ][..],
        ),
        (
            Provider::Anthropic,
            format!("http://127.0.0.1:{port}"),
            &[
                MESSAGES,
                "/v1/messages/count_tokens",
                "/v1/messages/batches",
            ][..],
        ),
    ] {
        for path in paths {
            let app = app(provider, &base_url);
            let (status, error) = app.post(path, &[], &body("m")).await;
            let message = error["error"]["message"].as_str().unwrap();
            let expected = "the target eu cannot be reached; the gateway's log says why";
            assert_eq!((status.as_u16(), message), (502, expected), "{path}");
        }
    }
}

#[tokio::test]
async fn the_last_of_several_attempts_that_reach_no_target_is_said_to_be_that() {
    // Nobody listens there once this is dropped.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let targets = ["eu", "us"].map(|name| {
        let target = Target::new(client(Provider::OpenAi, &base_url)).name(name);
        target.model("m", "gpt-4.1").priority((name == "us").into())
    });
    let router = warmline::Router::builder().retry(RetryPolicy::never());
    let router = targets.into_iter().fold(router, |all, one| all.target(one));
    let app = App::new(Gateway::builder().router(router.build().unwrap()));
    let (status, error) = app.post(CHAT, &[], &body("m")).await;
    let message = error["error"]["message"].as_str().unwrap();
    let expected = "the target us cannot be reached; this was the last of 2 attempts, and the gateway's log says why";
    assert_eq!((status.as_u16(), message), (502, expected));
}

#[tokio::test]
async fn while_all_targets_cool_down_the_status_is_the_apis_and_says_when_to_try_again() {
    let failing = reply(503, "retry-after: 100\r\n", "{}");
    for (provider, path, expected) in [
        (Provider::OpenAi, CHAT, 503),
        (Provider::OpenAi, "/v1/responses", 503),
        (Provider::Anthropic, MESSAGES, 529),
    ] {
        let server = ScriptedServer::start(vec![failing.clone()]).await.unwrap();
        let base_url = match provider {
            Provider::Anthropic => server.url().to_owned(),
            _ => format!("{}/v1", server.url()),
        };
        let app = app(provider, &base_url);
        let text = body("m").to_string();
        let (status, ..) = app.send(Method::POST, path, &[], text.clone()).await;
        assert_eq!(status, 503);
        let (status, headers, text) = app.send(Method::POST, path, &[], text).await;
        assert_eq!(status, expected, "{text}");
        let after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((90..=100).contains(&after), "{after}");
        assert_eq!(headers["x-should-retry"], "false");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["error"]["type"], "overloaded_error", "{text}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_time_to_try_again_is_rounded_up() {
    let busy = reply(429, "retry-after-ms: 1500\r\n", "{}");
    let server = ScriptedServer::start(vec![busy]).await.unwrap();
    let base_url = format!("{}/v1", server.url());
    let app = App::new(Gateway::builder().client(client(Provider::OpenAi, &base_url)));
    for path in [CHAT, "/v1/embeddings"] {
        let text = body("m").to_string();
        let (status, headers, _) = app.send(Method::POST, path, &[], text).await;
        assert_eq!(
            (status.as_u16(), &headers["retry-after"]),
            (429, &"2".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_its_encoding() {
    let server = ScriptedServer::start(vec![reply(200, "", "{}")])
        .await
        .unwrap();
    let client = Client::builder(Provider::OpenAi).api_key(KEY).no_proxy();
    let client = client.base_url(format!("{}/v1", server.url()));
    let app = App::new(Gateway::builder().client(client.build().unwrap()));
    for path in [CHAT, "/v1/responses/input_tokens", "/v1/embeddings"] {
        for encoding in ["gzip", "identity, BR"] {
            let headers = [("content-encoding", encoding)];
            let (status, error) = app.post(path, &headers, &body("m")).await;
            assert_eq!(status, 415, "{path}: {error}");
            let name = encoding.split(' ').next_back().unwrap();
            let message = error["error"]["message"].as_str().unwrap();
            assert!(
                message.contains(&format!("content-encoding {name:?}")),
                "{message}"
            );
        }
    }
    assert!(server.requests().is_empty());
    let headers = [("content-encoding", "Identity")];
    let (status, _) = app.post("/v1/embeddings", &headers, &body("m")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_names_the_target() {
    let garbage = vec![Step::Write("none\r\n\r\n".into()), Step::Close];
    let server = ScriptedServer::start(vec![garbage]).await.unwrap();
    let app = app(Provider::OpenAi, &format!("{}/v1", server.url()));
    for path in [CHAT, "/v1/embeddings"] {
        let (status, error) = app.post(path, &[], &body("m")).await;
        let message = error["error"]["message"].as_str().unwrap();
        let expected = "the target eu has failed: the server did not answer in HTTP";
        assert_eq!((status.as_u16(), message), (502, expected));
    }
}
