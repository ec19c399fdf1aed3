//! `warmline serve` as a program: replies, errors, startup and shutdown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::gateway::{Gateway, PATHS, ask, json, refused};
use common::{outcome, warmline};
use serde_json::{Value, json};
use warmline_sim::{Config, Sim};

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

#[tokio::test]
async fn whole_and_streamed_calls_of_both_dialects_are_forwarded_and_counted() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    for path in PATHS {
        let whole = gateway
            .post(path, ask("tokens=9", json!({})))
            .send()
            .await
            .unwrap();
        assert_eq!(whole.headers()["x-warmline-attempts"], "1");
        assert!(whole.headers().contains_key("content-length"));
        let id = if path == PATHS[0] {
            "request-id"
        } else {
            "x-request-id"
        };
        assert!(whole.headers().contains_key(id));
        let (status, reply) = json(whole).await;
        assert!(status == 200 && reply["id"].is_string(), "{reply}");
        let stream = gateway
            .post(path, ask("tokens=9", json!({"stream": true})))
            .send()
            .await
            .unwrap();
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        let text = stream.text().await.unwrap();
        assert!(
            text.ends_with("\n\n") && text.matches("data: ").count() > 9,
            "{text}"
        );
        assert!(
            !text.contains("usage\":{\"completion"),
            "not asked for: {text}"
        );
    }
    let stats = gateway
        .until(|stats| stats["providers"]["openai"]["latency_ms"]["total"]["p50"].is_number())
        .await;
    for provider in ["anthropic", "openai"] {
        let of = &stats["providers"][provider];
        assert_eq!(
            (&of["calls"]["total"], &of["calls"]["under_way"]),
            (&json!(2), &json!(0)),
            "{of}"
        );
        assert_eq!(of["pool"]["now"]["reused"], 1, "{of}");
    }
    let spend = &stats["spend"];
    assert_eq!(
        (&spend["budgets"][0]["spent"], &spend["budgets"][0]["limit"]),
        (&spend["total"], &json!("50"))
    );
    // The tokens that were billed are those that the simulator has counted.
    let models = spend["models"].as_array().unwrap();
    let output: u64 = models
        .iter()
        .map(|model| model["usage"]["output_tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(output, sim.stats().output_tokens);
}

#[tokio::test]
async fn errors_have_the_shape_of_the_callers_dialect() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &["--max-body", "2000"], &[]).await;
    let anthropic = |kind: &str| json!({"kind": kind, "of": "error"});
    for (path, body, status, kind, says) in [
        (
            "/v1/messages",
            "{".to_owned(),
            400,
            "invalid_request_error",
            "not JSON",
        ),
        (
            "/v1/chat/completions",
            "[]".into(),
            400,
            "invalid_request_error",
            "not JSON",
        ),
        (
            "/v1/messages",
            "null}".into(),
            400,
            "invalid_request_error",
            "invalid type: null, expected an object",
        ),
        (
            "/v1/chat/completions",
            r#"{"max_tokens": 1, "max_tokens": 9}"#.into(),
            400,
            "invalid_request_error",
            "\"max_tokens\" twice: give it once",
        ),
        (
            "/v1/messages",
            r#"{"max_tokens": "9"}"#.into(),
            400,
            "invalid_request_error",
            "max_tokens is \"9\": it must be a whole number",
        ),
        (
            "/v1/messages",
            "x".repeat(2001),
            413,
            "request_too_large",
            "--max-body",
        ),
        (
            "/v1/chat/completions",
            "x".repeat(2001),
            413,
            "request_too_large",
            "--max-body",
        ),
        (
            "/messages/nowhere",
            "{}".into(),
            404,
            "not_found_error",
            "there is no /messages/nowhere",
        ),
        (
            "/v1/messages/nowhere",
            "{}".into(),
            400,
            "invalid_request_error",
            "there is a budget, and no price is known for POST \"/messages/nowhere\"",
        ),
        // The provider's own error, after all retries.
        (
            "/v1/messages",
            ask("status=400", json!({})),
            400,
            "invalid_request_error",
            "Bad Request",
        ),
        (
            "/v1/chat/completions",
            ask("status=429&retry-after=100", json!({})),
            429,
            "",
            "Too Many Requests",
        ),
    ] {
        let response = gateway.post(path, body).send().await.unwrap();
        let (given, answer) = json(response).await;
        let error = &answer["error"];
        assert_eq!(given, status, "{path}: {answer}");
        assert_eq!(
            answer["type"] == "error",
            path.contains("/messages"),
            "{answer}"
        );
        assert!(
            error["type"].as_str().unwrap().contains(kind),
            "{path}: {answer} {}",
            anthropic(kind)
        );
        assert!(
            error["message"].as_str().unwrap().contains(says),
            "{path}: {answer}"
        );
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    let wrong_method = gateway.get("/v1/messages").await;
    assert_eq!(json(wrong_method).await.0, 405);
}

