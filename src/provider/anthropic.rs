//! Anthropic's Messages API: <https://docs.claude.com/en/api/messages> and
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>.

use std::borrow::Cow;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::assembly::Assembly;
use super::{error, read_json, request_id, to_body};
use crate::transport::Headers;
use crate::{
    CacheTtl, Error, Part, Provider, Reply, Request, Result, Role, Source, StopReason, Tool,
    ToolCall, ToolChoice,
};

/// What is sent where the caller set none, since the API demands one.
const DEFAULT_MAX_TOKENS: u32 = 4096;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum System<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<CacheTtl>,
}

impl CacheControl {
    fn of(ttl: Option<CacheTtl>) -> Option<Self> {
        // Five minutes is the API's default, and the only lifetime that older servers know.
        ttl.map(|ttl| Self {
            r#type: "ephemeral",
            ttl: (ttl != CacheTtl::FiveMinutes).then_some(ttl),
        })
    }
}

/// A content block, written straight from the part.
struct Block<'a>(&'a Part);

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut mark = None;
        match self.0 {
            Part::Text { text, cache } => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
                mark = *cache;
            }
            Part::Image { source, cache } => {
                map.serialize_entry("type", "image")?;
                map.serialize_entry("source", &WireSource::of(source))?;
                mark = *cache;
            }
            Part::Document {
                source,
                title,
                cache,
            } => {
                map.serialize_entry("type", "document")?;
                map.serialize_entry("source", &WireSource::of(source))?;
                if let Some(title) = title {
                    map.serialize_entry("title", title)?;
                }
                mark = *cache;
            }
            Part::ToolUse(call) => {
                map.serialize_entry("type", "tool_use")?;
                map.serialize_entry("id", &call.id)?;
                map.serialize_entry("name", &call.name)?;
                match serde_json::from_str::<&RawValue>(&call.arguments) {
                    Ok(object) if object.get().starts_with('{') => {
                        map.serialize_entry("input", object)?
                    }
                    // The API takes only an object; what the model got wrong is kept in one.
                    _ => map.serialize_entry("input", &json!({"INVALID_JSON": call.arguments}))?,
                }
            }
            Part::ToolResult {
                tool_use_id,
                content,
                is_error,
                cache,
            } => {
                map.serialize_entry("type", "tool_result")?;
                map.serialize_entry("tool_use_id", tool_use_id)?;
                let blocks: Vec<Block<'_>> = content.iter().map(Block).collect();
                map.serialize_entry("content", &blocks)?;
                if *is_error {
                    map.serialize_entry("is_error", is_error)?;
                }
                mark = *cache;
            }
            Part::Reasoning { text, signature } => {
                map.serialize_entry("type", "thinking")?;
                map.serialize_entry("thinking", text)?;
                map.serialize_entry("signature", signature.as_deref().unwrap_or_default())?;
            }
            Part::RedactedReasoning { data } => {
                map.serialize_entry("type", "redacted_thinking")?;
                map.serialize_entry("data", data)?;
            }
        }
        if let Some(control) = CacheControl::of(mark) {
            map.serialize_entry("cache_control", &control)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireSource<'a> {
    Base64 {
        media_type: &'a str,
        data: &'a str,
    },
    Url {
        url: &'a str,
    },
    Text {
        media_type: &'static str,
        data: &'a str,
    },
}

impl<'a> WireSource<'a> {
    fn of(source: &'a Source) -> Self {
        match source {
            Source::Base64 { media_type, data } => Self::Base64 { media_type, data },
            Source::Url { url } => Self::Url { url },
            Source::Text { text } => Self::Text {
                media_type: "text/plain",
                data: text,
            },
        }
    }
}

