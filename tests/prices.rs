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
