//! What decoding a stream costs grows with its size, and not with its square.
#![allow(clippy::unwrap_used)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use warmline::dialect::{Anthropic, Dialect, OpenAiChat, OpenAiResponses};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Decodes a stream of `before`, `count` times `event`, and `after`, in chunks that cut events, and returns the number of bytes
/// that were allocated.
fn allocated(
    dialect: &dyn Dialect,
    before: &str,
    event: impl Fn(usize) -> String,
    after: &str,
    count: usize,
) -> usize {
    let frame = |data: &str| match data {
        "" => String::new(),
        data => format!("data: {data}\n\n"),
    };
    let mut stream = frame(before);
    stream.extend((0..count).map(|i| frame(&event(i))));
    stream += &frame(after);
    let region = Region::new(ALLOCATOR);
    let mut decoder = dialect.decode_stream(http::HeaderMap::new());
    for chunk in stream.as_bytes().chunks(4096) {
        decoder.feed(bytes::Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next_event() {
            event.unwrap();
        }
    }
    decoder.finish().unwrap();
    assert!(!decoder.take_reply().content.is_empty());
    region.change().bytes_allocated
}

#[test]
fn a_stream_that_is_four_times_as_long_allocates_about_four_times_as_much() {
    const STOP: &str = r#"{"type":"message_stop"}"#;
    let delta =
        |delta: &str| format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
    let start = |block: &str| {
        format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#)
    };
    let choice = |delta: &str| format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
    let openai = &OpenAiChat::default();
    let responses =
        |kind: &str, rest: &str| format!(r#"{{"type":"response.{kind}","output_index":0,{rest}}}"#);
    let completed = responses("completed", r#""response":{"status":"completed"}"#);
    let text = start(r#"{"type":"text","text":"","citations":[{"n":1}]}"#);
    let other = start(r#"{"type":"server_thing","content":""}"#);
    for (name, dialect, before, event, after) in [
        (
            "citations",
            &Anthropic as &dyn Dialect,
            &*text,
            &(|_| delta(r#"{"type":"citations_delta","citation":{"cited_text":"x"}}"#))
                as &dyn Fn(usize) -> String,
            STOP,
        ),
        (
            "an unknown delta",
            &Anthropic,
            &*other,
            &|_| delta(r#"{"type":"thing_delta","content":"some text"}"#),
            STOP,
        ),
        (
            "a new field in each delta",
            &Anthropic,
            &*other,
            &|i| delta(&format!(r#"{{"type":"thing_delta","field{i}":1}}"#)),
            STOP,
        ),
        (
            "input of an unknown block",
            &Anthropic,
            &*other,
            &|_| delta(r#"{"type":"input_json_delta","partial_json":"      "}"#),
            STOP,
        ),
        (
            "annotations",
            openai,
            "",
            &|_| choice(r#"{"annotations":[{"url":"x"}]}"#),
            "[DONE]",
        ),
        (
            "text",
            openai,
            "",
            &|_| choice(r#"{"content":"x"}"#),
            "[DONE]",
        ),
        (
            "calls",
            openai,
            "",
            &|i| {
                choice(&format!(
                    r#"{{"tool_calls":[{{"index":{i},"id":"c{i}","function":{{"name":"f","arguments":"{{}}"}}}}]}}"#
                ))
            },
            "[DONE]",
        ),
        (
            "text of the Responses API",
            &OpenAiResponses,
            "",
            &|_| responses("output_text.delta", r#""delta":"x""#),
            &completed,
        ),
        (
            "parts of a message",
            &OpenAiResponses,
            "",
            &|i| {
                responses(
                    "output_text.delta",
                    &format!(r#""content_index":{i},"delta":"x""#),
                )
            },
            &completed,
        ),
        (
            "annotations of the Responses API",
            &OpenAiResponses,
            "",
            &|_| {
                responses(
                    "output_text.annotation.added",
                    r#""annotation":{"url":"x"}"#,
                )
            },
            &completed,
        ),
        (
            "paragraphs of reasoning",
            &OpenAiResponses,
            "",
            &|i| {
                responses(
                    "reasoning_summary_text.delta",
                    &format!(r#""summary_index":{i},"delta":"x""#),
                )
            },
            &completed,
        ),
    ] {
        let count = |count| allocated(dialect, before, event, after, count);
        let (once, fourfold) = (count(500), count(2000));
        assert!(fourfold < 6 * once, "{name}: {once} bytes, then {fourfold}");
    }
}