#[tokio::test]
async fn a_broken_stream_ends_with_an_error_event_of_its_dialect() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[("LLM_MAX_RETRIES", "0")]).await;
    for path in PATHS {
        let body = ask(
            "tokens=20&fault=close&at=event&after=5",
            json!({"stream": true}),
        );
        let text = gateway
            .post(path, body)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let data: Value = serde_json::from_str(last.rsplit("data: ").next().unwrap()).unwrap();
        assert!(
            data["error"]["message"]
                .as_str()
                .unwrap()
                .contains("connection broke"),
            "{text}"
        );
        assert_eq!(last.starts_with("event: error"), path == PATHS[0], "{last}");
    }
}

#[tokio::test]
async fn a_caller_that_disconnects_frees_the_providers_connection() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    let mut stream = gateway
        .post(
            PATHS[0],
            ask(
                "tokens=100000&pace=2",
                json!({"stream": true, "max_tokens": 100_000}),
            ),
        )
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap().unwrap();
    sim.wait_until(|stats| stats.active == 1).await;
    drop(stream);
    sim.wait_until(|stats| stats.active == 0 && stats.open == 0)
        .await;
    let stats = gateway
        .until(|stats| stats["providers"]["anthropic"]["calls"]["abandoned"] == 1)
        .await;
    // The provider may have billed the call, so it is charged.
    assert_ne!(stats["spend"]["budgets"][0]["spent"], "0", "{stats}");
    assert_eq!(stats["spend"]["budgets"][0]["reserved"], "0", "{stats}");
}

