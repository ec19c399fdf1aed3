//! The usage that a reply reports, with the names of every dialect, and what it reports about its price.

use serde_json::value::RawValue;

use super::wire::{Count, Pairs};
use crate::chat::{Billing, ServiceTier};
use crate::{Reply, Usage, Usd};

/// The usage that a reply reports, or an object in it.
///
/// Each dialect has names of its own, and servers mix them, so that the fields are found by their names.
pub(super) struct WireUsage<'a>(Pairs<'a>);

impl<'a> WireUsage<'a> {
    /// Parses an object. `None` for any other value.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Option<Self> {
        let raw = raw?.get();
        let pairs = serde_json::from_str(raw).ok()?;
        Some(Self(pairs))
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let Pairs(pairs) = &self.0;
        let found = pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }

    pub(super) fn count(&self, name: &str) -> Count {
        let count = |raw: &RawValue| serde_json::from_str(raw.get()).ok();
        self.raw(name).and_then(count).unwrap_or_default()
    }

    /// Returns the count in an object, such as `prompt_tokens_details`.
    pub(super) fn detail(&self, object: &str, name: &str) -> u64 {
        let details = Self::read(self.raw(object));
        details.map_or(0, |details| details.count(name).get())
    }

    /// Returns the text of a string without escapes, such as the name of a tier.
    pub(super) fn word(&self, name: &str) -> &'a str {
        word(self.raw(name))
    }

    /// Returns what the usage reports about the price. `served` is the service tier that the reply itself reports.
    pub(super) fn billing(&self, served: Option<&'a RawValue>) -> Billing {
        let tier = match self.word("speed") {
            "fast" => Some(ServiceTier::Fast),
            _ => ServiceTier::named(word(served.or(self.raw("service_tier")))),
        };
        let region = self.word("inference_geo");
        Billing {
            tier,
            regional: !matches!(region, "" | "global" | "not_available" | "null"),
            cost: self.cost(),
        }
    }

    /// Returns the cost that xAI, OpenRouter and Perplexity report.
    fn cost(&self) -> Option<Usd> {
        let usd = |raw: Option<&RawValue>, power| Usd::from_json(raw?.get(), power);
        let ticks = usd(self.raw("cost_in_usd_ticks"), -10);
        if ticks.is_some() {
            return ticks;
        }
        let in_details = |object, name| Self::read(self.raw(object))?.raw(name);
        let cost = in_details("cost", "total_cost").or(self.raw("cost"));
        let cost = usd(cost, 0)?;
        // With a key of one's own, OpenRouter's cost is only its fee, and the vendor bills the rest.
        let upstream = match self.word("is_byok") {
            "true" => usd(in_details("cost_details", "upstream_inference_cost"), 0),
            _ => None,
        };
        Some(cost + upstream.unwrap_or_default())
    }
}

fn word(raw: Option<&RawValue>) -> &str {
    raw.map_or("", |raw| raw.get().trim_matches('"'))
}

/// Keeps the larger of each count. A stream reports its cumulative usage several times, and a later report can omit a count or
/// have it as 0.
pub(super) fn merge_usage(usage: &mut Usage, other: &Usage) {
    for (count, other) in [
        (&mut usage.input_tokens, other.input_tokens),
        (&mut usage.output_tokens, other.output_tokens),
        (&mut usage.cache_read_tokens, other.cache_read_tokens),
        (&mut usage.cache_write_tokens, other.cache_write_tokens),
        (
            &mut usage.cache_write_1h_tokens,
            other.cache_write_1h_tokens,
        ),
        (&mut usage.reasoning_tokens, other.reasoning_tokens),
        (&mut usage.audio_input_tokens, other.audio_input_tokens),
        (&mut usage.audio_output_tokens, other.audio_output_tokens),
        (&mut usage.web_search_requests, other.web_search_requests),
    ] {
        *count = other.max(*count);
    }
    usage.input_includes_cache = other.input_includes_cache;
}

/// Takes back a report of usage that cannot be right: every prompt has tokens, and so has every reply that is not empty. Some
/// servers report zeros, or only what they know at the start.
pub(super) fn doubt_usage(reply: &mut Reply) {
    let usage = &reply.usage;
    let read = [
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    ];
    let wrote = usage.output_tokens > 0 || reply.content.is_empty();
    reply.usage_reported &= wrote && read.iter().any(|tokens| *tokens > 0);
}
