//! Anthropic's message threads (beta `message-threads-2026-08-12`), which the official SDK's tool runner uses: a request continues a stored
//! conversation with its new messages alone.

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::anthropic;
use crate::reply::ApiError;
use crate::stats::Counters;

/// Returns a request with what it continues, and what is stored of it, if it belongs to a thread.
pub(crate) fn whole_request(
    body: &Value,
    counters: &Counters,
) -> Result<Option<(Value, Vec<Value>)>, ApiError> {
    let thread = &body["thread"];
    if thread.is_null() {
        return Ok(None);
    }
    let mut whole = body.clone();
    if thread["type"] == "continue" {
        let id = thread["previous_message_id"].as_str().unwrap_or_default();
        let stored = counters.stored(id).ok_or_else(|| {
            let message = format!("thread.previous_message_id: {id} is not known");
            ApiError::new(404, "not_found_error", message)
        })?;
        let mut stored = stored.into_iter();
        let kept = stored.next().unwrap_or_default();
        for name in ["system", "tools"] {
            whole[name] = kept[name].clone();
        }
        let new = body["messages"].as_array().cloned().unwrap_or_default();
        whole["messages"] = stored.chain(new).collect();
    }
    let fields = ["system", "tools"].map(|name| (name.to_owned(), whole[name].clone()));
    let mut items = vec![Value::Object(Map::from_iter(fields))];
    items.extend(whole["messages"].as_array().cloned().unwrap_or_default());
    Ok(Some((whole, items)))
}

/// Stores a reply that the next request of its thread continues.
pub(crate) fn remember(answer: &Answer, counters: &Counters) {
    if let Some(items) = &answer.prompt.stored_items {
        let reply = anthropic::whole(answer);
        let turn = json!({"role": "assistant", "content": reply["content"]});
        let items = items.iter().cloned().chain([turn]).collect();
        let id = reply["id"].as_str().unwrap_or_default();
        counters.store(id.to_owned(), items);
    }
}