#[tokio::test]
async fn callers_have_keys_and_budgets_of_their_own() {
    let sim = sim().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let keys = json!([
        {"name": "alice", "key": "alice-key-0123456789", "budget": "1"},
        {"name": "bob", "key": "bob-key-012345678901", "budget": "0.000001"},
        {"name": "carol", "key": "carol-key-0123456789"},
    ]);
    std::fs::write(&file, keys.to_string()).unwrap();
    let gateway = Gateway::start(&sim, &["--keys", file.to_str().unwrap()], &[]).await;
    let call = async |path, header: &str, value: &str| {
        let request = gateway.post(path, ask("tokens=3", json!({})));
        json(request.header(header, value).send().await.unwrap()).await
    };
    for (path, kind) in PATHS.into_iter().zip(["authentication_error"; 2]) {
        for key in ["", "alice-key-012345678", "wrong"] {
            let (status, answer) = call(path, "x-api-key", key).await;
            assert_eq!(
                (status, &answer["error"]["type"]),
                (401, &json!(kind)),
                "{answer}"
            );
        }
        assert_eq!(call(path, "x-api-key", "alice-key-0123456789").await.0, 200);
        assert_eq!(
            call(path, "authorization", "Bearer carol-key-0123456789")
                .await
                .0,
            200
        );
        let (status, answer) = call(path, "x-api-key", "bob-key-012345678901").await;
        assert_eq!(
            (status, &answer["error"]["type"]),
            (402, &json!("billing_error")),
            "{answer}"
        );
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains("key:bob"),
            "{answer}"
        );
    }
    assert_eq!(gateway.get("/v1/llm/stats").await.status(), 401);
    assert_eq!(sim.stats().requests, 4);
    drop(gateway);
    for (text, says) in [
        ("[]", "nobody could call"),
        (
            r#"[{"name": "a", "key": "short-secret"}]"#,
            "the key of a is shorter than 16 bytes",
        ),
        (
            r#"[{"name": "a b", "key": "0123456789abcdef"}]"#,
            "cannot name a budget",
        ),
        (
            &format!(
                r#"[{{"name": "{}", "key": "0123456789abcdef"}}]"#,
                "a".repeat(129)
            ),
            "use 1 to 128 ASCII letters",
        ),
        (
            r#"[{"name": "a", "key": 0123456789abcdef}]"#,
            "at line 1 column",
        ),
        (
            r#"[{"name": "a", "key": "0123456789abcdef"}, {"name": "b", "key": "0123456789abcdef"}]"#,
            "the name or the key of b is there twice",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, stderr) = refused(&["--keys", file.to_str().unwrap()]);
        assert!(code == 2 && stderr.contains(says), "{stderr}");
        assert!(
            !stderr.contains("short-secret") && !stderr.contains("0123456789abcdef"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_and_an_invalid_origin_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, stderr) = refused(&["--port", &port]);
    assert!(
        code == 2 && stderr.contains(&port) && stderr.contains("--port"),
        "{stderr}"
    );
    let (code, stderr) = refused(&["--port", "0", "--allow-origin", "example.com"]);
    assert!(
        code == 2 && stderr.contains("\"example.com\" is not an origin"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_unreachable_provider_is_502_and_one_without_a_key_503() {
    let sim = sim().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let variables = [
        ("ANTHROPIC_BASE_URL", &*url),
        ("LLM_MAX_RETRIES", "0"),
        ("OPENAI_API_KEY", ""),
        ("OPENAI_BASE_URL", ""),
    ];
    let gateway = Gateway::start(&sim, &[], &variables).await;
    let (status, answer) = json(
        gateway
            .post(PATHS[0], ask("", json!({})))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (status, &answer["error"]["type"]),
        (502, &json!("api_error")),
        "{answer}"
    );
    let (status, answer) = json(
        gateway
            .post(PATHS[1], ask("", json!({})))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert!(
        status == 503
            && answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains("use /v1/messages; or add a provider"),
        "{answer}"
    );
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_others_may_not() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &["--allow-origin", "https://example.com/"], &[]).await;
    for (origin, allowed) in [
        ("https://example.com", true),
        ("https://example.org", false),
    ] {
        let preflight = gateway.http.request(
            reqwest::Method::OPTIONS,
            format!("{}/v1/messages", gateway.process.url),
        );
        let preflight = preflight
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let preflight = preflight
            .header("access-control-request-headers", "x-api-key, content-type")
            .send()
            .await
            .unwrap();
        let header = preflight.headers().get("access-control-allow-origin");
        assert_eq!(header.is_some_and(|value| value == origin), allowed);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn on_sigterm_open_streams_end_first() {
    let sim = sim().await;
    let mut gateway = Gateway::start(&sim, &[], &[]).await;
    let body = ask("tokens=30&pace=10", json!({"stream": true}));
    let mut stream = gateway.post(PATHS[0], body).send().await.unwrap();
    let mut text = stream.chunk().await.unwrap().unwrap().to_vec();
    let pid = gateway.process.child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    assert!(String::from_utf8(text).unwrap().contains("message_stop"));
    let ended = tokio::task::spawn_blocking(move || gateway.process.child.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn without_a_provider_it_does_not_start_and_says_what_to_set() {
    let output = warmline(&["serve", "--port", "0"])
        .env("OPENAI_API_KEY", " ")
        .output();
    let (code, _, stderr) = outcome(output.unwrap());
    assert_eq!(code, 2, "{stderr}");
    for word in [
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "ANTHROPIC_BASE_URL",
        "OPENAI_BASE_URL",
    ] {
        assert!(stderr.contains(word), "{stderr}");
    }
    let simulator = cfg!(feature = "simulator");
    assert_eq!(stderr.contains("--simulate"), simulator, "{stderr}");
    // A provider whose settings are incomplete is not served.
    let output = warmline(&["serve", "--port", "0"])
        .env("AZURE_OPENAI_API_KEY", "k")
        .output();
    let (code, _, stderr) = outcome(output.unwrap());
    let says = ["azure is not served: ", "no provider can be served"];
    assert!(
        code == 2 && says.iter().all(|says| stderr.contains(says)),
        "{stderr}"
    );
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_build_without_the_simulator_refuses_to_simulate() {
    let (code, stderr) = refused(&["--port", "0", "--simulate"]);
    assert!(
        code == 2 && stderr.contains("this build has no simulated provider"),
        "{stderr}"
    );
}

#[cfg(feature = "simulator")]
#[tokio::test]
async fn the_simulated_provider_uses_neither_keys_nor_the_ledger() {
    let sim = sim().await;
    let ledger = [("LLM_LEDGER", "/nowhere/spend.log")];
    let gateway = Gateway::start(&sim, &["--simulate"], &ledger).await;
    assert!(
        gateway
            .process
            .startup
            .contains("--simulate: replies come from the simulated provider"),
        "{}",
        gateway.process.startup
    );
    for path in PATHS {
        let response = gateway
            .post(path, ask("tokens=1", json!({})))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(sim.stats().requests, 0);
}
