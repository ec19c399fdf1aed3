//! Encodes requests.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::chat::ExtraFields;
use crate::dialect::EncodeOptions;
use crate::dialect::strict::StrictMode;
use crate::{
    CacheTtl, DialectName, Error, MediaSource, Message, Part, RawJson, Request, Result, Role, Tool,
    ToolCall, ToolChoice,
};

/// The limit that is sent if the caller sets none, because the API requires one.
pub(super) const DEFAULT_MAX_TOKENS: u32 = 4096;

#[derive(serde::Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<WireMessage<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequences: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<WireTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(flatten)]
    extra: ExtraFields<'a>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum System<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

#[derive(serde::Serialize)]
struct WireMessage<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

/// A part as a content block.
struct Block<'a>(&'a Part);

#[derive(Default, serde::Serialize)]
struct WireBlock<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Input<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<WireSource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_use_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Vec<Block<'a>>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

/// The arguments of a tool call. The API accepts only an object, so invalid arguments are wrapped in one.
struct Input<'a>(&'a ToolCall);

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let arguments = &self.0.arguments;
        if arguments.trim_start().starts_with('{')
            && let Ok(raw) = serde_json::from_str::<&serde_json::value::RawValue>(arguments)
        {
            return raw.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        // Text for a custom tool of OpenAI, which the API does not have.
        match self.0.custom {
            true => map.serialize_entry("input", &self.0.input_text())?,
            false => map.serialize_entry("INVALID_JSON", arguments)?,
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct WireSource<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<CacheTtl>,
}

#[derive(serde::Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, RawJson>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(serde::Serialize)]
struct Choice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(serde::Serialize)]
struct Thinking {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_tokens: Option<u32>,
}

#[derive(serde::Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(serde::Serialize)]
struct Format<'a> {
    r#type: &'static str,
    schema: Cow<'a, RawJson>,
}

/// The structured outputs and strict tools of this API.
pub(in crate::dialect) const STRICT: StrictMode = StrictMode {
    all_required: false,
    max_nesting: usize::MAX,
    constraints: &[],
};

pub(super) fn encode(request: &Request, options: &EncodeOptions<'_>) -> Result<String> {
    validate(request)?;
    let extra = ExtraFields(request);
    let choice = tool_choice(request)?;
    let reasoning = request.reasoning.unwrap_or_default();
    let thinking = match (reasoning.budget_tokens, reasoning.effort) {
        (None, None) => None,
        (Some(tokens), _) => Some(Thinking {
            r#type: "enabled",
            budget_tokens: Some(tokens),
        }),
        (None, Some(_)) => Some(Thinking {
            r#type: "adaptive",
            budget_tokens: None,
        }),
    };
    let output_config = OutputConfig {
        effort: reasoning.effort.map(|effort| effort.name()),
        format: request.response_format.as_ref().map(|format| Format {
            r#type: "json_schema",
            // There is no other mode, so the API says what is wrong with a schema that does not fit.
            schema: STRICT.apply(&format.schema).0,
        }),
    };
    let has_output = output_config.effort.is_some() || output_config.format.is_some();
    let system = match request.system.as_slice() {
        [] => None,
        [
            Part::Text {
                text,
                annotations: None,
                cache_control: None,
                ..
            },
        ] => Some(System::Text(text)),
        parts => Some(System::Blocks(parts.iter().map(Block).collect())),
    };
    let messages = request.messages.iter().map(message).collect();
    let tools: Vec<_> = request.tools.iter().map(tool).collect();
    let body = Body {
        model: extra.unless("model", options.model),
        max_tokens: extra.unless(
            "max_tokens",
            request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        ),
        system: system.and_then(|system| extra.unless("system", system)),
        messages: extra.unless("messages", messages),
        temperature: extra.unless_set("temperature", request.temperature),
        top_p: extra.unless_set("top_p", request.top_p),
        stop_sequences: extra
            .unless("stop_sequences", request.stop_sequences.as_slice())
            .filter(|sequences| !sequences.is_empty()),
        tools: extra
            .unless("tools", tools)
            .filter(|tools| !tools.is_empty()),
        tool_choice: extra.unless_set("tool_choice", choice),
        thinking: extra.unless_set("thinking", thinking),
        output_config: extra
            .unless("output_config", output_config)
            .filter(|_| has_output),
        stream: extra.unless("stream", true).filter(|_| options.stream),
        extra,
    };
    serde_json::to_string(&body)
        .map_err(|e| Error::config("the request cannot be written as JSON").with_source(e))
}

