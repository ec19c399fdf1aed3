//! Encodes requests.

use std::borrow::Cow;

use serde::Serialize;

use crate::chat::ExtraFields;
use crate::dialect::EncodeOptions;
use crate::dialect::openai_parts::{check_parts, data_url, image_url};
use crate::dialect::strict::OPENAI as STRICT;
use crate::{
    DialectName, Error, MediaSource, Message, Part, RawJson, Request, Result, Role, Tool,
    ToolChoice,
};

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Turn<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Function<WireTool<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    extra: ExtraFields<'a>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// A message of this dialect. One [`Message`](crate::Message) can become several.
#[derive(Default, Serialize)]
struct Turn<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
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
    Text {
        text: &'a str,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    File {
        file: File<'a>,
    },
    #[serde(untagged)]
    Other(&'a RawJson),
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
    file_data: String,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<CalledFunction<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<CalledCustom<'a>>,
}

#[derive(Serialize)]
struct CalledCustom<'a> {
    name: &'a str,
    input: Cow<'a, str>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Function<T> {
    r#type: &'static str,
    function: T,
}

impl<T> Function<T> {
    fn new(function: T) -> Self {
        Self {
            r#type: "function",
            function,
        }
    }
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: Cow<'a, RawJson>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Tool(Function<Named<'a>>),
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    json_schema: Schema<'a>,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    schema: Cow<'a, RawJson>,
    strict: bool,
}

pub(super) fn encode(
    max_completion_tokens: bool,
    request: &Request,
    options: &EncodeOptions<'_>,
) -> Result<String> {
    validate(request)?;
    let extra = ExtraFields(request);
    let tools: Vec<_> = request.tools.iter().map(tool).collect();
    let choice = request.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => Choice::Word("auto"),
        ToolChoice::Any => Choice::Word("required"),
        ToolChoice::None => Choice::Word("none"),
        ToolChoice::Tool(name) => Choice::Tool(Function::new(Named { name })),
    });
    let format = request.response_format.as_ref().map(|format| {
        let (schema, strict) = STRICT.apply(&format.schema);
        Format {
            r#type: "json_schema",
            json_schema: Schema {
                name: &format.name,
                schema,
                strict,
            },
        }
    });
    let limit = |name, sent: bool| extra.unless_set(name, request.max_tokens.filter(|_| sent));
    let effort = request.reasoning.and_then(|reasoning| reasoning.effort);
    let ask_usage = options.stream && options.stream_usage;
    let body = Body {
        model: extra.unless("model", options.model),
        messages: extra.unless("messages", turns(request)),
        max_completion_tokens: limit("max_completion_tokens", max_completion_tokens),
        max_tokens: limit("max_tokens", !max_completion_tokens),
        temperature: extra.unless_set("temperature", request.temperature),
        top_p: extra.unless_set("top_p", request.top_p),
        stop: extra
            .unless("stop", request.stop_sequences.as_slice())
            .filter(|sequences| !sequences.is_empty()),
        tools: extra
            .unless("tools", tools)
            .filter(|tools| !tools.is_empty()),
        tool_choice: extra.unless_set("tool_choice", choice),
        parallel_tool_calls: extra.unless_set("parallel_tool_calls", request.parallel_tool_calls),
        response_format: extra.unless_set("response_format", format),
        reasoning_effort: extra.unless_set("reasoning_effort", effort.map(|e| e.name())),
        store: extra.unless_set("store", request.store),
        stream: extra.unless("stream", true).filter(|_| options.stream),
        stream_options: extra
            .unless(
                "stream_options",
                StreamOptions {
                    include_usage: true,
                },
            )
            .filter(|_| ask_usage),
        extra,
    };
    serde_json::to_string(&body)
        .map_err(|e| Error::config("the request cannot be written as JSON").with_source(e))
}

