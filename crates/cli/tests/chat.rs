//! `warmline chat` as a program: its output, exit codes and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{json, outcome, run, sim, warmline, with_provider};
use warmline_sim::Sim;

/// Runs the command on another thread, so that the simulator can answer.
async fn against(sim: &Sim, arguments: &[&str], input: &'static [u8]) -> (i32, String, String) {
    let mut command = warmline(arguments);
    with_provider(&mut command, sim);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    });
    outcome(output.await.unwrap())
}

#[cfg(feature = "simulator")]
#[test]
fn without_a_key_the_simulated_provider_replies_and_stderr_says_so() {
    let (code, stdout, stderr) = run(&mut warmline(&[
        "chat",
        "Why is the sky blue?",
        "--max-tokens",
        "12",
    ]));
    assert_eq!(
        (code, stdout.as_str()),
        (
            0,
            "You said: “Why is the sky blue?” I am a simulated model \n"
        )
    );
    assert!(
        stderr.contains("simulated provider on http://127.0.0.1:"),
        "{stderr}"
    );
    let (code, stdout, _) = run(&mut warmline(&[]));
    assert!(
        code == 0 && stdout.starts_with("You said: “Hello! What are you?”"),
        "{stdout}"
    );
}

#[cfg(not(feature = "simulator"))]
#[test]
fn without_a_key_and_without_the_simulator_an_error_says_what_to_set() {
    for arguments in [&["chat", "Hi"][..], &[]] {
        let (code, stdout, stderr) = run(&mut warmline(arguments));
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(
            stderr.contains("set ANTHROPIC_API_KEY or OPENAI_API_KEY, or give --base-url"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn json_prints_the_documented_object() {
    let sim = sim().await;
    for (provider, model) in [("anthropic", "claude-x"), ("openai", "gpt-x")] {
        for no_stream in [false, true] {
            let mut arguments = vec![
                "chat",
                "Hi",
                "--json",
                "--provider",
                provider,
                "--model",
                model,
            ];
            arguments.extend(no_stream.then_some("--no-stream"));
            let (code, stdout, stderr) = against(&sim, &arguments, b"").await;
            assert_eq!((code, stderr.as_str()), (0, ""));
            let object = json(&stdout);
            let keys: Vec<&str> = object
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(
                keys,
                [
                    "attempts",
                    "cost_estimated",
                    "cost_usd",
                    "model",
                    "pool",
                    "provider",
                    "reasoning",
                    "request_id",
                    "stop_reason",
                    "text",
                    "timing_ms",
                    "tool_calls",
                    "usage",
                ]
            );
            assert!(
                object["text"]
                    .as_str()
                    .unwrap()
                    .starts_with("You said: “Hi”")
            );
            assert_eq!(
                (&object["provider"], &object["model"]),
                (&provider.into(), &model.into())
            );
            assert_eq!(
                (&object["stop_reason"], &object["attempts"]),
                (&"end_turn".into(), &1.into())
            );
            // The model is not in the price list, so that the provider's highest price applies.
            let cost: f64 = object["cost_usd"].as_str().unwrap().parse().unwrap();
            assert!(cost > 0.0 && object["cost_estimated"] == true, "{object}");
            assert!(
                object["usage"]["input_tokens"].as_u64() > Some(0)
                    && object["usage"]["output_tokens"].as_u64() > Some(0)
            );
            for counted in [
                "cache_read_tokens",
                "cache_write_tokens",
                "reasoning_tokens",
            ] {
                assert!(object["usage"][counted].is_u64(), "{counted}");
            }
            for part in ["queued", "connect", "first_event", "total"] {
                assert!(object["timing_ms"][part].is_number(), "{part}");
            }
            assert_eq!(
                (&object["pool"]["opened"], &object["pool"]["idle"]),
                (&1.into(), &1.into())
            );
        }
    }
}

#[tokio::test]
async fn a_call_over_budget_exits_with_3_and_sends_nothing() {
    let sim = sim().await;
    for arguments in [
        &["chat", "Hi", "--budget", "0.0001"][..],
        &["chat", "Hi", "--budget", "0", "--json"],
    ] {
        let (code, stdout, stderr) = against(&sim, arguments, b"").await;
        assert_eq!(code, 3, "{stderr}");
        assert!(
            stderr.contains("the budget \"default\" of $0.0001")
                || json(&stdout)["error"]["kind"] == "budget_exceeded",
            "{stdout}{stderr}"
        );
    }
    assert_eq!(sim.stats().requests, 0);
    let (code, _, stderr) = against(&sim, &["chat", "Hi", "--budget", "plenty"], b"").await;
    assert!(
        code == 2 && stderr.contains("warmline: --budget: \"plenty\""),
        "{stderr}"
    );
    let (code, ..) = against(&sim, &["chat", "Hi", "--budget", "none"], b"").await;
    assert_eq!(code, 0);
}

#[tokio::test]
async fn a_ledger_keeps_the_spend_across_runs() {
    let sim = sim().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spend.log");
    let run = |arguments: &'static [&'static str]| {
        let mut command = warmline(arguments);
        command.env("ANTHROPIC_API_KEY", "sk-ant-secret-42");
        command.env("ANTHROPIC_BASE_URL", sim.anthropic_url());
        command.env("LLM_LEDGER", &path);
        async move {
            outcome(
                tokio::task::spawn_blocking(move || command.output().unwrap())
                    .await
                    .unwrap(),
            )
        }
    };
    let chat = &[
        "chat",
        "Hi",
        "--max-tokens",
        "10",
        "--budget",
        "0.01",
        "--json",
    ];
    let mut codes = Vec::new();
    while codes.last() != Some(&3) && codes.len() < 100 {
        codes.push(run(chat).await.0);
    }
    // Each call costs less than it reserves. All but the last succeed.
    assert!(
        codes.len() > 2 && codes[..codes.len() - 1].iter().all(|code| *code == 0),
        "{codes:?}"
    );
    std::fs::write(&path, "not a ledger\n").unwrap();
    let (code, stdout, _) = run(chat).await;
    assert!(code == 2 && stdout.contains("is not a ledger"), "{stdout}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a ledger\n");
}

#[test]
fn prices_are_printed_and_an_unknown_model_is_an_error() {
    let (code, stdout, _) = run(&mut warmline(&["prices", "claude-sonnet-4-5-20250929"]));
    assert!(
        code == 0 && stdout.contains("litellm") && stdout.contains("anthropic/claude-sonnet-4-5"),
        "{stdout}"
    );
    let (code, stdout, _) = run(&mut warmline(&["prices", "openai/gpt-4.1-mini", "--json"]));
    let line = json(stdout.lines().next().unwrap());
    assert_eq!(
        (code, line["input"].as_str()),
        (0, Some("0.0000004")),
        "{stdout}"
    );
    let (code, _, stderr) = run(&mut warmline(&["prices", "nonesuch"]));
    assert!(code == 2 && stderr.contains("nonesuch"), "{stderr}");
}

#[tokio::test]
async fn the_prompt_can_come_from_stdin() {
    let sim = sim().await;
    for arguments in [&["chat", "-"][..], &["chat"]] {
        let (code, stdout, _) = against(&sim, arguments, "grüezi\n".as_bytes()).await;
        assert!(
            code == 0 && stdout.starts_with("You said: “grüezi”"),
            "{stdout}"
        );
    }
    let (code, _, stderr) = against(&sim, &["chat", "-"], b"\xff").await;
    assert!(code == 2 && stderr.contains("UTF-8"), "{stderr}");
}

#[tokio::test]
async fn a_failed_call_exits_with_1_and_prints_an_error_object() {
    let sim = sim().await;
    let model = "m?status=400&message=no+such+thing";
    let (code, stdout, stderr) = against(&sim, &["chat", "Hi", "--model", model], b"").await;
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(
        stderr.starts_with("warmline: anthropic: 400 invalid_request_error: no such thing"),
        "{stderr}"
    );

    let (code, stdout, _) = against(&sim, &["chat", "Hi", "--json", "--model", model], b"").await;
    let error = &json(&stdout)["error"];
    assert_eq!(
        (code, &error["kind"], &error["status"]),
        (1, &"status".into(), &400.into())
    );
    assert_eq!(
        (&error["code"], &error["attempts"]),
        (&"invalid_request_error".into(), &1.into())
    );
    assert!(error["request_id"].as_str().unwrap().starts_with("req_"));
    assert!(error["message"].as_str().unwrap().contains("no such thing"));
}

#[tokio::test]
async fn text_streamed_before_a_failure_is_printed() {
    let sim = sim().await;
    let model = "m?tokens=9&fault=close&at=event&after=3";
    let (code, stdout, stderr) = against(&sim, &["chat", "Hi", "--model", model], b"").await;
    assert_eq!(
        (code, stdout.as_str()),
        (1, "warm connections answer \n"),
        "{stderr}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_the_call_and_frees_the_connection() {
    let sim = sim().await;
    let child = warmline(&[
        "chat",
        "Hi",
        "--json",
        "--base-url",
        &sim.anthropic_url(),
        "--model",
        "m?hold",
    ])
    .env("ANTHROPIC_API_KEY", "k")
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    sim.wait_until(|s| s.holding == 1).await;
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        json(&String::from_utf8(output.stdout).unwrap())["error"]["kind"],
        "cancelled"
    );
    sim.wait_until(|s| s.open == 0).await;
}

#[cfg(all(unix, feature = "simulator"))]
#[test]
fn a_closed_stdout_is_not_a_failure() {
    let mut child = warmline(&["chat", "Hi"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
