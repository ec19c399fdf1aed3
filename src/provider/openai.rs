//! OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>) and the
//! servers that speak like it, whose differences are met here: usage left out, no `[DONE]`, thoughts
//! under two names, content as a list, tool calls without an index, error objects inside a 200.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::assembly::Assembly;
use super::{error, read_json, request_id, to_body};
use crate::transport::Headers;
use crate::{
    Effort, Error, Message, Part, Provider, Reply, Request, Result, Role, Source, StopReason,
    ToolCall, ToolChoice, Usage,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    // OpenAI's own newer models refuse `max_tokens`; many other servers know nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<Effort>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Default, Serialize)]
struct Turn<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Value>),
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

pub(super) fn encode(
    request: &Request,
    model: &str,
    stream: bool,
    official: bool,
) -> Result<Vec<u8>> {
    if request.reasoning.is_some_and(|r| r.budget_tokens.is_some()) {
        return Err(Error::config(
            "reasoning.budget_tokens has no counterpart in OpenAI's dialect: set reasoning.effort, or the server's \
             own field in `extra`",
        ));
    }
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        messages.push(Turn {
            role: "system",
            content: Some(content(&request.system)?),
            ..Turn::default()
        });
    }
    for message in &request.messages {
        match message.role {
            Role::User => user(message, &mut messages)?,
            Role::Assistant => messages.push(assistant(message)?),
        }
    }
    let body = Body {
        model,
        messages,
        max_completion_tokens: request.max_tokens.filter(|_| official),
        max_tokens: request.max_tokens.filter(|_| !official),
        temperature: request.temperature,
        top_p: request.top_p,
        stop: &request.stop_sequences,
        tools: request.tools.iter().map(tool).collect(),
        tool_choice: request.tool_choice.as_ref().map(tool_choice),
        parallel_tool_calls: request.parallel_tool_calls,
        response_format: request.output_schema.as_ref().map(|shape| {
            json!({
                "type": "json_schema",
                "json_schema": {"name": shape.name, "schema": shape.schema, "strict": true},
            })
        }),
        reasoning_effort: request.reasoning.and_then(|r| r.effort),
        stream,
        stream_options: stream.then_some(StreamOptions {
            include_usage: true,
        }),
    };
    to_body(&body, request)
}

/// A user's turn: each tool result is a message of its own here, and they come first.
fn user<'a>(message: &'a Message, turns: &mut Vec<Turn<'a>>) -> Result<()> {
    let mut rest = Vec::new();
    for part in &message.content {
        match part {
            Part::ToolResult {
                tool_use_id,
                content: result,
                ..
            } => turns.push(Turn {
                role: "tool",
                content: Some(content(result)?),
                tool_call_id: Some(tool_use_id),
                ..Turn::default()
            }),
            part => rest.push(part),
        }
    }
    if !rest.is_empty() {
        turns.push(Turn {
            role: "user",
            content: Some(content(rest)?),
            ..Turn::default()
        });
    }
    Ok(())
}

fn assistant(message: &Message) -> Result<Turn<'_>> {
    let mut turn = Turn {
        role: "assistant",
        ..Turn::default()
    };
    let mut said = Vec::new();
    let mut thought = String::new();
    for part in &message.content {
        match part {
            Part::ToolUse(call) => turn.tool_calls.push(Call {
                id: &call.id,
                r#type: "function",
                function: Function {
                    name: &call.name,
                    arguments: &call.arguments,
                },
            }),
            Part::Reasoning {
                text,
                signature: None,
            } => thought.push_str(text),
            // Signed or sealed by another provider, of no use to this one.
            Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {}
            part => said.push(part),
        }
    }
    if !said.is_empty() {
        turn.content = Some(content(said)?);
    }
    // Servers that show thoughts want them back in a turn that called tools, and only there
    // (https://api-docs.deepseek.com/guides/thinking_mode).
    if !turn.tool_calls.is_empty() && !thought.is_empty() {
        turn.reasoning_content = Some(thought);
    }
    Ok(turn)
}

/// One text stays a string, the form that every server knows.
fn content<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Result<Content<'a>> {
    let parts: Vec<&Part> = parts.into_iter().collect();
    if let [Part::Text { text, .. }] = parts.as_slice() {
        return Ok(Content::Text(Cow::Borrowed(text)));
    }
    parts
        .into_iter()
        .map(wire_part)
        .collect::<Result<_>>()
        .map(Content::Parts)
}

