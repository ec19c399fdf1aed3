//! `warmline load` as a program.
#![cfg(feature = "load")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use common::{warmline, with_provider};
use serde_json::{Value, json};
use warmline_sim::{Config, Sim};

fn outcome(command: &mut Command) -> (i32, String, String) {
    common::outcome(command.output().unwrap())
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_grid_is_measured_counted_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("load.svg");
    let mut command = warmline(&[
        "load",
        "--concurrency",
        "1,4",
        "--connections",
        "2,4",
        "--reuse",
        "warm,cold,off",
        "--calls",
        "12",
        "--tokens",
        "2",
        "--pace",
        "1",
        "--tls",
        "--json",
        "--plot",
    ]);
    let (code, stdout, stderr) = outcome(command.arg(&plot));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let found = object(&stdout);
    let measurements = found["measurements"].as_array().unwrap();
    assert_eq!(measurements.len(), 12);
    for measurement in measurements {
        let in_flight = measurement["load"]["in_flight"].as_u64().unwrap();
        let most = in_flight.min(measurement["connections"].as_u64().unwrap());
        let opened = measurement["sockets_opened"].as_u64().unwrap();
        assert_eq!(measurement["errors"], json!({}), "{measurement}");
        assert_eq!(
            (&measurement["calls"], &measurement["total"]["count"]),
            (&json!(12), &json!(12))
        );
        match measurement["reuse"].as_str().unwrap() {
            "warm" => assert_eq!(
                (opened, &measurement["connect"]["count"]),
                (most, &json!(0)),
                "{measurement}"
            ),
            "cold" => assert_eq!(
                (opened, &measurement["connect"]["count"]),
                (most, &json!(most)),
                "{measurement}"
            ),
            _ => assert_eq!(
                (opened, &measurement["connect"]["count"]),
                (12, &json!(12)),
                "{measurement}"
            ),
        }
        assert!(
            measurement["sockets_at_once"].as_u64().unwrap()
                <= measurement["connections"].as_u64().unwrap()
        );
        assert!(measurement["cpu_us_per_call"].as_f64().unwrap() > 0.0);
    }
    let chosen = &found["recommendation"];
    let reason = chosen["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(&format!(
            "{} connections: with 4 in flight",
            chosen["connections"]
        )),
        "{reason}"
    );
    let svg = std::fs::read_to_string(&plot).unwrap();
    for said in [
        "connections open before",
        "a connection for each call",
        "4 in flight",
        "max_connections",
    ] {
        assert!(svg.contains(said), "{said}");
    }
    assert_eq!(
        svg.matches("<circle").count(),
        24,
        "a point for each measurement in each panel"
    );
}

#[test]
fn an_open_loop_keeps_its_rate_and_an_unreachable_server_is_an_error() {
    let (code, stdout, stderr) = outcome(&mut warmline(&[
        "load",
        "--rate",
        "400",
        "--connections",
        "3",
        "--calls",
        "30",
        "--tokens",
        "1",
        "--pace",
        "0",
        "--http2",
    ]));
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("a second  pool") && stdout.contains("\n      400     3  warm"),
        "{stdout}"
    );
    assert!(
        stdout.contains("HTTP/2") && stdout.contains("the only size measured"),
        "{stdout}"
    );
    let (code, stdout, stderr) = outcome(
        warmline(&[
            "load",
            "--base-url",
            "http://127.0.0.1:9",
            "--concurrency",
            "1",
            "--connections",
            "2",
            "--reuse",
            "cold",
            "--calls",
            "2",
        ])
        .envs([("LLM_MAX_RETRIES", "0"), ("OPENAI_API_KEY", "sk-none")]),
    );
    assert_eq!(code, 1, "{stdout}");
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("warmline: ") && stderr.contains("no connection to http://127.0.0.1:9"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_measured_and_the_table_shows_failed_calls() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let mut command = warmline(&[
        "load",
        "--concurrency",
        "2",
        "--connections",
        "2",
        "--calls",
        "20",
    ]);
    with_provider(&mut command, &sim);
    command.args([
        "--provider",
        "anthropic",
        "--base-url",
        &sim.anthropic_url(),
    ]);
    let (code, stdout, stderr) =
        outcome(command.args(["--model", "m?tokens=2&status=400&times=3"]));
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.starts_with(&sim.anthropic_url()), "{stdout}");
    let row = stdout.lines().find(|line| line.contains("warm ")).unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        (columns[0], columns[1], columns[4]),
        ("2", "2", "3"),
        "{row}"
    );
    assert_eq!(
        stdout
            .matches("2 in flight on 2 connections, warm: anthropic: 400")
            .count(),
        1,
        "{stdout}"
    );
    let mut command = warmline(&[
        "load",
        "--concurrency",
        "1",
        "--connections",
        "1",
        "--calls",
        "2",
        "--json",
    ]);
    with_provider(&mut command, &sim);
    command.args([
        "--base-url",
        &sim.anthropic_url(),
        "--provider",
        "anthropic",
    ]);
    let (code, stdout, _) = outcome(command.env("LLM_BUDGET_LIMIT", "0.000001"));
    assert_eq!(
        (code, &object(&stdout)["error"]["kind"]),
        (3, &json!("budget_exceeded"))
    );
}

