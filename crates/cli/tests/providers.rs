//! `warmline chat` with each kind of provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use common::{outcome, warmline};
use serde_json::Value;
use warmline_sim::{Config, ScriptedServer, Sim, Step};

fn run(command: &mut Command) -> (i32, String, String) {
    outcome(command.output().unwrap())
}

#[tokio::test]
async fn a_vendors_own_variables_are_enough() {
    let sim = Sim::start(Config::default()).await.unwrap();
    for (variables, arguments, provider, model) in [
        (
            &[("GROQ_API_KEY", "k")][..],
            &["--base-url", ""][..],
            "groq",
            "openai/gpt-oss-120b",
        ),
        (
            &[("LLM_PROVIDER", "mistral"), ("MISTRAL_API_KEY", "k")],
            &["--base-url", "", "--model", "m"],
            "mistral",
            "m",
        ),
        (
            &[("GROQ_API_KEY", "k"), ("XAI_API_KEY", "k")],
            &["--provider", "xai", "--base-url", "", "--model", "m"],
            "xai",
            "m",
        ),
        (
            &[("OPENROUTER_API_KEY", "k")],
            &["--base-url", "", "--model", "m"],
            "openrouter",
            "m",
        ),
        (
            &[
                ("LLM_PROVIDER", "vllm"),
                ("LLM_MODEL", "m"),
                ("VLLM_API_KEY", "k"),
            ],
            &["--base-url", ""],
            "vllm",
            "m",
        ),
    ] {
        let url = sim.openai_url();
        let mut command = warmline(&["chat", "Hi", "--json"]);
        command.args(arguments.iter().map(|argument| match *argument {
            "" => url.as_str(),
            argument => argument,
        }));
        command.envs(variables.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let (code, stdout, stderr) = outcome(output.await.unwrap());
        assert_eq!(code, 0, "{provider}: {stdout} {stderr}");
        let reply: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(
            (&reply["provider"], &reply["model"]),
            (&provider.into(), &model.into())
        );
        assert_eq!(stderr, "", "{provider}");
    }
    // The same by the variable of the address.
    let mut command = warmline(&["chat", "Hi", "--json"]);
    command
        .env("GROQ_API_KEY", "k")
        .env("GROQ_BASE_URL", sim.openai_url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let (code, stdout, stderr) = outcome(output.await.unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
}

#[test]
fn providers_are_listed_where_they_can_be_named() {
    let (_, help, _) = run(&mut warmline(&["chat", "--help"]));
    let (code, _, error) = run(&mut warmline(&["chat", "Hi", "--provider", "mistrall"]));
    assert_eq!(code, 2);
    for id in ["anthropic", "groq", "bedrock-anthropic", "litellm"] {
        assert!(help.contains(id), "{help}");
        assert!(error.contains(id), "{error}");
    }
    assert!(error.contains("\"mistrall\""), "{error}");
    // Without a key it is simulated, whatever the vendor, but not where none is needed.
    let (code, stdout, stderr) = run(&mut warmline(&["chat", "Hi", "--provider", "openrouter"]));
    assert!(
        code == 0 && stdout.starts_with("You said"),
        "{stdout} {stderr}"
    );
    let mut command = warmline(&["chat", "Hi", "--provider", "ollama", "--model", "m"]);
    command
        .env("OLLAMA_HOST", "127.0.0.1:1")
        .env("LLM_MAX_RETRIES", "0");
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("ollama"), "{stderr}");
    let (code, _, stderr) = run(&mut warmline(&["chat", "Hi", "--provider", "ollama"]));
    assert!(code == 2 && stderr.contains("names no model"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dialect_is_that_of_the_option_or_else_of_the_variable() {
    let refusal = "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n";
    let server = ScriptedServer::start(vec![vec![Step::Write(refusal.into())]]);
    let server = server.await.unwrap();
    let chat = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = warmline(&["chat", "Hi", "--json", "--base-url", server.url()]);
        command.args(arguments).env("OPENAI_API_KEY", "k");
        command.envs(variables.iter().copied());
        run(&mut command).1
    };
    let variable = [("LLM_DIALECT", "openai-responses")];
    let both = [("ANTHROPIC_API_KEY", "a"), variable[0]];
    for (variables, arguments) in [
        (&[][..], &[][..]),
        (&both, &[]),
        (&both[..1], &["--dialect", "openai-responses"]),
        (&variable, &[]),
        (&[], &["--dialect", "openai-responses"]),
        (&variable, &["--dialect", "openai-chat"]),
    ] {
        chat(variables, arguments);
    }
    let requests = server.requests().into_iter();
    let paths: Vec<_> = requests
        .map(|request| request.head.split(' ').nth(1).unwrap().to_owned())
        .collect();
    let expected = [
        "/chat/completions",
        "/responses",
        "/responses",
        "/responses",
        "/responses",
        "/chat/completions",
    ];
    assert_eq!(paths, expected);
    for (variables, arguments, says) in [
        (
            &[][..],
            &["--dialect", "anthropic", "--provider", "openai"][..],
            "the provider openai does not speak the dialect anthropic: it must be openai-chat or openai-responses",
        ),
        (&[], &["--dialect", "x"], "--dialect: unknown dialect"),
        (&[("LLM_DIALECT", "x")], &[], "LLM_DIALECT: unknown dialect"),
    ] {
        let stdout = chat(variables, arguments);
        let error: Value = serde_json::from_str(&stdout).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(says), "{message}");
    }
    // Without a key for the dialect, the message says which are read; without any key, the simulator answers.
    let mut command = warmline(&["chat", "Hi", "--dialect", "openai-responses"]);
    let (code, stdout, stderr) = run(&mut command);
    assert!(
        code == 0 && stdout.starts_with("You said") && !stderr.contains("ANTHROPIC"),
        "{stdout} {stderr}"
    );
    let (code, _, stderr) = run(command.env("ANTHROPIC_API_KEY", "k"));
    let says = "no provider that speaks the dialect openai-responses has a key: set one (OPENAI_API_KEY for openai, ";
    assert!(code == 2 && stderr.contains(says), "{stderr}");
}
