//! Routers, end to end over several simulators.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{builder, sim};
use warmline::{Client, DialectName, ErrorKind, Provider, Request, Router, Target};
use warmline_sim::Sim;

fn openai(sim: &Sim) -> Client {
    let builder = Client::builder(Provider::OpenAi).api_key("sk-secret-0002");
    builder
        .base_url(sim.openai_url())
        .no_proxy()
        .build()
        .unwrap()
}

fn ask(model: &str) -> Request {
    Request::new().user("hello").max_tokens(1000).model(model)
}

#[tokio::test]
async fn a_call_moves_on_at_once_and_its_attempts_name_their_targets() {
    let (first, second) = (sim().await, sim().await);
    let router = Router::builder()
        .target(
            Target::new(builder(&first).build().unwrap())
                .name("first")
                .model("m", "claude-test?status=529"),
        )
        .target(
            Target::new(openai(&second))
                .name("second")
                .priority(1)
                .model("m", "gpt-test?tokens=3"),
        )
        .build()
        .unwrap();
    let reply = router.chat(ask("m")).await.unwrap();
    let attempts: Vec<_> = reply
        .attempts()
        .iter()
        .map(|of| (of.target.as_deref().unwrap(), of.kind.as_deref()))
        .collect();
    assert_eq!(attempts, [("first", Some("overloaded")), ("second", None)]);
    assert_eq!(reply.provider, Provider::OpenAi);
    // The first cools down, so that it is not called again.
    let reply = router.stream(ask("m")).into_reply().await.unwrap();
    assert_eq!(reply.attempts().len(), 1);
    assert_eq!((first.stats().requests, second.stats().requests), (1, 2));
    let json = serde_json::to_value(router.stats()).unwrap();
    assert_eq!(json["targets"][0]["state"], "cooling");
    assert_eq!(json["targets"][0]["moved_away"], 1);
    assert_eq!(json["targets"][1]["state"], "ready");
}

#[tokio::test]
async fn a_refused_request_is_an_answer_and_an_unknown_model_is_named() {
    let sim = sim().await;
    let router = Router::builder()
        .target(
            Target::new(openai(&sim))
                .name("a")
                .model("m", "gpt-test?status=400"),
        )
        .target(Target::new(openai(&sim)).name("b").model("m", "gpt-test"))
        .build()
        .unwrap();
    let mut answers = 0;
    for n in 0..20 {
        let request = ask("m").conversation(n.to_string());
        match router.chat(request).await {
            Ok(reply) => assert_eq!(reply.attempts().len(), 1),
            Err(error) => {
                assert_eq!(error.status(), Some(400));
                answers += 1;
            }
        }
    }
    assert!((1..20).contains(&answers), "{answers}");
    let error = router.chat(ask("other")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Config);
    assert!(error.message().contains("\"other\""), "{error}");
}

#[tokio::test]
async fn in_a_passthrough_only_the_model_is_replaced() {
    let sim = sim().await;
    let router = Router::builder()
        .target(Target::new(openai(&sim)).model("fast", "gpt-test?tokens=2"))
        .build()
        .unwrap();
    let body =
        r#"{ "messages": [{"role": "user", "content": "hi"}],  "model" : "fast", "stream":false }"#;
    let chat = DialectName::OpenAiChat;
    let mut response = router.passthrough(chat, body, []).await.unwrap();
    while let Some(bytes) = response.chunk().await {
        bytes.unwrap();
    }
    assert_eq!(response.reply().unwrap().usage.output_tokens, 2);
    let error = router.passthrough(DialectName::Anthropic, body, []).await;
    let error = error.err().unwrap();
    assert!(error.message().contains("/v1/chat/completions"), "{error}");
}
