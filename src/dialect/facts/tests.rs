use super::values::whole_number;
use super::*;

#[cfg(feature = "openai-responses")]
mod responses;

fn of_openai(body: &str) -> Result<RequestFacts> {
    let ask = r#""stream_options":{"include_usage":true},"#;
    RequestFacts::read(OPENAI_CHAT, Some(ask), body.as_bytes())
}

fn read(body: &str) -> RequestFacts {
    of_openai(body).unwrap()
}

fn message(content: &str) -> RequestFacts {
    read(&format!(
        r#"{{"messages": [{{"role": "user", "content": {content}}}]}}"#
    ))
}

#[test]
fn what_a_request_holds_is_seen_wherever_it_stands() {
    let facts = read(
        r#"{"model": "m", "stream": true, "max_tokens": 5, "max_completion_tokens": 7, "n": 2, "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "a \"type\": \"image\""},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64"}, "cache_control": {}}]},
                {"type": "document", "source": {"type": "text", "data": "x"}},
                {"source": {"type": "url", "url": "u"}, "type": "document"}]}]}"#,
    );
    let expected = RequestFacts {
        model: Some("m".into()),
        model_at: Some(10..13),
        stream: true,
        ask: Some((1..1, r#""stream_options":{"include_usage":true},"#)),
        max_tokens: Some(5),
        max_completion_tokens: Some(7),
        replies: 2,
        images: 2,
        image_bytes: 26,
        documents: 1,
        cached: true,
        ..RequestFacts::default()
    };
    assert_eq!(facts, expected);
}

#[test]
fn what_is_no_request_is_refused_with_what_would_be_accepted() {
    let whole = "it must be a whole number that is not negative";
    let long = "x".repeat(300);
    for (body, says) in [
        (
            "",
            "the request is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            "[]",
            "the request is not JSON: invalid type: sequence, expected an object at line 1 column 0",
        ),
        (
            "null",
            "the request is not JSON: invalid type: null, expected an object at line 1 column 4",
        ),
        (
            r#"null,"model":"m"}"#,
            "the request is not JSON: invalid type: null, expected an object at line 1 column 4",
        ),
        (
            "{}x",
            "the request is not JSON: trailing characters at line 1 column 3",
        ),
        (
            "{} {}",
            "the request is not JSON: trailing characters at line 1 column 4",
        ),
        (r#"{"model": 5}"#, "model is 5: it must be a string"),
        (
            r#"{"stream": "true"}"#,
            "stream is \"true\": it must be true, false or null",
        ),
        (
            r#"{"stream": 1}"#,
            "stream is 1: it must be true, false or null",
        ),
        (
            r#"{"stream_options": true}"#,
            "stream_options is true: it must be an object or null",
        ),
        (
            r#"{"max_tokens": "60000"}"#,
            &format!("max_tokens is \"60000\": {whole}"),
        ),
        (
            r#"{"max_tokens": -1}"#,
            &format!("max_tokens is -1: {whole}"),
        ),
        (
            r#"{"max_tokens": 1.5}"#,
            &format!("max_tokens is 1.5: {whole}"),
        ),
        (
            r#"{"max_completion_tokens": [9]}"#,
            &format!("max_completion_tokens is [9]: {whole}"),
        ),
        (r#"{"n": true}"#, &format!("n is true: {whole}")),
        (
            r#"{"n_predict": "9"}"#,
            &format!("n_predict is \"9\": {whole}"),
        ),
        (r#"{"best_of": -2}"#, &format!("best_of is -2: {whole}")),
        (
            &format!(r#"{{"n": "{long}"}}"#),
            &format!("n is \"{}…: {whole}", &long[..255]),
        ),
        (
            r#"{"max_tokens": 1, "max_tokens": 9}"#,
            "the request has \"max_tokens\" twice: give it once",
        ),
        (
            r#"{"max_tokens": 1, "max\u005ftokens": 9}"#,
            "the request has \"max_tokens\" twice: give it once",
        ),
        (
            r#"{"messages": [], "messages": []}"#,
            "the request has \"messages\" twice: give it once",
        ),
        (
            r#"{"unknown": 1, "unknown": 1}"#,
            "the request has \"unknown\" twice: give it once",
        ),
        (
            r#"{"Max_Tokens": 9}"#,
            "\"Max_Tokens\" is not a field: it is spelled max_tokens",
        ),
        (
            "{\"max_to\u{212a}en\u{17f}\": 9}",
            "\"max_to\u{212a}en\u{17f}\" is not a field: it is spelled max_tokens",
        ),
        (
            r#"{"messages": [{"content": [{"type": "text", "type": "image"}]}]}"#,
            "a message or a content block has \"type\" twice: give it once",
        ),
        (
            r#"{"messages": [{"content": [{"type": "text", "\u0074ype": "image"}]}]}"#,
            "a message or a content block has \"type\" twice: give it once",
        ),
        (
            r#"{"messages": [{"content": [{"type": "document", "source": {"type": "text"}, "source": {}}]}]}"#,
            "a message or a content block has \"source\" twice: give it once",
        ),
        (
            r#"{"stream_options": {"include_usage": false, "include_usage": true}}"#,
            "stream_options has include_usage twice: give it once",
        ),
    ] {
        let error = of_openai(body).unwrap_err();
        assert_eq!(error.message(), says, "{body}");
    }
    let fields: Vec<String> = (0..257).map(|i| format!("\"f{i}\":0")).collect();
    let of = |n: usize| format!("{{{}}}", fields[..n].join(","));
    let error = of_openai(&of(257)).unwrap_err();
    assert_eq!(error.message(), "the request has more than 256 fields");
    read(&of(256));
}

#[test]
fn a_models_name_has_a_most_and_the_error_does_not_repeat_all_of_it() {
    let named = |bytes: usize| format!(r#"{{"model": "{}"}}"#, "m".repeat(bytes));
    assert_eq!(read(&named(256)).model.unwrap().len(), 256);
    for bytes in [257, 5_000_000] {
        let error = of_openai(&named(bytes)).unwrap_err();
        let says = format!("…\" has {bytes} bytes: at most 256 are accepted");
        assert!(error.message().ends_with(&says), "{error}");
        assert!(error.message().len() < 400);
    }
}

#[test]
fn numbers_equal_to_whole_ones_are_those_and_null_is_absence() {
    for number in ["60000", "6e4", "60000.0", "600000E-1"] {
        let facts = read(&format!(r#"{{"max_tokens": {number}, "n": {number}}}"#));
        assert_eq!((facts.max_tokens, facts.replies), (Some(60_000), 60_000));
    }
    let nulls = read(
        r#"{"model": null, "stream": null, "max_tokens": null, "max_completion_tokens": null, "n": null, "n_predict": null, "prediction": null}"#,
    );
    let nothing = RequestFacts {
        ask: nulls.ask.clone(),
        ..RequestFacts::default()
    };
    assert_eq!(nulls, nothing);
}

#[test]
fn other_names_of_limits_and_of_replies_count_by_the_most() {
    let names = OPENAI_CHAT
        .into_iter()
        .flatten()
        .flat_map(|(_, names)| names.iter());
    for name in names.filter(|n| n.contains("max_") || n.ends_with("predict")) {
        let facts = read(&format!(r#"{{"{name}": 9, "max_tokens ": 1}}"#));
        let limits = [
            facts.max_tokens.unwrap_or(0),
            facts.max_completion_tokens.unwrap_or(0),
            facts.other_limit,
        ];
        assert_eq!(limits.iter().max(), Some(&9), "{name}");
    }
    assert_eq!(
        read(r#"{"n_predict": 9, "max_new_tokens": 7}"#).other_limit,
        9
    );
    assert_eq!(read(r#"{"n": 2, "best_of": 5}"#).replies, 5);
    let predicted = r#"{"type": "content", "content": "x"}"#;
    let facts = read(&format!(r#"{{"prediction":{predicted}}}"#));
    assert_eq!(facts.predicted, predicted.len() as u64);
}

#[test]
fn what_could_be_a_picture_or_a_document_counts_as_one() {
    for (content, images, documents) in [
        (r#""text""#, 0, 0),
        (r#"[{"type": "text", "text": "x"}, "x"]"#, 0, 0),
        (r#"[{"type": "im\u0061ge", "source": {}}]"#, 1, 0),
        (r#"{"type": "image"}"#, 1, 0),
        (r#"[{"Type": "image"}]"#, 1, 0),
        (r#"[{"type": "Image"}]"#, 0, 1),
        (r#"[{"type": "hologram"}]"#, 0, 1),
        (r#"[{"image_url": "u"}]"#, 0, 1),
        (r#"[{"type": "video_url"}]"#, 0, 1),
        (
            r#"[{"type": "tool_use", "input": {"type": "object"}}]"#,
            0,
            0,
        ),
        // What a tool was given is the caller's own, but an image there may be one.
        (
            r#"[{"type": "tool_use", "input": {"type": "x", "type": "image", "source": 1, "source": 2}}]"#,
            1,
            0,
        ),
        (
            r#"[{"type": "tool_use", "input": {"type": "document", "source": {"type": "text", "type": "url"}}}]"#,
            0,
            1,
        ),
        (
            r#"[{"type": "tool_use", "input": {"type": "document", "source": {"type": "text"}, "source": {}}}]"#,
            0,
            1,
        ),
        (
            r#"[{"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}]"#,
            1,
            1,
        ),
        (
            r#"[{"type": "web_search_tool_result", "content": [{"type": "web_search_result"}]}]"#,
            0,
            0,
        ),
        (
            r#"[{"type": "text", "text": "x", "unknown": [{"type": "image"}]}]"#,
            1,
            0,
        ),
    ] {
        let facts = message(content);
        assert_eq!(
            (facts.images, facts.documents),
            (images, documents),
            "{content}"
        );
    }
    let schema = r#"{"properties": {"type": {"type": "string", "type": "string"}, "source": {}}}"#;
    let facts = read(&format!(
        r#"{{"tools": [{{"type": "custom", "input_schema": {schema}}}, {{"type": "function", "function": {{"parameters": {schema}}}}}],
            "metadata": {{"type": "a", "type": "b"}}, "response_format": {{"type": "json_schema", "json_schema": {{"schema": {schema}}}}}}}"#
    ));
    assert_eq!((facts.images, facts.documents), (0, 0));
}

#[test]
fn usage_is_asked_for_where_the_body_does_not_say() {
    for (body, asked) in [
        (
            r#"{"stream":true}"#,
            Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#),
        ),
        (
            r#" { "stream": true, "stream_options": null }"#,
            Some(r#" { "stream": true, "stream_options": {"include_usage":true} }"#),
        ),
        (
            r#"{"stream_options":{}}"#,
            Some(r#"{"stream_options":{"include_usage":true}}"#),
        ),
        (
            r#"{"stream_options":{"a":1}}"#,
            Some(r#"{"stream_options":{"include_usage":true,"a":1}}"#),
        ),
        (
            r#"{"stream_options":{"include_usage": null}}"#,
            Some(r#"{"stream_options":{"include_usage": true}}"#),
        ),
        (r#"{"stream_options":{"include_usage":true}}"#, None),
        (r#"{"stream_options":{"include_usage":false}}"#, None),
    ] {
        let asks = read(body)
            .ask
            .map(|(place, usage)| [&body[..place.start], usage, &body[place.end..]].concat());
        assert_eq!(asks.as_deref(), asked, "{body}");
    }
}

#[test]
fn a_number_that_equals_a_whole_one_is_that() {
    for (text, number) in [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("0.00e9", Some(0)),
        ("-0.0", Some(0)),
        ("0e-5", Some(0)),
        ("60000", Some(60_000)),
        ("60000.0", Some(60_000)),
        ("6e4", Some(60_000)),
        ("6E+4", Some(60_000)),
        ("0.6e5", Some(60_000)),
        ("600000e-1", Some(60_000)),
        ("0.0060e7", Some(60_000)),
        ("18446744073709551615", Some(u64::MAX)),
        ("1844674407370955161.5e1", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("1e20", None),
        ("1e99999999999999999999", None),
        ("1.5", None),
        ("15e-1", None),
        ("-1", None),
        ("-6e4", None),
        ("\"5\"", None),
        ("true", None),
        ("null", None),
        ("{}", None),
        ("\"\"", None),
    ] {
        assert_eq!(whole_number(text), number, "{text}");
    }
}

#[test]
#[cfg(feature = "anthropic")]
fn a_request_that_continues_a_thread_has_more_input_than_its_body() {
    let read = |thread: &str| {
        let body = format!(r#"{{"model": "m", "max_tokens": 5, "thread": {thread}}}"#);
        RequestFacts::read(ANTHROPIC, None, body.as_bytes()).unwrap()
    };
    for thread in ["null", r#"{"type": "create"}"#] {
        let facts = read(thread);
        assert!(!facts.more_input && facts.searches == 0, "{thread}");
    }
    for thread in [
        r#"{"type": "continue", "previous_message_id": "msg_1"}"#,
        r#"{"type": "create", "type": "continue"}"#,
        r#"{"type": "create", "previous_message_id": "msg_1"}"#,
        r#""msg_1""#,
        "[]",
    ] {
        let facts = read(thread);
        assert!(facts.more_input && facts.searches > 0, "{thread}");
        assert_eq!(facts.containers, 1, "{thread}");
    }
}
