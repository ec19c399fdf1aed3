//! What tells a conversation from others, and how firmly a request is bound to the target that has answered it before.

use memchr::memmem;
use serde_json::value::RawValue;

use super::choice::{Hasher, hash_of};
use super::pacing::Need;
use super::state::Bond;
use crate::dialect::fields_of;
use crate::runtime::COMPACT;
use crate::{Message, Part, RawJson, Request, Role};

/// How many bytes of a text are hashed.
const MAX_HASHED: usize = 64 << 10;

/// Fields of requests that name state of the provider's account.
const ACCOUNT: [&str; 4] = [
    "conversation",
    "container",
    "cachedContent",
    "cached_content",
];

/// What stands in a content block, or in a tool, that names files and other state of the account. Quotes within texts are escaped, so that
/// these are names of fields and values only.
const ACCOUNT_BLOCKS: [&str; 4] = [
    "\"file_id\"",
    "\"file_ids\"",
    "\"vector_store_ids\"",
    "\"item_reference\"",
];

/// What stands in reasoning that its provider verifies.
const SIGNED: [&str; 5] = [
    "\"signature\"",
    "\"redacted_thinking\"",
    "\"encrypted_content\"",
    "\"reasoning_details\"",
    "\"thought_signature\"",
];

/// What a router has to know of a request besides its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    /// The hash of what tells the conversation from others. It is the only part of the request that is kept.
    pub(super) key: u64,
    /// The hash of the id of the response that it continues.
    pub(super) previous: Option<u64>,
    /// Whether the provider stores the reply as one that the next request can continue, whatever its id looks like.
    pub(super) in_thread: bool,
    pub(super) bond: Bond,
    pub(super) need: Need,
}

impl Conversation {
    /// Returns that of a call that only one target can serve.
    pub(super) fn of_one(input_bytes: usize, max_output: Option<u64>) -> Self {
        Self {
            key: 0,
            previous: None,
            in_thread: false,
            bond: Bond::Loose,
            need: Need {
                input_tokens: input_bytes as u64 / 4,
                output_tokens: max_output.unwrap_or(0),
            },
        }
    }
}

/// Returns the length of a request's text, in bytes.
pub(super) fn text_of(request: &Request) -> usize {
    let messages = request.messages.iter();
    let parts = messages.flat_map(|message| &message.content);
    request.system.iter().chain(parts).map(length).sum()
}

/// Reads a request. `model` is the name that the caller has used.
pub(super) fn of_request(request: &Request, model: &str) -> Conversation {
    let field = |name: &str| {
        let found = request.extra_body.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let is_user = |message: &&Message| message.role == Role::User;
    let first = request.messages.iter().find(is_user);
    let json = |value: Option<String>| value.unwrap_or_default();
    let opening = || {
        let system = json(serde_json::to_string(&request.system).ok());
        [system, json(serde_json::to_string(&first).ok())]
    };
    let key = match explicit(request.options.conversation.as_deref(), field) {
        Some(key) => key,
        None => {
            let [system, first] = opening();
            hashed([model, &system, &first])
        }
    };
    let parts = || request.messages.iter().flat_map(|message| &message.content);
    let is_signed = |part: &Part| match part {
        Part::Reasoning { signature, .. } => signature.is_some(),
        Part::RedactedReasoning { .. } => true,
        Part::Other { json, .. } => contains_any(json.as_str(), &SIGNED),
        _ => false,
    };
    let is_result = |part: &Part| match part {
        Part::ToolResult { .. } => true,
        Part::Other { json, .. } => contains_any(json.as_str(), &["_output\""]),
        _ => false,
    };
    let last = request.messages.last();
    let in_chain = last.is_some_and(|message| message.content.iter().any(is_result));
    let previous = match &request.previous_response_id {
        Some(id) => Some(hash_of(id)),
        None => previous(field),
    };
    let names_account = previous.is_some()
        || ACCOUNT.iter().any(|name| field(name).is_some_and(is_set))
        || parts().any(names_file)
        || request
            .extra_body
            .iter()
            .any(|(_, value): &(String, RawJson)| contains_any(value.as_str(), &ACCOUNT_BLOCKS));
    Conversation {
        key,
        previous,
        in_thread: field("thread").is_some_and(is_set),
        bond: bond(names_account, in_chain && parts().any(is_signed)),
        need: Need {
            input_tokens: text_of(request) as u64 / 4,
            output_tokens: request.max_tokens.map_or(0, u64::from),
        },
    }
}

/// Reads a body in a provider's dialect. `session` is the conversation's key, if the caller has named one.
pub(super) fn of_body(body: &[u8], model: &str, session: Option<&str>) -> Conversation {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let fields = fields_of(text).unwrap_or_default();
    let field = |name: &str| {
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.get())
    };
    let items = field("messages").or_else(|| field("input"));
    let items: Vec<&RawValue> = items
        .and_then(|items| serde_json::from_str(items).ok())
        .unwrap_or_default();
    let key = explicit(session, field).unwrap_or_else(|| {
        let is_user = |item: &&&RawValue| role(item.get()) == Some("user");
        let first = items.iter().find(is_user).map(|item| item.get());
        let first = first.or_else(|| field("input"));
        let system = field("system").or_else(|| field("instructions"));
        hashed([model, system.unwrap_or_default(), first.unwrap_or_default()])
    });
    let is_result = |item: &&RawValue| {
        let item = item.get();
        role(item) == Some("tool") || contains_any(item, &["\"tool_result\"", "_output\""])
    };
    let in_chain = items.last().is_some_and(is_result);
    let previous = previous(field);
    let names_account = previous.is_some()
        || ACCOUNT.iter().any(|name| field(name).is_some_and(is_set))
        || contains_any(text, &ACCOUNT_BLOCKS);
    let limit = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
        .into_iter()
        .find_map(|name| field(name)?.parse().ok());
    Conversation {
        key,
        previous,
        in_thread: field("thread").is_some_and(is_set),
        bond: bond(names_account, in_chain && contains_any(text, &SIGNED)),
        need: Need {
            input_tokens: body.len() as u64 / 4,
            output_tokens: limit.unwrap_or(0),
        },
    }
}

