//! The server's side of OpenAI's Responses API: <https://platform.openai.com/docs/api-reference/responses>.

use serde_json::{Value, json};

use crate::answer::{Answer, Prompt, count, hash};
use crate::media;
use crate::reply::{ApiError, Piece};
use crate::responses_input::{self as input, ENCRYPTED, invalid};
use crate::scenario::Scenario;
use crate::schema::check_openai;
use crate::stats::Counters;

/// Fields of Chat Completions, and what they are called here.
const MOVED: [(&str, &str); 5] = [
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
];

pub(crate) fn read(body: &Value, counters: &Counters) -> Result<Prompt, ApiError> {
    for (name, now) in MOVED {
        if body.get(name).is_some() {
            return Err(invalid(format!(
                "Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{now}'."
            )));
        }
    }
    for name in ["stop", "n", "logprobs"] {
        if body.get(name).is_some() {
            return Err(invalid(format!("Unknown parameter: '{name}'.")));
        }
    }
    if body["stream_options"].get("include_usage").is_some() {
        return Err(invalid(
            "Unknown parameter: 'stream_options.include_usage'.",
        ));
    }
    let temperature = body["temperature"].as_f64();
    if temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return Err(invalid(
            "Invalid 'temperature': expected a value from 0 to 2.",
        ));
    }
    let previous = match body["previous_response_id"].as_str() {
        None => Vec::new(),
        Some(_) if !body["conversation"].is_null() => {
            return Err(invalid(
                "Mutually exclusive parameters: 'previous_response_id' and 'conversation'.",
            ));
        }
        Some(id) => counters.stored(id).ok_or_else(|| ApiError {
            code: Some("previous_response_not_found".into()),
            ..invalid(format!("Previous response with id '{id}' not found."))
        })?,
    };
    let known = previous.len();
    let items = input::items(previous, &body["input"])?;
    input::check(&items, known, counters)?;
    let choice = &body["tool_choice"];
    let includes = |name: &str| {
        let list = body["include"].as_array();
        list.is_some_and(|list| list.iter().any(|one| one == name))
    };
    let format = &body["text"]["format"];
    let mut prompt = Prompt {
        thinks: body["reasoning"]["effort"]
            .as_str()
            .is_some_and(|effort| effort != "none"),
        shows_reasoning: !body["reasoning"]["summary"].is_null(),
        encrypts_reasoning: includes("reasoning.encrypted_content"),
        max_tokens: body["max_output_tokens"].as_u64(),
        stream: body["stream"] == true,
        schema: output_schema(format)?,
        json_object: format["type"] == "json_object",
        may_use_tools: choice != "none",
        must_use_tool: choice == "required" || choice["type"] == "function",
        one_tool: choice["name"].as_str().map(str::to_owned),
        ..Prompt::default()
    };
    for (i, tool) in body["tools"].as_array().into_iter().flatten().enumerate() {
        if tool["type"] != "function" {
            continue;
        }
        let name = tool["name"]
            .as_str()
            .ok_or_else(|| invalid(format!("Missing required parameter: 'tools[{i}].name'.")))?;
        // A schema of a tool that does not say whether it is strict is made fit.
        if tool["strict"] == true {
            check_openai(&tool["parameters"])
                .map_err(|e| invalid(format!("Invalid schema for function '{name}': {e}")))?;
        }
        prompt
            .tools
            .push((name.to_owned(), tool["parameters"].clone()));
    }
    input::read_last_turn(&items, &mut prompt);
    let all = Value::from(items.clone());
    prompt.input_tokens = media::count_tokens(&all)
        + count(body["instructions"].as_str().unwrap_or_default())
        + count(&body["tools"].to_string());
    // As in Chat Completions: prefixes of at least 1,024 tokens, in steps of 128.
    let prefix: String = all.to_string().chars().take(1024 * 4).collect();
    if prompt.input_tokens >= 1024 && counters.is_cached(hash(prefix)) {
        prompt.cached_tokens = prompt.input_tokens / 128 * 128;
    }
    // The default is true.
    prompt.stored_items = (body["store"] != false).then_some(items);
    Ok(prompt)
}

