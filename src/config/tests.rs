use super::*;

pub(super) fn build(vars: &[(&str, &str)]) -> Result<Client> {
    let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    ClientBuilder::from_vars(get)?.build()
}

#[test]
fn variables_configure_the_client() {
    let client = build(&[
        ("OPENAI_API_KEY", "sk-1"),
        ("LLM_MODEL", "gpt-x"),
        ("LLM_MAX_CONNECTIONS", " 3 "),
        ("LLM_KEEPALIVE_EXPIRY", "2.5"),
        ("LLM_TIMEOUT", ""),
    ])
    .unwrap();
    assert_eq!(
        (client.provider(), client.model()),
        (Provider::OpenAi, "gpt-x")
    );
    let limits = client.stats().limits.unwrap();
    assert_eq!(
        (limits.max_connections, limits.max_keepalive_connections),
        (3, 3)
    );
    assert_eq!(limits.keepalive_expiry, Duration::from_millis(2500));
}

#[test]
fn the_longest_delay_that_a_provider_may_ask_for_is_a_variable() {
    let get = |value: &'static str| {
        ClientBuilder::from_vars(move |name| (name == "LLM_MAX_RETRY_AFTER").then_some(value))
    };
    let policy = get("2.5").unwrap().retry;
    assert_eq!(policy.max_retry_after, Duration::from_millis(2500));
    let error = get("soon").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("LLM_MAX_RETRY_AFTER is \"soon\""),
        "{error}"
    );
}

