//! Checks the items of a request to the Responses API as the real server does.

use serde_json::{Value, json};

use crate::answer::Prompt;
use crate::media;
use crate::reply::ApiError;
use crate::stats::Counters;

/// How the encrypted reasoning of this server begins. It can decrypt no other.
pub(crate) const ENCRYPTED: &str = "gAAAAA-simulated-";

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

/// The types of items that are accepted without a look into them.
const OTHERS: [&str; 21] = [
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Returns the items of a request, after those that it continues.
pub(crate) fn items(mut previous: Vec<Value>, input: &Value) -> Result<Vec<Value>, ApiError> {
    match input {
        Value::String(text) => previous.push(json!({"role": "user", "content": text})),
        Value::Array(items) if !items.is_empty() => previous.extend(items.iter().cloned()),
        Value::Array(_) => {
            return Err(invalid(
                "Invalid 'input': empty array. Expected an array with minimum length 1.",
            ));
        }
        _ => return Err(invalid("Missing required parameter: 'input'.")),
    }
    Ok(previous)
}

/// Checks items, of which the first `known` are stored.
pub(crate) fn check(items: &[Value], known: usize, counters: &Counters) -> Result<(), ApiError> {
    let mut open_calls: Vec<&str> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = i.saturating_sub(known);
        let need = |name: &str| {
            item[name].as_str().ok_or_else(|| {
                invalid(format!("Missing required parameter: 'input[{at}].{name}'."))
            })
        };
        match item["type"].as_str().unwrap_or("message") {
            "message" => check_message(item, at)?,
            "function_call" => {
                need("name")?;
                need("arguments")?;
                if let Some(id) = item["id"].as_str().filter(|id| !id.starts_with("fc")) {
                    return Err(invalid(format!(
                        "Invalid 'input[{at}].id': '{id}'. Expected an ID that begins with 'fc'."
                    )));
                }
                open_calls.push(need("call_id")?);
            }
            "function_call_output" => {
                let id = need("call_id")?;
                if item["output"].is_null() {
                    return Err(invalid(format!(
                        "Missing required parameter: 'input[{at}].output'."
                    )));
                }
                let Some(call) = open_calls.iter().position(|call| *call == id) else {
                    return Err(invalid(format!(
                        "No tool call found for function call output with call_id {id}."
                    )));
                };
                open_calls.remove(call);
            }
            "reasoning" if i >= known => check_reasoning(item, items.get(i + 1), at, counters)?,
            "reasoning" => {}
            "item_reference" => {
                let id = need("id")?;
                if !counters.has_item(id) {
                    return Err(not_stored(id));
                }
            }
            kind if OTHERS.contains(&kind) => {}
            kind => return Err(invalid(format!("Invalid value: '{kind}'."))),
        }
    }
    match open_calls.first() {
        Some(open) => Err(invalid(format!(
            "No tool output found for function call {open}."
        ))),
        None => Ok(()),
    }
}

fn check_message(item: &Value, at: usize) -> Result<(), ApiError> {
    let accepted: &[&str] = match item["role"].as_str() {
        Some("assistant") => &["output_text", "refusal"],
        Some("user" | "system" | "developer") => {
            &["input_text", "input_image", "input_file", "input_audio"]
        }
        role => {
            return Err(invalid(format!(
                "Invalid value: '{}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
                role.unwrap_or_default()
            )));
        }
    };
    let parts = match &item["content"] {
        Value::String(_) => return Ok(()),
        Value::Array(parts) => parts,
        _ => {
            return Err(invalid(format!(
                "Missing required parameter: 'input[{at}].content'."
            )));
        }
    };
    for part in parts {
        let kind = part["type"].as_str().unwrap_or_default();
        if !accepted.contains(&kind) {
            let accepted = match accepted {
                [one, other] => format!("'{one}' and '{other}'"),
                all => format!("'{}'", all.join("', '")),
            };
            return Err(invalid(format!(
                "Invalid value: '{kind}'. Supported values are: {accepted}."
            )));
        }
    }
    Ok(())
}

fn check_reasoning(
    item: &Value,
    next: Option<&Value>,
    at: usize,
    counters: &Counters,
) -> Result<(), ApiError> {
    let id = item["id"].as_str();
    let encrypted = item["encrypted_content"].as_str();
    match (encrypted, id) {
        (Some(text), _) if !text.starts_with(ENCRYPTED) => {
            return Err(ApiError {
                code: Some("invalid_encrypted_content".into()),
                ..invalid("The encrypted content could not be verified.")
            });
        }
        (Some(_), _) => {}
        (None, Some(id)) if !counters.has_item(id) => return Err(not_stored(id)),
        (None, Some(_)) => {}
        // The open reasoning of other models.
        (None, None) if item["content"].is_array() => {}
        (None, None) => {
            return Err(invalid(format!(
                "Missing required parameter: 'input[{at}].id'."
            )));
        }
    }
    let follows = next.is_some_and(|next| match next["type"].as_str() {
        None | Some("message") => next["role"] == "assistant",
        Some(kind) => !kind.ends_with("_output"),
    });
    match follows {
        true => Ok(()),
        false => Err(invalid(format!(
            "Item '{}' of type 'reasoning' was provided without its required following item.",
            id.unwrap_or("rs_")
        ))),
    }
}

fn not_stored(id: &str) -> ApiError {
    ApiError::new(
        404,
        "invalid_request_error",
        format!(
            "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
        ),
    )
}

/// Reads what has come since the model's last message or call.
pub(crate) fn read_last_turn(items: &[Value], prompt: &mut Prompt) {
    let is_of_model = |item: &&Value| match item["type"].as_str() {
        None | Some("message") => item["role"] == "assistant",
        Some(kind) => !kind.ends_with("_output"),
    };
    for item in items.iter().rev().take_while(|item| !is_of_model(item)) {
        match item["type"].as_str() {
            Some("function_call_output") => {
                prompt.tool_results.insert(0, text_of(&item["output"]));
            }
            None | Some("message") if item["role"] == "user" && prompt.text.is_empty() => {
                prompt.text = text_of(&item["content"]);
                for part in item["content"].as_array().into_iter().flatten() {
                    match part["type"].as_str() {
                        Some("input_image") => prompt.pictures.push(media::describe(part)),
                        Some("input_file") => prompt.documents += 1,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        parts => {
            let parts = parts.as_array().into_iter().flatten();
            parts.filter_map(|part| part["text"].as_str()).collect()
        }
    }
}
