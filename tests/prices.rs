//! Compares the prices of every model with the list that they were generated from, by an independent calculation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Map, Value};
use warmline::{Price, Usage, Usd};

fn source() -> Map<String, Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/prices.json");
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    match file["entries"].take() {
        Value::Object(entries) => entries,
        other => panic!("{other}"),
    }
}

/// The cost of `tokens` at `rate` dollars per token, in pico-dollars. The rate is a float, rounded up to whole pico-dollars.
fn cost(rate: f64, tokens: u64) -> u128 {
    let pico = rate * 1e12;
    let pico = if (pico - pico.round()).abs() < 1e-3 {
        pico.round()
    } else {
        pico.ceil()
    };
    pico as u128 * u128::from(tokens)
}

#[test]
fn every_model_has_the_prices_of_the_list() {
    let entries = source();
    assert!(entries.len() > 700, "{}", entries.len());
    let mut compared = 0;
    for (name, entry) in &entries {
        let provider = entry["litellm_provider"].as_str().unwrap();
        let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name);
        let price = Price::lookup(provider, model);
        let price = price.unwrap_or_else(|| panic!("{name} is not in the table"));
        let tiers = entry.as_object().unwrap().keys();
        let mut tiers: Vec<u64> = tiers
            .filter_map(|key| {
                key.strip_prefix("input_cost_per_token_above_")?
                    .strip_suffix("k_tokens")?
                    .parse()
                    .ok()
            })
            .map(|thousands: u64| thousands * 1000)
            .collect();
        tiers.sort_unstable();
        let sizes = tiers
            .iter()
            .flat_map(|tier| [*tier, tier + 1, tier + 123_457]);
        for input in [0, 1, 999, 12_345].into_iter().chain(sizes) {
            let tier = tiers.iter().rfind(|tier| input > **tier);
            let suffix = tier.map(|tier| format!("_above_{}k_tokens", tier / 1000));
            let rate = |field: &str| {
                let listed = |field: &str| entry[field].as_f64().filter(|rate| *rate != 0.0);
                match &suffix {
                    Some(suffix) => listed(&format!("{field}{suffix}")),
                    None => listed(field),
                }
            };
            let base = |field: &str| entry[field].as_f64().unwrap_or_default();
            let (of_input, of_output) = ("input_cost_per_token", "output_cost_per_token");
            let input_rate = rate(of_input).unwrap_or(base(of_input));
            let output_rate = rate(of_output).unwrap_or(base(of_output));
            // A price that the list omits from a tier rises in proportion to the input price. This is the crate's own rule.
            let read =
                rate("cache_read_input_token_cost").or(suffix.is_none().then_some(input_rate));
            let write =
                rate("cache_creation_input_token_cost").or(suffix.is_none().then_some(input_rate));
            let thought = match suffix {
                Some(_) => output_rate.max(base("output_cost_per_reasoning_token")),
                None => rate("output_cost_per_reasoning_token").unwrap_or(output_rate),
            };
            let (cached, written) = (
                read.map_or(0, |_| input / 3),
                write.map_or(0, |_| input / 5),
            );
            let output = 4321;
            let usage = Usage {
                input_tokens: input - cached - written,
                cache_read_tokens: cached,
                cache_write_tokens: written,
                output_tokens: output,
                reasoning_tokens: output / 4,
                ..Usage::default()
            };
            let expected = cost(input_rate, input - cached - written)
                + cost(read.unwrap_or_default(), cached)
                + cost(write.unwrap_or_default(), written)
                + cost(output_rate, output - output / 4)
                + cost(thought, output / 4);
            let expected = Usd::from_pico(u64::try_from(expected).unwrap());
            assert_eq!(price.cost(&usage), expected, "{name} with {usage:?}");
            compared += 1;
        }
        if let Some(hour) = entry["cache_creation_input_token_cost_above_1hr"].as_f64() {
            let usage = Usage {
                cache_write_tokens: 1000,
                cache_write_1h_tokens: 1000,
                ..Usage::default()
            };
            let expected = Usd::from_pico(u64::try_from(cost(hour, 1000)).unwrap());
            assert_eq!(price.cost(&usage), expected, "{name} for an hour");
        }
    }
    assert!(compared > 4 * entries.len());
}

