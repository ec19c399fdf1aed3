//! `warmline serve --config`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::gateway::{Gateway, PATHS, ask, json};
use common::process::GatewayProcess;
use common::{outcome, sim, warmline};
use serde_json::{Value, json};
use warmline_sim::{RedisServer, Sim};

const ALICE: &str = "alice-key-0123456789";
const BOB: &str = "bob-key-012345678901";

/// A gateway with a file of `--config`.
struct Fixture {
    gateway: Gateway,
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(config: &Value) -> Self {
        Self::with(config, &[]).await
    }

    async fn with(config: &Value, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.json");
        std::fs::write(&file, config.to_string()).unwrap();
        std::fs::write(folder.path().join("key"), "sk-from-a-file\n").unwrap();
        let mut command = warmline(&["serve", "--port", "0", "--config", file.to_str().unwrap()]);
        command.env("MY_KEY", "sk-from-a-variable");
        command.envs(variables.iter().copied());
        let started = tokio::task::spawn_blocking(move || GatewayProcess::start(command));
        Self {
            gateway: Gateway {
                process: started.await.unwrap().unwrap(),
                http: reqwest::Client::builder().no_proxy().build().unwrap(),
            },
            file,
            folder,
        }
    }

    fn write(&self, config: &Value) {
        std::fs::write(&self.file, config.to_string()).unwrap();
    }

    async fn call(&self, key: &str, path: &str, model: &str) -> (u16, Value) {
        let body = ask("", json!({"model": model}));
        let request = self.gateway.post(path, body).header("x-api-key", key);
        json(request.send().await.unwrap()).await
    }