fn wire_part(part: &Part) -> Result<Value> {
    let data_url = |media_type: &str, data: &str| format!("data:{media_type};base64,{data}");
    Ok(match part {
        Part::Text { text, .. }
        | Part::Document {
            source: Source::Text { text },
            ..
        } => {
            json!({"type": "text", "text": text})
        }
        Part::Image {
            source: Source::Url { url },
            ..
        } => json!({"type": "image_url", "image_url": {"url": url}}),
        Part::Image {
            source: Source::Base64 { media_type, data },
            ..
        } => {
            json!({"type": "image_url", "image_url": {"url": data_url(media_type, data)}})
        }
        Part::Document {
            source: Source::Base64 { media_type, data },
            title,
            ..
        } => {
            let name = title.as_deref().unwrap_or("document");
            json!({"type": "file", "file": {"filename": name, "file_data": data_url(media_type, data)}})
        }
        part => {
            return Err(Error::config(format!(
                "a part of type {:?} cannot stand here in OpenAI's dialect{}",
                part.name(),
                match part {
                    Part::Document { .. } =>
                        ": give the document as base64 or text instead of a URL",
                    Part::Image { .. } => ": give the image as base64 or a URL",
                    _ => "",
                }
            )));
        }
    })
}

fn tool(tool: &crate::Tool) -> Value {
    let mut function = json!({"name": tool.name, "parameters": tool.input_schema});
    if !tool.description.is_empty() {
        function["description"] = json!(tool.description);
    }
    if tool.strict {
        function["strict"] = json!(true);
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::Any => json!("required"),
        ToolChoice::None => json!("none"),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

/// A whole completion or one chunk of a stream: they differ in `message` and `delta`.
#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    model: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "first_choice")]
    choices: Option<Choice<'a>>,
    usage: Option<Value>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    /// Boxed, since serde moves what it has read from frame to frame.
    #[serde(borrow, alias = "delta")]
    message: Option<Box<Said<'a>>>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow, deserialize_with = "text")]
    content: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    refusal: Cow<'a, str>,
    /// DeepSeek, vLLM, SGLang, xAI.
    #[serde(borrow, deserialize_with = "text")]
    reasoning_content: Cow<'a, str>,
    /// OpenRouter, Groq, newer vLLM.
    #[serde(borrow, deserialize_with = "text")]
    reasoning: Cow<'a, str>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
}

impl Said<'_> {
    /// Some servers send the same thought under both names.
    fn thought(&self) -> &str {
        if self.reasoning_content.is_empty() {
            &self.reasoning
        } else {
            &self.reasoning_content
        }
    }
}

#[derive(Deserialize)]
struct WireCall<'a> {
    index: Option<u64>,
    #[serde(borrow, default, deserialize_with = "text")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireFunction<'a> {
    #[serde(borrow, deserialize_with = "text")]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    arguments: Cow<'a, str>,
}

/// The usage, read loosely: every server has fields of its own, and it comes once a reply.
fn usage(wire: &Value) -> Usage {
    let count = |value: &Value| value.as_u64();
    let prompt = &wire["prompt_tokens_details"];
    let completion = &wire["completion_tokens_details"];
    Usage {
        input_tokens: count(&wire["prompt_tokens"]).unwrap_or_default(),
        output_tokens: count(&wire["completion_tokens"]).unwrap_or_default(),
        cache_read_tokens: count(&prompt["cached_tokens"])
            // DeepSeek's own name for them.
            .or(count(&wire["prompt_cache_hit_tokens"]))
            .unwrap_or_default(),
        // OpenRouter's, for models that charge for it.
        cache_write_tokens: count(&prompt["cache_write_tokens"]).unwrap_or_default(),
        cache_write_1h_tokens: 0,
        reasoning_tokens: count(&completion["reasoning_tokens"]).unwrap_or_default(),
        input_includes_cache: true,
    }
}

/// Text as servers write it: a string, null, or a list of parts of which those with `text` count.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, str>, D::Error> {
    struct Text;

    #[derive(Deserialize)]
    struct Piece<'a> {
        #[serde(borrow, default)]
        text: Cow<'a, str>,
    }

    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, null or a list of parts")
        }

        fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut whole = String::new();
            while let Some(piece) = seq.next_element::<Piece<'de>>()? {
                whole.push_str(&piece.text);
            }
            Ok(Cow::Owned(whole))
        }
    }

    deserializer.deserialize_any(Text)
}