/// Dollars as pico-dollars, rounded up.
fn pico(rate: f64) -> u64 {
    u64::try_from(cost(rate, 1)).unwrap()
}

#[test]
fn every_model_has_the_listed_prices_of_audio_and_searches() {
    let (mut audio, mut searches) = (0, 0);
    for (name, entry) in &source() {
        let provider = entry["litellm_provider"].as_str().unwrap();
        let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name);
        let price = Price::lookup(provider, model).unwrap();
        for (field, listed, text) in [
            ("input_cost_per_audio_token", price.audio_input, price.input),
            (
                "output_cost_per_audio_token",
                price.audio_output,
                price.output,
            ),
        ] {
            let expected = entry[field].as_f64().filter(|rate| *rate > 0.0).map(pico);
            audio += usize::from(expected.is_some());
            assert_eq!(
                listed.pico(),
                expected.unwrap_or(text.pico()),
                "{name}.{field}"
            );
        }
        let fees = entry["search_context_cost_per_query"].as_object();
        let fees = fees
            .into_iter()
            .flatten()
            .filter_map(|(_, fee)| fee.as_f64());
        if let Some(most) = fees.reduce(f64::max).filter(|fee| *fee > 0.0) {
            searches += 1;
            // The fee that most models of a list have is in the table once.
            let fee = price.web_search.map_or(pico(most), |fee| fee.pico());
            assert_eq!(fee, pico(most), "{name}");
        }
    }
    assert!(audio > 40 && searches > 250, "{audio} {searches}");
}

#[test]
fn every_model_has_the_listed_service_tiers() {
    let (mut exact, mut all) = (0, 0);
    for (name, entry) in &source() {
        let provider = entry["litellm_provider"].as_str().unwrap();
        let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name);
        let price = Price::lookup(provider, model).unwrap();
        let tiers = [
            ("flex", price.flex),
            ("priority", price.priority),
            ("ultrafast", price.fast),
        ];
        for (tier, factor) in tiers {
            let fields = [
                "input_cost_per_token",
                "output_cost_per_token",
                "cache_read_input_token_cost",
            ];
            let above = entry.as_object().unwrap().keys().filter_map(|key| {
                let name = key.strip_suffix(&format!("_{tier}"))?;
                name.contains("_above_").then_some(name)
            });
            for field in fields.into_iter().chain(above) {
                let listed = |name: &str| entry[name].as_f64().filter(|rate| *rate > 0.0).map(pico);
                let (Some(standard), Some(expected)) =
                    (listed(field), listed(&format!("{field}_{tier}")))
                else {
                    continue;
                };
                let factor = factor.unwrap_or_else(|| panic!("{name} has no {tier}"));
                let rate = Usd::from_pico(standard);
                let scaled = match field.starts_with("cache_read") {
                    true => factor.of_cache_reads(rate),
                    false => factor.of_tokens(rate),
                };
                // The list rounds some prices, and the largest factor of a model counts.
                assert!(scaled.pico() >= expected, "{name}.{field}_{tier}");
                assert!(scaled.pico() * 3 <= expected * 4, "{name}.{field}_{tier}");
                all += 1;
                exact += u32::from(scaled.pico() == expected);
            }
        }
    }
    assert!(
        all > 900 && exact * 100 >= all * 95,
        "{exact} of {all} are exact"
    );
}

#[test]
fn every_model_has_the_listed_multipliers_of_speed_and_region() {
    let mut compared = 0;
    for (name, entry) in &source() {
        let provider = entry["litellm_provider"].as_str().unwrap();
        let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name);
        let price = Price::lookup(provider, model).unwrap();
        for (multiplier, factor) in [
            (&entry["provider_specific_entry"]["fast"], price.fast),
            (&entry["provider_specific_entry"]["us"], price.regional),
            (
                &entry["regional_processing_uplift_multiplier_us"],
                price.regional,
            ),
            (
                &entry["regional_processing_uplift_multiplier_eu"],
                price.regional,
            ),
        ] {
            if let Some(multiplier) = multiplier.as_f64() {
                let rate = factor.unwrap().of_tokens(Usd::from_pico(1_000_000));
                assert_eq!(rate.pico(), (multiplier * 1e6).round() as u64, "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "{compared}");
}
