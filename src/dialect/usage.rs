//! The usage that a reply reports, with the names of every dialect, and what it reports about its price.

use serde_json::value::RawValue;

use super::wire::{Count, object};
use crate::chat::{Billing, ServiceTier};
use crate::{Usage, Usd};

/// The usage in every known dialect. What is not a count is kept as raw JSON, because few replies have it.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct WireUsage<'a> {
    // Anthropic's.
    pub(super) input_tokens: Count,
    pub(super) output_tokens: Count,
    pub(super) cache_read_input_tokens: Count,
    pub(super) cache_creation_input_tokens: Count,
    #[serde(borrow)]
    pub(super) cache_creation: Raw<'a>,
    #[serde(borrow)]
    pub(super) output_tokens_details: Raw<'a>,
    #[serde(borrow)]
    pub(super) server_tool_use: Raw<'a>,
    #[serde(borrow)]
    pub(super) iterations: Raw<'a>,
    /// The type of an iteration.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Raw<'a>,
    #[serde(borrow)]
    service_tier: Raw<'a>,
    #[serde(borrow)]
    speed: Raw<'a>,
    #[serde(borrow)]
    inference_geo: Raw<'a>,
    // OpenAI's.
    pub(super) prompt_tokens: Count,
    pub(super) completion_tokens: Count,
    pub(super) total_tokens: Count,
    #[serde(borrow)]
    pub(super) prompt_tokens_details: Raw<'a>,
    #[serde(borrow)]
    pub(super) completion_tokens_details: Raw<'a>,
    // DeepSeek's, and Moonshot's and Perplexity's.
    pub(super) prompt_cache_hit_tokens: Count,
    pub(super) cached_tokens: Count,
    pub(super) reasoning_tokens: Count,
    // OpenRouter's and Perplexity's, and xAI's.
    #[serde(borrow)]
    cost: Raw<'a>,
    #[serde(borrow)]
    cost_details: Raw<'a>,
    #[serde(borrow)]
    is_byok: Raw<'a>,
    #[serde(borrow)]
    cost_in_usd_ticks: Raw<'a>,
}

type Raw<'a> = Option<&'a RawValue>;

/// Returns the text of a string without escapes, such as a name of a tier, or another value as it is written.
pub(super) fn name<'a>(raw: Raw<'a>) -> &'a str {
    raw.map_or("", |raw| raw.get().trim_matches('"'))
}

impl WireUsage<'_> {
    /// Returns what the usage reports about the price. `served` is the service tier that the reply itself reports.
    pub(super) fn billing(&self, served: Raw<'_>) -> Billing {
        let tier = match name(self.speed) {
            "fast" => Some(ServiceTier::Fast),
            _ => ServiceTier::named(name(served.or(self.service_tier))),
        };
        Billing {
            tier,
            regional: !matches!(name(self.inference_geo), "" | "global" | "not_available"),
            cost: self.cost(),
        }
    }

    fn cost(&self) -> Option<Usd> {
        if let Some(ticks) = self.cost_in_usd_ticks {
            return Usd::from_json(ticks.get(), -10);
        }
        let cost = self.cost?;
        let total = Details::read(Some(cost)).total_cost.unwrap_or(cost);
        let cost = Usd::from_json(total.get(), 0)?;
        // With a key of one's own, OpenRouter's cost is only its fee, and the vendor bills the rest.
        let upstream = Details::read(self.cost_details).upstream_inference_cost;
        let upstream = upstream.filter(|_| name(self.is_byok) == "true");
        let upstream = upstream.and_then(|upstream| Usd::from_json(upstream.get(), 0));
        Some(cost + upstream.unwrap_or_default())
    }
}

/// The objects in a usage. The names of their fields are distinct.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Details<'a> {
    pub(super) cached_tokens: Count,
    pub(super) cache_write_tokens: Count,
    pub(super) reasoning_tokens: Count,
    pub(super) thinking_tokens: Count,
    pub(super) ephemeral_1h_input_tokens: Count,
    pub(super) audio_tokens: Count,
    pub(super) web_search_requests: Count,
    #[serde(borrow)]
    total_cost: Raw<'a>,
    #[serde(borrow)]
    upstream_inference_cost: Raw<'a>,
}

impl<'a> Details<'a> {
    /// Parses an object. The details of any other value are empty.
    pub(super) fn read(raw: Raw<'a>) -> Self {
        object(raw).unwrap_or_default()
    }
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
