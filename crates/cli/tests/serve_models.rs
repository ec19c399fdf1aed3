//! `warmline serve` with several providers: the model decides which one is called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::gateway::{Gateway, PATHS, ask, json};
use common::process::GatewayProcess;
use common::{sim, warmline};
use serde_json::{Value, json};
use warmline_sim::{RedisServer, Sim};

/// A gateway with Anthropic, OpenAI and Groq, each of them simulated.
struct Fixture {
    gateway: Gateway,
    providers: [(&'static str, Sim); 3],
}

impl Fixture {
    async fn new() -> Self {
        let providers = [
            ("anthropic", sim().await),
            ("openai", sim().await),
            ("groq", sim().await),
        ];
        let [(_, anthropic), (_, openai), (_, groq)] = &providers;
        let variables = [
            ("ANTHROPIC_BASE_URL", anthropic.anthropic_url()),
            ("OPENAI_BASE_URL", openai.openai_url()),
            ("GROQ_API_KEY", "gsk-secret-42".to_owned()),
            ("GROQ_BASE_URL", groq.openai_url()),
            // Of the provider that LLM_PROVIDER names, and of no other.
            ("LLM_MODEL", "qwen/qwen3.8-27b".to_owned()),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        Self {
            gateway: Gateway::start(anthropic, &[], &variables).await,
            providers,
        }
    }

    async fn ask(&self, path: &str, model: &str) -> (u16, Value) {
        let body = ask("", json!({"model": model}));
        json(self.gateway.post(path, body).send().await.unwrap()).await
    }

    /// Returns which provider serves a model.
    async fn served_by(&self, path: &str, model: &str) -> &'static str {
        let before = self
            .providers
            .each_ref()
            .map(|(_, sim)| sim.stats().requests);
        let (status, reply) = self.ask(path, model).await;
        assert_eq!(status, 200, "{model}: {reply}");
        let mut called = self.providers.iter().zip(before);
        let (name, _) = called
            .find(|((_, sim), before)| sim.stats().requests > *before)
            .unwrap()
            .0;
        name
    }
}

#[tokio::test]
async fn the_model_decides_which_provider_is_called() {
    let fixture = Fixture::new().await;
    assert!(
        fixture
            .gateway
            .process
            .startup
            .contains("serving anthropic, openai, groq")
    );
    let [messages, chat] = PATHS;
    for (path, model, provider) in [
        (messages, "claude-haiku-4-5", "anthropic"),
        (messages, "unheard-of", "anthropic"),
        (messages, "anthropic/unheard-of", "anthropic"),
        (chat, "gpt-4.1-mini", "openai"),
        (chat, "unheard-of", "openai"),
        (chat, "openai/unheard-of", "openai"),
        (chat, "qwen/qwen3.8-27b", "groq"),
        (chat, "groq/unheard-of", "groq"),
    ] {
        assert_eq!(fixture.served_by(path, model).await, provider, "{model}");
    }
    for (path, model, other) in [
        (messages, "gpt-4.1-mini", chat),
        (messages, "groq/unheard-of", chat),
        (chat, "claude-haiku-4-5", messages),
    ] {
        let (status, error) = fixture.ask(path, model).await;
        assert_eq!(status, 400, "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(other) && message.contains(model),
            "{message}"
        );
    }
    let expected = |stats: &Value| stats["providers"]["groq"]["calls"]["total"] == 2;
    let stats = fixture.gateway.until(expected).await;
    let groq = &stats["providers"]["groq"];
    assert_eq!(groq["provider"], "groq");
    assert_eq!(groq["target"]["state"], "ready");
    assert_eq!(groq["target"]["calls"], 2);
    // Of the calls that were refused here, none was made.
    assert_eq!(
        stats["providers"]["anthropic"]["target"]["calls"], 3,
        "{stats}"
    );
    let metrics = fixture.gateway.get("/metrics").await.text().await.unwrap();
    openmetrics_parser::openmetrics::parse_openmetrics(&metrics).unwrap();
    for line in [
        "warmline_target_state{target=\"groq\",state=\"ready\"} 1",
        "warmline_target_state{target=\"groq\",state=\"cooling\"} 0",
        "warmline_target_events{target=\"groq\",state=\"attempts\"} 2",
        "warmline_target_in_flight{target=\"openai\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_key_of_any_provider_is_enough() {
    let sim = sim().await;
    let mut command = warmline(&["serve", "--port", "0"]);
    command
        .env("GROQ_API_KEY", "k")
        .env("GROQ_BASE_URL", sim.openai_url());
    let started = tokio::task::spawn_blocking(move || GatewayProcess::start(command));
    let gateway = Gateway {
        process: started.await.unwrap().unwrap(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let called = gateway.post(PATHS[1], ask("tokens=3", json!({}))).send();
    let (status, reply) = json(called.await.unwrap()).await;
    assert_eq!(status, 200, "{reply}");
}

#[tokio::test]
async fn gateways_that_share_a_redis_share_the_limits_of_keys() {
    const KEY: &str = "alice-key-0123456789";
    let (sim, redis) = (sim().await, RedisServer::start().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let keys = json!([{"name": "alice", "key": KEY, "requests_per_minute": 7, "tokens_per_minute": 100_000}]);
    std::fs::write(&file, keys.to_string()).unwrap();
    let arguments = ["--keys", file.to_str().unwrap()];
    let ledger = [("LLM_LEDGER", &*redis.url)];
    let gateways = [
        Gateway::start(&sim, &arguments, &ledger).await,
        Gateway::start(&sim, &arguments, &ledger).await,
    ];
    let calls = (0..40).map(|n| {
        let body = ask("tokens=3", json!({}));
        let call = gateways[n % 2].post(PATHS[n / 2 % 2], body);
        call.header("x-api-key", KEY).send()
    });
    let responses = futures_util::future::join_all(calls).await;
    let statuses: Vec<_> = responses
        .iter()
        .map(|response| response.as_ref().unwrap().status().as_u16())
        .collect();
    let allowed = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!((allowed, refused), (7, 33), "{statuses:?}");
    assert_eq!(sim.stats().requests, 7);
}
