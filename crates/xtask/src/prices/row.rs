//! The line of one model.

use std::fmt::Write;

use serde_json::Value;

use crate::workspace::Result;

/// A dollar in pico-dollars.
const ONE: u64 = 1_000_000_000_000;

/// The providers whose prices are taken, and whether the edge build has them too.
pub(super) const PROVIDERS: [(&str, bool); 15] = [
    ("anthropic", true),
    ("azure", false),
    ("bedrock_converse", false),
    ("bedrock_mantle", false),
    ("cerebras", false),
    ("deepseek", true),
    ("fireworks_ai", false),
    ("gemini", true),
    ("groq", true),
    ("mistral", false),
    ("moonshot", false),
    ("openai", true),
    ("perplexity", false),
    ("together_ai", false),
    ("xai", true),
];

/// The line of a model, if it is a chat model that is sold by the token.
pub(super) fn row(name: &str, entry: &Value) -> Result<Option<(String, String)>> {
    let provider = entry["litellm_provider"].as_str().unwrap_or_default();
    let wanted = PROVIDERS.iter().any(|(known, _)| *known == provider);
    let chats = matches!(entry["mode"].as_str(), Some("chat" | "responses"));
    let cost = |field: &str| pico(&entry[field]);
    let (Some(input), Some(output)) = (
        cost("input_cost_per_token")?,
        cost("output_cost_per_token")?,
    ) else {
        return Ok(None);
    };
    if !wanted || !chats || (input, output) == (0, 0) {
        return Ok(None);
    }
    let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name);
    // The prices of a region or a speed belong to the same model, whose name does not tell them apart.
    if matches!(provider, "anthropic" | "openai") && model.contains('/') || model.contains(' ') {
        return Ok(None);
    }
    let mut row = format!("{input} {output}");
    let mut field = |letter: char, value: Option<u64>, unless: u64| -> Result {
        if let Some(value) = value.filter(|value| *value != 0 && *value != unless) {
            write!(row, " {letter}{value}")?;
        }
        Ok(())
    };
    let write = cost("cache_creation_input_token_cost")?;
    let long_write = ["above_1hr", "above_12hr"]
        .map(|time| cost(&format!("cache_creation_input_token_cost_{time}")));
    let [hour, half_a_day] = long_write;
    field('r', cost("cache_read_input_token_cost")?, input)?;
    field('w', write, input)?;
    field('h', hour?.or(half_a_day?), write.unwrap_or(input))?;
    field('t', cost("output_cost_per_reasoning_token")?, output)?;
    field('a', cost("input_cost_per_audio_token")?, input)?;
    field('o', cost("output_cost_per_audio_token")?, output)?;
    field('x', entry["max_input_tokens"].as_u64(), 0)?;
    field('y', entry["max_output_tokens"].as_u64(), 0)?;
    if let (Some(input), Some(output)) = (
        cost("input_cost_per_token_batches")?,
        cost("output_cost_per_token_batches")?,
    ) {
        write!(row, " b{input},{output}")?;
    }
    let fast = &entry["provider_specific_entry"]["fast"];
    let region = [
        &entry["provider_specific_entry"]["us"],
        &entry["regional_processing_uplift_multiplier_us"],
        &entry["regional_processing_uplift_multiplier_eu"],
    ];
    for (letter, factor) in [
        ('f', tier_factor(entry, "flex")?),
        ('p', tier_factor(entry, "priority")?),
        (
            'u',
            tier_factor(entry, "ultrafast")?.or(whole_factor([fast])?),
        ),
        ('g', whole_factor(region)?),
    ] {
        if let Some(factor) = factor {
            write!(row, " {letter}{factor}")?;
        }
    }
    if let Some(fee) = search_fee(entry)? {
        // These search the web in every call.
        let always = provider == "perplexity" || model.contains("-search-");
        write!(row, " {}{fee}", if always { 'S' } else { 's' })?;
    }
    for key in entry.as_object().into_iter().flatten().map(|(key, _)| key) {
        let Some(threshold) = key
            .strip_prefix("input_cost_per_token_above_")
            .and_then(|k| k.strip_suffix("k_tokens"))
        else {
            continue;
        };
        let above = |what: &str| cost(&format!("{what}_above_{threshold}k_tokens"));
        let long = [
            cost(key)?.unwrap_or(input),
            above("output_cost_per_token")?.unwrap_or(output),
            above("cache_read_input_token_cost")?.unwrap_or_default(),
            above("cache_creation_input_token_cost")?.unwrap_or_default(),
        ];
        let [input, output, read, write] = long;
        write!(row, " >{threshold}000,{input},{output},{read},{write}")?;
    }
    Ok(Some((format!("{provider}/{model}"), row)))
}

