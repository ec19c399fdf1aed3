//! Logs and traces. A separate test program, because a subscriber is global to the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::log::Log;
use common::{ask, client, sim};
use tracing::Level;
use warmline::{Client, Provider};

#[test]
fn a_key_that_goes_unencrypted_to_another_machine_is_warned_of() {
    for (url, key, warned) in [
        ("http://10.0.0.7:8000", "sk-secret", true),
        ("http://llm.example", "sk-secret", true),
        ("http://localhost.example", "sk-secret", true),
        ("http://llm.example", "", false),
        ("https://llm.example", "sk-secret", false),
        ("http://localhost:8000", "sk-secret", false),
        ("http://LLM.localhost", "sk-secret", false),
        ("http://127.0.0.2", "sk-secret", false),
        ("http://[::1]:8000", "sk-secret", false),
        ("http://[::ffff:127.0.0.1]", "sk-secret", false),
    ] {
        let (log, _guard) = Log::start(Level::INFO);
        let builder = Client::builder(Provider::OpenAi).base_url(url);
        let builder = match key {
            "" => builder,
            key => builder.api_key(key),
        };
        builder.build().unwrap();
        let log = log.take();
        let warning = "the API key is sent without encryption: use an https:// URL";
        assert_eq!(
            log.matches(warning).count(),
            usize::from(warned),
            "{url}: {log}"
        );
        assert!(!log.contains("sk-secret"));
    }
}

#[tokio::test]
async fn each_call_has_a_span_and_the_client_logs_its_settings() {
    let (log, _guard) = Log::start(Level::INFO);
    let sim = sim().await;
    let client = client(&sim);
    client
        .chat(ask("status=429&retry-after-ms=1&times=1&tokens=3"))
        .await
        .unwrap();
    client.stream(ask("tokens=3")).into_reply().await.unwrap();
    let log = log.take();
    for part in [
        "LLM service initialized provider=anthropic model=\"claude-sonnet-4-5\"",
        "HTTP client initialized with connection pool (max 10 connections)",
        "trying again attempt=1",
        "gen_ai.operation.name=\"chat\"",
        "gen_ai.provider.name=\"anthropic\"",
        "gen_ai.request.model=\"claude-test?",
        "gen_ai.usage.output_tokens=3",
        "gen_ai.response.finish_reasons=\"end_turn\"",
        "http.request.resend_count=1",
        "server.address=\"127.0.0.1\"",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    assert_eq!(log.matches("close time").count(), 2, "{log}");
    assert!(!log.contains("sk-ant-secret"), "{log}");
}
