//! The field `stream_options`.

use std::ops::Range;

use serde_json::value::RawValue;

use super::values::{flag, must_be};
use crate::dialect::wire::Pairs;

/// Returns the range to replace, and its replacement, so that a stream reports its usage.
pub(super) fn stream_options(body: &str, options: &RawValue) -> Result<Asking, String> {
    let place = |value| place(body, value);
    if options.get() == "null" {
        return Ok(Some((place(options), r#"{"include_usage":true}"#)));
    }
    if !options.get().starts_with('{') {
        return must_be(options, "stream_options", "an object or null");
    }
    let inside = place(options).start + 1;
    let Pairs(fields) = serde_json::from_str(options.get()).map_err(|e| e.to_string())?;
    let asked = fields.iter().filter(|(name, _)| name == "include_usage");
    let asked: Vec<&RawValue> = asked.map(|(_, value)| *value).collect();
    Ok(match asked.as_slice() {
        [] if fields.is_empty() => Some((inside..inside, r#""include_usage":true"#)),
        [] => Some((inside..inside, r#""include_usage":true,"#)),
        [asked] => match flag(asked, "stream_options.include_usage")? {
            Some(_) => None,
            None => Some((place(asked), "true")),
        },
        _ => return Err("stream_options has include_usage twice: give it once".into()),
    })
}

/// Returns the range of a value in the body.
pub(super) fn place(body: &str, value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + value.get().len()
}

type Asking = Option<(Range<usize>, &'static str)>;
