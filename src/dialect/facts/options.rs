//! The field `stream_options`.

use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fmt;
use super::values::{flag, must_be};
use crate::dialect::wire::Word;

/// Returns the range to replace, and its replacement, so that a stream reports its usage.
pub(super) fn stream_options(body: &str, options: &RawValue) -> Result<Asking, String> {
    let place = |value: &RawValue| {
        let start = value.get().as_ptr() as usize - body.as_ptr() as usize;
        start..start + value.get().len()
    };
    if options.get() == "null" {
        return Ok(Some((place(options), r#"{"include_usage":true}"#)));
    }
    if !options.get().starts_with('{') {
        return must_be(options, "stream_options", "an object or null");
    }
    let inside = place(options).start + 1;
    let Options { fields, asked } =
        serde_json::from_str(options.get()).map_err(|e| e.to_string())?;
    Ok(match asked.as_slice() {
        [] if fields == 0 => Some((inside..inside, r#""include_usage":true"#)),
        [] => Some((inside..inside, r#""include_usage":true,"#)),
        [asked] => match flag(asked, "stream_options.include_usage")? {
            Some(_) => None,
            None => Some((place(asked), "true")),
        },
        _ => return Err("stream_options has include_usage twice: give it once".into()),
    })
}

type Asking = Option<(Range<usize>, &'static str)>;

/// The fields of `stream_options`.
#[derive(Default)]
struct Options<'a> {
    fields: usize,
    asked: Vec<&'a RawValue>,
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Options<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionsVisitor;
        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = Options<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut options = Options::default();
                while let Some((Word(key), value)) = map.next_entry()? {
                    options.fields += 1;
                    if key == "include_usage" {
                        options.asked.push(value);
                    }
                }
                Ok(options)
            }
        }
        deserializer.deserialize_map(OptionsVisitor)
    }
}
