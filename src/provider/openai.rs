//! OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>) and the
//! servers that speak like it, whose differences are met here: usage left out, no `[DONE]`, thoughts
//! under two names, content as a list, tool calls without an index, error objects inside a 200.

use std::borrow::Cow;

use super::accumulator::Accumulator;
use super::error;
use super::wire::{Body, body, read_json, request_id};
use crate::json::{Reader, Stopped, Writer};
use crate::{
    Error, MediaSource, Message, Part, Provider, Reply, Request, Result, Role, StopReason, Tool,
    ToolCall, ToolChoice, Usage,
};
use http::HeaderMap;

pub(super) fn encode(
    request: &Request,
    model: &str,
    stream: bool,
    is_first_party: bool,
) -> Result<String> {
    validate(request)?;
    Ok(body(request, |body| {
        body.text("model", model);
        body.field("messages", |json| {
            json.list(Turn::all(request), |json, turn| turn.write(json));
        });
        if let Some(tokens) = request.max_tokens {
            // OpenAI's own newer models refuse `max_tokens`; many other servers know nothing else.
            let name = match is_first_party {
                true => "max_completion_tokens",
                false => "max_tokens",
            };
            body.field(name, |json| json.count(tokens.into()));
        }
        body.float("temperature", request.temperature);
        body.float("top_p", request.top_p);
        body.texts("stop", &request.stop_sequences);
        tools(body, request);
        if let Some(shape) = &request.response_format {
            body.field("response_format", |json| {
                json.object(|json| {
                    json.field("type", "json_schema");
                    json.key("json_schema").object(|json| {
                        json.field("name", &shape.name);
                        json.key("schema").raw(shape.schema.as_str());
                        json.key("strict").flag(true);
                    });
                });
            });
        }
        if let Some(effort) = request.reasoning.and_then(|r| r.effort) {
            body.text("reasoning_effort", effort.name());
        }
        if stream {
            body.field("stream", |json| json.flag(true));
            body.field("stream_options", |json| {
                json.object(|json| json.key("include_usage").flag(true));
            });
        }
    }))
}

fn tools(body: &mut Body<'_>, request: &Request) {
    if !request.tools.is_empty() {
        body.field("tools", |json| json.list(&request.tools, tool));
    }
    if let Some(choice) = &request.tool_choice {
        body.field("tool_choice", |json| match choice {
            ToolChoice::Auto => json.text("auto"),
            ToolChoice::Any => json.text("required"),
            ToolChoice::None => json.text("none"),
            ToolChoice::Tool(name) => json.object(|json| {
                json.field("type", "function");
                json.key("function").object(|json| json.field("name", name));
            }),
        });
    }
    if let Some(parallel) = request.parallel_tool_calls {
        body.field("parallel_tool_calls", |json| json.flag(parallel));
    }
}

fn tool(json: &mut Writer, tool: &Tool) {
    json.object(|json| {
        json.field("type", "function");
        json.key("function").object(|json| {
            json.field("name", &tool.name);
            if !tool.description.is_empty() {
                json.field("description", &tool.description);
            }
            json.key("parameters").raw(tool.input_schema.as_str());
            if tool.strict {
                json.key("strict").flag(true);
            }
        });
    });
}

/// What this dialect cannot say, found before anything is written.
fn validate(request: &Request) -> Result<()> {
    if request.reasoning.is_some_and(|r| r.budget_tokens.is_some()) {
        return Err(Error::config(
            "reasoning.budget_tokens has no counterpart in OpenAI's dialect: set reasoning.effort, or the server's \
             own field in `extra_body`",
        ));
    }
    request.system.iter().try_for_each(ensure_supported)?;
    for message in &request.messages {
        for part in &message.content {
            match (message.role, part) {
                (Role::User, Part::ToolResult { content, .. }) => {
                    content.iter().try_for_each(ensure_supported)?;
                }
                (
                    Role::Assistant,
                    Part::ToolUse(_) | Part::Reasoning { .. } | Part::RedactedReasoning { .. },
                ) => {}
                (_, part) => ensure_supported(part)?,
            }
        }
    }
    Ok(())
}

