//! Anthropic's Messages API: <https://docs.claude.com/en/api/messages> and
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>.

use std::borrow::Cow;

use super::accumulator::Accumulator;
use super::error;
use super::wire::{body, read_json, request_id};
use crate::json::{Reader, Stopped, Writer, is_object};
use crate::{
    CacheTtl, Error, MediaSource, Part, Provider, Reply, Request, Result, StopReason, ToolCall,
    ToolChoice, Usage,
};
use http::HeaderMap;

/// What is sent where the caller set none, since the API demands one.
pub(crate) const DEFAULT_MAX_TOKENS: u32 = 4096;

pub(super) fn encode(request: &Request, model: &str, stream: bool) -> Result<String> {
    let choice = tool_choice(request)?;
    let effort = request.reasoning.and_then(|r| r.effort);
    let thinking_tokens = request.reasoning.and_then(|r| r.budget_tokens);
    Ok(body(request, |body| {
        body.text("model", model);
        let max_tokens = request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        body.field("max_tokens", |json| json.count(max_tokens.into()));
        match request.system.as_slice() {
            [] => {}
            [
                Part::Text {
                    text,
                    cache_control: None,
                },
            ] => body.text("system", text),
            parts => body.field("system", |json| json.list(parts, block)),
        }
        body.field("messages", |json| {
            json.list(&request.messages, |json, message| {
                json.object(|json| {
                    json.field("role", message.role.name());
                    // A thought without its signature came from another provider, and this one would refuse it.
                    let malformed = |part: &&Part| {
                        matches!(
                            part,
                            Part::Reasoning {
                                signature: None,
                                ..
                            }
                        )
                    };
                    let content = message.content.iter().filter(|part| !malformed(part));
                    json.key("content").list(content, block);
                });
            });
        });
        body.float("temperature", request.temperature);
        body.float("top_p", request.top_p);
        body.texts("stop_sequences", &request.stop_sequences);
        if !request.tools.is_empty() {
            body.field("tools", |json| json.list(&request.tools, tool));
        }
        if let Some((kind, name)) = choice {
            body.field("tool_choice", |json| {
                json.object(|json| {
                    json.field("type", kind);
                    if let Some(name) = name {
                        json.field("name", name);
                    }
                    if request.parallel_tool_calls == Some(false) && kind != "none" {
                        json.key("disable_parallel_tool_use").flag(true);
                    }
                });
            });
        }
        if let Some(tokens) = thinking_tokens {
            body.field("thinking", |json| {
                json.object(|json| {
                    json.field("type", "enabled");
                    json.key("budget_tokens").count(tokens.into());
                });
            });
        } else if effort.is_some() {
            body.field("thinking", |json| {
                json.object(|json| json.field("type", "adaptive"))
            });
        }
        if effort.is_some() || request.response_format.is_some() {
            body.field("output_config", |json| {
                json.object(|json| {
                    if let Some(effort) = effort {
                        json.field("effort", effort.name());
                    }
                    if let Some(shape) = &request.response_format {
                        json.key("format").object(|json| {
                            json.field("type", "json_schema");
                            json.key("schema").raw(shape.schema.as_str());
                        });
                    }
                });
            });
        }
        if stream {
            body.field("stream", |json| json.flag(true));
        }
    }))
}

/// A content block.
fn block(json: &mut Writer, part: &Part) {
    json.object(|json| {
        json.field(
            "type",
            match part {
                Part::Reasoning { .. } => "thinking",
                Part::RedactedReasoning { .. } => "redacted_thinking",
                part => part.name(),
            },
        );
        let mut mark = None;
        match part {
            Part::Text {
                text,
                cache_control,
            } => {
                json.field("text", text);
                mark = *cache_control;
            }
            Part::Image {
                source: from,
                cache_control,
            } => {
                source(json, from);
                mark = *cache_control;
            }
            Part::Document {
                source: from,
                title,
                cache_control,
            } => {
                source(json, from);
                if let Some(title) = title {
                    json.field("title", title);
                }
                mark = *cache_control;
            }
            Part::ToolUse(call) => {
                json.field("id", &call.id);
                json.field("name", &call.name);
                let input = json.key("input");
                match is_object(&call.arguments) {
                    true => input.raw(&call.arguments),
                    // The API takes only an object; what the model got wrong is kept in one.
                    false => input.object(|json| json.field("INVALID_JSON", &call.arguments)),
                }
            }
            Part::ToolResult {
                tool_use_id,
                content,
                is_error,
                cache_control,
            } => {
                json.field("tool_use_id", tool_use_id);
                json.key("content").list(content, block);
                if *is_error {
                    json.key("is_error").flag(true);
                }
                mark = *cache_control;
            }
            Part::Reasoning { text, signature } => {
                json.field("thinking", text);
                json.field("signature", signature.as_deref().unwrap_or_default());
            }
            Part::RedactedReasoning { data } => json.field("data", data),
        }
        cache_control(json, mark);
    });
}

