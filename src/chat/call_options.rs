use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form;
use super::raw_json::RawJson;
use crate::quote::quote;
use crate::url::shown;

/// The options of one call, which are not part of the body. [`Request::header`](crate::Request::header) and
/// [`Request::base_url`](crate::Request::base_url) set them.
///
/// The `Debug` output omits the values of headers and the query of the URL, because they can be secret.
///
/// ```
/// use warmline::Request;
///
/// let request = Request::new().user("Hi").header("authorization", "Bearer eyJ…");
/// assert_eq!(format!("{:?}", request.options), r#"CallOptions { base_url: None, headers: ["authorization"] }"#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallOptions {
    /// The base URL, on the client's own server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Headers, which replace those of the client with the same name. In JSON they are an object.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_object")]
    pub headers: Vec<(String, String)>,
}

impl CallOptions {
    pub(crate) fn is_default(&self) -> bool {
        self.base_url.is_none() && self.headers.is_empty()
    }

    pub(crate) fn set_header(&mut self, name: String, value: String) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.headers.push((name, value));
    }

    fn read_headers(&mut self, json: &RawJson) -> Result<(), String> {
        if json.as_str() == "null" {
            return Ok(());
        }
        let headers = form::fields(json.as_str());
        for (name, value) in headers.map_err(|e| ["headers: ", &e.to_string()].concat())? {
            let shown = ["the header ", &quote(&name)].concat();
            let value = text(&shown, &value)?;
            self.set_header(name, value.ok_or_else(|| [&shown, " is null"].concat())?);
        }
        Ok(())
    }
}

fn as_object<S: Serializer>(
    headers: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

/// Reads a string, or null for none.
fn text(name: &str, value: &RawJson) -> Result<Option<String>, String> {
    let text = serde_json::from_str(value.as_str());
    text.map_err(|_| [name, " must be a string"].concat())
}

/// Read by hand, because no error may show the value of a header.
impl<'de> Deserialize<'de> for CallOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut options = Self::default();
        for (name, value) in form::fields_or_none(deserializer)? {
            match &*name {
                "base_url" => options.base_url = text(&name, &value).map_err(D::Error::custom)?,
                "headers" => options.read_headers(&value).map_err(D::Error::custom)?,
                _ => return Err(D::Error::unknown_field(&name, &["base_url", "headers"])),
            }
        }
        Ok(options)
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("CallOptions")
            .field("base_url", &self.base_url.as_deref().map(shown))
            .field("headers", &names)
            .finish()
    }
}
