use super::*;

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_accepted() {
    for (text, says) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{}", "missing field `targets` at line 1 column 2"),
        (
            r#"{"targets": []}"#,
            "targets: there is none: add at least one",
        ),
        (
            r#"{"targets": [{"provider": "openai", "wieght": 2}]}"#,
            "targets[0].wieght: unknown field `wieght`: did you mean `weight`? (expected one of `name`, `provider`",
        ),
        (
            r#"{"targets": [{"provider": "opnai"}]}"#,
            "targets[0].provider: unknown variant `opnai`: did you mean `openai`? (expected one of `anthropic`, ",
        ),
        (
            r#"{"targets": [{"provider": "openai"}, {"provider": "groq", "weight": 0}]}"#,
            "targets[1].weight: invalid value: integer `0`, expected a nonzero u32 at line 1 column 69",
        ),
        (
            r#"{"targets": [{"provider": "openai", "timeout": 0}]}"#,
            "targets[0].timeout: invalid value: 0, expected a number of seconds from 0.001 to 86400",
        ),
        (
            r#"{"targets": [{"provider": "openai", "api_key": {"evn": "KEY"}}]}"#,
            r#"targets[0].api_key: expected {"env": "NAME"} or {"file": "PATH"}"#,
        ),
        (
            r#"{"targets": [{"provider": "openai", "models": {"fast": 1}}]}"#,
            "targets[0].models.fast: invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"targets": [{"provider": "openai"}], "routing": {"balancing": "random"}}"#,
            "routing.balancing: unknown variant `random`, expected one of `sticky`, `least_busy`, `weighted`",
        ),
        (
            r#"{"targets": [{"provider": "openai"}], "listen": {"max_bdy": 5}}"#,
            "listen.max_bdy: unknown field `max_bdy`: did you mean `max_body`?",
        ),
        (
            r#"{"targets": [{"provider": "openai"}]} x"#,
            "trailing characters at line 1 column 39",
        ),
    ] {
        let error = Config::parse(text).err().unwrap();
        assert!(error.starts_with(says), "{text}\n{error}");
    }
    for number in ["5", "[1]", "null", "{}"] {
        let text = format!(r#"{{"targets": [{{"provider": "openai", "api_key": {number}}}]}}"#);
        if let Err(error) = Config::parse(&text) {
            assert_eq!(error.matches("expected").count(), 1, "{error}");
        }
    }
    let inline = r#"{"targets": [{"provider": "openai", "api_key": "sk-secret-42"}]}"#;
    let error = Config::parse(inline).err().unwrap();
    assert!(
        error.starts_with("targets[0].api_key: expected ") && !error.contains("sk-secret"),
        "{error}"
    );
}