fn source(json: &mut Writer, source: &MediaSource) {
    json.key("source").object(|json| {
        let (kind, fields) = match source {
            MediaSource::Base64 { media_type, data } => (
                "base64",
                [("media_type", media_type.as_str()), ("data", data)],
            ),
            MediaSource::Url { url } => ("url", [("url", url.as_str()), ("", "")]),
            MediaSource::Text { text } => ("text", [("media_type", "text/plain"), ("data", text)]),
        };
        json.field("type", kind);
        for (name, value) in fields.into_iter().filter(|(name, _)| !name.is_empty()) {
            json.field(name, value);
        }
    });
}

fn cache_control(json: &mut Writer, ttl: Option<CacheTtl>) {
    if let Some(ttl) = ttl {
        json.key("cache_control").object(|json| {
            json.field("type", "ephemeral");
            // Five minutes is the API's default, and the only lifetime that older servers know.
            if ttl != CacheTtl::FiveMinutes {
                json.field("ttl", ttl.name());
            }
        });
    }
}

fn tool(json: &mut Writer, tool: &crate::Tool) {
    json.object(|json| {
        json.field("name", &tool.name);
        if !tool.description.is_empty() {
            json.field("description", &tool.description);
        }
        json.key("input_schema").raw(tool.input_schema.as_str());
        if tool.strict {
            json.key("strict").flag(true);
        }
        cache_control(json, tool.cache_control);
    });
}

/// The type of the choice, and the tool's name where one is chosen.
fn tool_choice(request: &Request) -> Result<Option<(&'static str, Option<&str>)>> {
    if request.tools.is_empty() && request.extra_body_field("tools").is_none() {
        return match request.tool_choice {
            Some(ToolChoice::Any | ToolChoice::Tool(_)) => Err(Error::config(
                "tool_choice asks for a tool, and the request has no tools",
            )),
            _ => Ok(None),
        };
    }
    Ok(match &request.tool_choice {
        None if request.parallel_tool_calls == Some(false) => Some(("auto", None)),
        None => None,
        Some(ToolChoice::Auto) => Some(("auto", None)),
        Some(ToolChoice::Any) => Some(("any", None)),
        Some(ToolChoice::None) => Some(("none", None)),
        Some(ToolChoice::Tool(name)) => Some(("tool", Some(name))),
    })
}

/// Reads the usage, and loosely. A stream reports it in parts, each cumulative: what a later one leaves out
/// stays.
fn merge_usage(json: &mut Reader<'_>, usage: &mut Usage) -> Result<bool, Stopped> {
    if json.peek() != Some(b'{') {
        return json.pass().map(|()| false);
    }
    json.object()?;
    while let Some(key) = json.key()? {
        let (count, inner) = match &*key {
            "input_tokens" => (&mut usage.input_tokens, ""),
            "output_tokens" => (&mut usage.output_tokens, ""),
            "cache_read_input_tokens" => (&mut usage.cache_read_tokens, ""),
            "cache_creation_input_tokens" => (&mut usage.cache_write_tokens, ""),
            "cache_creation" => (
                &mut usage.cache_write_1h_tokens,
                "ephemeral_1h_input_tokens",
            ),
            "output_tokens_details" => (&mut usage.reasoning_tokens, "thinking_tokens"),
            _ => {
                json.pass()?;
                continue;
            }
        };
        let reported = match inner {
            "" => json.count()?,
            inner => json.count_in(inner)?,
        };
        *count = reported.unwrap_or(*count);
    }
    Ok(true)
}

pub(super) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Reply> {
    let mut reply = Reply::new(Provider::Anthropic);
    let (mut content, mut failed) = (false, false);
    read_json("the reply", body, |json| {
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "id" => reply.id = json.text()?.unwrap_or_default().into_owned(),
                "model" => reply.model = json.text()?.unwrap_or_default().into_owned(),
                "content" => {
                    content = json.list_or_null()?;
                    while content && json.item()? {
                        reply.content.extend(WireBlock::read(json)?.into_part());
                    }
                }
                "stop_reason" => {
                    let reason = json.text()?.map(Cow::into_owned);
                    reply.stop_reason = reason.map(StopReason::from);
                }
                "stop_sequence" => reply.stop_sequence = json.text()?.map(Cow::into_owned),
                "usage" => reply.usage_reported = merge_usage(json, &mut reply.usage)?,
                "error" => failed = json.skip()? != "null",
                _ => json.pass()?,
            }
        }
        Ok(())
    })?;
    if failed {
        let id = request_id(headers);
        return Err(error::embedded_error(
            Provider::Anthropic,
            body,
            id.as_deref(),
        ));
    }
    if !content {
        return Err(Error::decode("the reply has no content"));
    }
    Ok(reply)
}

