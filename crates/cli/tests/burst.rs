//! The burst of calls that the demo's gateway makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "simulator")]

mod common;

use common::gateway::Gateway;
use warmline_sim::{Config, Sim};

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

#[tokio::test]
async fn a_gateway_with_the_simulated_provider_makes_a_bounded_burst() {
    let sim = sim().await;
    let variables = [("LLM_MAX_CONNECTIONS", "3")];
    let gateway = Gateway::start(&sim, &["--simulate"], &variables).await;
    let burst = |calls: &str| {
        let request = gateway.post(&format!("/demo/burst/{calls}"), "");
        async { request.send().await.unwrap() }
    };
    for calls in ["0", "101", "-1", "many"] {
        let response = burst(calls).await;
        assert_eq!(response.status(), 400, "{calls}");
        let message = response.text().await.unwrap();
        assert_eq!(
            message,
            format!("{calls:?} is not a number of calls: expected a number from 1 to 100")
        );
    }
    let lines = burst("12").await.text().await.unwrap();
    let mut ended = Vec::new();
    for line in lines.lines() {
        let call = common::json(line);
        assert_eq!(call["status"], 200, "{line}");
        assert!(
            call["request_id"].is_string() && call["error"].is_null(),
            "{line}"
        );
        ended.push(call["call"].as_u64().unwrap());
    }
    ended.sort_unstable();
    assert_eq!(ended, Vec::from_iter(1..=12));
    let stats = gateway.stats().await;
    let anthropic = &stats["providers"]["anthropic"];
    assert_eq!(anthropic["calls"]["total"], 12, "{stats}");
    assert_eq!(anthropic["pool"]["now"]["peak"], 3, "{stats}");
    // Pages of other origins may not, and the calls of a caller who leaves are cancelled.
    let foreign = gateway.post("/demo/burst/1", "");
    let foreign = foreign.header("origin", "https://example.com");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    drop(burst("100").await);
    let stats = gateway
        .until(|stats| {
            let calls = &stats["providers"]["anthropic"]["calls"];
            calls["total"] != 12 && calls["under_way"] == 0
        })
        .await;
    let abandoned = &stats["providers"]["anthropic"]["calls"]["abandoned"];
    assert!(abandoned.as_u64().unwrap() > 50, "{stats}");
    // Calls of a burst are calls of the caller's: a gateway with keys wants one.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        r#"[{"name": "alice", "key": "alice-0123456789abcdef"}]"#,
    )
    .unwrap();
    let keys = ["--simulate", "--keys", file.path().to_str().unwrap()];
    let gateway = Gateway::start(&sim, &keys, &[]).await;
    for (key, status) in [("", 401), ("alice-0123456789abcdef", 200)] {
        let request = gateway.post("/demo/burst/1", "");
        let response = request.header("x-api-key", key).send().await.unwrap();
        let call = common::json(&response.text().await.unwrap());
        assert_eq!(call["status"], status, "{call}");
    }
}

#[tokio::test]
async fn a_gateway_with_a_real_provider_makes_no_burst() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    let request = gateway.post("/demo/burst/1", "");
    assert_eq!(request.send().await.unwrap().status(), 404);
    assert_eq!(sim.stats().requests, 0);
}
