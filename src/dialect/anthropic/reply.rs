//! Decodes unary replies, and the content blocks that streams have as well.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::error::{embedded_error, instead_of_reply, is_error};
use crate::dialect::usage::{billing, detail, doubt_usage, merge_usage, word};
use crate::dialect::wire::{Pairs, Text, Word, list, other_caller, read, unreadable};
use crate::{
    Annotations, DialectName, Part, Provider, RawJson, Reply, Result, StopReason, ToolCall, Usage,
};

/// A message, or the one in `message_start`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireReply<'a> {
    #[serde(borrow)]
    pub(super) id: Word<'a>,
    #[serde(borrow)]
    pub(super) model: Word<'a>,
    #[serde(borrow)]
    pub(super) content: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) stop_reason: Word<'a>,
    #[serde(borrow)]
    pub(super) stop_sequence: Text<'a>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) container: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A content block, the block of a `content_block_start`, or a delta. Their fields have the same names.
#[derive(Default, Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) text: Text<'a>,
    #[serde(borrow, default)]
    pub(super) thinking: Text<'a>,
    #[serde(borrow, default)]
    pub(super) signature: Word<'a>,
    #[serde(borrow, default)]
    pub(super) partial_json: Text<'a>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) caller: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) citations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Word<'a>,
    #[serde(borrow, default)]
    pub(super) stop_sequence: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Word<'a>,
    /// Of `redacted_thinking`.
    #[serde(borrow)]
    data: Word<'a>,
}

/// Whether the block becomes a part of its own, and not a `Part::Other`.
fn is_known(kind: &str) -> bool {
    matches!(kind, "text" | "tool_use" | "thinking" | "redacted_thinking")
}

/// A content block as a part to which deltas are added.
pub(super) enum Opened<'a> {
    Part(Part),
    Text(Part, Text<'a>),
    Call(Block<'a>),
}

impl<'a> Opened<'a> {
    pub(super) fn read(raw: &'a RawValue) -> Result<Self> {
        const WHAT: &str = "a content block";
        let kind: Kind<'_> = read(WHAT, raw.get())?;
        if kind.kind.as_str() == "redacted_thinking" {
            let data = kind.data.0.into_owned();
            return Ok(Self::Part(Part::RedactedReasoning { data }));
        }
        if !is_known(kind.kind.as_str()) {
            return Ok(Self::Part(Part::Other {
                dialect: DialectName::Anthropic,
                json: RawJson::of(raw),
            }));
        }
        let block: Block<'_> = read(WHAT, raw.get())?;
        Ok(match block.kind.as_str() {
            "text" => Self::Text(
                Part::Text {
                    text: String::new(),
                    phase: None,
                    annotations: block.citations.and_then(annotations),
                    cache_control: None,
                },
                block.text,
            ),
            "thinking" => Self::Text(
                Part::Reasoning {
                    text: String::new(),
                    signature: block.signature.some().map(Cow::into_owned),
                    dialect: None,
                },
                block.thinking,
            ),
            _ => Self::Call(block),
        })
    }

    pub(super) fn into_part(self) -> Part {
        match self {
            Self::Part(part) => part,
            Self::Text(mut part, whole) => {
                if let Part::Text { text, .. } | Part::Reasoning { text, .. } = &mut part {
                    *text = whole.into_cow().into_owned();
                }
                part
            }
            Self::Call(block) => {
                let arguments = block.input.map_or("{}", RawValue::get);
                let name = block.name.into_cow();
                Part::ToolUse(ToolCall {
                    caller: block.caller.and_then(other_caller),
                    ..ToolCall::new(block.id.0, name, arguments)
                })
            }
        }
    }
}

/// Returns the citations, or `None` if there are none.
fn annotations(list: &RawValue) -> Option<Annotations> {
    let is_list = list.get().starts_with('[');
    let is_empty = serde_json::from_str::<[(); 0]>(list.get()).is_ok();
    (is_list && !is_empty).then(|| Annotations {
        dialect: DialectName::Anthropic,
        json: RawJson::of(list),
    })
}

fn usage(wire: &Pairs<'_>) -> Usage {
    Usage {
        input_tokens: wire.count("input_tokens").get(),
        output_tokens: wire.count("output_tokens").get(),
        cache_read_tokens: wire.count("cache_read_input_tokens").get(),
        cache_write_tokens: wire.count("cache_creation_input_tokens").get(),
        cache_write_1h_tokens: detail(wire, "cache_creation", "ephemeral_1h_input_tokens"),
        reasoning_tokens: detail(wire, "output_tokens_details", "thinking_tokens"),
        web_search_requests: detail(wire, "server_tool_use", "web_search_requests"),
        ..Usage::default()
    }
}

/// Adds the model runs that the usage of a reply does not contain: the summary of a long conversation, and another model's
/// advice.
fn add_other_runs(sum: &mut Usage, iterations: &RawValue) {
    let runs = list(iterations.get()).unwrap_or_default();
    for wire in runs.into_iter().map(Some).filter_map(Pairs::read) {
        if let "compaction" | "advisor_message" = word(wire.raw("type")) {
            sum.add(&usage(&wire));
        }
    }
}

pub(super) fn add_usage(reply: &mut Reply, raw: Option<&RawValue>) {
    if let Some(wire) = Pairs::read(raw) {
        let mut usage = usage(&wire);
        if let Some(iterations) = wire.raw("iterations") {
            add_other_runs(&mut usage, iterations);
        }
        merge_usage(&mut reply.usage, &usage);
        reply.billing.merge(billing(&wire, None));
        let counts = ["input_tokens", "output_tokens"].map(|name| wire.count(name));
        reply.usage_reported |= counts.iter().any(|count| count.0.is_some());
    }
}

pub(super) fn decode(body: &str, request_id: Option<&str>) -> Result<Reply> {
    let wire: WireReply<'_> = match read("the reply", body) {
        Ok(wire) => wire,
        // A list can contain an error.
        Err(error) => return Err(instead_of_reply(body, request_id).unwrap_or(error)),
    };
    if wire.error.is_some_and(is_error) {
        return Err(embedded_error(body, request_id));
    }
    let Some(content) = wire.content else {
        let none = || unreadable("the reply has no content, and", body);
        return Err(instead_of_reply(body, request_id).unwrap_or_else(none));
    };
    let mut reply = Reply::new(Provider::Anthropic);
    reply.id = wire.id.0.into_owned();
    reply.model = wire.model.0.into_owned();
    for block in content {
        reply.content.push(Opened::read(block)?.into_part());
    }
    let stop_reason = wire.stop_reason.some();
    reply.stop_reason = stop_reason.map(|word| StopReason::from(word.into_owned()));
    if !wire.stop_sequence.is_empty() {
        reply.stop_sequence = Some(wire.stop_sequence.into_cow().into_owned());
    }
    reply.container = wire.container.map(RawJson::of);
    add_usage(&mut reply, wire.usage);
    doubt_usage(&mut reply);
    Ok(reply)
}