/// Returns the schema of the output. A strict one must fit the strict mode.
fn output_schema(format: &Value) -> Result<Option<Value>, ApiError> {
    if format["type"] != "json_schema" {
        return Ok(None);
    }
    let name = format["name"].as_str().unwrap_or_default();
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_valid) {
        return Err(invalid(format!(
            "Invalid 'text.format.name': '{name}' does not match '^[a-zA-Z0-9_-]{{1,64}}$'."
        )));
    }
    if format["strict"] == true {
        let checked = check_openai(&format["schema"]);
        checked
            .map_err(|e| invalid(format!("Invalid schema for response_format '{name}': {e}")))?;
    }
    Ok(Some(format["schema"].clone()))
}

/// Remembers a response that may be continued.
pub(crate) fn remember(answer: &Answer, counters: &Counters) {
    if let Some(items) = &answer.prompt.stored_items {
        let items = items.iter().cloned().chain(output(answer)).collect();
        counters.store(id(answer), items);
    }
}

fn id(answer: &Answer) -> String {
    format!("resp_{:016x}", answer.hash)
}

/// The id of an item.
fn item_id(answer: &Answer, kind: &str, index: usize) -> String {
    format!("{kind}_{:016x}{index:02}", answer.hash)
}

fn output(answer: &Answer) -> Vec<Value> {
    let mut items = Vec::new();
    if !answer.reasoning.is_empty() {
        let id = item_id(answer, "rs", 0);
        let mut reasoning = json!({"id": id, "type": "reasoning", "summary": []});
        if answer.prompt.shows_reasoning {
            reasoning["summary"] =
                json!([{"type": "summary_text", "text": answer.reasoning.concat()}]);
        }
        if answer.prompt.encrypts_reasoning {
            reasoning["encrypted_content"] = format!("{ENCRYPTED}{:016x}", answer.hash).into();
        }
        items.push(reasoning);
    }
    if !answer.text.is_empty() {
        let part = output_text(&answer.text.concat());
        let mut message = json!({"id": item_id(answer, "msg", 0), "type": "message", "status": "completed",
            "role": "assistant", "content": [part]});
        // Of the models for coding.
        if answer.model.contains("codex") {
            message["phase"] = match answer.calls.is_empty() {
                true => "final_answer".into(),
                false => "commentary".into(),
            };
        }
        items.push(message);
    }
    for (i, (call_id, name, arguments)) in answer.calls.iter().enumerate() {
        items.push(
            json!({"id": item_id(answer, "fc", i), "type": "function_call", "status": "completed",
            "call_id": call_id, "name": name, "arguments": arguments}),
        );
    }
    items
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn response(answer: &Answer, status: &str, output: Vec<Value>) -> Value {
    json!({
        "id": id(answer),
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": answer.model,
        "output": output,
        "store": answer.prompt.stored_items.is_some(),
        "service_tier": "default",
        "usage": null,
    })
}

pub(crate) fn whole(answer: &Answer, scenario: &Scenario) -> Value {
    let is_cut = answer.stop_reason == "max_tokens";
    let status = if is_cut { "incomplete" } else { "completed" };
    let mut whole = response(answer, status, output(answer));
    if is_cut {
        whole["incomplete_details"] = json!({"reason": "max_output_tokens"});
    }
    if !scenario.no_usage {
        let (input, output) = (answer.prompt.input_tokens, answer.output_tokens());
        whole["usage"] = json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": answer.prompt.cached_tokens},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning.len()},
            "total_tokens": input + output,
        });
    }
    whole
}

/// The events of a stream, numbered.
#[derive(Default)]
struct Events(Vec<Piece>);

impl Events {
    fn push(&mut self, kind: &str, mut data: Value, tokens: u64, content: bool) {
        data["type"] = kind.into();
        data["sequence_number"] = self.0.len().into();
        self.0.push(Piece {
            content,
            tokens,
            text: event(kind, &data),
        });
    }

