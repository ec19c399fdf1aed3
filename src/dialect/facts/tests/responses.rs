//! Requests to the Responses API.

use super::*;

fn of_responses(body: &str) -> Result<RequestFacts> {
    let ask = r#""include":["reasoning.encrypted_content"],"#;
    RequestFacts::read(OPENAI_RESPONSES, Some(ask), body.as_bytes())
}

fn read_responses(body: &str) -> RequestFacts {
    of_responses(body).unwrap()
}

#[test]
fn what_the_items_of_a_conversation_hold_is_seen() {
    let png = "data:image/png;base64,AAAA";
    for (input, images, documents) in [
        (r#""text""#.to_owned(), 0, 0),
        (r#"[{"role": "user", "content": "x"}]"#.to_owned(), 0, 0),
        (r#"[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}]"#.to_owned(), 0, 0),
        (format!(r#"[{{"role": "user", "content": [{{"type": "input_image", "image_url": "{png}"}}]}}]"#), 1, 0),
        (r#"[{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/a.png"}]}]"#.to_owned(), 0, 1),
        (r#"[{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]"#.to_owned(), 0, 1),
        (r#"[{"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}]"#.to_owned(), 0, 1),
        (r#"[{"role": "user", "content": [{"type": "hologram"}]}]"#.to_owned(), 0, 1),
        (format!(r#"[{{"type": "function_call_output", "call_id": "c", "output": [{{"type": "input_image", "image_url": "{png}"}}]}}]"#), 1, 0),
        (r#"[{"type": "function_call_output", "call_id": "c", "output": [{"type": "hologram"}]}]"#.to_owned(), 0, 1),
        (r#"[{"type": "function_call", "call_id": "c", "name": "n", "arguments": "{\"type\": \"input_file\"}"}]"#.to_owned(), 0, 0),
        (r#"[{"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "x"}]"#.to_owned(), 0, 0),
        (r#"[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}], "encrypted_content": "x"}]"#.to_owned(), 0, 0),
        (r#"[{"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [{"type": "url_citation"}]}]}]"#.to_owned(), 0, 0),
        // They stand for content that the provider has stored.
        (r#"[{"type": "item_reference", "id": "msg_1"}]"#.to_owned(), 0, 1),
        (r#"[{"type": "web_search_call", "id": "ws_1"}]"#.to_owned(), 0, 1),
        (r#"[{"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}]"#.to_owned(), 0, 2),
        (r#"[{"id": "msg_1"}]"#.to_owned(), 0, 1),
    ] {
        let facts = read_responses(&format!(r#"{{"input": {input}}}"#));
        assert_eq!((facts.images, facts.documents), (images, documents), "{input}");
    }
    let twice = r#"{"input": [{"role": "user", "content": [{"type": "input_text", "type": "input_file"}]}]}"#;
    let error = of_responses(twice).unwrap_err();
    let says = "a message or a content block has \"type\" twice: give it once";
    assert_eq!(error.message(), says);
}

#[test]
fn what_the_providers_own_tools_may_do_is_bounded() {
    let of = |tools: &str, rest: &str| {
        let facts = read_responses(&format!(r#"{{"tools": [{tools}]{rest}}}"#));
        let counts = (
            facts.searches,
            facts.file_searches,
            facts.generated_images,
            facts.containers,
        );
        (counts, facts.more_input)
    };
    for (tools, rest, counts, more_input) in [
        (
            r#"{"type": "function", "name": "n"}"#,
            "",
            (0, 0, 0, 0),
            false,
        ),
        (
            r#"{"type": "custom", "name": "n"}"#,
            "",
            (0, 0, 0, 0),
            false,
        ),
        (r#"{"type": "local_shell"}"#, "", (0, 0, 0, 0), false),
        (r#"{"type": "apply_patch"}"#, "", (0, 0, 0, 0), false),
        (
            r#"{"type": "computer_use_preview"}"#,
            "",
            (0, 0, 0, 0),
            false,
        ),
        (
            r#"{"type": "mcp", "server_url": "u"}"#,
            "",
            (0, 0, 0, 0),
            true,
        ),
        (r#"{"type": "web_search"}"#, "", (30, 0, 0, 0), true),
        (
            r#"{"type": "web_search_preview"}"#,
            r#", "max_tool_calls": 2"#,
            (2, 0, 0, 0),
            true,
        ),
        (r#"{"type": "file_search"}"#, "", (0, 30, 0, 0), true),
        (
            r#"{"type": "file_search"}"#,
            r#", "max_tool_calls": 3"#,
            (0, 3, 0, 0),
            true,
        ),
        (r#"{"type": "image_generation"}"#, "", (0, 0, 10, 0), true),
        (
            r#"{"type": "code_interpreter", "container": {"type": "auto"}}"#,
            "",
            (0, 0, 0, 1),
            true,
        ),
        (
            r#"{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "16g"}}, {"type": "code_interpreter", "container": "cntr_1"}"#,
            "",
            (0, 0, 0, 17),
            true,
        ),
        (
            r#"{"type": "code_interpreter", "container": {"memory_limit": "1t"}}"#,
            "",
            (0, 0, 0, 64),
            true,
        ),
        (r#"{"type": "hologram"}"#, "", (30, 0, 0, 0), true),
        // Only a limit at the top is sure to count, and no search of OpenAI's has one of its own.
        (
            r#"{"type": "file_search"}"#,
            r#", "extra_body": {"max_tool_calls": 0}"#,
            (0, 30, 0, 0),
            true,
        ),
        (
            r#"{"type": "file_search"}"#,
            r#", "extra_body": {"max_tool_calls": 0}, "max_tool_calls": 3"#,
            (0, 30, 0, 0),
            true,
        ),
        (
            r#"{"type": "web_search", "max_uses": 0}"#,
            "",
            (30, 0, 0, 0),
            true,
        ),
        (
            r#"{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}"#,
            "",
            (0, 0, 0, 0),
            false,
        ),
        (
            r#"{"tools": [{"type": "image_generation"}, {"type": "code_interpreter", "container": {"memory_limit": "4g"}}], "type": "namespace"}"#,
            "",
            (0, 0, 10, 4),
            true,
        ),
    ] {
        assert_eq!(of(tools, rest), (counts, more_input), "{tools}{rest}");
    }
    for (field, searches) in [
        (r#""previous_response_id": "resp_1""#, 0),
        (r#""conversation": {"id": "conv_1"}"#, 0),
        (r#""prompt": {"id": "pmpt_1"}"#, 30),
    ] {
        let facts = read_responses(&format!("{{{field}}}"));
        assert_eq!(
            (facts.more_input, facts.searches),
            (true, searches),
            "{field}"
        );
    }
    let facts =
        read_responses(r#"{"background": true, "context_management": [{"type": "compaction"}]}"#);
    assert_eq!((facts.background, facts.more_runs), (true, 1));
    let error = of_responses(r#"{"background": "yes"}"#).unwrap_err();
    assert_eq!(
        error.message(),
        "background is \"yes\": it must be true, false or null"
    );
}

#[test]
fn the_limit_of_the_responses_api_counts_and_others_can_only_raise_it() {
    use crate::dialect::{Dialect, OpenAiResponses};
    for (body, most) in [
        ("{}", 64_000),
        (r#"{"max_output_tokens": 5}"#, 5),
        (r#"{"max_output_tokens": 0}"#, 64_000),
        (r#"{"max_output_tokens": 5, "max_tokens": 3}"#, 5),
        (r#"{"max_tokens": 7, "max_output_tokens": 5}"#, 7),
        (r#"{"max_completion_tokens": 9, "max_output_tokens": 5}"#, 9),
        (r#"{"max_tokens": 7}"#, 64_000),
        (
            r#"{"max_output_tokens": 5, "reasoning": {"effort": "high"}}"#,
            5,
        ),
    ] {
        let facts = OpenAiResponses.facts(body.as_bytes()).unwrap();
        assert_eq!(
            OpenAiResponses.max_output_tokens(&facts, Some(64_000)),
            most,
            "{body}"
        );
    }
    let facts = read_responses(
        r#"{"model": "m", "text": {"verbosity": "low"}, "service_tier": "flex", "prompt_cache_retention": "24h"}"#,
    );
    assert!(facts.prompted && facts.cached_long);
    assert_eq!(facts.service_tier.as_deref(), Some("flex"));
}

#[test]
fn encrypted_reasoning_is_asked_for_where_the_body_does_not_say() {
    for (body, asked) in [
        (
            r#"{"model":"m"}"#,
            Some(r#"{"include":["reasoning.encrypted_content"],"model":"m"}"#),
        ),
        (
            r#"{"include": null}"#,
            Some(r#"{"include": ["reasoning.encrypted_content"]}"#),
        ),
        (r#"{"include":[]}"#, None),
    ] {
        let asks = read_responses(body)
            .ask
            .map(|(place, field)| [&body[..place.start], field, &body[place.end..]].concat());
        assert_eq!(asks.as_deref(), asked, "{body}");
    }
}

#[test]
fn reasoning_that_is_named_by_its_id_alone_can_have_any_number_of_tokens() {
    for (item, documents) in [
        (r#"{"type": "reasoning", "summary": []}"#, 0),
        (
            r#"{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}"#,
            0,
        ),
        (r#"{"type": "reasoning", "id": "rs_1", "summary": []}"#, 1),
        (
            r#"{"id": "rs_1", "encrypted_content": null, "type": "reasoning"}"#,
            1,
        ),
    ] {
        let body = format!(r#"{{"model": "m", "input": [{item}]}}"#);
        let facts = read_responses(&body);
        assert_eq!(facts.documents, documents, "{item}");
    }
}
