//! The server's side of OpenAI's dialect: <https://platform.openai.com/docs/api-reference/chat>.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::answer::{Answer, Prompt, count, hash};
use crate::media;
use crate::reply::{ApiError, Piece};
use crate::scenario::Scenario;
use crate::schema::check_openai;
use crate::stats::Counters;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

pub(crate) fn check_key(headers: &HeaderMap) -> Result<(), ApiError> {
    let key = headers
        .get("authorization")
        .and_then(|k| k.to_str().ok())
        .and_then(|k| k.strip_prefix("Bearer "));
    match key {
        None => Err(ApiError::new(
            401,
            "invalid_request_error",
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )),
        Some(key) if key.contains("invalid") => {
            let message = format!("Incorrect API key provided: {key}.");
            Err(ApiError {
                code: Some("invalid_api_key".into()),
                ..ApiError::new(401, "invalid_request_error", message)
            })
        }
        Some(_) => Ok(()),
    }
}

pub(crate) fn read(body: &Value, counters: &Counters) -> Result<Prompt, ApiError> {
    if body["temperature"]
        .as_f64()
        .is_some_and(|t| !(0.0..=2.0).contains(&t))
    {
        return Err(invalid(
            "Invalid 'temperature': expected a value from 0 to 2.",
        ));
    }
    let messages = body["messages"]
        .as_array()
        .ok_or_else(|| invalid("Missing required parameter: 'messages'."))?;
    if messages.is_empty() {
        return Err(invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1.",
        ));
    }
    check_turns(messages)?;
    let choice = &body["tool_choice"];
    let mut prompt = Prompt {
        thinks: body["reasoning_effort"]
            .as_str()
            .is_some_and(|effort| effort != "none"),
        max_tokens: body["max_completion_tokens"]
            .as_u64()
            .or(body["max_tokens"].as_u64()),
        more_replies: body["n"].as_u64().unwrap_or(1).clamp(1, 128) as usize - 1,
        stream: body["stream"] == true,
        stop: match &body["stop"] {
            Value::String(stop) => vec![stop.clone()],
            stop => stop
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        },
        schema: output_schema(&body["response_format"])?,
        json_object: body["response_format"]["type"] == "json_object",
        may_use_tools: choice != "none",
        must_use_tool: choice == "required" || choice.is_object(),
        one_tool: choice["function"]["name"].as_str().map(str::to_owned),
        ..Prompt::default()
    };
    if prompt.json_object && !body["messages"].to_string().to_lowercase().contains("json") {
        return Err(invalid(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        ));
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        let name = function["name"]
            .as_str()
            .ok_or_else(|| invalid("Missing required parameter: 'tools[0].function'."))?;
        if function["strict"] == true {
            check_openai(&function["parameters"])
                .map_err(|e| invalid(format!("Invalid schema for function '{name}': {e}")))?;
        }
        prompt
            .tools
            .push((name.to_owned(), function["parameters"].clone()));
    }
    for message in messages
        .iter()
        .rev()
        .take_while(|m| m["role"] != "assistant")
    {
        match message["role"].as_str() {
            Some("tool") => prompt.tool_results.insert(0, text_of(&message["content"])),
            Some("user") if prompt.text.is_empty() => {
                prompt.text = text_of(&message["content"]);
                for part in message["content"].as_array().into_iter().flatten() {
                    match part["type"].as_str() {
                        Some("image_url") => prompt.pictures.push(media::describe(part)),
                        Some("file") => prompt.documents += 1,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let all = Value::from(messages.clone());
    prompt.input_tokens = media::count_tokens(&all) + count(&body["tools"].to_string());
    // OpenAI caches without being asked: prefixes of at least 1,024 tokens, in steps of 128.
    let prefix: String = all.to_string().chars().take(1024 * 4).collect();
    if prompt.input_tokens >= 1024 && counters.is_cached(hash(prefix)) {
        prompt.cached_tokens = prompt.input_tokens / 128 * 128;
    }
    Ok(prompt)
}

/// Returns the schema of the output. A strict one must fit the strict mode.
fn output_schema(format: &Value) -> Result<Option<Value>, ApiError> {
    let Some(shape) = format.get("json_schema") else {
        return Ok(None);
    };
    let name = shape["name"].as_str().unwrap_or_default();
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_valid) {
        return Err(invalid(format!(
            "Invalid 'response_format.json_schema.name': '{name}' does not match '^[a-zA-Z0-9_-]{{1,64}}$'."
        )));
    }
    if shape["strict"] == true {
        let checked = check_openai(&shape["schema"]);
        checked
            .map_err(|e| invalid(format!("Invalid schema for response_format '{name}': {e}")))?;
    }
    Ok(Some(shape["schema"].clone()))
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        parts => parts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| part["text"].as_str())
            .collect(),
    }
}

fn check_turns(messages: &[Value]) -> Result<(), ApiError> {
    let mut open_calls: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(at) = open_calls.iter().position(|call| call == id) else {
                return Err(invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                ));
            };
            open_calls.remove(at);
            continue;
        }
        if let Some(open) = open_calls.first() {
            return Err(invalid(format!(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {open}"
            )));
        }
        match role {
            "system" | "developer" | "user" if message["content"].is_null() => {
                return Err(invalid(format!(
                    "Invalid value for 'messages.[{i}].content': expected a string, got null."
                )));
            }
            "system" | "developer" | "user" => {}
            "assistant" => {
                let calls = message["tool_calls"].as_array();
                open_calls.extend(
                    calls
                        .into_iter()
                        .flatten()
                        .filter_map(|c| c["id"].as_str())
                        .map(str::to_owned),
                );
            }
            other => {
                return Err(invalid(format!(
                    "Invalid value: '{other}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
                )));
            }
        }
    }
    Ok(())
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = (answer.prompt.input_tokens, answer.output_tokens());
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": answer.prompt.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning.len()},
    })
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        _ => "stop",
    }
}