    fn frame(&mut self, kind: &str, data: Value) {
        self.push(kind, data, 0, false);
    }

    fn delta(&mut self, kind: &str, mut data: Value, delta: &str) {
        data["delta"] = delta.into();
        self.push(kind, data, 1, true);
    }
}

fn event(kind: &str, data: &Value) -> String {
    format!("event: {kind}\ndata: {data}\n\n")
}

pub(crate) fn ping() -> String {
    ": ping\n\n".to_owned()
}

pub(crate) fn pieces(answer: &Answer, scenario: &Scenario) -> Vec<Piece> {
    let mut events = Events::default();
    let begun = json!({"response": response(answer, "in_progress", Vec::new())});
    events.frame("response.created", begun.clone());
    events.frame("response.in_progress", begun);
    for (index, item) in output(answer).into_iter().enumerate() {
        add_item(&mut events, answer, index, item);
    }
    let whole = whole(answer, scenario);
    let status = whole["status"].as_str().unwrap_or_default();
    let kind = format!("response.{status}");
    events.frame(&kind, json!({"response": whole}));
    events.0
}

fn add_item(events: &mut Events, answer: &Answer, index: usize, item: Value) {
    let mut started = item.clone();
    let at = |more: Value| {
        let mut at = json!({"item_id": item["id"], "output_index": index});
        if let (Some(at), Value::Object(more)) = (at.as_object_mut(), more) {
            at.extend(more);
        }
        at
    };
    match item["type"].as_str() {
        Some("reasoning") => {
            let is_shown = answer.prompt.shows_reasoning;
            started["summary"] = json!([]);
            events.frame(
                "response.output_item.added",
                json!({"output_index": index, "item": started}),
            );
            let place = at(json!({"summary_index": 0}));
            for token in answer.reasoning.iter().filter(|_| is_shown) {
                events.delta(
                    "response.reasoning_summary_text.delta",
                    place.clone(),
                    token,
                );
            }
        }
        Some("message") => {
            started["status"] = "in_progress".into();
            started["content"] = json!([]);
            events.frame(
                "response.output_item.added",
                json!({"output_index": index, "item": started}),
            );
            let part = at(json!({"content_index": 0, "part": output_text("")}));
            events.frame("response.content_part.added", part);
            let place = at(json!({"content_index": 0, "logprobs": []}));
            for token in &answer.text {
                events.delta("response.output_text.delta", place.clone(), token);
            }
            let text = answer.text.concat();
            let done = at(json!({"content_index": 0, "text": text, "logprobs": []}));
            events.frame("response.output_text.done", done);
            let part = at(json!({"content_index": 0, "part": output_text(&text)}));
            events.frame("response.content_part.done", part);
        }
        _ => {
            started["status"] = "in_progress".into();
            started["arguments"] = "".into();
            let added = json!({"output_index": index, "item": started});
            events.push("response.output_item.added", added, 1, true);
            let arguments = item["arguments"].as_str().unwrap_or_default();
            let cut: Vec<char> = arguments.chars().collect();
            for part in cut.chunks(7) {
                let part: String = part.iter().collect();
                events.delta(
                    "response.function_call_arguments.delta",
                    at(json!({})),
                    &part,
                );
            }
            let done = at(json!({"arguments": arguments}));
            events.frame("response.function_call_arguments.done", done);
        }
    }
    let done = json!({"output_index": index, "item": item});
    events.frame("response.output_item.done", done);
}

