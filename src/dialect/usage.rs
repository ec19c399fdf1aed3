//! The usage that a reply reports, with the names of every dialect, and what it reports about its price.

use serde_json::value::RawValue;

use super::wire::{Count, Word, object};
use crate::chat::{Billing, ServiceTier};
use crate::{Usage, Usd};

/// The usage in every known dialect.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct WireUsage<'a> {
    // Anthropic's.
    pub(super) input_tokens: Count,
    pub(super) output_tokens: Count,
    pub(super) cache_read_input_tokens: Count,
    pub(super) cache_creation_input_tokens: Count,
    pub(super) cache_creation: Option<Details>,
    pub(super) output_tokens_details: Option<Details>,
    // OpenAI's.
    pub(super) prompt_tokens: Count,
    pub(super) completion_tokens: Count,
    pub(super) total_tokens: Count,
    pub(super) prompt_tokens_details: Option<Details>,
    pub(super) completion_tokens_details: Option<Details>,
    // DeepSeek's, and Moonshot's and Perplexity's.
    pub(super) prompt_cache_hit_tokens: Count,
    pub(super) cached_tokens: Count,
    pub(super) reasoning_tokens: Count,
    // What is beside the tokens, which few replies have.
    pub(super) server_tool_use: Option<Details>,
    #[serde(borrow)]
    pub(super) iterations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) service_tier: Word<'a>,
    #[serde(borrow)]
    speed: Word<'a>,
    #[serde(borrow)]
    inference_geo: Word<'a>,
    // OpenRouter's and Perplexity's, and xAI's.
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_details: Option<&'a RawValue>,
    #[serde(borrow)]
    is_byok: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_in_usd_ticks: Option<&'a RawValue>,
}

impl WireUsage<'_> {
    /// Returns what the usage reports about the price.
    pub(super) fn billing(&self) -> Billing {
        let tier = match self.speed.as_str() {
            "fast" => Some(ServiceTier::Fast),
            _ => ServiceTier::named(self.service_tier.as_str()),
        };
        Billing {
            tier,
            regional: !matches!(self.inference_geo.as_str(), "" | "global" | "not_available"),
            cost: self.cost(),
        }
    }

    fn cost(&self) -> Option<Usd> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Costs<'a> {
            #[serde(borrow)]
            total_cost: Option<&'a RawValue>,
            #[serde(borrow)]
            upstream_inference_cost: Option<&'a RawValue>,
        }
        if let Some(ticks) = self.cost_in_usd_ticks {
            return Usd::from_json(ticks.get(), -10);
        }
        let cost = self.cost?.get();
        let total = object(self.cost).and_then(|costs: Costs<'_>| costs.total_cost);
        let cost = Usd::from_json(total.map_or(cost, RawValue::get), 0)?;
        // With a key of one's own, OpenRouter's cost is only its fee, and the vendor bills the rest.
        let upstream = object(self.cost_details)
            .and_then(|costs: Costs<'_>| costs.upstream_inference_cost)
            .filter(|_| self.is_byok.is_some_and(|byok| byok.get() == "true"))
            .and_then(|upstream| Usd::from_json(upstream.get(), 0));
        Some(cost + upstream.unwrap_or_default())
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) cached_tokens: Count,
    pub(super) cache_write_tokens: Count,
    pub(super) reasoning_tokens: Count,
    pub(super) thinking_tokens: Count,
    pub(super) ephemeral_1h_input_tokens: Count,
    pub(super) audio_tokens: Count,
    pub(super) web_search_requests: Count,
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
