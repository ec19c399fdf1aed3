//! The API keys of `warmline serve`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;

use common::gateway::{Gateway, PATHS, ask, json, refused};
use serde_json::{Value, json};
use warmline_sim::Sim;

const ALICE: &str = "alice-key-0123456789";
const BOB: &str = "bob-key-012345678901";
const OPS: &str = "ops-key-012345678901";
/// The SHA-256 of [`OPS`].
const OPS_HASH: &str = "29ae99a01f7036ff59abbdecba95e3930045584040f41c136d5feb2714f41508";

/// A gateway with a file of keys.
struct Fixture {
    gateway: Gateway,
    file: PathBuf,
    sim: Sim,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(keys: Value, variables: &[(&str, &str)]) -> Self {
        let sim = common::sim().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, keys.to_string()).unwrap();
        let arguments = ["--keys", file.to_str().unwrap()];
        Self {
            gateway: Gateway::start(&sim, &arguments, variables).await,
            sim,
            file,
            _folder: folder,
        }
    }

    async fn get(&self, path: &str, key: &str) -> (u16, String) {
        let url = format!("{}{path}", self.gateway.process.url);
        let request = self.gateway.http.get(url).header("x-api-key", key);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn call(&self, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.gateway.post(PATHS[0], ask("tokens=3", json!({})));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        json(request.send().await.unwrap()).await
    }

    /// Calls until the answer has this status.
    async fn until(&self, key: &str, status: u16) {
        while self.call(&[("x-api-key", key)]).await.0 != status {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn each_caller_sees_its_own_spend_and_the_operator_everything() {
    let keys = json!([
        {"name": "alice", "key": ALICE, "budget": "1"},
        {"name": "bob", "key": BOB},
        {"name": "ops", "sha256": OPS_HASH.to_uppercase(), "operator": true},
    ]);
    let fixture = Fixture::new(keys, &[]).await;
    // A model whose price is known.
    let body = ask("", json!({"model": "claude-haiku-4-5"}));
    for _ in 0..2 {
        let request = fixture.gateway.post(PATHS[0], body.clone());
        let request = request.header("x-api-key", ALICE);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    // A stream that its caller leaves is charged an estimate.
    let endless = ask(
        "tokens=100000&pace=2",
        json!({"stream": true, "max_tokens": 100_000}),
    );
    let stream = fixture
        .gateway
        .post(PATHS[0], endless)
        .header("x-api-key", BOB);
    let mut stream = stream.send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    drop(stream);
    fixture.sim.wait_until(|stats| stats.active == 0).await;
    let stats = async |key| {
        let (status, text) = fixture.get("/v1/llm/stats", key).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut all = stats(OPS).await;
    while all["spend"]["keys"][1]["estimated"] == "0" {
        all = stats(OPS).await;
    }
    let keys = &all["spend"]["keys"];
    let [alice, bob, ops] = [0, 1, 2].map(|key| &keys[key]);
    assert_eq!(
        [&alice["name"], &bob["name"], &ops["name"]],
        ["alice", "bob", "ops"]
    );
    assert_eq!(alice["estimated"], "0");
    assert_eq!(alice["total"], alice["budget"]["spent"]);
    assert_eq!(alice["budget"]["limit"], "1");
    assert_eq!(
        (&bob["total"], &bob["budget"]),
        (&bob["estimated"], &Value::Null)
    );
    assert_eq!(
        (&ops["total"], &ops["estimated"]),
        (&json!("0"), &json!("0"))
    );
    let usd = |value: &Value| value.as_str().unwrap().parse::<warmline::Usd>().unwrap();
    let sum = usd(&alice["total"]) + usd(&bob["total"]);
    assert_eq!(usd(&all["spend"]["total"]), sum);
    assert_eq!(all["spend"]["estimated"], bob["estimated"]);
    // A caller sees itself only.
    let own = stats(ALICE).await;
    assert_eq!(own["spend"]["total"], alice["total"], "{own}");
    assert_eq!(own["spend"]["models"][0]["calls"], 2, "{own}");
    assert_eq!(own.as_object().unwrap().len(), 1, "{own}");
    assert!(
        !own.to_string().contains("bob") && !own.to_string().contains("default"),
        "{own}"
    );

    let (status, text) = fixture.get("/metrics", ALICE).await;
    assert!(status == 403 && text.contains("operator"), "{text}");
    assert_eq!(fixture.get("/metrics", "wrong").await.0, 401);
    let (status, text) = fixture.get("/metrics", OPS).await;
    assert_eq!(status, 200);
    openmetrics_parser::openmetrics::parse_openmetrics(&text).unwrap();
    for line in [
        "warmline_key_spend_usd{key=\"alice\",kind=\"estimated\"} 0",
        "warmline_key_spend_usd{key=\"bob\",kind=\"exact\"} 0",
        "warmline_budget_usd{budget=\"key:alice\",state=\"limit\"} 1",
        "warmline_spend_usd{kind=\"exact\"} 0.000",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        !text.contains("warmline_key_spend_usd{key=\"bob\",kind=\"estimated\"} 0.0\n"),
        "{text}"
    );
}

#[tokio::test]
async fn the_header_that_was_read_is_named_and_the_scheme_may_be_in_any_case() {
    let keys = json!([
        {"name": "alice", "key": ALICE},
        {"name": "bob", "key": BOB, "expires": "2020-01-01"},
    ]);
    let fixture = Fixture::new(keys, &[]).await;
    assert!(
        fixture
            .gateway
            .process
            .startup
            .contains("the keys of bob have expired")
    );
    let bearer = |scheme: &str, key: &str| format!("{scheme} {key}");
    for scheme in ["Bearer", "bearer", "BEARER", "Bearer "] {
        let header = [("authorization", &*bearer(scheme, ALICE))];
        assert_eq!(fixture.call(&header).await.0, 200, "{scheme:?}");
    }
    for (headers, says) in [
        (&[][..], "the API key is missing"),
        (&[("x-api-key", " ")], "the API key is missing"),
        (
            &[("x-api-key", "wrong")],
            "the API key in x-api-key is unknown",
        ),
        (
            &[
                ("x-api-key", "wrong"),
                ("authorization", &*bearer("Bearer", ALICE)),
            ],
            "the API key in x-api-key is unknown: send one of this gateway's keys, or leave this header out: authorization is not read beside it",
        ),
        (
            &[("authorization", &*bearer("Bearer", "wrong"))],
            "the API key in authorization is unknown",
        ),
        (
            &[("authorization", &*bearer("Basic", ALICE))],
            "has no bearer token",
        ),
        (&[("authorization", ALICE)], "has no bearer token"),
        (
            &[("x-api-key", BOB)],
            "the API key in x-api-key has expired",
        ),
    ] {
        let (status, answer) = fixture.call(headers).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            status == 401 && message.contains(says),
            "{headers:?}: {message}"
        );
    }
    let both = [("x-api-key", ALICE), ("authorization", "Bearer wrong")];
    assert_eq!(fixture.call(&both).await.0, 200);
}

#[tokio::test]
async fn the_keys_are_read_again_when_the_file_changes_and_an_invalid_file_is_not_used() {
    let alice = json!({"name": "alice", "key": ALICE});
    let fixture = Fixture::new(
        json!([alice, {"name": "ops", "key": OPS, "operator": true}]),
        &[],
    )
    .await;
    fixture.until(ALICE, 200).await;
    fixture.until(BOB, 401).await;
    let bob = json!({"name": "bob", "key": BOB});
    let ops = json!({"name": "ops", "sha256": OPS_HASH, "operator": true});
    std::fs::write(&fixture.file, json!([alice, bob, ops]).to_string()).unwrap();
    fixture.until(BOB, 200).await;
    // What was spent before is not forgotten.
    let (_, stats) = fixture.get("/v1/llm/stats", ALICE).await;
    assert!(!stats.contains("\"total\":\"0\""), "{stats}");
    std::fs::write(&fixture.file, "[{").unwrap();
    while !fixture
        .gateway
        .process
        .log()
        .contains("the keys from before stay in use")
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    fixture.until(BOB, 200).await;
    std::fs::write(&fixture.file, json!([alice, ops]).to_string()).unwrap();
    fixture.until(BOB, 401).await;
    fixture.until(ALICE, 200).await;
    let (_, metrics) = fixture.get("/metrics", OPS).await;
    assert!(
        metrics.contains("key=\"alice\"") && !metrics.contains("key=\"bob\""),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_file_without_a_valid_key_revokes_the_keys_from_before() {
    let alice = json!({"name": "alice", "key": ALICE});
    let fixture = Fixture::new(json!([alice]), &[]).await;
    let expired = json!({"name": "bob", "key": BOB, "expires": "2020-01-01"});
    for keys in [json!([]), json!([expired])] {
        fixture.until(ALICE, 200).await;
        std::fs::write(&fixture.file, keys.to_string()).unwrap();
        fixture.until(ALICE, 401).await;
        std::fs::write(&fixture.file, json!([alice]).to_string()).unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_has_become_a_pipe_does_not_stop_the_gateway() {
    let fixture = Fixture::new(json!([{"name": "alice", "key": ALICE}]), &[]).await;
    std::fs::remove_file(&fixture.file).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&fixture.file)
        .status();
    assert!(made.unwrap().success());
    while !fixture
        .gateway
        .process
        .log()
        .contains("it is not a regular file; the keys from before stay in use")
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    fixture.until(ALICE, 200).await;
    std::fs::remove_file(&fixture.file).unwrap();
    let bob = json!([{"name": "bob", "key": BOB}]);
    std::fs::write(&fixture.file, bob.to_string()).unwrap();
    fixture.until(BOB, 200).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_keys_are_read_again_on_sighup() {
    let fixture = Fixture::new(json!([{"name": "alice", "key": ALICE}]), &[]).await;
    let pid = fixture.gateway.process.child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-HUP", &pid])
        .status();
    assert!(sent.unwrap().success());
    // The file has not changed.
    while !fixture
        .gateway
        .process
        .log()
        .contains("the keys have been read again")
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    fixture.until(ALICE, 200).await;
}

#[tokio::test]
async fn a_refusal_of_a_keys_budget_names_that_budget_and_not_the_gateways_setting() {
    let keys = json!([{"name": "bob", "key": BOB, "budget": "0.000001"}]);
    let fixture = Fixture::new(keys, &[]).await;
    let (status, answer) = fixture.call(&[("x-api-key", BOB)]).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!(status, 402, "{message}");
    assert!(
        message.contains("raise the budget \"key:bob\""),
        "{message}"
    );
    assert!(!message.contains("LLM_BUDGET_LIMIT"), "{message}");
}

#[test]
fn keys_that_can_never_match_and_wrong_fields_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let good = r#"{"name": "good", "key": "good-secret-0123456789"}"#;
    for (entry, says) in [
        (
            r#"{"name": "a", "key": "secret with spaces 0"}"#,
            "the key of a has a space, a control character or one that is not ASCII at position 7",
        ),
        (
            r#"{"name": "a", "key": "secret-012345678\n"}"#,
            "the key of a has a space, a control character",
        ),
        (
            r#"{"name": "a", "key": "secret-sécret-0123"}"#,
            "the key of a has a space, a control character",
        ),
        (
            r#"{"name": "a", "key": "short-secret"}"#,
            "the key of a is shorter than 16 bytes",
        ),
        (
            r#"{"name": "a", "sha256": "secret"}"#,
            "the sha256 of a is not a hash: expected 64 hexadecimal digits",
        ),
        (
            r#"{"name": "a"}"#,
            "the entry of a must have either key or sha256",
        ),
        (
            r#"{"name": "a", "key": "secret-0123456789", "expires": "tomorrow"}"#,
            "the expires of a is \"tomorrow\": expected a time",
        ),
        (
            r#"{"name": "a", "key": "secret-0123456789", "expires": "2027-02-30"}"#,
            "the expires of a is \"2027-02-30\"",
        ),
        (
            r#"{"name": "a", "key": "secret-0123456789", "budget": 5}"#,
            "[1].budget: expected dollars",
        ),
        (
            r#"{"name": "a", "key": "secret-0123456789", "budget": 5}"#,
            "budget: expected dollars a month as a string, such as \"5\" or \"0.50\", at line 1 column",
        ),
        (
            r#"{"name": "a", "key": 123456789012345678}"#,
            "key: expected a string",
        ),
        (
            r#"{"name": "a", "key": "secret-0123456789", "operator": "yes"}"#,
            "operator: expected true or false",
        ),
        (r#"["a", "secret-0123456789"]"#, "[1]: expected [{"),
        (
            r#"{"name": "a", "secret-0123456789": 1}"#,
            "[1]: expected [{",
        ),
        (
            r#"{"name": "good", "key": "secret-0123456789"}"#,
            "the name or the key of good is there twice",
        ),
        (
            r#"{"name": "a", "key": "good-secret-0123456789"}"#,
            "the name or the key of a is there twice",
        ),
    ] {
        std::fs::write(&file, format!("[{good}, {entry}]")).unwrap();
        let (code, stderr) = refused(&["--port", "0", "--keys", file.to_str().unwrap()]);
        assert!(code == 2 && stderr.contains(says), "{entry}: {stderr}");
        assert!(stderr.contains("keys.json"), "{stderr}");
        for secret in ["secret-", "secret with", "1234567890123"] {
            assert!(!stderr.contains(secret), "{stderr}");
        }
    }
    let expired = r#"[{"name": "a", "key": "secret-0123456789", "expires": "2020-01-01"}]"#;
    std::fs::write(&file, expired).unwrap();
    let (code, stderr) = refused(&["--port", "0", "--keys", file.to_str().unwrap()]);
    assert!(
        code == 2 && stderr.contains("every API key has expired"),
        "{stderr}"
    );
}
