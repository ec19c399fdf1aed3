//! Encodes requests.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::item::{Item as WireItem, is_content};
use crate::chat::ExtraFields;
use crate::dialect::EncodeOptions;
use crate::dialect::openai_parts::{check_parts, data_url, image_url, misplaced};
use crate::dialect::strict::OPENAI as STRICT;
use crate::dialect::wire::Pairs;
use crate::{
    DialectName, Error, MediaSource, Message, Part, RawJson, Request, Result, Role, Tool, ToolCall,
    ToolChoice,
};

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_response_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Vec<Item<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<WireTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(flatten)]
    extra: ExtraFields<'a>,
}

/// An item of the conversation. One [`Message`] can become several. Ids are left out, because a provider that stores nothing does not
/// know them.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Message {
        role: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'a str>,
        content: Content<'a>,
    },
    Reasoning {
        r#type: &'static str,
        summary: Vec<WirePart<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<WirePart<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<&'a str>,
    },
    Call {
        r#type: &'static str,
        call_id: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<&'a str>,
        /// Of a custom tool, in place of the arguments.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<&'a RawJson>,
    },
    Result {
        r#type: &'static str,
        call_id: &'a str,
        output: Content<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<&'a RawJson>,
    },
    Other(&'a RawJson),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    /// The form that every server accepts.
    Text(&'a str),
    Parts(Vec<WirePart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart<'a> {
    InputText {
        text: &'a str,
    },
    SummaryText {
        text: &'a str,
    },
    ReasoningText {
        text: &'a str,
    },
    InputImage {
        image_url: Cow<'a, str>,
        /// The default. Servers with the types of OpenAI's SDK require it.
        detail: &'static str,
    },
    InputFile {
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<&'a str>,
    },
    #[serde(untagged)]
    Other(&'a RawJson),
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: Cow<'a, RawJson>,
    /// Always sent, because the default is true.
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Tool { r#type: &'static str, name: &'a str },
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    name: &'a str,
    schema: Cow<'a, RawJson>,
    strict: bool,
}

#[derive(Serialize)]
struct Reasoning {
    effort: &'static str,
}

pub(super) fn encode(request: &Request, options: &EncodeOptions<'_>) -> Result<String> {
    validate(request)?;
    let extra = ExtraFields(request);
    let tools: Vec<_> = request.tools.iter().map(tool).collect();
    let choice = request.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => Choice::Word("auto"),
        ToolChoice::Any => Choice::Word("required"),
        ToolChoice::None => Choice::Word("none"),
        ToolChoice::Tool(name) => Choice::Tool {
            r#type: "function",
            name,
        },
    });
    let text = request.response_format.as_ref().map(|format| {
        let (schema, strict) = STRICT.apply(&format.schema);
        Text {
            format: Format {
                r#type: "json_schema",
                name: &format.name,
                schema,
                strict,
            },
        }
    });
    let effort = request.reasoning.and_then(|reasoning| reasoning.effort);
    let previous = request.previous_response_id.as_deref();
    // Who continues a stored reply can want to continue this one, too.
    let stateful = ["previous_response_id", "conversation"];
    let is_stateful = previous.is_some()
        || stateful
            .iter()
            .any(|name| request.extra_body_field(name).is_some());
    let instructions = match request.system.as_slice() {
        [Part::Text { text, .. }] => Some(text.as_str()),
        _ => None,
    };
    let body = Body {
        model: extra.unless("model", options.model),
        include: extra
            .unless("include", ["reasoning.encrypted_content"])
            .filter(|_| options.encrypted_reasoning),
        store: extra.unless_set("store", request.store.or((!is_stateful).then_some(false))),
        previous_response_id: extra.unless_set("previous_response_id", previous),
        instructions: extra.unless_set("instructions", instructions),
        input: extra.unless("input", input(request)),
        max_output_tokens: extra.unless_set("max_output_tokens", request.max_tokens),
        temperature: extra.unless_set("temperature", request.temperature),
        top_p: extra.unless_set("top_p", request.top_p),
        tools: extra
            .unless("tools", tools)
            .filter(|tools| !tools.is_empty()),
        tool_choice: extra.unless_set("tool_choice", choice),
        parallel_tool_calls: extra.unless_set("parallel_tool_calls", request.parallel_tool_calls),
        text: extra.unless_set("text", text),
        reasoning: extra.unless_set(
            "reasoning",
            effort.map(|effort| Reasoning {
                effort: effort.name(),
            }),
        ),
        stream: extra.unless("stream", true).filter(|_| options.stream),
        extra,
    };
    serde_json::to_string(&body)
        .map_err(|e| Error::config("the request cannot be written as JSON").with_source(e))
}

fn tool(tool: &Tool) -> WireTool<'_> {
    let (parameters, strict) = match tool.strict {
        true => STRICT.apply(&tool.input_schema),
        false => (Cow::Borrowed(&tool.input_schema), false),
    };
    WireTool {
        r#type: "function",
        name: &tool.name,
        description: &tool.description,
        parameters,
        strict,
    }
}

/// Returns an error if the request contains something that this dialect cannot express.
fn validate(request: &Request) -> Result<()> {
    if request.reasoning.is_some_and(|r| r.budget_tokens.is_some()) {
        return Err(Error::config(
            "reasoning.budget_tokens has no counterpart in the dialect openai-responses: set reasoning.effort",
        ));
    }
    if !request.stop_sequences.is_empty() {
        return Err(Error::config(
            "stop_sequences have no counterpart in the dialect openai-responses: leave them out, or use openai-chat",
        ));
    }
    let by_assistant = |message: &&Message| message.role == Role::Assistant;
    let messages = request.messages.iter().filter(by_assistant);
    let is_media = |part: &&Part| matches!(part, Part::Image { .. } | Part::Document { .. });
    if let Some(part) = messages.flat_map(|message| &message.content).find(is_media) {
        let advice = ": only text can be in a message of the assistant";
        return Err(misplaced(part, DialectName::OpenAiResponses, advice));
    }
    check_parts(request, DialectName::OpenAiResponses)
}

fn input(request: &Request) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity(request.messages.len() + 1);
    // One text is sent as `instructions`.
    match request.system.as_slice() {
        [] | [Part::Text { .. }] => {}
        parts => items.push(said("system", parts.iter().collect())),
    }
    let mut calls = Vec::new();
    for message in &request.messages {
        match message.role {
            Role::Assistant => {
                calls.extend(message.content.iter().filter_map(special_call));
                assistant(message, &mut items);
            }
            Role::User => user(message, &calls, &mut items),
        }
    }
    items
}