pub(super) fn encode(request: &Request, model: &str, stream: bool) -> Result<Vec<u8>> {
    let mut thinking = None;
    let mut output = serde_json::Map::new();
    if let Some(reasoning) = request.reasoning {
        if let Some(budget_tokens) = reasoning.budget_tokens {
            thinking = Some(json!({"type": "enabled", "budget_tokens": budget_tokens}));
        } else if reasoning.effort.is_some() {
            thinking = Some(json!({"type": "adaptive"}));
        }
        if let Some(effort) = reasoning.effort {
            output.insert("effort".into(), json!(effort));
        }
    }
    if let Some(shape) = &request.output_schema {
        output.insert(
            "format".into(),
            json!({"type": "json_schema", "schema": shape.schema}),
        );
    }
    let body = Body {
        model,
        max_tokens: request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        system: match request.system.as_slice() {
            [] => None,
            [Part::Text { text, cache: None }] => Some(System::Text(text)),
            parts => Some(System::Blocks(parts.iter().map(Block).collect())),
        },
        messages: turns(request),
        temperature: request.temperature,
        top_p: request.top_p,
        stop_sequences: &request.stop_sequences,
        tools: request.tools.iter().map(tool).collect(),
        tool_choice: tool_choice(request)?,
        thinking,
        output_config: (!output.is_empty()).then_some(Value::Object(output)),
        stream,
    };
    to_body(&body, request)
}

fn turns(request: &Request) -> Vec<Turn<'_>> {
    // A thought without its signature came from another provider, and this one would refuse it.
    let foreign = |part: &&Part| {
        matches!(
            part,
            Part::Reasoning {
                signature: None,
                ..
            }
        )
    };
    let turns = request.messages.iter().map(|message| Turn {
        role: message.role,
        content: message
            .content
            .iter()
            .filter(|part| !foreign(part))
            .map(Block)
            .collect(),
    });
    turns.collect()
}

fn tool(tool: &Tool) -> WireTool<'_> {
    WireTool {
        name: &tool.name,
        description: &tool.description,
        input_schema: &tool.input_schema,
        strict: tool.strict,
        cache_control: CacheControl::of(tool.cache),
    }
}

fn tool_choice(request: &Request) -> Result<Option<Value>> {
    if request.tools.is_empty() && !request.extra.contains_key("tools") {
        return match request.tool_choice {
            Some(ToolChoice::Any | ToolChoice::Tool(_)) => Err(Error::config(
                "tool_choice asks for a tool, and the request has no tools",
            )),
            _ => Ok(None),
        };
    }
    let single = (request.parallel_tool_calls == Some(false)).then_some(true);
    let mut choice = match (&request.tool_choice, single) {
        (None, None) => return Ok(None),
        (None | Some(ToolChoice::Auto), _) => json!({"type": "auto"}),
        (Some(ToolChoice::Any), _) => json!({"type": "any"}),
        (Some(ToolChoice::None), _) => return Ok(Some(json!({"type": "none"}))),
        (Some(ToolChoice::Tool(name)), _) => json!({"type": "tool", "name": name}),
    };
    if single.is_some() {
        choice["disable_parallel_tool_use"] = json!(true);
    }
    Ok(Some(choice))
}

#[derive(Deserialize)]
struct WireReply<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(borrow)]
    content: Option<Vec<WireBlock<'a>>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    usage: Option<Value>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Any content block, whole or as a stream opens it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WireBlock<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    thinking: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// The usage, read loosely. A stream reports it in parts, each cumulative: what a later one leaves out
/// stays.
fn lay_over(wire: &Value, reply: &mut Reply) {
    let usage = &mut reply.usage;
    for (count, reported) in [
        (&mut usage.input_tokens, &wire["input_tokens"]),
        (&mut usage.output_tokens, &wire["output_tokens"]),
        (
            &mut usage.cache_read_tokens,
            &wire["cache_read_input_tokens"],
        ),
        (
            &mut usage.cache_write_tokens,
            &wire["cache_creation_input_tokens"],
        ),
        (
            &mut usage.cache_write_1h_tokens,
            &wire["cache_creation"]["ephemeral_1h_input_tokens"],
        ),
        (
            &mut usage.reasoning_tokens,
            &wire["output_tokens_details"]["thinking_tokens"],
        ),
    ] {
        *count = reported.as_u64().unwrap_or(*count);
    }
    reply.usage_reported = true;
}

pub(super) fn decode(headers: &Headers, body: &[u8]) -> Result<Reply> {
    let wire: WireReply<'_> = read_json("the reply", body)?;
    if let Some(error) = wire.error {
        let value = json!({"error": error});
        return Err(error::error_inside(
            Provider::Anthropic,
            &value,
            request_id(headers).as_deref(),
        ));
    }
    let Some(blocks) = wire.content else {
        return Err(Error::decode("the reply has no content"));
    };
    let mut reply = Reply::new(Provider::Anthropic);
    reply.id = wire.id;
    reply.model = wire.model;
    reply.content = blocks
        .into_iter()
        .filter_map(WireBlock::into_part)
        .collect();
    reply.stop_reason = wire.stop_reason.map(StopReason::from);
    reply.stop_sequence = wire.stop_sequence;
    if let Some(usage) = wire.usage {
        lay_over(&usage, &mut reply);
    }
    Ok(reply)
}

