//! Parses the values of the fields that are read.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::decimal::scaled;
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

pub(super) fn model(value: &RawValue) -> Result<String, String> {
    match text(value, "model")? {
        model if model.len() > MAX_MODEL_NAME => Err(format!(
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

/// Returns the items of a list, or the value itself.
pub(super) fn items(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value])
}

pub(super) fn flag(value: &RawValue, name: &str) -> Result<Option<bool>, String> {
    match value.get() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        "null" => Ok(None),
        _ => must_be(value, name, "true, false or null"),
    }
}

/// Returns the memory of a container in GB: `1g`, `4g`, `16g` or `64g`. Another value counts as the most
/// (<https://platform.openai.com/docs/guides/tools-code-interpreter>).
pub(super) fn memory(value: &RawValue) -> u64 {
    match value.get() {
        "\"1g\"" => 1,
        "\"4g\"" => 4,
        "\"16g\"" => 16,
        _ => 64,
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
    let (whole, is_cut) = scaled(number, 0)?;
    (!is_cut).then_some(whole)
}