/// Any content block, whole or as a stream opens it, or the delta of one: their fields have the same names.
#[derive(Default)]
struct WireBlock<'a> {
    kind: Cow<'a, str>,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    text: Cow<'a, str>,
    thinking: Cow<'a, str>,
    signature: Cow<'a, str>,
    data: Cow<'a, str>,
    input: Option<&'a str>,
    partial_json: Cow<'a, str>,
    stop_reason: Option<Cow<'a, str>>,
    stop_sequence: Option<Cow<'a, str>>,
}

impl<'a> WireBlock<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Self, Stopped> {
        let mut block = Self::default();
        if !json.object_or_null()? {
            return Ok(block);
        }
        while let Some(key) = json.key()? {
            let text = match &*key {
                "type" => &mut block.kind,
                "id" => &mut block.id,
                "name" => &mut block.name,
                "text" => &mut block.text,
                "thinking" => &mut block.thinking,
                "signature" => &mut block.signature,
                "data" => &mut block.data,
                "partial_json" => &mut block.partial_json,
                other => {
                    match other {
                        "input" => {
                            block.input = Some(json.skip()?).filter(|input| *input != "null")
                        }
                        "stop_reason" => block.stop_reason = json.text()?,
                        "stop_sequence" => block.stop_sequence = json.text()?,
                        _ => json.pass()?,
                    }
                    continue;
                }
            };
            *text = json.text()?.unwrap_or_default();
        }
        Ok(block)
    }

    /// None for a block of a kind that this version does not know; it is in the raw body.
    fn into_part(self) -> Option<Part> {
        Some(match &*self.kind {
            "text" => Part::text(self.text),
            "tool_use" => {
                let arguments = self.input.unwrap_or("{}");
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

/// What a stream of this dialect must remember from one event to the next.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    /// The tool call whose arguments are coming: blocks come one after another.
    open_call: Option<usize>,
}

impl StreamState {
    pub(super) fn take(&mut self, accumulator: &mut Accumulator, data: &[u8]) -> Result<()> {
        let mut kind = Cow::default();
        let mut block = WireBlock::default();
        let reply = &mut accumulator.reply;
        let (mut id, mut model) = (Cow::default(), Cow::default());
        read_json("an event of the stream", data, |json| {
            json.object()?;
            while let Some(key) = json.key()? {
                match &*key {
                    "type" => kind = json.text()?.unwrap_or_default(),
                    "delta" | "content_block" => block = WireBlock::read(json)?,
                    "usage" => reply.usage_reported |= merge_usage(json, &mut reply.usage)?,
                    "message" if json.peek() == Some(b'{') => {
                        json.object()?;
                        while let Some(key) = json.key()? {
                            match &*key {
                                "id" => id = json.text()?.unwrap_or_default(),
                                "model" => model = json.text()?.unwrap_or_default(),
                                "usage" => {
                                    reply.usage_reported |= merge_usage(json, &mut reply.usage)?;
                                }
                                _ => json.pass()?,
                            }
                        }
                    }
                    _ => json.pass()?,
                }
            }
            Ok(())
        })?;
        match &*kind {
            "content_block_delta" => {
                accumulator.text(&block.text);
                accumulator.reasoning(&block.thinking);
                accumulator.signature(&block.signature);
                if let Some(call) = self.open_call {
                    accumulator.tool_delta(call, &block.partial_json);
                }
            }
            "content_block_start" => self.open(accumulator, block),
            "content_block_stop" => self.close(accumulator),
            "message_start" => accumulator.start(&id, &model),
            "message_delta" => {
                if let Some(reason) = block.stop_reason {
                    accumulator.stop(&reason);
                }
                if let Some(sequence) = block.stop_sequence {
                    accumulator.reply.stop_sequence = Some(sequence.into_owned());
                }
            }
            "message_stop" => accumulator.end(),
            "error" => {
                let id = accumulator.reply.request_id.as_deref();
                return Err(error::embedded_error(Provider::Anthropic, data, id));
            }
            // `ping`, and whatever the provider adds next.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, accumulator: &mut Accumulator, block: WireBlock<'_>) {
        self.close(accumulator);
        accumulator.open_part();
        match &*block.kind {
            "text" => accumulator.text(&block.text),
            "thinking" => {
                accumulator.reasoning(&block.thinking);
                accumulator.signature(&block.signature);
            }
            "tool_use" => {
                let call = accumulator.tool_start(&block.id, &block.name);
                self.open_call = Some(call);
                // Empty here as a rule, since the arguments come as deltas.
                if let Some(input) = block.input.filter(|input| *input != "{}") {
                    accumulator.tool_delta(call, input);
                }
            }
            "redacted_thinking" => accumulator.push(Part::RedactedReasoning {
                data: block.data.into_owned(),
            }),
            _ => {}
        }
    }

    fn close(&mut self, accumulator: &mut Accumulator) {
        if let Some(call) = self.open_call.take() {
            accumulator.tool_end(call);
        }
    }
}
