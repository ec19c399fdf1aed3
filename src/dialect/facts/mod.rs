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
use self::objects::read_fields;
use self::reading::Reading;
pub use self::reading::RequestFacts;
use self::reading::not_json;
use super::wire::Pairs;
use crate::{Error, Result};

impl RequestFacts {
    pub(super) fn read(fields: Fields, body: &[u8]) -> Result<Self> {
        let read = std::str::from_utf8(body).map_err(|e| not_json(&e));
        let body = read.map_err(Error::config)?;
        let mut reading = Reading {
            facts: Self::default(),
            fields,
            body,
            depth: 0,
            tool: String::new(),
            tool_uses: None,
            refusal: None,
        };
        // A body that requests a stream has at least one field, so a comma can follow.
        let start = body.find('{').map_or(0, |brace| brace + 1);
        let usage = r#""stream_options":{"include_usage":true},"#;
        reading.facts.ask_usage = Some((start..start, usage));
        let Pairs(pairs) = serde_json::from_str(body).map_err(|e| Error::config(not_json(&e)))?;
        match read_fields(&mut reading, "the request", fields, &pairs, true) {
            Ok(()) => Ok(reading.facts),
            Err(refusal) => Err(Error::config(refusal)),
        }
    }
}