/// Returns an error if the request contains something that this dialect cannot express.
fn validate(request: &Request) -> Result<()> {
    request.ensure_continues_nothing()?;
    if request.store == Some(true) {
        return Err(Error::config(
            "store is true, and the dialect anthropic cannot store replies: leave it out",
        ));
    }
    let system = request.system.iter().map(|part| ("system", 0, part));
    let parts = request
        .messages
        .iter()
        .enumerate()
        .flat_map(|(i, message)| {
            let parts = message.content.iter();
            parts.map(move |part| ("messages", i, part))
        });
    for (place, index, part) in system.chain(parts) {
        part.ensure_of(DialectName::Anthropic, place, index)?;
    }
    Ok(())
}

fn message(message: &Message) -> WireMessage<'_> {
    // Reasoning without a signature is from another provider, and the API rejects it and that of another dialect.
    let is_foreign = |part: &&Part| match part {
        Part::Reasoning {
            signature, dialect, ..
        } => signature.is_none() || dialect.is_some_and(|of| of != DialectName::Anthropic),
        _ => false,
    };
    let content = message.content.iter().filter(|part| !is_foreign(part));
    WireMessage {
        role: message.role,
        content: content.map(Block).collect(),
    }
}

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut block = WireBlock {
            r#type: self.0.name(),
            ..WireBlock::default()
        };
        match self.0 {
            Part::Other { json, .. } => return json.serialize(serializer),
            Part::Text {
                text,
                annotations,
                cache_control,
                ..
            } => {
                block.text = Some(text);
                let own = annotations.as_ref();
                let own = own.filter(|a| a.dialect == DialectName::Anthropic);
                block.citations = own.map(|annotations| &annotations.json);
                block.cache_control = mark(*cache_control);
            }
            Part::Image {
                source: from,
                cache_control,
            } => {
                block.source = Some(source(from));
                block.cache_control = mark(*cache_control);
            }
            Part::Document {
                source: from,
                title,
                cache_control,
            } => {
                block.source = Some(source(from));
                block.title = title.as_deref();
                block.cache_control = mark(*cache_control);
            }
            Part::ToolUse(call) => {
                block.id = Some(&call.id);
                block.name = Some(&call.name);
                block.input = Some(Input(call));
                block.caller = call.caller.as_ref();
            }
            Part::ToolResult {
                tool_use_id,
                content,
                is_error,
                cache_control,
            } => {
                block.tool_use_id = Some(tool_use_id);
                block.content = Some(content.iter().map(Block).collect());
                block.is_error = *is_error;
                block.cache_control = mark(*cache_control);
            }
            Part::Reasoning {
                text, signature, ..
            } => {
                block.r#type = "thinking";
                block.thinking = Some(text);
                block.signature = Some(signature.as_deref().unwrap_or_default());
            }
            Part::RedactedReasoning { data } => {
                block.r#type = "redacted_thinking";
                block.data = Some(data);
            }
        }
        block.serialize(serializer)
    }
}

fn source(source: &MediaSource) -> WireSource<'_> {
    let (r#type, media_type, data, url) = match source {
        MediaSource::Base64 { media_type, data } => {
            ("base64", Some(media_type.as_str()), Some(data), None)
        }
        MediaSource::Url { url } => ("url", None, None, Some(url)),
        MediaSource::Text { text } => ("text", Some("text/plain"), Some(text), None),
    };
    WireSource {
        r#type,
        media_type,
        data: data.map(String::as_str),
        url: url.map(String::as_str),
    }
}

fn mark(ttl: Option<CacheTtl>) -> Option<CacheControl> {
    ttl.map(|ttl| CacheControl {
        r#type: "ephemeral",
        // Five minutes is the API's default, and older servers know no other lifetime.
        ttl: Some(ttl).filter(|ttl| *ttl != CacheTtl::FiveMinutes),
    })
}

fn tool(tool: &Tool) -> WireTool<'_> {
    let (input_schema, strict) = match tool.strict {
        true => STRICT.apply(&tool.input_schema),
        false => (Cow::Borrowed(&tool.input_schema), false),
    };
    WireTool {
        name: &tool.name,
        description: &tool.description,
        input_schema,
        strict,
        cache_control: mark(tool.cache_control),
    }
}

fn tool_choice(request: &Request) -> Result<Option<Choice<'_>>> {
    if request.tools.is_empty() && request.extra_body_field("tools").is_none() {
        return match request.tool_choice {
            Some(ToolChoice::Any | ToolChoice::Tool(_)) => Err(Error::config(
                "tool_choice asks for a tool, and the request has no tools",
            )),
            _ => Ok(None),
        };
    }
    let one_at_a_time = request.parallel_tool_calls == Some(false);
    let (r#type, name) = match &request.tool_choice {
        None if one_at_a_time => ("auto", None),
        None => return Ok(None),
        Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::Any) => ("any", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(name.as_str())),
    };
    Ok(Some(Choice {
        r#type,
        name,
        disable_parallel_tool_use: one_at_a_time && r#type != "none",
    }))
}
