//! Parses the values of the fields that are read.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::quote::{quote, shorten};

/// The maximum length of a model's name, in bytes. Statistics and spans contain it. No provider has a name half as long.
const MAX_MODEL_NAME: usize = 256;

pub(super) fn must_be<T>(value: &RawValue, name: &str, what: &str) -> Result<T, String> {
    let given = match shorten(value.get()) {
        whole if whole.len() == value.get().len() => Cow::Borrowed(whole),
        start => Cow::Owned([start, "…"].concat()),
    };
    Err([name, " is ", &given, ": it must be ", what].concat())
}

pub(super) fn model(value: &RawValue) -> Result<Option<String>, String> {
    let Ok(model) = serde_json::from_str::<Option<String>>(value.get()) else {
        return must_be(value, "model", "a string");
    };
    match model {
        Some(model) if model.len() > MAX_MODEL_NAME => Err(format!(
            "the model's name {} has {} bytes: at most {MAX_MODEL_NAME} are accepted",
            quote(&model),
            model.len()
        )),
        model => Ok(model),
    }
}

pub(super) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

pub(super) fn text(value: &RawValue, name: &str) -> Result<String, String> {
    serde_json::from_str(value.get()).or_else(|_| must_be(value, name, "a string"))
}

/// Whether a list of modalities contains only text.
pub(super) fn only_text(value: &RawValue) -> bool {
    let modalities: Option<Vec<Cow<'_, str>>> = serde_json::from_str(value.get()).ok();
    modalities.is_some_and(|modalities| modalities.iter().all(|one| one == "text"))
}

pub(super) fn flag(value: &RawValue, name: &str) -> Result<Option<bool>, String> {
    match value.get() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        "null" => Ok(None),
        _ => must_be(value, name, "true, false or null"),
    }
}

/// Parses a whole number. `None` for null.
pub(super) fn count(value: &RawValue, name: &str) -> Result<Option<u64>, String> {
    if is_null(value) {
        return Ok(None);
    }
    match whole_number(value.get()) {
        Some(count) => Ok(Some(count)),
        None => must_be(value, name, "a whole number that is not negative"),
    }
}

/// Parses a JSON number that equals a whole number, such as 60000 for `6e4` and `60000.0`. `None` for a fraction, a number below
/// zero or above `u64::MAX`, and any other value.
pub(super) fn whole_number(number: &str) -> Option<u64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let magnitude = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() && !digits.is_empty() {
        return Some(0);
    }
    if magnitude.len() < mantissa.len() {
        return None;
    }
    let dropped = (digits.len() - significant.len()) as i64;
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent.checked_add(dropped - fraction.len() as i64)?;
    let power = 10u64.checked_pow(zeros.try_into().ok()?)?;
    let significant: u64 = significant.trim_start_matches('0').parse().ok()?;
    significant.checked_mul(power)
}