impl WireBlock<'_> {
    /// None for a block of a kind that this version does not know; it is in the raw body.
    fn into_part(self) -> Option<Part> {
        Some(match &*self.r#type {
            "text" => Part::text(self.text),
            "tool_use" => {
                let arguments = self.input.map_or("{}", RawValue::get);
                Part::ToolUse(ToolCall::new(self.id, self.name, arguments))
            }
            "thinking" => Part::Reasoning {
                text: self.thinking.into_owned(),
                signature: (!self.signature.is_empty()).then(|| self.signature.into_owned()),
            },
            "redacted_thinking" => Part::RedactedReasoning {
                data: self.data.into_owned(),
            },
            _ => return None,
        })
    }
}

/// Any event of a stream. One flat type decodes faster than a tagged enum, which would buffer.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    content_block: Option<WireBlock<'a>>,
    #[serde(borrow)]
    message: Option<Head<'a>>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    usage: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    partial_json: Cow<'a, str>,
    #[serde(borrow)]
    thinking: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stop_sequence: Option<Cow<'a, str>>,
}

/// What a stream of this dialect must remember from one event to the next.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The tool call whose arguments are coming: blocks come one after another.
    open_call: Option<usize>,
}

impl Blocks {
    pub(super) fn take(&mut self, assembly: &mut Assembly, data: &[u8]) -> Result<()> {
        let frame: Frame<'_> = read_json("an event of the stream", data)?;
        match &*frame.r#type {
            "content_block_delta" => {
                let Some(delta) = frame.delta else {
                    return Ok(());
                };
                assembly.text(&delta.text);
                assembly.reasoning(&delta.thinking);
                assembly.signature(&delta.signature);
                if let Some(call) = self.open_call {
                    assembly.tool_delta(call, &delta.partial_json);
                }
            }
            "content_block_start" => {
                if let Some(block) = frame.content_block {
                    self.open(assembly, block);
                }
            }
            "content_block_stop" => self.close(assembly),
            "message_start" => {
                if let Some(head) = frame.message {
                    assembly.start(&head.id, &head.model);
                    if let Some(usage) = head.usage {
                        lay_over(&usage, &mut assembly.reply);
                    }
                }
            }
            "message_delta" => {
                if let Some(delta) = frame.delta {
                    if let Some(reason) = delta.stop_reason {
                        assembly.stop(&reason);
                    }
                    if let Some(sequence) = delta.stop_sequence {
                        assembly.reply.stop_sequence = Some(sequence.into_owned());
                    }
                }
                if let Some(usage) = frame.usage {
                    lay_over(&usage, &mut assembly.reply);
                }
            }
            "message_stop" => assembly.end(),
            "error" => {
                let value = serde_json::from_slice(data).unwrap_or_default();
                return Err(error::error_inside(
                    Provider::Anthropic,
                    &value,
                    assembly.reply.request_id.as_deref(),
                ));
            }
            // `ping`, and whatever the provider adds next.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, assembly: &mut Assembly, block: WireBlock<'_>) {
        self.close(assembly);
        assembly.open_part();
        match &*block.r#type {
            "text" => assembly.text(&block.text),
            "thinking" => {
                assembly.reasoning(&block.thinking);
                assembly.signature(&block.signature);
            }
            "tool_use" => {
                let call = assembly.tool_start(&block.id, &block.name);
                self.open_call = Some(call);
                // Empty here as a rule, since the arguments come as deltas.
                if let Some(input) = block
                    .input
                    .map(RawValue::get)
                    .filter(|input| *input != "{}")
                {
                    assembly.tool_delta(call, input);
                }
            }
            "redacted_thinking" => assembly.push(Part::RedactedReasoning {
                data: block.data.into_owned(),
            }),
            _ => {}
        }
    }

    fn close(&mut self, assembly: &mut Assembly) {
        if let Some(call) = self.open_call.take() {
            assembly.tool_end(call);
        }
    }
}
