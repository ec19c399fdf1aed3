//! A whole response, and the events of a stream.

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::item::Item;
use crate::chat::Billing;
use crate::dialect::accumulator::Accumulator;
use crate::dialect::error::{error_within, is_error};
use crate::dialect::in_place::Fields;
use crate::dialect::usage::{billing, detail};
use crate::dialect::wire::{Count, Pairs, Word, list};
use crate::{Error, Usage};

/// A response, as a reply or in an event.
#[derive(Default)]
pub(super) struct Response<'a> {
    wire: Item<'a>,
    /// The status, which the event can tell instead.
    pub(super) status: String,
}

impl<'a> Response<'a> {
    /// Reads an object. Any other value has no fields.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Self {
        let wire = Item::read(raw);
        let status = wire.word("status").unwrap_or_default();
        Self { wire, status }
    }

    /// Returns the items, or `None` if there is no list of them.
    pub(super) fn output(&self) -> Option<Vec<&'a RawValue>> {
        list(self.wire.raw("output")?.get())
    }

    /// Begins the reply with its id and model.
    pub(super) fn start(&self, reply: &mut Accumulator) {
        let word = |name| self.wire.word(name).unwrap_or_default();
        reply.start(&word("id"), &word("model"));
    }

    /// Returns the error of a response that failed. `body` is what was received, and `id` that of the request.
    pub(super) fn failure(&self, body: &str, id: Option<&str>) -> Option<Error> {
        let error = self.wire.raw("error").filter(|error| is_error(error));
        let status = self.status.as_str();
        match error {
            Some(error) => Some(error_within(error.get(), body, id)),
            None if matches!(status, "failed" | "cancelled") => {
                let message = ["{\"message\":\"the response has the status ", status, "\"}"];
                Some(error_within(&message.concat(), body, id))
            }
            None => None,
        }
    }

    /// Why the response is incomplete.
    pub(super) fn incomplete_reason(&self) -> Option<String> {
        Item::read(self.wire.raw("incomplete_details")).word("reason")
    }

    pub(super) fn usage(&self) -> Option<(Usage, Billing)> {
        let wire = Pairs::read(self.wire.raw("usage"))?;
        let tier = self.wire.raw("service_tier");
        Some((usage(&wire)?, billing(&wire, tier)))
    }
}

/// None where nothing is reported.
fn usage(wire: &Pairs<'_>) -> Option<Usage> {
    // Some servers use the names of Chat Completions.
    let either = |name, other| wire.count(name).0.or(wire.count(other).0);
    let input = either("input_tokens", "prompt_tokens");
    let output = either("output_tokens", "completion_tokens");
    input.or(output)?;
    let of_input = |name| {
        let details = ["input_tokens_details", "prompt_tokens_details"];
        let counts = details.map(|details| detail(wire, details, name));
        counts[0].max(counts[1])
    };
    let reasoning = ["output_tokens_details", "completion_tokens_details"]
        .map(|details| detail(wire, details, "reasoning_tokens"));
    Some(Usage {
        input_tokens: input.unwrap_or_default(),
        output_tokens: output.unwrap_or_default(),
        cache_read_tokens: of_input("cached_tokens"),
        cache_write_tokens: of_input("cache_write_tokens"),
        reasoning_tokens: reasoning[0].max(reasoning[1]),
        input_includes_cache: true,
        ..Usage::default()
    })
}

/// An event of a stream. Most have only some of the fields.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) kind: Word<'a>,
    pub(super) output_index: Count,
    /// Of a part of a message, or of open reasoning.
    pub(super) content_index: Count,
    pub(super) summary_index: Count,
    /// Text, as a rule.
    pub(super) delta: Option<&'a RawValue>,
    /// The whole of what the deltas were pieces of: `text`, `refusal`, `arguments` or `input`.
    pub(super) whole: Option<&'a RawValue>,
    pub(super) item: Option<&'a RawValue>,
    pub(super) part: Option<&'a RawValue>,
    pub(super) annotation: Option<&'a RawValue>,
    pub(super) logprobs: Option<&'a RawValue>,
    pub(super) response: Option<&'a RawValue>,
    pub(super) has_error: bool,
}

impl<'de> Fields<'de> for Event<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => self.kind = map.next_value()?,
            "output_index" => self.output_index = map.next_value()?,
            "content_index" => self.content_index = map.next_value()?,
            "summary_index" => self.summary_index = map.next_value()?,
            "delta" => self.delta = map.next_value()?,
            "text" | "refusal" | "arguments" | "input" => self.whole = map.next_value()?,
            "item" => self.item = map.next_value()?,
            "part" => self.part = map.next_value()?,
            "annotation" => self.annotation = map.next_value()?,
            "logprobs" => self.logprobs = map.next_value()?,
            "response" => self.response = map.next_value()?,
            "error" => {
                self.has_error = map.next_value::<Option<&RawValue>>()?.is_some_and(is_error);
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}