fn bond(names_account: bool, is_signed_chain: bool) -> Bond {
    match (names_account, is_signed_chain) {
        (true, _) => Bond::Account,
        (false, true) => Bond::Reasoning,
        (false, false) => Bond::Loose,
    }
}

/// Returns the key that the caller has named: the session's, or a field of the body.
fn explicit<'a>(session: Option<&str>, field: impl Fn(&str) -> Option<&'a str>) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        user_id: Option<&'a RawValue>,
    }
    let user = || {
        let metadata: Metadata<'a> = serde_json::from_str(field("metadata")?).ok()?;
        metadata.user_id.map(RawValue::get)
    };
    let field = || field("prompt_cache_key").filter(|key| is_set(key));
    let key = session.or_else(field).or_else(user);
    key.filter(|key| is_set(key)).map(|key| hashed([key]))
}

/// Returns the hash of the id of the response that a request continues: OpenAI's `previous_response_id`, or that of a message thread of
/// Anthropic (<https://platform.claude.com/docs/en/build-with-claude/message-threads>). A request that begins a thread has the whole conversation.
fn previous<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<u64> {
    let of_thread = || {
        let fields = fields_of(field("thread")?)?;
        let id = fields
            .iter()
            .find(|(name, _)| name == "previous_message_id");
        id.map(|(_, id)| id.get())
    };
    let id = field("previous_response_id").filter(|id| is_set(id));
    id.or_else(of_thread)
        .filter(|id| is_set(id))
        .and_then(id_in)
}

/// Returns the hash of an id, given as a JSON string.
fn id_in(json: &str) -> Option<u64> {
    let id: String = serde_json::from_str(json).ok()?;
    Some(hash_of(&id))
}

fn is_set(json: &str) -> bool {
    !matches!(json, "" | "null" | "\"\"" | "false")
}

fn hashed<const N: usize>(texts: [&str; N]) -> u64 {
    let mut hasher = Hasher::default();
    for text in texts {
        let bytes = text.as_bytes();
        hasher.add(&bytes[..bytes.len().min(MAX_HASHED)]);
    }
    hasher.finish()
}

fn contains_any(text: &str, names: &[&str]) -> bool {
    let contains = |name: &&str| match COMPACT {
        true => text.contains(*name),
        false => memmem::find(text.as_bytes(), name.as_bytes()).is_some(),
    };
    names.iter().any(contains)
}

fn role(item: &str) -> Option<&str> {
    #[derive(serde::Deserialize)]
    struct Item<'a> {
        #[serde(borrow)]
        role: Option<&'a str>,
    }
    serde_json::from_str::<Item<'_>>(item).ok()?.role
}

fn names_file(part: &Part) -> bool {
    match part {
        Part::ToolResult { content, .. } => content.iter().any(names_file),
        Part::Other { json, .. } => contains_any(json.as_str(), &ACCOUNT_BLOCKS),
        _ => false,
    }
}

fn length(part: &Part) -> usize {
    match part {
        Part::Text { text, .. } | Part::Reasoning { text, .. } => text.len(),
        Part::ToolUse(call) => call.arguments.len(),
        Part::ToolResult { content, .. } => content.iter().map(length).sum(),
        Part::Other { json, .. } => json.as_str().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
