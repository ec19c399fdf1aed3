//! Passthrough of requests and replies in the provider's own format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{builder, sim};
use serde_json::{Value, json};
use warmline::{Budget, Client, CostTracker, PassthroughResponse, Provider, Usd};
use warmline_sim::Sim;

async fn all(response: &mut PassthroughResponse) -> (Vec<u8>, Option<warmline::Error>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

fn client(sim: &Sim, provider: Provider) -> Client {
    let client = match provider {
        Provider::OpenAi => Client::builder(provider)
            .api_key("test-key-1234")
            .base_url(sim.openai_url())
            .no_proxy(),
        _ => builder(sim),
    };
    let budget = Budget::monthly("pass", "10".parse().unwrap()).unwrap();
    client
        .cost_tracker(CostTracker::new().budget(budget))
        .build()
        .unwrap()
}

fn body(scenario: &str, extra: Value) -> String {
    let mut body = json!({"model": format!("m?{scenario}"), "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body.to_string()
}

/// The simulator's reply to a direct request.
async fn directly(sim: &Sim, provider: Provider, body: String) -> String {
    let url = match provider {
        Provider::OpenAi => format!("{}/chat/completions", sim.openai_url()),
        _ => format!("{}/v1/messages", sim.anthropic_url()),
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(url)
        .body(body)
        .header("content-type", "application/json");
    let request = request
        .header("x-api-key", "k")
        .header("authorization", "Bearer k");
    let reply = request
        .header("anthropic-version", "2023-06-01")
        .send()
        .await;
    reply.unwrap().text().await.unwrap()
}

/// Removes ids and times, which differ between two replies to the same request.
fn without_ids(text: &str) -> String {
    let mut without_ids = String::new();
    for part in text.split('"') {
        let id = ["msg_", "chatcmpl-", "req_", "call_"]
            .iter()
            .any(|id| part.starts_with(id));
        without_ids.push_str(if id { "ID" } else { part });
        without_ids.push('"');
    }
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
    let mut rest = String::new();
    for (i, piece) in without_ids.split("\"created\":").enumerate() {
        rest.push_str(if i == 0 {
            piece
        } else {
            &piece[digits(piece)..]
        });
    }
    rest
}

#[tokio::test]
async fn a_reply_is_passed_on_byte_for_byte_and_charged() {
    let sim = sim().await;
    for provider in [Provider::Anthropic, Provider::OpenAi] {
        let client = client(&sim, provider);
        for extra in [
            json!({}),
            json!({"stream": true}),
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ] {
            if provider == Provider::Anthropic && extra.get("stream_options").is_some() {
                continue;
            }
            let body = body("tokens=12", extra.clone());
            let mut response = client.passthrough(body.clone(), []).await.unwrap();
            assert_eq!(response.is_stream(), extra.get("stream").is_some());
            let (bytes, error) = all(&mut response).await;
            assert!(error.is_none(), "{error:?}");
            let theirs = directly(&sim, provider, body).await;
            assert_eq!(
                without_ids(std::str::from_utf8(&bytes).unwrap()),
                without_ids(&theirs),
                "{provider} {extra}"
            );
            let reply = response.reply().unwrap();
            assert!(
                reply.usage_reported && reply.cost.unwrap().usd > Usd::ZERO,
                "{provider} {extra}"
            );
        }
        let spend = client.cost_tracker().spend().await.unwrap();
        assert_eq!(
            (spend.budgets[0].spent, spend.budgets[0].reserved),
            (spend.total, Usd::ZERO)
        );
    }
}

#[tokio::test]
async fn only_usage_that_was_not_requested_is_removed_from_a_stream_with_crlf() {
    let sim = sim().await;
    let client = client(&sim, Provider::OpenAi);
    let tool = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    for extra in [
        json!({"stream": true}),
        json!({"stream": true, "tools": tool}),
        json!({"stream": true, "stream_options": null}),
        json!({"stream": true, "stream_options": {}}),
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    ] {
        let body = body("tokens=12&crlf", extra);
        let mut response = client.passthrough(body.clone(), []).await.unwrap();
        let (bytes, error) = all(&mut response).await;
        assert!(error.is_none(), "{error:?}");
        let (ours, theirs) = (
            without_ids(std::str::from_utf8(&bytes).unwrap()),
            without_ids(&directly(&sim, Provider::OpenAi, body.clone()).await),
        );
        assert_eq!(ours, theirs, "{body}");
        assert!(bytes.ends_with(b"data: [DONE]\r\n\r\n"), "{ours}");
        assert!(response.reply().unwrap().usage_reported, "{body}");
    }
}

#[tokio::test]
async fn failures_before_content_are_retried_and_later_ones_follow_the_bytes() {
    let sim = sim().await;
    let client = client(&sim, Provider::Anthropic);
    let again = body(
        "status=503&times=1&retry-after-ms=1&tokens=3",
        json!({"stream": true}),
    );
    let mut response = client.passthrough(again, []).await.unwrap();
    assert_eq!(response.attempts(), 2);
    assert!(all(&mut response).await.1.is_none());
    let cut = body(
        "tokens=10&fault=close&at=event&after=4",
        json!({"stream": true}),
    );
    let mut response = client.passthrough(cut, []).await.unwrap();
    let (bytes, error) = all(&mut response).await;
    assert!(
        String::from_utf8(bytes)
            .unwrap()
            .contains("content_block_delta")
    );
    assert_eq!(error.unwrap().kind().name(), "stream");
    assert!(response.chunk().await.is_none());
}

#[tokio::test]
async fn invalid_requests_are_refused_before_anything_is_sent() {
    let sim = sim().await;
    let client = client(&sim, Provider::Anthropic);
    for (body, header, says) in [
        ("not JSON", ("a", "b"), "the request is not JSON"),
        ("{}", ("a b", "c"), "the header \"a b\" has a name"),
        ("{}", ("a", "b\n"), "the header \"a\" has a value"),
    ] {
        let headers = [(header.0.to_owned(), header.1.to_owned())];
        let error = client.passthrough(body, headers).await.err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(sim.stats().requests, 0);
    // An error status of the provider is passed on.
    let error = client.passthrough("{}", []).await.err().unwrap();
    assert_eq!(error.status(), Some(400));
    assert!(error.body().unwrap().starts_with('{'), "{error}");
}