fn completion(answer: &Answer, object: &str, choices: Value) -> Value {
    json!({
        "id": format!("chatcmpl-{:016x}", answer.hash),
        "object": object,
        "created": 1_700_000_000,
        "model": answer.model,
        "choices": choices,
    })
}

pub(crate) fn whole(answer: &Answer, scenario: &Scenario) -> Value {
    let mut message = json!({"role": "assistant", "content": null});
    if !answer.reasoning.is_empty() {
        message["reasoning_content"] = answer.reasoning.concat().into();
    }
    if !answer.text.is_empty() {
        message["content"] = answer.text.concat().into();
    }
    let calls: Vec<Value> = answer
        .calls
        .iter()
        .map(|(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let choice =
        |index| json!({"index": index, "message": message, "finish_reason": finish_reason(answer)});
    let choices: Vec<Value> = (0..=answer.prompt.more_replies).map(choice).collect();
    let mut whole = completion(answer, "chat.completion", choices.into());
    if !scenario.no_usage {
        whole["usage"] = usage(answer);
    }
    whole
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

pub(crate) fn ping() -> String {
    ": ping\n\n".to_owned()
}

pub(crate) fn pieces(answer: &Answer, scenario: &Scenario, include_usage: bool) -> Vec<Piece> {
    let replies = 0..=answer.prompt.more_replies;
    let chunk = |delta: Value, finish_reason: Option<&str>, content: bool| {
        let of = |index| {
            event(&completion(
                answer,
                "chat.completion.chunk",
                json!([{"index": index, "delta": delta, "finish_reason": finish_reason}]),
            ))
        };
        Piece {
            content,
            tokens: u64::from(content) * replies.clone().count() as u64,
            text: replies.clone().map(of).collect(),
        }
    };
    let mut pieces = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        None,
        false,
    )];
    pieces.extend(
        answer
            .reasoning
            .iter()
            .map(|t| chunk(json!({"reasoning_content": t}), None, true)),
    );
    pieces.extend(
        answer
            .text
            .iter()
            .map(|t| chunk(json!({"content": t}), None, true)),
    );
    for (index, (id, name, arguments)) in answer.calls.iter().enumerate() {
        let call = |call: Value| json!({"tool_calls": [call]});
        let start = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
        pieces.push(chunk(call(start), None, true));
        let cut: Vec<char> = arguments.chars().collect();
        for part in cut.chunks(7) {
            let part: String = part.iter().collect();
            pieces.push(chunk(
                call(json!({"index": index, "function": {"arguments": part}})),
                None,
                true,
            ));
        }
    }
    pieces.push(chunk(json!({}), Some(finish_reason(answer)), false));
    if include_usage && !scenario.no_usage {
        let mut last = completion(answer, "chat.completion.chunk", json!([]));
        last["usage"] = usage(answer);
        pieces.push(Piece {
            content: false,
            tokens: 0,
            text: event(&last),
        });
    }
    if !scenario.no_done {
        pieces.push(Piece {
            content: false,
            tokens: 0,
            text: "data: [DONE]\n\n".to_owned(),
        });
    }
    pieces
}

pub(crate) fn error_body(api_error: &ApiError) -> Value {
    json!({"error": {"message": api_error.message, "type": api_error.kind, "param": null, "code": api_error.code}})
}

pub(crate) fn error_event(api_error: &ApiError) -> String {
    event(&error_body(api_error))
}

/// The type of the error that the documentation gives to a status (<https://platform.openai.com/docs/guides/error-codes>).
pub(crate) fn error_type(status: u16) -> &'static str {
    match status {
        400 | 401 | 403 | 404 | 413 => "invalid_request_error",
        429 => "requests",
        _ => "server_error",
    }
}
