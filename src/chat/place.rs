//! The place of an error in a request's JSON, such as `messages[0].role`.
//!
//! serde_json reports a line and a column. The place is searched for only after an error, so that requests are deserialized
//! by serde_json alone.

use serde_json::value::RawValue;

use super::form::Fields;

/// Returns the path to the value that an error is about. It is empty for the whole text.
///
/// The position of an error is in the value or at its end, or after the name of an unknown field: serde_json adds it when it
/// leaves a string, a number, a list or an object.
pub(super) fn of(text: &str, error: &serde_json::Error) -> String {
    let before = text.split_inclusive('\n').take(error.line().max(1) - 1);
    let position = before.map(str::len).sum::<usize>() + error.column();
    let mut json = text.trim_start();
    let mut position = position.saturating_sub(text.len() - json.len());
    let mut path = String::new();
    // An error at the start of a value is about the value's type.
    while position > 0
        && let Some((step, start, value)) = around(json, position)
    {
        path.push_str(&step);
        let Some(inside) = position.checked_sub(start) else {
            break;
        };
        (position, json) = (inside, value);
    }
    path.trim_start_matches('.').to_owned()
}

/// Returns the first value of an object or a list that ends at a position or after it: its step in a path, its start, and
/// its text.
fn around(json: &str, position: usize) -> Option<(String, usize, &str)> {
    let values: Vec<(String, &RawValue)> = if json.starts_with('{') {
        let Fields(fields) = serde_json::from_str(json).ok()?;
        let step = |(name, value): (String, _)| ([".", &name].concat(), value);
        fields.into_iter().map(step).collect()
    } else {
        let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        let step = |(i, value)| (format!("[{i}]"), value);
        items.into_iter().enumerate().map(step).collect()
    };
    let mut values = values.into_iter().map(|(step, value)| {
        let value = value.get();
        (step, value.as_ptr().addr() - json.as_ptr().addr(), value)
    });
    values.find(|(_, start, value)| start + value.len() >= position)
}
