//! What callers can hold of `warmline serve`, and how it ends, checked with plain sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::gateway::{Gateway, PATHS, ask, refused};
use common::{outcome, warmline, with_provider};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warmline_sim::{ScriptedServer, Sim, Step};

/// Sends a text over a connection of its own.
async fn send(gateway: &Gateway, text: &str) -> TcpStream {
    let address = gateway.process.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

async fn rest(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    let _ = socket.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

fn post(length: usize, body: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn limits_out_of_bounds_name_where_they_come_from() {
    for (option, value, expected) in [
        ("--max-body", "0", "a whole number from 1 to"),
        ("--max-body", "-1", "a whole number from 1 to"),
        ("--write-timeout", "-1", "a number of seconds"),
        ("--max-body", "1k", "a whole number from 1 to"),
        (
            "--max-body-total",
            "99999999999999999999",
            "a whole number from 1 to",
        ),
        ("--max-reply", "0", "a whole number from 1 to"),
        (
            "--max-caller-connections",
            "0",
            "a whole number from 1 to 1000000",
        ),
        (
            "--body-timeout",
            "0",
            "a number of seconds from 0.001 to 86400",
        ),
        ("--header-timeout", "NaN", "a number of seconds"),
        ("--write-timeout", "inf", "a number of seconds"),
        ("--shutdown-timeout", "86401", "a number of seconds"),
    ] {
        let (code, stderr) = refused(&["--port", "0", option, value]);
        let says = format!("{option} is \"{value}\": it must be {expected}");
        assert!(code == 2 && stderr.contains(&says), "{stderr}");
        let variable = option
            .trim_start_matches('-')
            .to_uppercase()
            .replace('-', "_");
        let variable = format!("LLM_SERVE_{variable}");
        let mut command = warmline(&["serve", "--port", "0"]);
        let command = command.env("OPENAI_API_KEY", "k").env(&variable, value);
        let (code, _, stderr) = outcome(command.output().unwrap());
        let says = format!("{variable} is \"{value}\": it must be {expected}");
        assert!(code == 2 && stderr.contains(&says), "{stderr}");
    }
    let (code, stderr) = refused(&["--port", "0", "--max-body", "9", "--max-body-total", "8"]);
    assert!(
        code == 2 && stderr.contains("it must be at least --max-body"),
        "{stderr}"
    );
}

#[tokio::test]
async fn variables_limit_the_gateway() {
    let sim = common::sim().await;
    let limits = [
        ("LLM_SERVE_MAX_BODY", "2000"),
        ("LLM_SERVE_MAX_BODY_TOTAL", "2000"),
        ("LLM_SERVE_BODY_TIMEOUT", "0.2"),
        ("LLM_SERVE_HEADER_TIMEOUT", "0.5"),
    ];
    let gateway = Gateway::start(&sim, &[], &limits).await;
    for (sent, status) in [
        (post(2001, ""), "413"),
        (post(20, "{"), "408"),
        ("POST ".into(), ""),
    ] {
        let answer = rest(send(&gateway, &sent).await).await;
        assert_eq!(
            answer.split(' ').nth(1).unwrap_or_default(),
            status,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn replies_are_limited() {
    let sim = common::sim().await;
    let gateway = Gateway::start(&sim, &["--max-reply", "1500"], &[]).await;
    for path in PATHS {
        for (tokens, stream) in [(1, false), (1000, false), (1000, true)] {
            let body = ask(
                &format!("tokens={tokens}&pace=0"),
                json!({"stream": stream, "max_tokens": 2000}),
            );
            let request = gateway.http.post(format!("{}{path}", gateway.process.url));
            let response = request.body(body).send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            let is_refused =
                text.contains("is larger than 1500 bytes") && text.contains("--max-reply");
            assert_eq!(is_refused, tokens > 1, "{text}");
            // A stream that arrives at once fails before its first content is passed on.
            if !stream || !is_refused {
                assert_eq!(status == 502, is_refused, "{status}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_caller_of_http_2_that_opens_no_window_loses_its_call() {
    let sim = common::sim().await;
    let gateway = Gateway::start(&sim, &[], &[("LLM_SERVE_WRITE_TIMEOUT", "0.2")]).await;
    let http2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(1000)
        .build()
        .unwrap();
    let endless = json!({"stream": true, "max_tokens": 100_000});
    let request = http2.post(format!("{}{}", gateway.process.url, PATHS[0]));
    let request = request.body(ask("tokens=100000&pace=0", endless));
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    gateway
        .until(|stats| stats["providers"]["anthropic"]["calls"]["abandoned"] == 1)
        .await;
    // What the caller reads in the end is not a reply that is whole.
    assert!(response.text().await.is_err());
}

#[cfg(unix)]
fn signal(gateway: &Gateway, name: &str) {
    let pid = gateway.process.child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &pid])
        .status();
    assert!(sent.unwrap().success());
}

#[cfg(unix)]
async fn until_logged(gateway: &Gateway, text: &str) {
    while !gateway.process.log().contains(text) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(unix)]
async fn ended(mut gateway: Gateway) -> (Option<i32>, String) {
    let ended = tokio::task::spawn_blocking(move || {
        let status = gateway.process.child.wait().unwrap();
        (status.code(), gateway)
    });
    let (code, gateway) = ended.await.unwrap();
    until_logged(&gateway, "stopping").await;
    (code, gateway.process.log())
}

/// A gateway before a provider that sends comments for ever, and a ledger in a file.
#[cfg(unix)]
async fn with_endless_comments(
    sim: &Sim,
    ledger: &std::path::Path,
    arguments: &[&str],
) -> (Gateway, ScriptedServer) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: working\n\n";
    let reply = vec![
        Step::Write(head.into()),
        Step::Repeat(": working\n\n".into()),
    ];
    let provider = ScriptedServer::start(vec![reply]).await.unwrap();
    let variables = [
        ("ANTHROPIC_BASE_URL", provider.url()),
        ("LLM_LEDGER", ledger.to_str().unwrap()),
    ];
    (Gateway::start(sim, arguments, &variables).await, provider)
}

#[cfg(unix)]
#[tokio::test]
async fn on_sigterm_it_ends_in_time_writes_the_ledger_and_says_what_it_cut() {
    let sim = common::sim().await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("spend.log");
    let arguments = ["--shutdown-timeout", "0.2"];
    let (gateway, _provider) = with_endless_comments(&sim, &ledger, &arguments).await;
    let half_head = send(&gateway, "POST /v1/mess").await;
    let half_body = send(&gateway, &post(100, "{")).await;
    let stream = ask("", json!({"stream": true}));
    let mut stream = gateway.post(PATHS[0], stream).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    let live = gateway.get("/v1/llm/stats?every=50").await;
    signal(&gateway, "-TERM");
    assert_eq!(rest(half_head).await, "");
    assert!(rest(half_body).await.starts_with("HTTP/1.1 503 "));
    live.text().await.unwrap();
    while let Ok(Some(_)) = stream.chunk().await {}
    let (code, log) = ended(gateway).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("in 200ms at the latest"), "{log}");
    assert!(log.contains("1 open request was cut"), "{log}");
    // What the call can have cost is charged, and nothing stays reserved.
    let gateway = Gateway::start(&sim, &[], &[("LLM_LEDGER", ledger.to_str().unwrap())]).await;
    let budget = &gateway.stats().await["spend"]["budgets"][0];
    assert_ne!(budget["spent"], "0", "{budget}");
    assert_eq!(budget["reserved"], "0", "{budget}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let sim = common::sim().await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("spend.log");
    let arguments = ["--shutdown-timeout", "86400"];
    let (gateway, _provider) = with_endless_comments(&sim, &ledger, &arguments).await;
    let stream = ask("", json!({"stream": true}));
    let mut stream = gateway.post(PATHS[0], stream).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    signal(&gateway, "-TERM");
    until_logged(&gateway, "stopping").await;
    signal(&gateway, "-INT");
    let (code, log) = ended(gateway).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("1 open request was cut"), "{log}");
}

#[cfg(unix)]
#[tokio::test]
async fn running_out_of_file_descriptors_is_logged_and_passes() {
    let sim = common::sim().await;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 32; exec \"$0\" serve --port 0"]);
    command.arg(env!("CARGO_BIN_EXE_warmline"));
    command.env_clear().current_dir(std::env::temp_dir());
    with_provider(&mut command, &sim);
    let started = tokio::task::spawn_blocking(|| common::process::GatewayProcess::start(command));
    let gateway = Gateway {
        process: started.await.unwrap().unwrap(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let mut callers = Vec::new();
    for _ in 0..32 {
        callers.push(send(&gateway, "").await);
    }
    until_logged(&gateway, "connections cannot be accepted").await;
    assert!(
        gateway.process.log().contains("ulimit -n"),
        "{}",
        gateway.process.log()
    );
    drop(callers);
    assert_eq!(gateway.get("/healthz").await.status(), 200);
}

#[cfg(unix)]
#[tokio::test]
async fn hundreds_of_callers_can_connect_at_once() {
    let sim = common::sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    // It accepts nothing, as when the processor is busy.
    signal(&gateway, "-STOP");
    let connecting = (0..300).map(|_| send(&gateway, "GET /healthz HTTP/1.1\r\n"));
    let connecting = futures_util::future::join_all(connecting);
    let connected = tokio::time::timeout(Duration::from_secs(20), connecting).await;
    signal(&gateway, "-CONT");
    for mut caller in connected.expect("callers cannot connect") {
        let rest = b"host: localhost\r\nconnection: close\r\n\r\n";
        caller.write_all(rest).await.unwrap();
        let answer = self::rest(caller).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