/// The fee of a web search, in millionths of a dollar. Of several, by the size of the searched context, the highest.
fn search_fee(entry: &Value) -> Result<Option<u64>> {
    let by_size = entry["search_context_cost_per_query"].as_object();
    let fees = by_size.into_iter().flat_map(|fees| fees.values());
    let fees = fees.chain([&entry["input_cost_per_request"]]).map(pico);
    let fees: Vec<Option<u64>> = fees.collect::<Result<_>>()?;
    let most = fees.into_iter().flatten().max().filter(|fee| *fee > 0);
    Ok(most.map(|pico| pico.div_ceil(1_000_000)))
}

/// The prices of a service tier as a fraction of the standard ones, such as `1,2` for a half, with a second one if that of cache reads
/// differs. Where the list has several fractions, the largest counts.
fn tier_factor(entry: &Value, tier: &str) -> Result<Option<String>> {
    let mut tokens: Option<(u64, u64)> = None;
    let mut cache_reads = None;
    for (name, value) in entry.as_object().into_iter().flatten() {
        let Some(standard) = name
            .strip_suffix(tier)
            .and_then(|name| name.strip_suffix('_'))
        else {
            continue;
        };
        let (Some(price), Some(standard)) = (pico(value)?, pico(&entry[standard])?) else {
            continue;
        };
        let most = match name.starts_with("cache_read") {
            true => &mut cache_reads,
            false => &mut tokens,
        };
        let (numerator, denominator) = most.unwrap_or((0, 1));
        if price * denominator > numerator * standard {
            *most = Some((price, standard));
        }
    }
    let (tokens, cache_reads) = (tokens.map(reduced), cache_reads.map(reduced));
    Ok(match (tokens, cache_reads) {
        (Some(tokens), Some(reads)) if reads != tokens => Some(format!("{tokens},{reads}")),
        (tokens, _) => tokens,
    })
}

/// The largest of some multipliers, as a fraction.
fn whole_factor<const N: usize>(multipliers: [&Value; N]) -> Result<Option<String>> {
    let most = multipliers
        .into_iter()
        .map(pico)
        .collect::<Result<Vec<_>>>()?;
    let most = most.into_iter().flatten().max();
    Ok(most
        .filter(|most| *most > ONE)
        .map(|most| reduced((most, ONE))))
}

/// A fraction in lowest terms.
pub(super) fn reduced((numerator, denominator): (u64, u64)) -> String {
    let (mut divisor, mut rest) = (numerator, denominator);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    format!("{},{}", numerator / divisor, denominator / divisor)
}

/// Dollars as whole pico-dollars, from the shortest decimal of the number, so that no float is multiplied.
fn pico(value: &Value) -> Result<Option<u64>> {
    let Some(dollars) = value.as_f64() else {
        return Ok(None);
    };
    let text = format!("{dollars:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = 12 + exponent.parse::<i32>()? - fraction.len() as i32;
    let digits: u64 = [whole, fraction].concat().parse()?;
    if places >= 0 {
        return Ok(Some(digits * 10u64.pow(places as u32)));
    }
    // Fractions of a pico-dollar, which few prices have, are rounded up.
    Ok(Some(digits.div_ceil(10u64.pow(places.unsigned_abs()))))
}
