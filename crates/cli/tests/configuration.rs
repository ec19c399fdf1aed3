//! How `warmline chat` reads its arguments, the environment and `.env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{json, outcome, run, sim, warmline};

#[test]
fn bad_usage_and_configuration_exit_with_2_and_are_named() {
    let warmline = |arguments: &[&str]| {
        let mut command = warmline(arguments);
        command.env("ANTHROPIC_API_KEY", "k");
        command
    };
    let with =
        |arguments: &[&str], name: &str, value: &str| run(warmline(arguments).env(name, value));
    let chat = &["chat", "Hi"];
    for (shown, (code, stdout, stderr)) in [
        (
            "unknown provider \"mistrall\"",
            run(&mut warmline(&["chat", "Hi", "--provider", "mistrall"])),
        ),
        (
            "\"not a url\"",
            run(&mut warmline(&["chat", "Hi", "--base-url", "not a url"])),
        ),
        ("the prompt is empty", run(&mut warmline(&["chat", " "]))),
        ("the prompt is empty", run(&mut warmline(&["chat", "-"]))),
        (
            "max_tokens is 0",
            run(&mut warmline(&["chat", "Hi", "--max-tokens", "0"])),
        ),
        (
            "--max-tokens",
            run(&mut warmline(&["chat", "Hi", "--max-tokens", "-5"])),
        ),
        (
            "unrecognized subcommand 'caht'",
            run(&mut warmline(&["caht"])),
        ),
        (
            "no API key for openai: set OPENAI_API_KEY",
            with(&["chat", "Hi", "--provider", "openai"], "LLM_TIMEOUT", "30"),
        ),
        ("LLM_TIMEOUT is \"soon\"", with(chat, "LLM_TIMEOUT", "soon")),
        (
            "LLM_MAX_CONNECTIONS is \"-1\"",
            with(chat, "LLM_MAX_CONNECTIONS", "-1"),
        ),
        (
            "max_keepalive_connections is 20, more than max_connections, which is 10",
            with(chat, "LLM_MAX_KEEPALIVE", "20"),
        ),
        (
            "LLM_PROVIDER: unknown provider \"x\"",
            with(chat, "LLM_PROVIDER", "x"),
        ),
        (
            "LLM_LEDGER has a user name but no `://`",
            with(chat, "LLM_LEDGER", "redis:user:secret@redis"),
        ),
    ] {
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(shown), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
    let (code, stdout, _) = with(&["chat", "Hi", "--json"], "LLM_MAX_RETRIES", "many");
    let error = &json(&stdout)["error"];
    assert_eq!(
        (code, &error["kind"], &error["attempts"]),
        (2, &"config".into(), &0.into())
    );
    let (code, stdout, _) = run(&mut warmline(&["chat", "--frob", "--json"]));
    assert_eq!(
        (code, &json(&stdout)["error"]["kind"]),
        (2, &"config".into())
    );
}

#[test]
fn an_error_names_the_option_variable_or_file_that_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "LLM_MAX_RETRIES=many\n").unwrap();
    for (arguments, variables, in_folder, shown) in [
        (
            &["--provider", "x"][..],
            &[][..],
            false,
            "warmline: --provider: unknown provider \"x\"",
        ),
        (
            &[],
            &[("LLM_PROVIDER", "x")],
            false,
            "warmline: LLM_PROVIDER: unknown provider \"x\"",
        ),
        (
            &["--budget", "x"],
            &[("LLM_BUDGET_LIMIT", "5")],
            false,
            "warmline: --budget: \"x\"",
        ),
        (
            &[],
            &[("LLM_BUDGET_LIMIT", "x")],
            false,
            "warmline: LLM_BUDGET_LIMIT: \"x\"",
        ),
        (
            &["--base-url", "x"],
            &[],
            false,
            "warmline: --base-url: the base URL \"x\"",
        ),
        (
            &[],
            &[("ANTHROPIC_BASE_URL", "x")],
            false,
            "warmline: ANTHROPIC_BASE_URL: the base URL \"x\"",
        ),
        (
            &[],
            &[],
            true,
            "warmline: .env: LLM_MAX_RETRIES is \"many\"",
        ),
        (
            &[],
            &[("LLM_MAX_RETRIES", "some")],
            true,
            "warmline: LLM_MAX_RETRIES is \"some\"",
        ),
    ] {
        let mut command = warmline(&[&["chat", "Hi"], arguments].concat());
        command
            .env("ANTHROPIC_API_KEY", "k")
            .envs(variables.iter().copied());
        if in_folder {
            command.current_dir(&folder);
        }
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(shown), "{stderr}");
    }
}

#[cfg(feature = "simulator")]
#[test]
fn without_a_key_the_message_names_the_variables() {
    for (arguments, shown) in [
        (
            &["chat", "Hi", "--max-tokens", "1"][..],
            "no provider's key is set (ANTHROPIC_API_KEY, OPENAI_API_KEY, ",
        ),
        (&["chat", "Hi", "--max-tokens", "1"], ", GROQ_API_KEY, "),
        (
            &["chat", "Hi", "--max-tokens", "1", "--provider", "groq"],
            "GROQ_API_KEY is not set: calling the simulated provider",
        ),
    ] {
        let (code, _, stderr) = run(&mut warmline(arguments));
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(shown), "{stderr}");
    }
}