/// The flat shape, which the types of OpenAI's SDK have.
pub(crate) fn error_event(api_error: &ApiError) -> String {
    let code = api_error.code.as_ref().unwrap_or(&api_error.kind);
    let data = json!({"type": "error", "code": code, "message": api_error.message, "param": null});
    event("error", &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(input: Value) -> Option<(u16, String)> {
        let body = json!({"model": "m", "input": input});
        let refused = read(&body, &Counters::default()).err();
        refused.map(|error| (error.status, error.message))
    }

    #[test]
    fn items_are_checked_as_by_the_real_server() {
        let said = json!({"role": "user", "content": "Hi"});
        let part = |role: &str, kind: &str| json!([{"role": role, "content": [{"type": kind, "text": "x"}]}]);
        let call = json!({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"});
        let output = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
        let own = format!("{ENCRYPTED}1");
        let thought = |encrypted: &str| json!({"type": "reasoning", "summary": [], "encrypted_content": encrypted});
        for (input, says) in [
            (json!("Hi"), ""),
            (json!([]), "empty array"),
            (json!(null), "Missing required parameter: 'input'"),
            (part("user", "input_text"), ""),
            (
                part("user", "output_text"),
                "'output_text'. Supported values are: 'input_text'",
            ),
            (part("assistant", "output_text"), ""),
            (part("assistant", "refusal"), ""),
            (
                part("assistant", "input_text"),
                "'input_text'. Supported values are: 'output_text' and 'refusal'",
            ),
            (part("tool", "input_text"), "Invalid value: 'tool'"),
            (json!([said, call, output]), ""),
            (
                json!([said, call]),
                "No tool output found for function call c",
            ),
            (json!([said, output]), "No tool call found"),
            (
                json!([{"type": "function_call", "id": "call_1", "call_id": "c", "name": "n", "arguments": "{}"}]),
                "begins with 'fc'",
            ),
            (json!([said, thought(&own), call, output]), ""),
            (
                json!([said, thought("gAAAA"), call, output]),
                "could not be verified",
            ),
            (
                json!([said, thought(&own), said]),
                "without its required following item",
            ),
            (
                json!([said, thought(&own)]),
                "without its required following item",
            ),
            (
                json!([said, {"type": "reasoning", "id": "rs_1", "summary": []}, call, output]),
                "Item with id 'rs_1' not found",
            ),
            (
                json!([{"type": "item_reference", "id": "msg_1"}]),
                "Item with id 'msg_1' not found",
            ),
            (json!([{"type": "hologram"}]), "Invalid value: 'hologram'"),
            (
                json!([said, {"type": "custom_tool_call", "input": "x"}]),
                "",
            ),
        ] {
            let shown = input.to_string();
            match refusal(input) {
                None => assert_eq!(says, "", "{shown}"),
                Some((status, message)) => {
                    assert!(
                        !says.is_empty() && message.contains(says),
                        "{shown}: {message}"
                    );
                    assert_eq!(status == 404, says.starts_with("Item with id"), "{shown}");
                }
            }
        }
    }

    #[test]
    fn fields_of_chat_completions_are_refused_with_their_new_names() {
        for (name, value, says) in [
            ("messages", json!([]), "has moved to 'input'"),
            ("max_tokens", json!(5), "has moved to 'max_output_tokens'"),
            ("response_format", json!({}), "has moved to 'text.format'"),
            ("stop", json!("x"), "Unknown parameter: 'stop'"),
            (
                "stream_options",
                json!({"include_usage": true}),
                "stream_options.include_usage",
            ),
            (
                "previous_response_id",
                json!("resp_1"),
                "'resp_1' not found",
            ),
            (
                "tools",
                json!([{"type": "function", "function": {"name": "n"}}]),
                "'tools[0].name'",
            ),
            (
                "tools",
                json!([{"type": "function", "name": "n", "strict": true, "parameters": {"type": "object"}}]),
                "Invalid schema",
            ),
            (
                "tools",
                json!([{"type": "function", "name": "n", "parameters": {"type": "object"}}]),
                "",
            ),
        ] {
            let mut body = json!({"model": "m", "input": "Hi"});
            body[name] = value;
            let refused = read(&body, &Counters::default()).err();
            let message = refused.map(|error| error.message).unwrap_or_default();
            assert!(
                message.contains(says) && message.is_empty() == says.is_empty(),
                "{body}: {message}"
            );
        }
    }
}
