//! The usage that a reply reports, and what it reports about its price.
//!
//! Each dialect has names of its own, and servers mix them, so that fields are found by their names.

use serde_json::value::RawValue;

use super::wire::Pairs;
use crate::chat::{Billing, ServiceTier};
use crate::{Reply, Usage, Usd};

/// Returns a count in an object of the usage, such as `prompt_tokens_details`.
pub(super) fn detail(usage: &Pairs<'_>, object: &str, name: &str) -> u64 {
    let details = Pairs::read(usage.raw(object));
    details.map_or(0, |details| details.count(name).get())
}

/// Returns what a usage reports about the price. `served` is the service tier that the reply itself reports.
pub(super) fn billing(usage: &Pairs<'_>, served: Option<&RawValue>) -> Billing {
    let tier = match word(usage.raw("speed")) {
        "fast" => Some(ServiceTier::Fast),
        _ => ServiceTier::named(word(served.or(usage.raw("service_tier")))),
    };
    let region = word(usage.raw("inference_geo"));
    Billing {
        tier,
        regional: !matches!(region, "" | "global" | "not_available" | "null"),
        cost: cost(usage),
        ..Billing::default()
    }
}

/// Returns the cost that xAI, OpenRouter and Perplexity report.
fn cost(usage: &Pairs<'_>) -> Option<Usd> {
    let usd = |raw: Option<&RawValue>, power| Usd::from_json(raw?.get(), power);
    let ticks = usd(usage.raw("cost_in_usd_ticks"), -10);
    if ticks.is_some() {
        return ticks;
    }
    let in_details = |object, name| Pairs::read(usage.raw(object))?.raw(name);
    let cost = in_details("cost", "total_cost").or(usage.raw("cost"));
    let cost = usd(cost, 0)?;
    // With a key of one's own, OpenRouter's cost is only its fee, and the vendor bills the rest.
    let upstream = match word(usage.raw("is_byok")) {
        "true" => usd(in_details("cost_details", "upstream_inference_cost"), 0),
        _ => None,
    };
    Some(cost + upstream.unwrap_or_default())
}

/// Returns the text of a string without escapes, such as the name of a tier, or another value as it is written.
pub(super) fn word(raw: Option<&RawValue>) -> &str {
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
