//! A value of any shape, kept as the text it was given as.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::read::{Reader, Stopped};
use super::write::quote;
use crate::{Error, Result};

/// A JSON value of any shape, such as a schema, kept as it was written.
///
/// Its fields stay in their order, which a model sees: OpenAI's structured outputs come in the order of the
/// schema's properties (<https://platform.openai.com/docs/guides/structured-outputs>), so that one that asks for the
/// reasons before the verdict gets them so. A [`serde_json::Value`] sorts them by name, unless `serde_json`'s
/// feature `preserve_order` is on.
///
/// ```
/// use warmline::RawJson;
///
/// let schema: RawJson = r#"{"type": "object", "properties": {"why": {}, "verdict": {}}}"#.parse()?;
/// assert!(schema.as_str().ends_with(r#"{"why": {}, "verdict": {}}}"#));
/// assert_eq!(RawJson::from(serde_json::json!([1, null])).as_str(), "[1,null]");
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// Its text.
    ///
    /// ```
    /// assert_eq!(warmline::RawJson::from(serde_json::json!("a")).as_str(), "\"a\"");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The next value that a reader comes to.
    pub(crate) fn read(json: &mut Reader<'_>) -> Result<Self, Stopped> {
        json.skip().map(|text| Self(text.into()))
    }
}

impl FromStr for RawJson {
    type Err = Error;

    /// # Errors
    /// `Config` for what is not one JSON value (RFC 8259).
    fn from_str(text: &str) -> Result<Self> {
        let mut json = Reader::new(text);
        let value = Self::read(&mut json).and_then(|value| json.end().map(|()| value));
        value.map_err(|Stopped| {
            let why = json.malformed().to_string();
            Error::config([&quote(text), " is not JSON: ", &why].concat())
        })
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.to_string());
        raw.map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}