fn ensure_supported(part: &Part) -> Result<()> {
    let advice = match part {
        Part::Text { .. } => return Ok(()),
        Part::Document {
            source: MediaSource::Url { .. },
            ..
        } => ": give the document as base64 or text instead of a URL",
        Part::Image {
            source: MediaSource::Text { .. },
            ..
        } => ": give the image as base64 or a URL",
        Part::Document { .. } | Part::Image { .. } => return Ok(()),
        _ => "",
    };
    let name = part.name();
    Err(Error::config(format!(
        "a part of type \"{name}\" cannot stand here in OpenAI's dialect{advice}"
    )))
}

/// A message as this dialect has it: one of ours can be several here.
enum Turn<'a> {
    Said(&'static str, Vec<&'a Part>),
    ToolResult(&'a str, Vec<&'a Part>),
    Assistant(&'a Message),
}

impl<'a> Turn<'a> {
    fn all(request: &'a Request) -> Vec<Self> {
        let mut turns = Vec::with_capacity(request.messages.len() + 1);
        if !request.system.is_empty() {
            turns.push(Turn::Said("system", request.system.iter().collect()));
        }
        for message in &request.messages {
            if message.role == Role::Assistant {
                turns.push(Turn::Assistant(message));
                continue;
            }
            // Each tool result is a message of its own here, and they come first.
            let mut rest = Vec::new();
            for part in &message.content {
                match part {
                    Part::ToolResult {
                        tool_use_id,
                        content,
                        ..
                    } => turns.push(Turn::ToolResult(tool_use_id, content.iter().collect())),
                    part => rest.push(part),
                }
            }
            if !rest.is_empty() {
                turns.push(Turn::Said("user", rest));
            }
        }
        turns
    }

    fn write(self, json: &mut Writer) {
        json.object(|json| match self {
            Turn::Said(role, parts) => {
                json.field("role", role);
                content(json, &parts);
            }
            Turn::ToolResult(id, parts) => {
                json.field("role", "tool");
                content(json, &parts);
                json.field("tool_call_id", id);
            }
            Turn::Assistant(message) => assistant(json, message),
        });
    }
}

fn assistant(json: &mut Writer, message: &Message) {
    let mut calls = Vec::new();
    let mut said = Vec::new();
    let mut thought = String::new();
    for part in &message.content {
        match part {
            Part::ToolUse(call) => calls.push(call),
            Part::Reasoning {
                text,
                signature: None,
            } => thought.push_str(text),
            // Signed or sealed by another provider, of no use to this one.
            Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {}
            part => said.push(part),
        }
    }
    json.field("role", "assistant");
    if !said.is_empty() {
        content(json, &said);
    }
    if calls.is_empty() {
        return;
    }
    // Servers that show thoughts want them back in a turn that called tools, and only there
    // (https://api-docs.deepseek.com/guides/thinking_mode).
    if !thought.is_empty() {
        json.field("reasoning_content", &thought);
    }
    json.key("tool_calls").list(calls, |json, call| {
        json.object(|json| {
            json.field("id", &call.id);
            json.field("type", "function");
            json.key("function").object(|json| {
                json.field("name", &call.name);
                json.field("arguments", &call.arguments);
            });
        });
    });
}

/// One text stays a string, the form that every server knows.
fn content(json: &mut Writer, parts: &[&Part]) {
    match parts {
        [Part::Text { text, .. }] => json.field("content", text),
        parts => json
            .key("content")
            .list(parts, |json, part| wire_part(json, part)),
    }
}

fn wire_part(json: &mut Writer, part: &Part) {
    let data_url = |media_type: &str, data: &str| ["data:", media_type, ";base64,", data].concat();
    json.object(|json| match part {
        Part::Text { text, .. }
        | Part::Document {
            source: MediaSource::Text { text },
            ..
        } => {
            json.field("type", "text");
            json.field("text", text);
        }
        Part::Document {
            source: MediaSource::Base64 { media_type, data },
            title,
            ..
        } => {
            json.field("type", "file");
            json.key("file").object(|json| {
                json.field("filename", title.as_deref().unwrap_or("document"));
                json.field("file_data", &data_url(media_type, data));
            });
        }
        Part::Image { source, .. } => {
            json.field("type", "image_url");
            json.key("image_url").object(|json| match source {
                MediaSource::Base64 { media_type, data } => {
                    json.field("url", &data_url(media_type, data))
                }
                MediaSource::Url { url } | MediaSource::Text { text: url } => {
                    json.field("url", url)
                }
            });
        }
        // What `validate` has refused.
        _ => {}
    });
}

