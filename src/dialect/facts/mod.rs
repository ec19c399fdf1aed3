//! Reads from the body of a request what its maximum cost and its route depend on.
//!
//! Servers read JSON in different ways. Of two fields with one name, some use the first and some the last. Some ignore the case
//! of names, and some accept `"5"` for 5. If that affects the cost, the request is refused. If it cannot be refused, the more
//! expensive reading counts.

mod content;
mod fields;
mod objects;
mod options;
mod reading;
#[cfg(test)]
mod tests;
mod values;

#[cfg(feature = "anthropic")]
pub(super) use self::fields::ANTHROPIC;
pub(super) use self::fields::Fields;
#[cfg(feature = "openai-chat")]
pub(super) use self::fields::OPENAI_CHAT;
#[cfg(feature = "openai-responses")]
pub(super) use self::fields::OPENAI_RESPONSES;
use self::objects::read_fields;
use self::reading::Reading;
pub use self::reading::RequestFacts;
use self::reading::{ToolFields, not_json};
use super::wire::Pairs;
use crate::{Error, Result};

/// The assumed maximum of a model that is in no price list. The largest maximum of any model would make most budgets refuse every
/// call to a local server.
#[cfg(any(feature = "openai-chat", feature = "openai-responses"))]
pub(super) const UNKNOWN_MAX_OUTPUT: u64 = 4096;

impl RequestFacts {
    /// `ask` is the field that is added to requests; see [`Asking`](super::codec::Asking).
    pub(super) fn read(fields: Fields, ask: Option<&'static str>, body: &[u8]) -> Result<Self> {
        let read = std::str::from_utf8(body).map_err(|e| not_json(&e));
        let body = read.map_err(Error::config)?;
        let mut reading = Reading {
            facts: Self::default(),
            fields,
            body,
            depth: 0,
            tool: ToolFields::default(),
            max_tool_calls: None,
            limits_tool_calls: true,
            refusal: None,
        };
        // A body that is sent has at least one field, so a comma can follow.
        let start = body.find('{').map_or(0, |brace| brace + 1);
        reading.facts.ask = ask.map(|field| (start..start, field));
        let Pairs(pairs) = serde_json::from_str(body).map_err(|e| Error::config(not_json(&e)))?;
        match read_fields(&mut reading, "the request", fields, &pairs, true) {
            Ok(()) => {
                let limit = reading.max_tool_calls.filter(|_| reading.limits_tool_calls);
                reading.facts.limit_calls(limit);
                Ok(reading.facts)
            }
            Err(refusal) => Err(Error::config(refusal)),
        }
    }
}
