//! The server's side of Anthropic's dialect: <https://docs.claude.com/en/api/messages>.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::answer::{Answer, Prompt, hash};
use crate::media;
use crate::reply::{ApiError, Piece};
use crate::scenario::Scenario;
use crate::schema::check_anthropic;
use crate::stats::Counters;
use crate::threads;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

pub(crate) fn check_key(headers: &HeaderMap) -> Result<(), ApiError> {
    let key = headers
        .get("x-api-key")
        .or_else(|| headers.get("authorization"))
        .and_then(|k| k.to_str().ok());
    match key {
        None => Err(ApiError::new(
            401,
            "authentication_error",
            "x-api-key header is required",
        )),
        Some(key) if key.contains("invalid") => Err(ApiError::new(
            401,
            "authentication_error",
            format!("invalid x-api-key: {key}"),
        )),
        Some(_) if !headers.contains_key("anthropic-version") => {
            Err(invalid("anthropic-version: header is required"))
        }
        Some(_) => Ok(()),
    }
}

pub(crate) fn read(body: &Value, counters: &Counters) -> Result<Prompt, ApiError> {
    let thread = threads::whole_request(body, counters)?;
    let body = thread.as_ref().map_or(body, |(whole, _)| whole);
    let mut prompt = read_whole(body, counters)?;
    prompt.stored_items = thread.as_ref().map(|(_, items)| items.clone());
    Ok(prompt)
}

fn read_whole(body: &Value, counters: &Counters) -> Result<Prompt, ApiError> {
    let Some(max_tokens) = body["max_tokens"].as_u64() else {
        return Err(invalid("max_tokens: Field required"));
    };
    if max_tokens == 0 {
        return Err(invalid("max_tokens: must be greater than or equal to 1"));
    }
    if body["temperature"]
        .as_f64()
        .is_some_and(|t| !(0.0..=1.0).contains(&t))
    {
        return Err(invalid("temperature: range: 0..1"));
    }
    let thinking = &body["thinking"];
    if let Some(budget) = thinking["budget_tokens"].as_u64() {
        if budget < 1024 {
            return Err(invalid(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            ));
        }
        if budget >= max_tokens {
            return Err(invalid(
                "`max_tokens` must be greater than `thinking.budget_tokens`",
            ));
        }
    }
    let messages = body["messages"]
        .as_array()
        .ok_or_else(|| invalid("messages: Field required"))?;
    let Some(last) = messages.last() else {
        return Err(invalid("messages: at least one message is required"));
    };
    check_turns(messages)?;
    let mut prompt = Prompt {
        thinks: matches!(thinking["type"].as_str(), Some("enabled" | "adaptive")),
        max_tokens: Some(max_tokens),
        stream: body["stream"] == true,
        stop: strings(&body["stop_sequences"]),
        schema: body["output_config"]
            .get("format")
            .map(|format| format["schema"].clone()),
        may_use_tools: body["tool_choice"]["type"] != "none",
        must_use_tool: matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool")),
        one_tool: body["tool_choice"]["name"].as_str().map(str::to_owned),
        ..Prompt::default()
    };
    if let Some(schema) = &prompt.schema {
        check_anthropic(schema)
            .map_err(|e| invalid(format!("output_config.format.schema: {e}")))?;
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let name = tool["name"]
            .as_str()
            .ok_or_else(|| invalid("tools.0.custom.name: Field required"))?;
        if tool["strict"] == true {
            check_anthropic(&tool["input_schema"])
                .map_err(|e| invalid(format!("tools.0.custom.input_schema: {e}")))?;
        }
        prompt
            .tools
            .push((name.to_owned(), tool["input_schema"].clone()));
    }
    for block in blocks(&last["content"]) {
        match block["type"].as_str() {
            Some("text") => prompt
                .text
                .push_str(block["text"].as_str().unwrap_or_default()),
            Some("image") => prompt.pictures.push(media::describe(&block)),
            Some("document") => prompt.documents += 1,
            Some("tool_result") => prompt.tool_results.push(text_of(&block["content"])),
            _ => {}
        }
    }
    count_tokens(body, &mut prompt, counters);
    Ok(prompt)
}

fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

fn text_of(content: &Value) -> String {
    blocks(content)
        .iter()
        .filter_map(|block| block["text"].as_str())
        .collect()
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn check_turns(messages: &[Value]) -> Result<(), ApiError> {
    let mut open_calls: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !matches!(role, "user" | "assistant") {
            let message = "Unexpected role. The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.";
            return Err(invalid(format!("messages.{i}.role: {message}")));
        }
        if i == 0 && role != "user" {
            return Err(invalid(
                "messages: first message must use the \"user\" role",
            ));
        }
        let blocks = blocks(&message["content"]);
        if blocks.is_empty() {
            return Err(invalid(format!(
                "messages.{i}: all messages must have non-empty content"
            )));
        }
        let results: Vec<&str> = blocks
            .iter()
            .filter_map(|b| b["tool_use_id"].as_str())
            .collect();
        if let Some(stray) = results
            .iter()
            .find(|id| !open_calls.iter().any(|call| call == *id))
        {
            return Err(invalid(format!(
                "messages.{i}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {stray}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )));
        }
        if let Some(open) = open_calls
            .iter()
            .find(|call| !results.contains(&call.as_str()))
        {
            return Err(invalid(format!(
                "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {open}.",
                i - 1
            )));
        }
        open_calls.clear();
        for block in &blocks {
            match block["type"].as_str() {
                Some("text") if block["text"].as_str().is_none_or(|t| t.trim().is_empty()) => {
                    return Err(invalid("messages: text content blocks must be non-empty"));
                }
                Some("tool_use") => open_calls.extend(block["id"].as_str().map(str::to_owned)),
                Some("thinking")
                    if block["signature"] != json!(signature(&text(block, "thinking"))) =>
                {
                    return Err(invalid(format!(
                        "messages.{i}.content.0: Invalid `signature` in `thinking` block"
                    )));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn text(block: &Value, field: &str) -> String {
    block[field].as_str().unwrap_or_default().to_owned()
}

fn signature(thought: &str) -> String {
    format!("sig_{:016x}", hash(thought))
}

/// What of a request counts as input.
pub(crate) fn counted(body: &Value) -> Vec<Value> {
    let mut parts: Vec<Value> = body["tools"].as_array().cloned().unwrap_or_default();
    parts.extend(blocks(&body["system"]));
    for message in body["messages"].as_array().into_iter().flatten() {
        parts.extend(blocks(&message["content"]));
    }
    parts
}

/// Counts input tokens. The first request writes everything up to the last `cache_control` to the cache, and
/// later ones read it from there.
fn count_tokens(body: &Value, prompt: &mut Prompt, counters: &Counters) {
    let parts = counted(body);
    let size = |parts: &[Value]| media::count_tokens(&Value::from(parts));
    let marked = parts
        .iter()
        .rposition(|part| part.get("cache_control").is_some())
        .map_or(0, |at| at + 1);
    let (prefix, rest) = parts.split_at(marked);
    prompt.input_tokens = size(rest);
    if marked > 0 {
        match counters.is_cached(hash(Value::from(prefix).to_string())) {
            true => prompt.cached_tokens = size(prefix),
            false => prompt.cache_written_tokens = size(prefix),
        }
    }
}

fn usage(answer: &Answer, output_tokens: u64) -> Value {
    let prompt = &answer.prompt;
    json!({
        "input_tokens": prompt.input_tokens,
        "cache_creation_input_tokens": prompt.cache_written_tokens,
        "cache_read_input_tokens": prompt.cached_tokens,
        "output_tokens": output_tokens,
    })
}

fn message(
    answer: &Answer,
    content: &Value,
    stop_reason: Option<&str>,
    output_tokens: u64,
) -> Value {
    json!({
        "id": format!("msg_{:016x}", answer.hash),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_reason.and(answer.stop_sequence.as_deref()),
        "usage": usage(answer, output_tokens),
    })
}

pub(crate) fn whole(answer: &Answer) -> Value {
    let mut content = Vec::new();
    let thought = answer.reasoning.concat();
    if !thought.is_empty() {
        content.push(
            json!({"type": "thinking", "thinking": thought, "signature": signature(&thought)}),
        );
    }
    if !answer.text.is_empty() {
        content.push(json!({"type": "text", "text": answer.text.concat()}));
    }
    for (id, name, arguments) in &answer.calls {
        let input: Value = serde_json::from_str(arguments).unwrap_or_default();
        content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    message(
        answer,
        &content.into(),
        Some(answer.stop_reason),
        answer.output_tokens(),
    )
}

fn event(name: &str, mut data: Value) -> Piece {
    data["type"] = name.into();
    Piece {
        content: false,
        tokens: 0,
        text: format!("event: {name}\ndata: {data}\n\n"),
    }
}

pub(crate) fn ping() -> String {
    event("ping", json!({})).text
}

pub(crate) fn pieces(answer: &Answer, scenario: &Scenario) -> Vec<Piece> {
    let mut pieces = vec![
        event(
            "message_start",
            json!({"message": message(answer, &json!([]), None, 1)}),
        ),
        event("ping", json!({})),
    ];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>, last: Option<Value>| {
        pieces.push(event(
            "content_block_start",
            json!({"index": index, "content_block": start}),
        ));
        for delta in deltas {
            let delta = event(
                "content_block_delta",
                json!({"index": index, "delta": delta}),
            );
            pieces.push(Piece {
                content: true,
                tokens: 1,
                ..delta
            });
        }
        if let Some(delta) = last {
            pieces.push(event(
                "content_block_delta",
                json!({"index": index, "delta": delta}),
            ));
        }
        pieces.push(event("content_block_stop", json!({"index": index})));
        index += 1;
    };
    if !answer.reasoning.is_empty() {
        let deltas = answer
            .reasoning
            .iter()
            .map(|t| json!({"type": "thinking_delta", "thinking": t}))
            .collect();
        let signature = signature(&answer.reasoning.concat());
        let last = json!({"type": "signature_delta", "signature": signature});
        block(
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            deltas,
            Some(last),
        );
    }
    if !answer.text.is_empty() {
        let deltas = answer
            .text
            .iter()
            .map(|t| json!({"type": "text_delta", "text": t}))
            .collect();
        block(json!({"type": "text", "text": ""}), deltas, None);
    }
    for (id, name, arguments) in &answer.calls {
        let cut: Vec<char> = arguments.chars().collect();
        let deltas = cut.chunks(7).map(
            |c| json!({"type": "input_json_delta", "partial_json": c.iter().collect::<String>()}),
        );
        block(
            json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            deltas.collect(),
            None,
        );
    }
    let mut end = json!({"delta": {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence}});
    if !scenario.no_usage {
        end["usage"] = json!({"output_tokens": answer.output_tokens()});
    }
    pieces.push(event("message_delta", end));
    if !scenario.no_done {
        pieces.push(event("message_stop", json!({})));
    }
    pieces
}

pub(crate) fn error_body(api_error: &ApiError, request_id: &str) -> Value {
    json!({
        "type": "error",
        "error": {"type": api_error.kind, "message": api_error.message},
        "request_id": request_id,
    })
}

pub(crate) fn error_event(api_error: &ApiError, request_id: &str) -> String {
    event("error", error_body(api_error, request_id)).text
}

/// The type of the error that the documentation gives to a status (<https://docs.claude.com/en/api/errors>).
pub(crate) fn error_type(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}
