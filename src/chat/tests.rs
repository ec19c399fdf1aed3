//! The JSON form of a request.

use serde_json::{Value, json};

use super::Request;

#[test]
fn what_is_written_is_read_again() {
    let whole = json!({
        "model": "m", "system": [{"type": "text", "text": "s", "cache_control": "1h"}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "t"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "document", "source": {"type": "url", "url": "u"}, "title": "x"},
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "r"}], "is_error": true},
            ]},
            {"role": "assistant", "content": [
                {"type": "reasoning", "text": "hm", "signature": "s"},
                {"type": "redacted_reasoning", "data": "d"},
                {"type": "tool_use", "id": "1", "name": "n", "arguments": "{}"},
                {"type": "text", "text": "t", "annotations": {"dialect": "anthropic", "json": [{"a": 1}]}},
                {"type": "other", "dialect": "openai-chat", "json": {"type": "x"}},
            ]},
        ],
        "max_tokens": 5, "temperature": 0.5, "top_p": 1.0, "stop_sequences": ["x"],
        "tools": [{"name": "n", "description": "d", "input_schema": {}, "strict": true, "cache_control": "5m"}],
        "tool_choice": {"tool": "n"}, "parallel_tool_calls": false,
        "response_format": {"name": "o", "schema": {}}, "reasoning": {"effort": "xhigh"},
        "extra_body": {"a": 1, "b": null}, "keep_raw": true,
        "options": {"base_url": "https://h/v1", "headers": {"a": "b"}},
    });
    let request: Request = serde_json::from_value(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&request).unwrap(), whole);
    assert_eq!(Request::from_json(&whole.to_string()).unwrap(), request);
}

#[test]
fn null_is_absence_and_whole_numbers_may_be_written_in_any_way() {
    let request = r#"{"messages": [{"role": "user", "content": "x"}], "model": null, "system": null, "tools": null,
        "max_tokens": NUMBER, "stop_sequences": null, "extra_body": null, "keep_raw": null, "reasoning": null,
        "options": {"base_url": null, "headers": null}}"#;
    for (number, expected) in [
        ("6e4", Some(60_000)),
        ("60000.0", Some(60_000)),
        ("4294967295", Some(u32::MAX)),
        ("null", None),
    ] {
        let request = Request::from_json(&request.replace("NUMBER", number)).unwrap();
        assert_eq!(request.max_tokens, expected, "{number}");
    }
    for number in ["1.5", "-1", "4294967296", "1e10", "\"5\""] {
        let error = Request::from_json(&request.replace("NUMBER", number)).unwrap_err();
        assert!(
            error.message().starts_with("max_tokens: invalid"),
            "{error}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let message = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let more = |mut more: Value| {
        more["messages"] = json!([]);
        more
    };
    for (value, says) in [
        (json!([1]), "invalid type: sequence, expected an object"),
        (json!({"mesages": []}), "mesages: unknown field `mesages`"),
        (json!({}), "missing field `messages`"),
        (
            json!({"messages": 1}),
            "messages: invalid type: integer `1`",
        ),
        (
            json!({"messages": [{"content": "x"}]}),
            "messages[0]: missing field `role`",
        ),
        (
            json!({"messages": [{"role": "system", "content": "x"}]}),
            "messages[0].role: unknown variant `system`, expected `user` or `assistant`",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0]: missing field `content`",
        ),
        (
            message(json!([{"type": "vidoe"}])),
            "messages[0].content[0]: type is \"vidoe\": it must be one of text",
        ),
        (
            message(json!([{"type": "text"}])),
            "messages[0].content[0]: missing field `text`",
        ),
        (
            message(json!([{"type": "text", "text": "x", "y": 1}])),
            "messages[0].content[0].y: unknown field `y`",
        ),
        (
            message(json!([{"type": "text", "text": "x", "title": "t"}])),
            "messages[0].content[0]: unknown field `title` of a part of type \"text\"",
        ),
        (
            message(json!([{"type": "image", "source": {"type": "file"}}])),
            "messages[0].content[0].source: type is \"file\": it must be one of base64",
        ),
        (
            more(json!({"max_tokens": -1})),
            "max_tokens: invalid type: integer `-1`, expected a whole number",
        ),
        (
            more(json!({"temperature": "hot"})),
            "temperature: invalid type: string \"hot\"",
        ),
        (
            more(json!({"tool_choice": "some"})),
            "tool_choice: unknown variant `some`, expected one of `auto`, `any`, `none`",
        ),
        (
            more(json!({"reasoning": {"effort": "huge"}})),
            "reasoning.effort: unknown variant `huge`",
        ),
        (
            more(json!({"options": {"headers": {"authorization": 1234}}})),
            "options: the header \"authorization\" must be a string",
        ),
        (
            more(json!({"options": {"timeout": 1}})),
            "options: unknown field `timeout`",
        ),
        (
            json!({"messages": [{"role": "user", "content": {}}]}),
            "messages[0].content: invalid type: map, expected a string or a list of parts",
        ),
        (
            more(json!({"stop_sequences": ["a", 1]})),
            "stop_sequences[1]: invalid type: integer `1`, expected a string",
        ),
        (
            more(json!({"reasoning": ["low", 1]})),
            "reasoning: invalid type: sequence, expected an object",
        ),
        (
            json!({"messages": [{"role": "user", "content": "a"}, []]}),
            "messages[1]: invalid type: sequence, expected an object",
        ),
        (
            message(
                json!([{"type": "text", "text": "\n"}, {"type": "tool_result", "tool_use_id": "1", "content": [
                    {"type": "text"}, {"type": "text", "text": "x"}
                ]}]),
            ),
            "messages[0].content[1].content[0]: missing field `text`",
        ),
        (
            more(json!({"tools": [{"name": {}, "input_schema": {}}]})),
            "tools[0].name: invalid type: map, expected a string",
        ),
        (
            more(json!({"tools": {"a": 1}})),
            "tools: invalid type: map, expected a sequence",
        ),
    ] {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for text in [value.to_string(), pretty, format!(" {value} ")] {
            let error = Request::from_json(&text).unwrap_err();
            assert!(error.message().starts_with(says), "{text}: {error}");
        }
        assert!(serde_json::from_value::<Request>(value).is_err());
    }
    for (text, says) in [
        (
            r#"{"messages": [], "model": "a", "model": "b"}"#,
            "duplicate field `model`",
        ),
        (
            r#"{"extra_body": {"a": 1, "a": 2}, "messages": []}"#,
            "extra_body: \"a\" is given twice",
        ),
        (
            r#"{"messages": [], "options": {"headers": {"é": "x"}, "timeout": 1}}"#,
            "options: unknown field `timeout`",
        ),
    ] {
        let error = Request::from_json(text).unwrap_err();
        assert!(error.message().starts_with(says), "{text}: {error}");
    }
    for text in ["", "{\"messages\": [}", "{\"messages\": []} x"] {
        let error = Request::from_json(text).unwrap_err();
        assert!(
            error.message().starts_with("the request is not JSON: "),
            "{error}"
        );
    }
}