/// Returns a call whose result is written differently from that of others.
fn special_call(part: &Part) -> Option<&ToolCall> {
    match part {
        Part::ToolUse(call) => (call.custom || call.caller.is_some()).then_some(call),
        _ => None,
    }
}

fn said<'a>(role: &'static str, parts: Vec<&'a Part>) -> Item<'a> {
    Item::Message {
        role,
        phase: None,
        content: content(parts),
    }
}

fn content(parts: Vec<&Part>) -> Content<'_> {
    match parts.as_slice() {
        [] => Content::Text(""),
        [Part::Text { text, .. }] => Content::Text(text),
        _ => Content::Parts(parts.into_iter().filter_map(wire_part).collect()),
    }
}

/// Whether a block of this dialect is a part of a message, rather than an item of its own.
fn is_part_of_message(json: &RawJson) -> bool {
    let raw = serde_json::from_str(json.as_str()).ok();
    is_content(&WireItem::read(raw).kind())
}

/// Adds the items of a user's message in their order: results of tools, other items, and messages of what is between them.
fn user<'a>(message: &'a Message, calls: &[&'a ToolCall], items: &mut Vec<Item<'a>>) {
    let mut parts = Vec::new();
    for part in &message.content {
        let item = match part {
            Part::ToolResult {
                tool_use_id,
                content: result,
                ..
            } => {
                let call = calls.iter().rev().find(|call| call.id == *tool_use_id);
                Item::Result {
                    r#type: match call.is_some_and(|call| call.custom) {
                        true => "custom_tool_call_output",
                        false => "function_call_output",
                    },
                    call_id: tool_use_id,
                    output: content(result.iter().collect()),
                    caller: call.and_then(|call| call.caller.as_ref()),
                }
            }
            Part::Other { json, .. } if !is_part_of_message(json) => Item::Other(json),
            part => {
                parts.push(part);
                continue;
            }
        };
        if !parts.is_empty() {
            items.push(said("user", std::mem::take(&mut parts)));
        }
        items.push(item);
    }
    if !parts.is_empty() {
        items.push(said("user", parts));
    }
}