#[test]
fn a_list_is_not_read_as_an_object() {
    for (text, says) in [
        (
            "[[]]",
            "invalid type: sequence, expected an object at line 1",
        ),
        (
            r#"{"targets": [["eu", "openai"]]}"#,
            "targets[0]: invalid type: sequence, expected an object",
        ),
        (
            r#"{"targets": [], "routing": ["sticky"]}"#,
            "routing: invalid type: sequence, expected an object",
        ),
        (
            r#"{"targets": [], "routing": {"cooldown": [1, 2, 3]}}"#,
            "routing.cooldown: invalid type: sequence, expected an object",
        ),
        (
            r#"{"targets": [], "routing": {"hedging": [1, 2]}}"#,
            "routing.hedging: invalid type: sequence, expected an object",
        ),
        (
            r#"{"targets": [], "routing": {"rules": [{}]}}"#,
            "routing.rules: invalid type: sequence, expected an object",
        ),
        (
            r#"{"targets": [], "listen": ["::1"]}"#,
            "listen: invalid type: sequence, expected an object",
        ),
    ] {
        let error = Config::parse(text).err().unwrap();
        assert!(error.starts_with(says), "{text}\n{error}");
    }
    let text = r#"{"targets": [{"provider": "openai"}], "keys": [["alice", "0123456789abcdef"]]}"#;
    let error = Config::parse(text)
        .unwrap()
        .keys(Path::new("f"))
        .err()
        .unwrap();
    assert!(error.starts_with("f: keys[0]: expected [{"), "{error}");
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let secret = "sk-secret-42";
    for text in [
        r#"{"SECRET": 1}"#,
        r#"{"targets": [{"provider": "SECRET"}]}"#,
        r#"{"targets": [{"provider": "openai", "SECRET": 1}]}"#,
        r#"{"targets": [{"provider": "openai", "api_key": {"SECRET": 1}}]}"#,
        r#"{"targets": [{"provider": "openai", "api_key": ["SECRET"]}]}"#,
        r#"{"targets": [{"provider": "openai", "weight": "SECRET"}]}"#,
        r#"{"targets": [{"provider": "openai", "models": {"SECRET": 1}}]}"#,
        r#"{"targets": [{"provider": "openai", "models": "SECRET"}]}"#,
        r#"{"targets": [{"provider": "openai"}], "routing": {"balancing": "SECRET`, expected `x"}}"#,
        r#"{"targets": [{"provider": "openai"}], "routing": {"rules": {"codes": {"x": "SECRET"}}}}"#,
        r#"{"targets": [{"provider": "openai"}], "routing": "SECRET\", expected x"}"#,
        r#"{"targets": [{"provider": "openai"}], "listen": {"host": "SECRET"}}"#,
    ] {
        let error = Config::parse(&text.replace("SECRET", secret))
            .err()
            .unwrap();
        assert!(!error.contains(secret), "{text}\n{error}");
    }
    for (credential, shown) in [
        (
            Secret::Env("sk-secret-42".into()),
            "env: no variable of this name is set",
        ),
        (
            Secret::Env("hunter2".into()),
            "env: no variable of this name is set",
        ),
        (
            Secret::Env("AKIAIOSFODNN7EXAMPLE".into()),
            "env: no variable of this name is set",
        ),
        (
            Secret::Env("MY_KEY".into()),
            "env: the variable MY_KEY is not set",
        ),
        (Secret::File("sk-secret-42".into()), "file: No such file"),
        (
            Secret::File("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            "file: No such file",
        ),
        (
            Secret::File("key.txt".into()),
            "file: /nowhere/key.txt: No such file",
        ),
    ] {
        let error = credential
            .read(Path::new("/nowhere"), |_| None)
            .unwrap_err();
        assert!(error.starts_with(shown), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn faults_of_keys_have_the_place_in_the_file() {
    let text = "{\"targets\": [{\"provider\": \"openai\"}],\n  \"budget\": 1}";
    let error = Config::parse(text).err().unwrap();
    assert!(error.ends_with("at line 2 column 13"), "{error}");
    let text = "{\"targets\": [{\"provider\": \"openai\", \"name\": \"é\"}],\n  \"keys\": [\n    {\"name\": \"alice\", \"requests_per_minute\": 0}]}";
    let error = Config::parse(text)
        .unwrap()
        .keys(Path::new("f"))
        .err()
        .unwrap();
    let says =
        "f: keys[0].requests_per_minute: expected a whole number, at least 1, at line 3 column 46";
    assert_eq!(error, says);
    let text =
        r#"{"targets": [{"provider": "openai"}], "keys": [{"name": "alice", "key": "short"}]}"#;
    let error = Config::parse(text)
        .unwrap()
        .keys(Path::new("f"))
        .err()
        .unwrap();
    assert_eq!(
        error,
        "f: keys[0].key: the key of alice is shorter than 16 bytes"
    );
}

#[test]
fn the_documented_file_is_valid() {
    let docs = include_str!("../../../../../docs/gateway.md");
    let (_, rest) = docs.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config = Config::parse(example).unwrap();
    assert!(matches!(
        config.keys(Path::new("gateway.json")),
        Ok(Keys::Inline(_))
    ));
    let fields = [
        "provider",
        "name",
        "weight",
        "pool_timeout",
        "balancing",
        "hedging",
        "max_body",
        "allow_host",
    ];
    for field in fields {
        assert!(docs.contains(&format!("`{field}`")), "{field}");
    }
}