/// A whole completion or one chunk of a stream: they differ in `message` and `delta`.
#[derive(Default)]
struct Completion<'a> {
    id: Cow<'a, str>,
    model: Cow<'a, str>,
    /// The first choice: `n` is not offered, since each choice costs a whole reply.
    choice: Option<Choice<'a>>,
    usage: Option<Usage>,
    failed: bool,
}

impl<'a> Completion<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Self, Stopped> {
        let mut whole = Self::default();
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "id" => whole.id = text(json)?,
                "model" => whole.model = text(json)?,
                "choices" => {
                    let some = json.list_or_null()?;
                    while some && json.item()? {
                        let choice = Choice::read(json)?;
                        if choice.index == 0 {
                            whole.choice = Some(choice);
                        }
                    }
                }
                "usage" => whole.usage = usage(json)?,
                "error" => whole.failed = json.skip()? != "null",
                _ => json.pass()?,
            }
        }
        Ok(whole)
    }
}

#[derive(Default)]
struct Choice<'a> {
    index: u64,
    said: Option<Said<'a>>,
    finish_reason: Option<Cow<'a, str>>,
}

impl<'a> Choice<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Self, Stopped> {
        let mut choice = Self::default();
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "index" => choice.index = json.count()?.unwrap_or_default(),
                "message" | "delta" => choice.said = Said::read(json)?,
                "finish_reason" => choice.finish_reason = json.text()?,
                _ => json.pass()?,
            }
        }
        Ok(choice)
    }
}

#[derive(Default)]
struct Said<'a> {
    content: Cow<'a, str>,
    refusal: Cow<'a, str>,
    thought: Cow<'a, str>,
    tool_calls: Vec<ToolCallDelta<'a>>,
}

impl<'a> Said<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Option<Self>, Stopped> {
        let mut said = Self::default();
        if !json.object_or_null()? {
            return Ok(None);
        }
        while let Some(key) = json.key()? {
            match &*key {
                "content" => said.content = text(json)?,
                "refusal" => said.refusal = text(json)?,
                // DeepSeek, vLLM, SGLang, xAI; OpenRouter, Groq, newer vLLM. Some send the same thought
                // under both names.
                "reasoning_content" | "reasoning" => {
                    let thought = text(json)?;
                    if !thought.is_empty() {
                        said.thought = thought;
                    }
                }
                "tool_calls" => {
                    let some = json.list_or_null()?;
                    while some && json.item()? {
                        said.tool_calls.push(ToolCallDelta::read(json)?);
                    }
                }
                _ => json.pass()?,
            }
        }
        Ok(Some(said))
    }
}

#[derive(Default)]
struct ToolCallDelta<'a> {
    index: Option<u64>,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

impl<'a> ToolCallDelta<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Self, Stopped> {
        let mut call = Self::default();
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "index" => call.index = json.count()?,
                "id" => call.id = text(json)?,
                "function" if json.peek() == Some(b'{') => {
                    json.object()?;
                    while let Some(key) = json.key()? {
                        match &*key {
                            "name" => call.name = text(json)?,
                            "arguments" => call.arguments = text(json)?,
                            _ => json.pass()?,
                        }
                    }
                }
                _ => json.pass()?,
            }
        }
        Ok(call)
    }
}

/// The usage, read loosely: every server has fields of its own.
fn usage(json: &mut Reader<'_>) -> Result<Option<Usage>, Stopped> {
    if json.peek() != Some(b'{') {
        return json.pass().map(|()| None);
    }
    let mut usage = Usage {
        input_includes_cache: true,
        ..Usage::default()
    };
    let mut deepseek_cached = 0;
    json.object()?;
    while let Some(key) = json.key()? {
        match &*key {
            "prompt_tokens" => usage.input_tokens = json.count()?.unwrap_or_default(),
            "completion_tokens" => usage.output_tokens = json.count()?.unwrap_or_default(),
            "prompt_tokens_details" if json.peek() == Some(b'{') => {
                json.object()?;
                while let Some(key) = json.key()? {
                    match &*key {
                        "cached_tokens" => {
                            usage.cache_read_tokens = json.count()?.unwrap_or_default();
                        }
                        // OpenRouter's, for models that charge for it.
                        "cache_write_tokens" => {
                            usage.cache_write_tokens = json.count()?.unwrap_or_default();
                        }
                        _ => json.pass()?,
                    }
                }
            }
            "completion_tokens_details" => {
                let thought = json.count_in("reasoning_tokens")?;
                usage.reasoning_tokens = thought.unwrap_or_default();
            }
            // DeepSeek's own name for them.
            "prompt_cache_hit_tokens" => deepseek_cached = json.count()?.unwrap_or_default(),
            _ => json.pass()?,
        }
    }
    if usage.cache_read_tokens == 0 {
        usage.cache_read_tokens = deepseek_cached;
    }
    Ok(Some(usage))
}

