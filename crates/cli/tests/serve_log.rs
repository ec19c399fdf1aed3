//! What `warmline serve` writes to its log.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::gateway::{Gateway, PATHS, ask};
use common::{sim, warmline, with_provider};
use serde_json::json;

const FIRST: &str = "first-key-0123456789";
const SECOND: &str = "second-key-0123456789";

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_stops_neither_the_keys_nor_the_shutdown() {
    let sim = sim().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let keys = |key| json!([{"name": "alice", "key": key}]).to_string();
    std::fs::write(&file, keys(FIRST)).unwrap();
    let mut command = warmline(&["serve", "--port", "0", "--keys", file.to_str().unwrap()]);
    with_provider(&mut command, &sim);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let listening = tokio::task::spawn_blocking(move || {
        let mut lines = log.lines().map(Result::unwrap);
        lines
            .find(|line| line.starts_with("listening on "))
            .unwrap()
        // The log is closed here.
    });
    let listening = listening.await.unwrap();
    let (_, url) = listening.split_once("listening on ").unwrap();
    let (url, _) = url.split_once(',').unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let until = async |key: &str, status: u16, scenario: &str| {
        loop {
            let request = http.post(format!("{url}{}", PATHS[0]));
            let request = request
                .header("x-api-key", key)
                .body(ask(scenario, json!({})));
            if request.send().await.unwrap().status().as_u16() == status {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The first of two attempts fails, which is logged.
    until(FIRST, 200, "tokens=3&status=500&times=1").await;
    for _ in 0..2 {
        std::fs::write(&file, keys(SECOND)).unwrap();
        until(SECOND, 200, "tokens=3").await;
        std::fs::write(&file, keys(FIRST)).unwrap();
        until(SECOND, 401, "tokens=3").await;
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_model_name_writes_no_line_of_its_own() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[("LLM_MAX_RETRIES", "1")]).await;
    let hostile = "status=500&message=a\nFORGED\u{1b}[31m\u{202e}";
    let response = gateway.post(PATHS[0], ask(hostile, json!({})));
    response.send().await.unwrap();
    while !gateway.process.log().contains("trying again") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let log = gateway.process.log();
    assert!(log.contains("FORGED"), "{log:?}");
    for forged in ["\nFORGED", "\u{1b}", "\u{202e}"] {
        assert!(!log.contains(forged), "{log:?}");
    }
}