/// Adds the items of a reply in their order.
fn assistant<'a>(message: &'a Message, items: &mut Vec<Item<'a>>) {
    let calls_tools = message
        .content
        .iter()
        .any(|part| matches!(part, Part::ToolUse(_)));
    for part in &message.content {
        match part {
            Part::Text { text, phase, .. } => items.push(Item::Message {
                role: "assistant",
                phase: phase.as_deref(),
                content: Content::Text(text),
            }),
            Part::ToolUse(call) => items.push(Item::Call {
                r#type: match call.custom {
                    true => "custom_tool_call",
                    false => "function_call",
                },
                call_id: &call.id,
                name: &call.name,
                namespace: call.namespace.as_deref(),
                arguments: (!call.custom).then_some(&call.arguments),
                input: call.custom.then(|| call.input_text()),
                caller: call.caller.as_ref(),
            }),
            Part::Reasoning {
                text,
                signature,
                dialect: Some(DialectName::OpenAiResponses),
            } => items.extend(reasoning(text, signature.as_deref(), calls_tools)),
            Part::Other { json, .. } if is_part_of_message(json) => items.push(Item::Message {
                role: "assistant",
                phase: None,
                content: Content::Parts(vec![WirePart::Other(json)]),
            }),
            Part::Other { json, .. } => items.push(Item::Other(json)),
            // Signed or encrypted by another provider, so not sent.
            _ => {}
        }
    }
    // "Item … of type 'reasoning' was provided without its required following item": the history was cut after it.
    while let Some(Item::Reasoning { .. }) = items.last() {
        items.pop();
    }
}

/// Reasoning that a provider has encrypted, or the open reasoning of a turn that called tools, which models need to go on
/// (<https://cookbook.openai.com/articles/gpt-oss/handle-raw-cot>).
fn reasoning<'a>(text: &'a str, encrypted: Option<&'a str>, calls_tools: bool) -> Option<Item<'a>> {
    let (mut summary, mut content) = (Vec::new(), Vec::new());
    match encrypted {
        Some(_) if text.is_empty() => {}
        Some(_) => summary.push(WirePart::SummaryText { text }),
        None if calls_tools => content.push(WirePart::ReasoningText { text }),
        None => return None,
    }
    Some(Item::Reasoning {
        r#type: "reasoning",
        summary,
        content,
        encrypted_content: encrypted,
    })
}

/// `None` for parts that `validate` refuses.
fn wire_part(part: &Part) -> Option<WirePart<'_>> {
    Some(match part {
        Part::Text { text, .. }
        | Part::Document {
            source: MediaSource::Text { text },
            ..
        } => WirePart::InputText { text },
        Part::Document {
            source: MediaSource::Base64 { media_type, data },
            title,
            ..
        } => WirePart::InputFile {
            filename: Some(title.as_deref().unwrap_or("document")),
            file_data: Some(data_url(media_type, data)),
            file_url: None,
        },
        Part::Document {
            source: MediaSource::Url { url },
            ..
        } => WirePart::InputFile {
            filename: None,
            file_data: None,
            file_url: Some(url),
        },
        Part::Image { source, .. } => WirePart::InputImage {
            image_url: image_url(source),
            detail: "auto",
        },
        Part::Other { json, .. } => WirePart::Other(json),
        _ => return None,
    })
}

/// Returns a body without its encrypted reasoning, which another organisation or deployment cannot decrypt. `None` if it has none.
pub(super) fn without_reasoning(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let Pairs(fields) = serde_json::from_str(body).ok()?;
    let (_, input) = fields.iter().find(|(name, _)| name == "input")?;
    let items: Vec<&RawValue> = serde_json::from_str(input.get()).ok()?;
    let is_reasoning = |item: &&RawValue| WireItem::read(Some(item)).kind() == "reasoning";
    let (reasoning, rest): (Vec<_>, Vec<_>) = items.into_iter().partition(is_reasoning);
    if reasoning.is_empty() {
        return None;
    }
    let rest = serde_json::to_string(&rest).ok()?;
    let start = input.get().as_ptr() as usize - body.as_ptr() as usize;
    let (before, after) = (body.get(..start)?, body.get(start + input.get().len()..)?);
    Some([before, &rest, after].concat())
}