    async fn until_logged(&self, text: &str) {
        for _ in 0..1000 {
            if self.gateway.process.log().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{text}: {}", self.gateway.process.log());
    }

    /// Calls until the status is this.
    async fn until(&self, key: &str, model: &str, status: u16) -> Value {
        for _ in 0..1000 {
            let (got, reply) = self.call(key, PATHS[1], model).await;
            if got == status {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{model} never had status {status}: {}",
            self.gateway.process.log()
        );
    }
}

fn target(name: &str, sim: &Sim, more: Value) -> Value {
    let mut target = json!({"name": name, "provider": "openai", "base_url": sim.openai_url(), "api_key": {"env": "MY_KEY"}});
    let fields = target.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    target
}

#[tokio::test]
async fn targets_aliases_priorities_and_keys_come_from_the_file() {
    let (first, second) = (sim().await, sim().await);
    let config = json!({
        "targets": [
            target("main", &first, json!({"models": {"fast": "gpt-4.1-mini", "down": "m?status=500"}})),
            target("spare", &second, json!({
                "models": {"fast": "gpt-4.1-mini", "down": "gpt-4.1"}, "priority": 1, "max_connections": 3, "timeout": 5,
                "api_key": {"file": "key"},
            })),
        ],
        "routing": {"max_retries": 1, "balancing": "least_busy", "cooldown": {"base_ms": 60_000}},
        "keys": [{"name": "alice", "key": ALICE, "requests_per_minute": 100, "operator": true}],
        "budget": "7",
        "listen": {"max_body": 10_000, "max_body_total": 20_000},
    });
    let fixture = Fixture::new(&config).await;
    assert_eq!(fixture.call("wrong", PATHS[1], "fast").await.0, 401);
    let (status, reply) = fixture.call(ALICE, PATHS[1], "fast").await;
    assert_eq!(
        (status, &reply["model"]),
        (200, &json!("gpt-4.1-mini")),
        "{reply}"
    );
    assert_eq!((first.stats().requests, second.stats().requests), (1, 0));
    // The first target fails, and cools down.
    let (status, reply) = fixture.call(ALICE, PATHS[1], "down").await;
    assert_eq!(
        (status, &reply["model"]),
        (200, &json!("gpt-4.1")),
        "{reply}"
    );
    let body = ask("", json!({"padding": "x".repeat(10_000)}));
    let request = fixture
        .gateway
        .post(PATHS[1], body)
        .header("x-api-key", ALICE);
    assert_eq!(request.send().await.unwrap().status(), 413);
    let stats = fixture
        .gateway
        .http
        .get(format!("{}/v1/llm/stats", fixture.gateway.process.url));
    let (_, stats) = json(stats.header("x-api-key", ALICE).send().await.unwrap()).await;
    let targets = &stats["providers"];
    assert_eq!(targets["main"]["provider"], "openai");
    assert_eq!(targets["main"]["target"]["failures"], 1, "{stats}");
    assert_eq!(
        targets["spare"]["pool"]["now"]["limits"]["max_connections"], 3,
        "{stats}"
    );
    assert_eq!(stats["spend"]["budgets"][0]["limit"], "7", "{stats}");
}

#[tokio::test]
async fn a_session_stays_on_its_target() {
    let sims = [sim().await, sim().await, sim().await];
    let targets = sims.iter().enumerate();
    let targets =
        targets.map(|(n, sim)| target(&format!("t{n}"), sim, json!({"models": {"m": "gpt-4.1"}})));
    let config = json!({"targets": targets.collect::<Vec<_>>()});
    let fixture = Fixture::new(&config).await;
    let counts = || sims.each_ref().map(|sim| sim.stats().requests);
    let mut homes = Vec::new();
    for session in 0..8 {
        let before = counts();
        for turn in 0..3 {
            let message = json!([{"role": "user", "content": format!("turn {turn}")}]);
            let body = ask("", json!({"model": "m", "messages": message}));
            let request = fixture.gateway.post(PATHS[1], body);
            let request = request.header("x-session-id", format!("session-{session}"));
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        let after = counts();
        let mut called = (0..3).map(|n| after[n] - before[n]).collect::<Vec<_>>();
        homes.push(called.iter().position(|n| *n > 0));
        called.sort_unstable();
        assert_eq!(called, [0, 0, 3], "session {session}");
    }
    homes.sort_unstable();
    homes.dedup();
    assert!(homes.len() > 1, "the sessions are spread");
}

#[tokio::test]
async fn the_file_is_reloaded_and_an_invalid_one_is_not_used() {
    let (first, second) = (sim().await, sim().await);
    let alice = json!({"name": "alice", "key": ALICE});
    let one = target("one", &first, json!({"models": {"a": "gpt-4.1"}}));
    let two = target("two", &second, json!({"models": {"b": "gpt-4.1"}}));
    let mut config = json!({"targets": [one], "keys": [alice]});
    let fixture = Fixture::new(&config).await;
    fixture.until(ALICE, "a", 200).await;
    assert_eq!(first.stats().total, 1);
    // Another target, alias and key.
    let bob = json!({"name": "bob", "key": BOB});
    config = json!({"targets": [one, two], "keys": [alice, bob], "budget": "3"});
    fixture.write(&config);
    fixture.until(BOB, "b", 200).await;
    fixture
        .until_logged("read again, but budget cannot change while the gateway runs: restart it")
        .await;
    fixture.until(ALICE, "a", 200).await;
    // The connection of the target that has stayed has, too.
    assert_eq!(first.stats().total, 1);
    // An invalid file changes nothing, and the log says what is wrong with it, and nothing else.
    let advice = |log: String| log.matches("no key is an operator's").count();
    let before = advice(fixture.gateway.process.log());
    for (invalid, says) in [
        (json!({"targets": [], "keys": []}), "targets: there is none"),
        (
            json!({"targets": [two], "keys": [{"name": "carol"}]}),
            "keys[0]: the entry of carol must have either key or sha256",
        ),
        (
            json!({"targets": [one, one], "keys": []}),
            "the target \"one\" is there twice",
        ),
        (
            json!({"targets": [target("three", &first, json!({"api_key": {"env": "UNSET"}}))], "keys": []}),
            "targets[0] (three): api_key.env: the variable UNSET is not set",
        ),
        (
            json!({"targets": [two]}),
            "whether callers need a key cannot change",
        ),
    ] {
        fixture.write(&invalid);
        fixture.until_logged(says).await;
        let (status, _) = fixture.call(BOB, PATHS[1], "a").await;
        assert_eq!(status, 200, "{says}");
    }
    let log = fixture.gateway.process.log();
    assert_eq!(advice(log.clone()), before, "{log}");
    assert!(
        log.contains("; the configuration from before stays in use"),
        "{log}"
    );
    // A key that is gone is refused.
    config = json!({"targets": [two], "keys": [alice]});
    fixture.write(&config);
    fixture.until(BOB, "b", 401).await;
    fixture.until(ALICE, "b", 200).await;
    // Keys in a file of their own.
    let keys = fixture.folder.path().join("keys.json");
    std::fs::write(&keys, json!([alice, bob]).to_string()).unwrap();
    config = json!({"targets": [two], "keys": "keys.json"});
    fixture.write(&config);
    fixture.until(BOB, "b", 200).await;
    std::fs::write(&keys, json!([bob]).to_string()).unwrap();
    fixture.until(ALICE, "b", 401).await;
}

/// Runs a gateway that does not start, and returns its exit code and stderr.
fn refused(config: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    std::fs::write(&file, config).unwrap();
    let mut command = warmline(&["serve", "--port", "0", "--config", file.to_str().unwrap()]);
    let output = command
        .args(arguments)
        .env("OPENAI_API_KEY", "sk-of-the-environment")
        .output();
    let (code, _, stderr) = outcome(output.unwrap());
    (code, stderr)
}

#[test]
fn what_is_wrong_with_the_file_is_named_at_the_start() {
    for (config, says) in [
        (
            r#"{"targets": [{"provider": "openai", "wieght": 1}]}"#,
            "gateway.json: targets[0].wieght: unknown field `wieght`: did you mean `weight`?",
        ),
        (
            r#"{"targets": [{"provider": "openai", "base_url": "example.com"}]}"#,
            "targets[0]: the base URL \"example.com\"",
        ),
        (
            r#"{"targets": [{"provider": "groq"}]}"#,
            "targets[0]: no API key for groq: set GROQ_API_KEY or give the target an api_key",
        ),
        (
            r#"{"targets": [{"provider": "openai", "name": "a\nb"}]}"#,
            r#"the target "a\nb" has a name with a control character"#,
        ),
        (
            r#"{"targets": [{"provider": "openai", "models": {"a\u0007": "b"}}]}"#,
            r#"the target "openai": the model "a\u0007" has a name with a control character"#,
        ),
        (
            r#"{"targets": [{"provider": "openai", "base_url": "sk-secret-42"}]}"#,
            "targets[0]: the base URL \"…\" (not shown, because it may be a key) has no scheme",
        ),
        (
            r#"{"targets": [{"provider": "openai"}], "listen": {"body_timeout": 0}}"#,
            "listen.body_timeout is \"0\": it must be a number of seconds from 0.001 to 86400",
        ),
        (
            r#"{"targets": [{"provider": "openai"}], "listen": {"allow_origin": ["example.com"]}}"#,
            "listen.allow_origin[0]: ",
        ),
        (
            r#"{"targets": [{"provider": "openai"}], "keys": "missing.json"}"#,
            "missing.json",
        ),
        (
            r#"{"targets": [{"provider": "openai"}], "keys": []}"#,
            "there is no API key, so nobody could call",
        ),
    ] {
        let (code, stderr) = refused(config, &[]);
        assert!(
            code == 2 && stderr.contains(says) && !stderr.contains("sk-secret"),
            "{config}\n{code} {stderr}"
        );
    }
    // What may be a key is not shown, whichever argument it is.
    for arguments in [
        ["serve", "--port=sk-secret-42"],
        ["serve", "sk-secret-42"],
        ["serve", "--sk-secret-42"],
        ["chat", "--provider=sk-secret-42"],
        ["chat", "--budget=sk-secret-42"],
    ] {
        let (code, _, stderr) = outcome(warmline(&arguments).output().unwrap());
        assert!(code == 2 && !stderr.contains("sk-secret"), "{stderr}");
    }
    let (code, _, stderr) = outcome(
        warmline(&["serve", "--config", "sk-secret-42"])
            .output()
            .unwrap(),
    );
    assert!(code == 2 && !stderr.contains("sk-secret"), "{stderr}");
}

#[cfg(feature = "simulator")]
#[tokio::test]
async fn a_file_can_be_tried_without_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    let config = json!({"targets": [
        {"name": "eu", "provider": "azure", "resource": "r", "api_key": {"env": "UNSET"}, "models": {"fast": "prod-mini"}},
        {"provider": "anthropic", "api_key": {"file": "missing"}},
    ]});
    std::fs::write(&file, config.to_string()).unwrap();
    let command = warmline(&[
        "serve",
        "--port",
        "0",
        "--simulate",
        "--config",
        file.to_str().unwrap(),
    ]);
    let started = tokio::task::spawn_blocking(move || GatewayProcess::start(command));
    let gateway = Gateway {
        process: started.await.unwrap().unwrap(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    for (path, model) in [(PATHS[1], "fast"), (PATHS[0], "claude-haiku-4-5")] {
        let body = ask("", json!({"model": model}));
        let (status, reply) = json(gateway.post(path, body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{reply}");
    }
}

#[tokio::test]
async fn a_key_of_the_environment_is_not_sent_to_another_server() {
    let sim = sim().await;
    let targets = json!([{"provider": "openai", "base_url": sim.openai_url()}]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    std::fs::write(&file, json!({"targets": targets}).to_string()).unwrap();
    let mut command = warmline(&["serve", "--port", "0", "--config", file.to_str().unwrap()]);
    command.env("OPENAI_API_KEY", "sk-of-the-environment");
    let started = tokio::task::spawn_blocking(move || GatewayProcess::start(command));
    let gateway = Gateway {
        process: started.await.unwrap().unwrap(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let reply = gateway
        .post(PATHS[1], ask("tokens=1", json!({})))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 401);
}

#[tokio::test]
async fn gateways_that_share_a_redis_share_which_targets_cool_down() {
    let (first, second) = (sim().await, sim().await);
    let redis = RedisServer::start().await.unwrap();
    let models = json!({"models": {"fast": "gpt-4.1", "down": "m?status=529"}});
    let spare = json!({"models": {"fast": "gpt-4.1", "down": "gpt-4.1"}, "priority": 1});
    let config = json!({
        "targets": [target("main", &first, models), target("spare", &second, spare)],
        "routing": {"balancing": "least_busy", "cooldown": {"base_ms": 60_000}},
    });
    let ledger = [("LLM_LEDGER", &*redis.url)];
    let one = Fixture::with(&config, &ledger).await;
    let other = Fixture::with(&config, &ledger).await;
    assert_eq!(other.call("", PATHS[1], "fast").await.0, 200);
    assert_eq!(one.call("", PATHS[1], "down").await.0, 200);
    assert_eq!((first.stats().requests, second.stats().requests), (2, 1));
    // The other one hears of it within a second, and no call of it fails.
    let mut calls = 0;
    loop {
        let before = first.stats().requests;
        assert_eq!(other.call("", PATHS[1], "fast").await.0, 200);
        if first.stats().requests == before {
            break;
        }
        calls += 1;
        assert!(calls < 1000, "{}", other.gateway.process.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
