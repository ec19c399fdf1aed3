use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::{self, ByName, Fields, UniqueFields};
use super::raw_json::RawJson;
use crate::credentials::Credentials;
use crate::quote::{quote, shorten};
use crate::retry::RetryPolicy;
use crate::timeouts::TimeoutSettings;
use crate::url::shown;

/// The settings of one call, in place of the client's. They are not part of the body. Each has a method of [`Request`](crate::Request) that sets
/// it.
///
/// The `Debug` output omits the values of headers and the query of the URL, because they can be secret.
///
/// ```
/// use warmline::{CallOptions, Request};
///
/// let request = Request::new().user("Hi").header("authorization", "Bearer eyJ…");
/// let shown = format!("{:?}", request.options);
/// assert!(shown.contains(r#"headers: ["authorization"]"#) && !shown.contains("eyJ"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallOptions {
    /// The base URL, on the client's own server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// A query to add to the URL, such as `beta=true`. A field that the base URL's query has as well is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Headers, which replace those of the client with the same name. In JSON they are an object.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_object")]
    pub headers: Vec<(String, String)>,
    /// The key or token. It is not part of the JSON form that is written; `api_key` or `bearer_token` is read.
    #[serde(skip)]
    pub credentials: Option<Credentials>,
    /// See [`ClientBuilder::timeout`](crate::ClientBuilder::timeout). In JSON it is `timeout_ms`.
    #[serde(
        rename = "timeout_ms",
        with = "crate::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// See [`ClientBuilder::reply_timeout`](crate::ClientBuilder::reply_timeout). In JSON it is `reply_timeout_ms`.
    #[serde(
        rename = "reply_timeout_ms",
        with = "crate::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub reply_timeout: Option<Duration>,
    /// See [`ClientBuilder::pool_timeout`](crate::ClientBuilder::pool_timeout). In JSON it is `pool_timeout_ms`.
    #[serde(
        rename = "pool_timeout_ms",
        with = "crate::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub pool_timeout: Option<Duration>,
    /// See [`ClientBuilder::deadline`](crate::ClientBuilder::deadline). In JSON it is `deadline_ms`.
    #[serde(
        rename = "deadline_ms",
        with = "crate::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// The retry policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The key of the conversation, which a [`Router`](crate::Router) keeps on one target. A client ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

impl CallOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn timeouts(&self) -> TimeoutSettings {
        TimeoutSettings {
            timeout: self.timeout,
            reply: self.reply_timeout,
            pool: self.pool_timeout,
            deadline: self.deadline,
        }
    }

    pub(super) fn set_header(&mut self, name: String, value: String) {
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

    fn read(&mut self, name: &str, value: &RawJson) -> Result<(), String> {
        match name {
            "base_url" => self.base_url = text(name, value)?,
            "query" => self.query = text(name, value)?,
            "headers" => self.read_headers(value)?,
            "api_key" => self.credentials = text(name, value)?.map(Credentials::api_key),
            "bearer_token" => self.credentials = text(name, value)?.map(Credentials::bearer_token),
            "timeout_ms" => self.timeout = duration(name, value)?,
            "reply_timeout_ms" => self.reply_timeout = duration(name, value)?,
            "pool_timeout_ms" => self.pool_timeout = duration(name, value)?,
            "deadline_ms" => self.deadline = duration(name, value)?,
            "retry" => {
                let retry = serde_json::from_str::<Option<ByName<RetryPolicy>>>(value.as_str());
                let retry = retry.map_err(|e| [name, ": ", &e.to_string()].concat())?;
                self.retry = retry.map(|ByName(retry)| retry);
            }
            "conversation" => self.conversation = text(name, value)?,
            _ => {
                let known = "expected one of base_url, query, headers, api_key, bearer_token, timeout_ms, reply_timeout_ms, \
                     pool_timeout_ms, deadline_ms, retry, conversation";
                return Err(["unknown field `", shorten(name), "`, ", known].concat());
            }
        }
        Ok(())
    }
}

/// Headers alone.
impl From<Vec<(String, String)>> for CallOptions {
    fn from(headers: Vec<(String, String)>) -> Self {
        Self {
            headers,
            ..Self::default()
        }
    }
}

/// Headers alone.
impl<const N: usize> From<[(String, String); N]> for CallOptions {
    fn from(headers: [(String, String); N]) -> Self {
        Vec::from(headers).into()
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

fn duration(name: &str, value: &RawJson) -> Result<Option<Duration>, String> {
    let mut json = serde_json::Deserializer::from_str(value.as_str());
    let read = crate::millis::option::deserialize(&mut json);
    read.map_err(|_| [name, " must be a number of milliseconds"].concat())
}

/// Read by hand, because no error may show the value of a header or a key.
impl TryFrom<Fields<RawJson>> for CallOptions {
    type Error = String;

    fn try_from(fields: Fields<RawJson>) -> Result<Self, String> {
        let UniqueFields(fields) = fields.try_into()?;
        let mut options = Self::default();
        for (name, value) in fields {
            options.read(&name, &value)?;
        }
        Ok(options)
    }
}

impl<'de> Deserialize<'de> for CallOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        form::converted::<Fields<RawJson>, _, _>(deserializer)
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("CallOptions")
            .field("base_url", &self.base_url.as_deref().map(shown))
            .field("query", &self.query.as_ref().map(|_| "…"))
            .field("headers", &names)
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .field("reply_timeout", &self.reply_timeout)
            .field("pool_timeout", &self.pool_timeout)
            .field("deadline", &self.deadline)
            .field("retry", &self.retry)
            .field("conversation", &self.conversation)
            .finish()
    }
}
