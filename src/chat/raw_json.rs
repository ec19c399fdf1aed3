use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::quote::quote;
use crate::{Error, Result};

/// The text of a JSON value, such as a schema.
///
/// It preserves the order of fields, which matters to models: OpenAI's structured outputs have the order of the schema's
/// properties (<https://platform.openai.com/docs/guides/structured-outputs>). A [`serde_json::Value`] sorts fields by name,
/// unless `serde_json`'s feature `preserve_order` is enabled.
///
/// Only `serde_json` can deserialize it.
///
/// ```
/// use warmline::RawJson;
///
/// let schema: RawJson = r#"{"type": "object", "properties": {"why": {}, "verdict": {}}}"#.parse()?;
/// assert!(schema.as_str().ends_with(r#"{"why": {}, "verdict": {}}}"#));
/// assert_eq!(RawJson::from(serde_json::json!([1, null])).as_str(), "[1,null]");
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Returns its text.
    ///
    /// ```
    /// assert_eq!(warmline::RawJson::from(serde_json::json!("a")).as_str(), "\"a\"");
    /// ```
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    pub(crate) fn of(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }

    /// Writes a value of this crate's own, which cannot fail.
    pub(crate) fn written(value: &(impl Serialize + ?Sized)) -> Self {
        let raw = serde_json::value::to_raw_value(value);
        Self(raw.unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// An object with these fields.
    pub(crate) fn object(fields: &[(String, Self)]) -> Self {
        Self::written(&Fields(fields))
    }

    /// Returns a list with the items of another list, and these.
    pub(crate) fn appended(list: Option<&Self>, more: &[Self]) -> Self {
        let items = list.map(|list| serde_json::from_str::<Vec<&RawValue>>(list.as_str()));
        let mut items = items.and_then(std::result::Result::ok).unwrap_or_default();
        items.extend(more.iter().map(|item| &*item.0));
        Self::written(&items)
    }
}

/// Fields in their order, as an object.
struct Fields<'a>(&'a [(String, RawJson)]);

impl Serialize for Fields<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl FromStr for RawJson {
    type Err = Error;

    /// # Errors
    /// `Config` if the text is not one JSON value (RFC 8259).
    fn from_str(text: &str) -> Result<Self> {
        let read = serde_json::from_str(text);
        read.map_err(|e| Error::config(format!("{} is not JSON: {e}", quote(text))))
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self::written(&value)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