fn tool(tool: &Tool) -> Function<WireTool<'_>> {
    let (parameters, strict) = match tool.strict {
        true => STRICT.apply(&tool.input_schema),
        false => (Cow::Borrowed(&tool.input_schema), false),
    };
    Function::new(WireTool {
        name: &tool.name,
        description: &tool.description,
        parameters,
        strict,
    })
}

/// Returns an error if the request contains something that this dialect cannot express.
fn validate(request: &Request) -> Result<()> {
    request.ensure_continues_nothing()?;
    if request.reasoning.is_some_and(|r| r.budget_tokens.is_some()) {
        return Err(Error::config(
            "reasoning.budget_tokens has no counterpart in OpenAI's dialect: set reasoning.effort, or the server's \
             own field in `extra_body`",
        ));
    }
    check_parts(request, DialectName::OpenAiChat)
}

fn turns(request: &Request) -> Vec<Turn<'_>> {
    let mut turns = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        turns.push(said("system", request.system.iter().collect()));
    }
    for message in &request.messages {
        if message.role == Role::Assistant {
            turns.push(assistant(message));
            continue;
        }
        // Each tool result is a message of its own. They come first.
        let mut rest = Vec::new();
        for part in &message.content {
            match part {
                Part::ToolResult {
                    tool_use_id,
                    content,
                    ..
                } => turns.push(Turn {
                    tool_call_id: Some(tool_use_id),
                    ..said("tool", content.iter().collect())
                }),
                part => rest.push(part),
            }
        }
        if !rest.is_empty() {
            turns.push(said("user", rest));
        }
    }
    turns
}

fn said<'a>(role: &'static str, parts: Vec<&'a Part>) -> Turn<'a> {
    Turn {
        role,
        content: Some(match parts.as_slice() {
            [Part::Text { text, .. }] => Content::Text(text),
            _ => Content::Parts(parts.into_iter().filter_map(wire_part).collect()),
        }),
        ..Turn::default()
    }
}

fn assistant(message: &Message) -> Turn<'_> {
    let mut calls = Vec::new();
    let mut parts = Vec::new();
    let mut thought = String::new();
    for part in &message.content {
        match part {
            Part::ToolUse(call) => calls.push(WireCall {
                id: &call.id,
                r#type: if call.custom { "custom" } else { "function" },
                function: (!call.custom).then_some(CalledFunction {
                    name: &call.name,
                    arguments: &call.arguments,
                }),
                custom: call.custom.then(|| CalledCustom {
                    name: &call.name,
                    input: call.input_text(),
                }),
            }),
            Part::Reasoning {
                text,
                signature: None,
                ..
            } => thought.push_str(text),
            // Signed or encrypted by another provider, so not sent.
            Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {}
            part => parts.push(part),
        }
    }
    // Servers that return reasoning require it in a turn that called tools, and only there
    // (https://api-docs.deepseek.com/guides/thinking_mode).
    if calls.is_empty() {
        thought.clear();
    }
    let has_content = !parts.is_empty();
    let turn = said("assistant", parts);
    Turn {
        content: turn.content.filter(|_| has_content),
        reasoning_content: thought,
        tool_calls: calls,
        ..turn
    }
}

/// `None` for parts that `validate` refuses.
fn wire_part(part: &Part) -> Option<WirePart<'_>> {
    Some(match part {
        Part::Text { text, .. }
        | Part::Document {
            source: MediaSource::Text { text },
            ..
        } => WirePart::Text { text },
        Part::Document {
            source: MediaSource::Base64 { media_type, data },
            title,
            ..
        } => WirePart::File {
            file: File {
                filename: title.as_deref().unwrap_or("document"),
                file_data: data_url(media_type, data),
            },
        },
        Part::Image { source, .. } => WirePart::ImageUrl {
            image_url: ImageUrl {
                url: image_url(source),
            },
        },
        Part::Other { json, .. } => WirePart::Other(json),
        _ => return None,
    })
}