#[test]
fn a_key_that_no_header_can_have_names_its_variable() {
    for (name, vars) in [
        (
            "OPENAI_API_KEY",
            &[("OPENAI_API_KEY", "sk-secret\nsk-secret")][..],
        ),
        (
            "AZURE_OPENAI_AD_TOKEN",
            &[
                ("LLM_PROVIDER", "azure"),
                ("AZURE_OPENAI_AD_TOKEN", "secret\u{7f}"),
            ],
        ),
        (
            "LLM_LEDGER_TOKEN",
            &[
                ("OPENAI_API_KEY", "k"),
                ("LLM_LEDGER", "https://example.upstash.io"),
                ("LLM_LEDGER_TOKEN", "secret\nsecret"),
            ],
        ),
    ] {
        let error = build(vars).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{name} holds characters")),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn the_timeouts_of_the_environment_are_explicit() {
    let get = |vars: &[(&str, &'static str)]| {
        let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        ClientBuilder::from_vars(get).unwrap().timeouts
    };
    let s = |n| Some(Duration::from_secs(n));
    let set = get(&[("LLM_TIMEOUT", "9")]);
    assert_eq!((set.timeout, set.reply, set.deadline), (s(9), None, None));
    let set = get(&[("LLM_REPLY_TIMEOUT", "700"), ("LLM_DEADLINE", "1000")]);
    assert_eq!(
        (set.timeout, set.reply, set.deadline),
        (None, s(700), s(1000))
    );
}

#[test]
fn the_scheme_of_its_address_selects_the_ledger() {
    for (ledger, fails) in [
        ("https://example.upstash.io", None),
        ("https://", Some("has no host")),
        #[cfg(feature = "redis")]
        ("redis://:secret@127.0.0.1:1/0", None),
        #[cfg(feature = "redis")]
        (
            "redis://:secret@:x",
            Some("LLM_LEDGER: the ledger's URL is not a Redis URL"),
        ),
        #[cfg(not(feature = "redis"))]
        (
            "redis://:secret@127.0.0.1",
            Some("the crate's feature `redis`"),
        ),
        (
            "REDIS+TLS://:secret@127.0.0.1",
            Some("LLM_LEDGER has the unknown scheme \"redis+tls\""),
        ),
        (
            "https://host?token=secret",
            Some("LLM_LEDGER: the ledger's URL \"https://host…\" has a query"),
        ),
        #[cfg(feature = "redis")]
        (
            "redis://127.0.0.1?protocol=secret",
            Some("LLM_LEDGER: the ledger's URL is not a Redis URL"),
        ),
        ("/no/such/folder/spend.log", Some("/no/such/folder")),
    ] {
        let built = build(&[("OPENAI_API_KEY", "k"), ("LLM_LEDGER", ledger)]);
        let error = built.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            error.contains(fails.unwrap_or_default()),
            "{ledger}: {error}"
        );
        assert_eq!(error.is_empty(), fails.is_none(), "{ledger}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn the_keys_that_are_set_select_the_provider() {
    for (vars, expected) in [
        (&[("OPENAI_API_KEY", "k")][..], Provider::OpenAi),
        (&[("ANTHROPIC_API_KEY", "k")], Provider::Anthropic),
        (
            &[("ANTHROPIC_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
            Provider::Anthropic,
        ),
        // Then in the table's order.
        (
            &[("XAI_API_KEY", "k"), ("GROQ_API_KEY", "k")],
            Provider::Groq,
        ),
        (
            &[("XAI_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
            Provider::OpenAi,
        ),
        (
            &[("GROQ_API_KEY", " "), ("XAI_API_KEY", "k")],
            Provider::XAi,
        ),
        (&[("GOOGLE_API_KEY", "k")], Provider::GeminiOpenAi),
        // A URL alone selects nobody.
        (
            &[("OLLAMA_HOST", "box"), ("ANTHROPIC_API_KEY", "k")],
            Provider::Anthropic,
        ),
        (
            &[
                ("LLM_PROVIDER", "OpenAI"),
                ("ANTHROPIC_API_KEY", "k"),
                ("OPENAI_API_KEY", "k"),
            ],
            Provider::OpenAi,
        ),
    ] {
        assert_eq!(build(vars).unwrap().provider(), expected, "{vars:?}");
    }
}

#[test]
fn each_invalid_value_is_named() {
    for (name, value, shown) in [
        (
            "LLM_PROVIDER",
            "mistrall",
            "LLM_PROVIDER: unknown provider \"mistrall\"",
        ),
        ("LLM_TIMEOUT", "soon", "LLM_TIMEOUT is \"soon\""),
        ("LLM_TIMEOUT", "-1", "LLM_TIMEOUT is -1"),
        ("LLM_TIMEOUT", "0", "LLM_TIMEOUT is 0"),
        ("LLM_REPLY_TIMEOUT", "0", "LLM_REPLY_TIMEOUT is 0"),
        ("LLM_DEADLINE", "x", "LLM_DEADLINE is \"x\""),
        ("LLM_TIMEOUT", "NaN", "LLM_TIMEOUT is NaN"),
        ("LLM_TIMEOUT", "1e99", "LLM_TIMEOUT is 1"),
        ("LLM_MAX_RETRIES", "-1", "LLM_MAX_RETRIES is \"-1\""),
        ("LLM_MAX_CONNECTIONS", "0", "max_connections is 0"),
        ("LLM_MAX_CONNECTIONS", "-3", "LLM_MAX_CONNECTIONS is \"-3\""),
        ("LLM_MAX_CONNECTIONS", "99999", "max_connections is 99999"),
        (
            "LLM_MAX_KEEPALIVE",
            "11",
            "max_keepalive_connections is 11, more than max_connections, which is 10",
        ),
        (
            "LLM_KEEPALIVE_EXPIRY",
            "-0.5",
            "LLM_KEEPALIVE_EXPIRY is -0.5",
        ),
        ("ANTHROPIC_BASE_URL", "localhost", "\"localhost\""),
    ] {
        let error = build(&[("ANTHROPIC_API_KEY", "k"), (name, value)]).unwrap_err();
        assert_eq!(error.kind().name(), "config");
        assert!(error.to_string().contains(shown), "{name}={value}: {error}");
    }
    #[cfg(unix)]
    {
        // The value is not shown, because a variable can hold a key.
        let bytes = std::os::unix::ffi::OsStringExt::from_vec(vec![b'x', 0xff]);
        let get = |name: &str| (name == "LLM_MODEL").then(|| OsString::clone(&bytes));
        let error = ClientBuilder::from_vars(get).unwrap_err();
        assert!(
            error.to_string().contains("LLM_MODEL is not UTF-8 text"),
            "{error}"
        );
    }
    assert!(
        build(&[])
            .unwrap_err()
            .to_string()
            .contains("ANTHROPIC_API_KEY")
    );
}

#[test]
fn a_budget_limit_is_a_decimal_or_none() {
    let limit = |value: &'static str| {
        let get = |name: &str| (name == "LLM_BUDGET_LIMIT").then_some(value);
        ClientBuilder::from_vars(get).map(|builder| format!("{:?}", builder.cost))
    };
    assert!(limit("").unwrap().contains("Usd(50)"));
    assert!(limit("0.25").unwrap().contains("Usd(0.25)"));
    assert!(limit("None").unwrap().contains("budgets: []"));
    let error = limit("lots").unwrap_err().to_string();
    assert!(error.contains("LLM_BUDGET_LIMIT: \"lots\""), "{error}");
}

#[test]
fn errors_in_a_price_file_name_the_field() {
    let good = r#"{"m": {"input": 3, "output": "15.5", "cache_read": "0.3", "audio_output": 64, "web_search": 10}}"#;
    let good = prices(good).unwrap();
    let (model, price) = &good[0];
    assert_eq!(model, "m");
    let picos = [
        price.input,
        price.output,
        price.cache_read,
        price.cache_write_1h,
        price.reasoning,
        price.audio_input,
        price.audio_output,
    ]
    .map(Usd::pico);
    let expected = [3.0, 15.5, 0.3, 3.0, 15.5, 3.0, 64.0];
    assert_eq!(picos, expected.map(|dollars| (dollars * 1e6) as u64));
    assert_eq!(price.web_search, Some(Usd::from_pico(10_000_000_000)));
    for (text, expected) in [
        ("[]", "must be a JSON object of models"),
        (r#"{"m": 1}"#, "m must be an object"),
        (r#"{"m": {"input": "3"}}"#, "m.output is missing"),
        (
            r#"{"m": {"input": "-3", "output": "1"}}"#,
            "m.input: \"-3\"",
        ),
        (r#"{"m": {"inptu": "3"}}"#, "m.inptu is unknown"),
    ] {
        let error = prices(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
