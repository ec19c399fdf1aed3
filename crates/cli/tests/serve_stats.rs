//! The statistics and metrics of `warmline serve`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::gateway::{Gateway, PATHS, ask, json};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warmline_sim::{Config, Sim};

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

#[tokio::test]
async fn the_stats_show_alerts_with_hints_and_rate_limits() {
    let sim = sim().await;
    let limits = [
        ("LLM_MAX_CONNECTIONS", "1"),
        ("LLM_MAX_KEEPALIVE", "1"),
        ("LLM_BUDGET_LIMIT", "0.1"),
    ];
    let gateway = Gateway::start(&sim, &["--alert-wait", "50"], &limits).await;
    let left = "header.anthropic-ratelimit-requests-limit=50&header.anthropic-ratelimit-requests-remaining=49";
    let held = gateway.post(
        PATHS[0],
        ask(
            &format!("hold&tokens=1000&{left}"),
            json!({"max_tokens": 1000}),
        ),
    );
    let waits = gateway.post(PATHS[0], ask("tokens=1", json!({})));
    let held = tokio::spawn(held.send());
    sim.wait_until(|stats| stats.holding == 1).await;
    let calls = [held, tokio::spawn(waits.send())];
    let stats = gateway
        .until(|stats| !stats["alerts"].as_array().unwrap().is_empty())
        .await;
    let alert = &stats["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["provider"]),
        (&json!("long_wait"), &json!("anthropic"))
    );
    assert!(
        alert["hint"]
            .as_str()
            .unwrap()
            .starts_with("raise max_connections (LLM_MAX_CONNECTIONS)")
    );
    assert_eq!(stats["providers"]["anthropic"]["pool"]["now"]["alerts"], 1);
    sim.release(1);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    let stats = gateway
        .until(|stats| stats["alerts"].as_array().unwrap().len() == 2)
        .await;
    let alert = &stats["alerts"][1];
    assert_eq!(
        (&alert["kind"], &alert["budget"], &alert["percent"]),
        (&json!("budget"), &json!("default"), &json!(50))
    );
    let limits = &stats["providers"]["anthropic"]["rate_limits"];
    assert_eq!(
        *limits,
        json!([{"resource": "requests", "limit": 50, "remaining": 49, "reset": null}])
    );
    let metrics = gateway.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("warmline_alerts_total{kind=\"long_wait\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_metrics_are_valid_openmetrics() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    for path in PATHS {
        gateway
            .post(path, ask("tokens=3", json!({})))
            .send()
            .await
            .unwrap();
        gateway
            .post(path, ask("status=400", json!({})))
            .send()
            .await
            .unwrap();
    }
    let text = gateway.get("/metrics").await.text().await.unwrap();
    let metrics = openmetrics_parser::openmetrics::parse_openmetrics(&text).unwrap();
    for name in [
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_client_token_usage",
        "warmline_failures",
        "warmline_pool_connections",
        "warmline_budget_usd",
    ] {
        let family = metrics
            .families
            .get(name)
            .unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(family.iter_samples().count() >= 2, "{name}: {text}");
    }
    assert!(
        text.contains(
            "warmline_failures_total{gen_ai_provider_name=\"openai\",error_type=\"status\"} 1"
        ),
        "{text}"
    );
    assert_eq!(gateway.get("/healthz").await.text().await.unwrap(), "ok\n");
    assert_eq!(gateway.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn long_model_names_do_not_fill_the_statistics() {
    // A provider that replies with a very long model name.
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", upstream.local_addr().unwrap());
    let answered = "y".repeat(100_000);
    let reply = json!({"id": "c", "model": answered, "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]});
    let reply = reply.to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = upstream.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                socket.read_buf(&mut request).await.unwrap();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                reply.len()
            );
            let _ = socket.write_all((head + &reply).as_bytes()).await;
        }
    });
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[("OPENAI_BASE_URL", &url)]).await;
    let ask = |model: String| {
        let body = json!({"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
        gateway.post(PATHS[1], body.to_string()).send()
    };
    for i in 0..3 {
        let (status, error) =
            json(ask(format!("{i}{}", "x".repeat(5_000_000))).await.unwrap()).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(status, 400, "{message}");
        assert!(
            message.ends_with("has 5000001 bytes: at most 256 are accepted"),
            "{message}"
        );
        assert!(message.len() < 400);
    }
    let (status, whole) = json(ask("m".to_owned()).await.unwrap()).await;
    assert_eq!(
        (status, whole["model"].as_str().unwrap().len()),
        (200, 100_000)
    );
    let stats = gateway
        .until(|stats| stats["providers"]["openai"]["calls"]["under_way"] == 0)
        .await;
    assert_eq!(stats["spend"]["models"].as_array().unwrap().len(), 1);
    let size = stats.to_string().len();
    assert!(size < 10_000, "{size} bytes of statistics");
}
