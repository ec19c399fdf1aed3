//! Requests to count tokens.

use serde::ser::{Serialize, Serializer};

use super::error::instead_of_reply;
use super::wire::{Pairs, text_of, unreadable};
use crate::{DialectName, Error, RawJson, Result, TokenCount};

/// What Anthropic's endpoint refuses of a request for a message (<https://docs.claude.com/en/api/messages-count-tokens>): it does not change the count.
const NOT_COUNTED: [&str; 10] = [
    "max_tokens",
    "stream",
    "metadata",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "service_tier",
    "container",
    "inference_geo",
];

/// What OpenAI's endpoint knows of a request for a response; it refuses any other parameter
/// (<https://platform.openai.com/docs/api-reference/responses/input-tokens>).
const COUNTED: [&str; 11] = [
    "conversation",
    "input",
    "instructions",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
];

/// Returns the path of the endpoint that counts the tokens of a dialect's requests.
pub(crate) fn count_path(dialect: DialectName) -> Option<&'static str> {
    match dialect {
        DialectName::Anthropic => Some("/messages/count_tokens"),
        DialectName::OpenAiChat => None,
        DialectName::OpenAiResponses => Some("/responses/input_tokens"),
    }
}

/// Returns the body that asks for the tokens of a request's body.
///
/// # Errors
/// `Config` if the body is not one JSON object.
pub(crate) fn count_body(dialect: DialectName, body: &[u8]) -> Result<Vec<u8>> {
    let not_json = || Error::config("the request is not one JSON object");
    let text = std::str::from_utf8(body).map_err(|_| not_json())?;
    let Pairs(mut fields) = serde_json::from_str(text).map_err(|_| not_json())?;
    match dialect {
        DialectName::Anthropic => fields.retain(|(name, _)| !NOT_COUNTED.contains(&&**name)),
        DialectName::OpenAiChat => {}
        DialectName::OpenAiResponses => fields.retain(|(name, _)| COUNTED.contains(&&**name)),
    }
    serde_json::to_vec(&Pairs(fields)).map_err(|_| not_json())
}

/// Reads the reply of such an endpoint.
///
/// # Errors
/// `Decode` if it holds no count. If it is an error, that error is returned.
pub(crate) fn read_count(body: &[u8], request_id: Option<&str>) -> Result<TokenCount> {
    let text = text_of(body);
    let fields: Option<Pairs<'_>> = serde_json::from_str(&text).ok();
    let count = fields.and_then(|fields| {
        let names = ["input_tokens", "total_tokens", "token_count"].into_iter();
        names.filter_map(|name| fields.count(name).0).next()
    });
    match count {
        Some(input_tokens) => Ok(TokenCount {
            input_tokens,
            is_upper_bound: false,
            raw: text.trim().parse::<RawJson>().ok(),
        }),
        None => {
            let error = instead_of_reply(&text, request_id);
            Err(error.unwrap_or_else(|| unreadable("the count of tokens", &text)))
        }
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_message_only_what_is_counted_is_asked_for() {
        let body = br#"{"model":"m","max_tokens":5,"stream":true,"metadata":{"a":1},"messages":[ 1 ],"tools":[],"z":null}"#;
        let asked = count_body(DialectName::Anthropic, body).unwrap();
        assert_eq!(
            std::str::from_utf8(&asked).unwrap(),
            r#"{"model":"m","messages":[ 1 ],"tools":[],"z":null}"#
        );
        for body in ["", "[]", "{} x", "7"] {
            let refused = count_body(DialectName::Anthropic, body.as_bytes());
            assert!(refused.is_err(), "{body}");
        }
    }
}
