//! Lists of models, and counts of tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{builder, sim};
use serde_json::{Value, json};
use warmline::{
    Budget, Client, CostTracker, DialectName, ErrorKind, Part, Provider, Request, RetryPolicy,
};
use warmline_sim::{ScriptedServer, Step};

fn reply(status: u16, body: &Value) -> Vec<Step> {
    let body = body.to_string();
    let length = body.len();
    vec![Step::Write(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"
    ))]
}

fn page(ids: &[&str], has_more: bool) -> Value {
    let data: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
    json!({"data": data, "has_more": has_more, "last_id": ids.last()})
}

fn client(server: &ScriptedServer, provider: Provider) -> Client {
    let retry = RetryPolicy {
        base: Duration::ZERO,
        ..RetryPolicy::default()
    };
    let builder = Client::builder(provider).api_key("test-key").no_proxy();
    let builder = builder.base_url(format!("{}/v1", server.url()));
    builder.retry(retry).build().unwrap()
}

fn targets(server: &ScriptedServer) -> Vec<String> {
    let requests = server.requests().into_iter();
    requests
        .map(|request| request.head.split(' ').nth(1).unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn all_pages_are_read_and_retried() {
    for (provider, expected) in [
        (
            Provider::Anthropic,
            [
                "/v1/models?limit=1000",
                "/v1/models?limit=1000&after_id=b%2Fc",
            ],
        ),
        (Provider::OpenAi, ["/v1/models", "/v1/models?after=b%2Fc"]),
    ] {
        let server = ScriptedServer::start(vec![
            reply(200, &page(&["a", "b/c"], true)),
            reply(503, &json!({})),
            reply(200, &page(&["b/c", "d"], false)),
        ]);
        let server = server.await.unwrap();
        let models = client(&server, provider).models().await.unwrap();
        let ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["a", "b/c", "d"]);
        let [first, second] = expected;
        assert_eq!(targets(&server), [first, second, second]);
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error() {
    let pages = (0..100).map(|i| reply(200, &page(&[&i.to_string()], true)));
    let server = ScriptedServer::start(pages.collect()).await.unwrap();
    let error = client(&server, Provider::OpenAi)
        .models()
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("more than 64 pages"), "{error}");
    assert_eq!(server.requests().len(), 64);
}

#[tokio::test]
async fn the_simulators_models_and_counts_are_read_within_a_spent_budget() {
    let sim = sim().await;
    let budget = Budget::monthly("b", "0".parse().unwrap()).unwrap();
    let tracker = CostTracker::new().budget(budget);
    let anthropic = builder(&sim).cost_tracker(tracker.clone()).build().unwrap();
    let models = anthropic.models().await.unwrap();
    assert_eq!(models[0].display_name.as_deref(), Some("Claude Opus 4.5"));
    let openai = Client::builder(Provider::OpenAi).api_key("test-key");
    let openai = openai.base_url(sim.openai_url()).no_proxy();
    let chat = openai.cost_tracker(tracker.clone()).build().unwrap();
    assert_eq!(chat.models().await.unwrap()[0].id, "gpt-4.1");
    let responses = chat.with_dialect(DialectName::OpenAiResponses).unwrap();
    let counts = futures_util::future::join_all((0..50).map(|_| async {
        for client in [&anthropic, &chat, &responses] {
            let count = client.count_tokens("How many tokens?").await.unwrap();
            assert!(!count.is_upper_bound);
            assert!((1..20).contains(&count.input_tokens), "{count:?}");
        }
    }));
    counts.await;
    let spend = tracker.spend().await.unwrap();
    assert_eq!(spend.total.to_string(), "0");
    assert!(spend.models.is_empty(), "{spend:?}");
    assert_eq!(spend.budgets[0].reserved.to_string(), "0");
}

#[tokio::test]
async fn of_a_chat_openai_counts_what_its_responses_api_can_express() {
    let server = ScriptedServer::start(vec![reply(200, &json!({"input_tokens": 5}))]);
    let server = server.await.unwrap();
    let client = client(&server, Provider::OpenAi);
    let request = || Request::new().user("Hi").model("gpt-4.1").max_tokens(9);
    let count = client.count_tokens(request()).await.unwrap();
    assert_eq!((count.input_tokens, count.is_upper_bound), (5, false));
    let [sent] = &server.requests()[..] else {
        panic!("{:?}", server.requests());
    };
    assert!(sent.head.starts_with("POST /v1/responses/input_tokens "));
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    let names: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["input", "model"]);
    // A block of another dialect has no place there.
    let other = Part::Other {
        dialect: DialectName::OpenAiChat,
        json: json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}).into(),
    };
    let mut request = request();
    request.messages[0].content.push(other);
    let count = client.count_tokens(request).await.unwrap();
    assert!(count.is_upper_bound);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_count_is_retried_although_it_is_posted() {
    let server = ScriptedServer::start(vec![
        reply(529, &json!({})),
        reply(200, &json!({"input_tokens": 5})),
    ]);
    let server = server.await.unwrap();
    let client = client(&server, Provider::Anthropic);
    let count = client.count_tokens("Hi").await.unwrap();
    assert_eq!(count.input_tokens, 5);
    assert_eq!(server.requests().len(), 2);
}