/// Text as servers write it: a string, null, or a list of parts of which those with `text` count.
fn text<'a>(json: &mut Reader<'a>) -> Result<Cow<'a, str>, Stopped> {
    if json.peek() != Some(b'[') {
        return Ok(json.text()?.unwrap_or_default());
    }
    let mut whole = String::new();
    json.list()?;
    while json.item()? {
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "text" => whole.push_str(&json.text()?.unwrap_or_default()),
                _ => json.pass()?,
            }
        }
    }
    Ok(whole.into())
}

pub(super) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Reply> {
    let wire = read_json("the reply", body, Completion::read)?;
    if wire.failed {
        let id = request_id(headers);
        return Err(error::embedded_error(Provider::OpenAi, body, id.as_deref()));
    }
    let Some(Choice {
        said: Some(said),
        finish_reason,
        ..
    }) = wire.choice
    else {
        return Err(Error::decode("the reply has no choice with a message"));
    };
    let mut reply = Reply::new(Provider::OpenAi);
    reply.id = wire.id.into_owned();
    reply.model = wire.model.into_owned();
    if !said.thought.is_empty() {
        reply.content.push(Part::Reasoning {
            text: said.thought.into_owned(),
            signature: None,
        });
    }
    let refused = !said.refusal.is_empty();
    for text in [said.content, said.refusal] {
        if !text.is_empty() {
            reply.content.push(Part::text(text));
        }
    }
    for call in said.tool_calls {
        let arguments = match call.arguments.trim() {
            "" => "{}".into(),
            _ => call.arguments,
        };
        let call = ToolCall::new(call.id, call.name, arguments);
        reply.content.push(Part::ToolUse(call));
    }
    reply.stop_reason = match finish_reason {
        _ if refused => Some(StopReason::Refusal),
        reason => reason.map(|word| StopReason::from(word.into_owned())),
    };
    reply.usage_reported = wire.usage.is_some();
    reply.usage = wire.usage.unwrap_or_default();
    Ok(reply)
}

/// The tool calls of a stream, by the server's numbering.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    known: Vec<(Option<u64>, usize)>,
    refused: bool,
}

impl StreamState {
    pub(super) fn take(&mut self, accumulator: &mut Accumulator, data: &[u8]) -> Result<()> {
        if data == b"[DONE]" {
            accumulator.end();
            return Ok(());
        }
        let chunk = read_json("an event of the stream", data, Completion::read)?;
        if chunk.failed {
            let id = accumulator.reply.request_id.as_deref();
            return Err(error::embedded_error(Provider::OpenAi, data, id));
        }
        if let Some(usage) = chunk.usage {
            accumulator.reply.usage = usage;
            accumulator.reply.usage_reported = true;
        }
        // A chunk that brings only the usage has no choice in it.
        let Some(choice) = chunk.choice else {
            return Ok(());
        };
        accumulator.start(&chunk.id, &chunk.model);
        if let Some(said) = choice.said {
            accumulator.reasoning(&said.thought);
            accumulator.text(&said.content);
            self.refused |= !said.refusal.is_empty();
            accumulator.text(&said.refusal);
            for call in said.tool_calls {
                self.call(accumulator, &call);
            }
        }
        if let Some(reason) = choice.finish_reason {
            accumulator.stop(if self.refused { "refusal" } else { &reason });
            accumulator.end_tools();
        }
        Ok(())
    }

    fn call(&mut self, accumulator: &mut Accumulator, call: &ToolCallDelta<'_>) {
        // Servers that leave the index out send each call whole, or one after another.
        let known = match call.index {
            Some(_) => self.known.iter().find(|(theirs, _)| *theirs == call.index),
            None if call.id.is_empty() => self.known.last(),
            None => None,
        };
        let index = match known {
            Some((_, ours)) => *ours,
            None => {
                let ours = accumulator.tool_start(&call.id, &call.name);
                self.known.push((call.index, ours));
                ours
            }
        };
        accumulator.tool_delta(index, &call.arguments);
    }
}