#[cfg(feature = "simulator")]
#[test]
fn dotenv_is_read_and_the_environment_takes_precedence() {
    let folder = tempfile::tempdir().unwrap();
    let with = |text: &str, model: Option<&str>| {
        std::fs::write(folder.path().join(".env"), text).unwrap();
        let mut command = warmline(&["chat", "Hi", "--json", "--max-tokens", "1"]);
        command.current_dir(&folder);
        if let Some(model) = model {
            command.env("LLM_MODEL", model);
        }
        run(&mut command)
    };
    let (_, stdout, _) = with("LLM_MODEL=from-file\n", None);
    assert_eq!(json(&stdout)["model"], "from-file");
    let (_, stdout, _) = with("LLM_MODEL=from-file\n", Some("from-environment"));
    assert_eq!(json(&stdout)["model"], "from-environment");
    let (code, stdout, _) = with("LLM_MAX_CONNECTIONS=lots\n", None);
    assert!(
        code == 2 && stdout.contains("LLM_MAX_CONNECTIONS"),
        "{stdout}"
    );
    for (text, shown) in [
        (
            "LLM_MODEL=m\nANTHROPIC_API_KEY=sk-ant-secret 42\n".to_owned(),
            ".env cannot be read: line 2 is not NAME=VALUE",
        ),
        ("sk-ant-secret-42".to_owned(), "line 1 is not NAME=VALUE"),
        (
            "KEY=sk-ant-secret\n".repeat(100_000),
            "larger than 1048576 bytes",
        ),
    ] {
        let (code, stdout, stderr) = with(&text, None);
        assert!(code == 2 && stdout.contains(shown), "{stdout}");
        assert!(!(stdout + &stderr).contains("secret"), "{shown}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_proxy_comes_from_the_environment_or_dotenv_and_must_be_valid() {
    let sim = sim().await;
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().to_owned();
    std::fs::write(folder.join(".env"), format!("http_proxy={}\n", sim.url())).unwrap();
    let url = sim.url();
    let host = url.trim_start_matches("http://");
    let chat = async |folder: &std::path::Path, variables: &[(&str, &str)]| {
        let mut command = warmline(&["chat", "Hi", "--json", "--max-tokens", "1"]);
        command
            .env("ANTHROPIC_API_KEY", "sk-ant-secret-42")
            .env("ANTHROPIC_BASE_URL", "http://llm.invalid")
            .env("LLM_MAX_RETRIES", "0")
            .envs(variables.iter().copied())
            .current_dir(folder);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        outcome(output.await.unwrap())
    };
    let nowhere = std::env::temp_dir();
    for (folder, variables) in [
        (&folder, &[][..]),
        (&folder, &[("HTTP_PROXY", " ")]),
        (&nowhere, &[("HTTP_PROXY", host)]),
        (&nowhere, &[("http_proxy", &url)]),
        (&nowhere, &[("ALL_PROXY", host), ("HTTP_PROXY", "")]),
        (&nowhere, &[("all_proxy", host), ("HTTPS_PROXY", "ftp://x")]),
        (&nowhere, &[("http_proxy", host), ("HTTP_PROXY", "")]),
        (
            &nowhere,
            &[
                ("http_proxy", host),
                ("HTTP_PROXY", "http://127.0.0.1:1"),
                ("REQUEST_METHOD", "GET"),
            ],
        ),
    ] {
        let (code, stdout, stderr) = chat(folder, variables).await;
        assert_eq!(code, 0, "{variables:?}: {stdout}{stderr}");
    }
    assert_eq!(sim.stats().requests, 8);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = [(name, "gopher://user:hunter2@127.0.0.1:1")];
        let (code, stdout, stderr) = chat(&nowhere, &proxy).await;
        assert_eq!(code, 2, "{stdout}");
        let shown = format!("{name} has the unknown scheme \\\"gopher\\\"");
        assert!(stdout.contains(&shown), "{stdout}");
        assert!(!(stdout + &stderr).contains("hunter2"));
    }
    // A proxy that is not used need not be valid.
    let except = [("HTTP_PROXY", "gopher://x"), ("NO_PROXY", "llm.invalid")];
    let (code, stdout, _) = chat(&nowhere, &except).await;
    assert_eq!(
        (code, &json(&stdout)["error"]["kind"]),
        (1, &"connect".into())
    );
}

#[test]
fn an_unreadable_rust_log_is_an_error() {
    for (value, readable) in [
        ("warmline=lots", false),
        ("a=b=c", false),
        ("debug", true),
        ("warn,warmline=debug", true),
        ("", true),
    ] {
        let (code, _, stderr) = run(warmline(&["prices"]).env("RUST_LOG", value));
        assert_eq!(code == 0, readable, "{value}: {stderr}");
        let says = format!("RUST_LOG is {value:?}: it must be a level such as debug");
        assert_eq!(stderr.contains(&says), !readable, "{stderr}");
    }
}

/// `/dev/full` is a disk that is full.
#[cfg(all(target_os = "linux", feature = "load"))]
#[test]
fn a_stdout_that_cannot_be_written_is_an_error() {
    let load = [
        "load",
        "--concurrency",
        "1",
        "--connections",
        "1",
        "--calls",
        "1",
        "--tokens",
        "1",
    ];
    let with = |arguments: &[&'static str], more| [arguments, &[more]].concat();
    for arguments in [
        vec!["prices"],
        vec!["prices", "--json"],
        vec!["chat", "Hi"],
        vec!["chat", "Hi", "--no-stream"],
        vec!["chat", "Hi", "--json"],
        load.to_vec(),
        with(&load, "--json"),
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let (code, _, stderr) = run(warmline(&arguments).stdout(full));
        assert_eq!(code, 1, "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("stdout cannot be written: No space left"),
            "{arguments:?}: {stderr}"
        );
        assert!(!stderr.contains("panicked"), "{stderr}");
        // One that is closed is no error.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, _, stderr) = run(warmline(&arguments).stdout(writer));
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
    }
}