/// Only the first choice is followed: `n` is not offered, since each choice costs a whole reply.
fn first_choice<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Choice<'de>>, D::Error> {
    struct First;

    impl<'de> Visitor<'de> for First {
        type Value = Option<Choice<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of choices or null")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut first = None;
            while let Some(choice) = seq.next_element::<Choice<'de>>()? {
                if choice.index == 0 {
                    first = Some(choice);
                }
            }
            Ok(first)
        }
    }

    deserializer.deserialize_any(First)
}

pub(super) fn decode(headers: &Headers, body: &[u8]) -> Result<Reply> {
    let wire: Completion<'_> = read_json("the reply", body)?;
    if let Some(error) = wire.error {
        return Err(error_inside(error, request_id(headers).as_deref()));
    }
    let Some(Choice {
        message: Some(said),
        finish_reason,
        ..
    }) = wire.choices
    else {
        return Err(Error::decode("the reply has no choice with a message"));
    };
    let mut reply = Reply::new(Provider::OpenAi);
    reply.id = wire.id.into_owned();
    reply.model = wire.model.into_owned();
    if !said.thought().is_empty() {
        reply.content.push(Part::Reasoning {
            text: said.thought().to_owned(),
            signature: None,
        });
    }
    for text in [said.content, said.refusal.clone()] {
        if !text.is_empty() {
            reply.content.push(Part::text(text));
        }
    }
    for call in said.tool_calls.unwrap_or_default() {
        let function = call.function.unwrap_or_default();
        let arguments = if function.arguments.trim().is_empty() {
            "{}".into()
        } else {
            function.arguments
        };
        reply.content.push(Part::ToolUse(ToolCall::new(
            call.id,
            function.name,
            arguments,
        )));
    }
    reply.stop_reason = match finish_reason {
        _ if !said.refusal.is_empty() => Some(StopReason::Refusal),
        reason => reason.map(|word| StopReason::from(word.into_owned())),
    };
    if let Some(counts) = wire.usage {
        reply.usage = usage(&counts);
        reply.usage_reported = true;
    }
    Ok(reply)
}

fn error_inside(error: &RawValue, headers_id: Option<&str>) -> Error {
    error::error_inside(Provider::OpenAi, &json!({"error": error}), headers_id)
}

/// The tool calls of a stream, by the server's numbering.
#[derive(Debug, Default)]
pub(super) struct Calls {
    known: Vec<(Option<u64>, usize)>,
    refused: bool,
}

impl Calls {
    pub(super) fn take(&mut self, assembly: &mut Assembly, data: &[u8]) -> Result<()> {
        if data == b"[DONE]" {
            assembly.end();
            return Ok(());
        }
        let chunk: Completion<'_> = read_json("an event of the stream", data)?;
        if let Some(error) = chunk.error {
            return Err(error_inside(error, assembly.reply.request_id.as_deref()));
        }
        if let Some(counts) = chunk.usage {
            assembly.reply.usage = usage(&counts);
            assembly.reply.usage_reported = true;
        }
        // A chunk that brings only the usage has no choice in it.
        let Some(choice) = chunk.choices else {
            return Ok(());
        };
        assembly.start(&chunk.id, &chunk.model);
        if let Some(said) = choice.message {
            assembly.reasoning(said.thought());
            assembly.text(&said.content);
            self.refused |= !said.refusal.is_empty();
            assembly.text(&said.refusal);
            for call in said.tool_calls.unwrap_or_default() {
                self.call(assembly, &call);
            }
        }
        if let Some(reason) = choice.finish_reason {
            assembly.stop(if self.refused { "refusal" } else { &reason });
            assembly.end_tools();
        }
        Ok(())
    }

    fn call(&mut self, assembly: &mut Assembly, call: &WireCall<'_>) {
        let (name, arguments) = call
            .function
            .as_ref()
            .map_or(("", ""), |f| (f.name.as_ref(), f.arguments.as_ref()));
        // Servers that leave the index out send each call whole, or one after another.
        let known = match call.index {
            Some(_) => self.known.iter().find(|(theirs, _)| *theirs == call.index),
            None if call.id.is_empty() => self.known.last(),
            None => None,
        };
        let index = match known {
            Some((_, ours)) => *ours,
            None => {
                let ours = assembly.tool_start(&call.id, name);
                self.known.push((call.index, ours));
                ours
            }
        };
        assembly.tool_delta(index, arguments);
    }
}