#[test]
fn the_claims_are_measured_in_one_run() {
    let (code, stdout, stderr) = outcome(&mut warmline(&["load", "--check-claims", "--json"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let found = object(&stdout);
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    // These results do not depend on the machine's speed.
    let from = |row: usize| rows[row]["from"].as_str().unwrap();
    assert!(
        from(1).contains("in 100 handshakes, and") && from(1).ends_with("in 1"),
        "{}",
        from(1)
    );
    assert_eq!(from(2), "0 handshakes in 100 requests");
    assert_eq!(rows[5]["measured"], "1 → 10");
    assert!(
        from(6).ends_with("0 of the warmed-up ones made a handshake"),
        "{}",
        from(6)
    );
}

#[test]
fn of_several_targets_one_is_killed_and_no_call_without_content_fails() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("router.svg");
    let mut command = warmline(&["load", "--targets", "2", "--rate", "100", "--calls", "240"]);
    command.args(["--tokens", "2", "--pace", "1", "--json", "--plot"]);
    let (code, stdout, _) = outcome(command.arg(&plot));
    assert_eq!(code, 0);
    let found = object(&stdout);
    assert_eq!(found["errors_without_content"], json!({}));
    let quarters = found["quarters"].as_array().unwrap();
    let answered = |target: usize, quarter: &Value| quarter["answered"][target].as_u64().unwrap();
    let ended = |of: &Value| answered(0, of) + answered(1, of) + of["errors"].as_u64().unwrap();
    assert_eq!(quarters.iter().map(ended).sum::<u64>(), 240);
    // Killed after 0.8 s, and back after 1.6 s.
    assert!(answered(0, &quarters[0]) > 0 && answered(1, &quarters[0]) > 0);
    assert_eq!(answered(0, &quarters[5]), 0, "{found}");
    assert!(answered(1, &quarters[5]) > 0);
    assert!(std::fs::read_to_string(plot).unwrap().contains("target 1"));
    let (code, _, stderr) = outcome(&mut warmline(&["load", "--targets", "2", "--rate", "1,2"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--targets takes one --rate"), "{stderr}");
}

#[test]
fn invalid_options_are_named() {
    for (arguments, says) in [
        (&["--concurrency", "0"][..], "0 is not in 1..=10000"),
        (&["--connections", "ten"], "invalid value 'ten'"),
        (&["--rate", "-1"], "--rate"),
        (&["--rate", "0"], "it must be from 0.01 to 100000"),
        (
            &["--rate", "5", "--concurrency", "5"],
            "cannot be used with",
        ),
        (&["--live", "--delay", "5"], "cannot be used with"),
        (&["--provider", "antropic"], "\"antropic\""),
        (
            &["--live"],
            "no provider is configured: no provider's key is set (ANTHROPIC_API_KEY, OPENAI_API_KEY, ",
        ),
        (
            &["--plot", "/nowhere/x.svg"],
            "/nowhere/x.svg cannot be written: No such file",
        ),
        (&["--reuse", "maybe"], "[possible values: warm, cold, off]"),
    ] {
        let (code, _, stderr) = outcome(warmline(&["load"]).args(arguments));
        assert!(
            code == 2 && stderr.contains(says),
            "{arguments:?}: {code} {stderr}"
        );
    }
}
