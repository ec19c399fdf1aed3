//! Wire dialects, one file each, without IO: a [`Request`] to bytes, bytes to a [`Reply`], chunks to
//! [`Event`]s, an error response to an [`Error`]. None awaits or knows the target, so that one set of
//! test vectors proves them on every runtime.

mod anthropic;
mod assembly;
mod error;
mod openai;
mod stream;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) use self::anthropic::DEFAULT_MAX_TOKENS;
pub(crate) use self::error::decode_error;
pub(crate) use self::stream::StreamDecoder;
use crate::json::{Malformed, Reader, Stopped, Writer, quote};
use crate::transport::Headers;
use crate::{Error, Reply, Request, Result};

/// Whose dialect is spoken.
///
/// Servers that speak OpenAI's (vLLM, Ollama, Groq, DeepSeek, OpenRouter, …) are reached with
/// [`Provider::OpenAi`] and their [`base_url`](crate::ClientBuilder::base_url).
///
/// ```
/// use warmline::Provider;
///
/// assert_eq!("anthropic".parse::<Provider>()?, Provider::Anthropic);
/// let error = "antropic".parse::<Provider>().unwrap_err();
/// assert!(error.to_string().contains("\"antropic\""));
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// Anthropic's Messages API (<https://docs.claude.com/en/api/messages>).
    Anthropic,
    /// OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>).
    OpenAi,
}

impl Provider {
    /// The name in the environment, in JSON and in traces.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.name(), "openai");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }

    /// Where its API lives when nothing else is said.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::Anthropic.default_base_url(), "https://api.anthropic.com");
    /// ```
    pub fn default_base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }

    /// The model when nothing else is said: one of middling size and price.
    ///
    /// ```
    /// assert!(warmline::Provider::Anthropic.default_model().starts_with("claude"));
    /// ```
    pub fn default_model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-sonnet-4-5",
            Self::OpenAi => "gpt-4.1",
        }
    }

    /// The environment variable that holds the key.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.key_variable(), "OPENAI_API_KEY");
    /// ```
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }

    /// The environment variable that holds another base URL.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.base_url_variable(), "OPENAI_BASE_URL");
    /// ```
    pub fn base_url_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::OpenAi => "OPENAI_BASE_URL",
        }
    }

    /// The path below the base URL to which a chat is sent.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "/v1/messages",
            Self::OpenAi => "/chat/completions",
        }
    }

    /// The headers of every request. An empty key sends none: local servers often want none.
    pub(crate) fn headers(self, key: &str) -> Vec<(String, String)> {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Self::Anthropic = self {
            // https://docs.claude.com/en/api/versioning
            headers.push(("anthropic-version", "2023-06-01".to_owned()));
        }
        match self {
            _ if key.is_empty() => {}
            Self::Anthropic => headers.push(("x-api-key", key.to_owned())),
            Self::OpenAi => headers.push(("authorization", ["Bearer ", key].concat())),
        }
        let headers = headers.into_iter();
        headers
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The request's body. `official` says that the provider itself is at the other end rather than
    /// a server that speaks like it.
    pub(crate) fn encode(
        self,
        request: &Request,
        model: &str,
        stream: bool,
        official: bool,
    ) -> Result<Bytes> {
        request.validate()?;
        let body = match self {
            Self::Anthropic => anthropic::encode(request, model, stream),
            Self::OpenAi => openai::encode(request, model, stream, official),
        }?;
        Ok(body.into())
    }

    /// A whole reply that was not streamed.
    pub(crate) fn decode(self, headers: &Headers, body: Bytes) -> Result<Reply> {
        let mut reply = match self {
            Self::Anthropic => anthropic::decode(headers, &body),
            Self::OpenAi => openai::decode(headers, &body),
        }?;
        reply.request_id = request_id(headers);
        reply.raw = Some(body);
        Ok(reply)
    }
}

/// Both providers' header; proxies and compatible servers use either.
pub(crate) fn request_id(headers: &Headers) -> Option<String> {
    let id = headers
        .get("request-id")
        .or_else(|| headers.get("x-request-id"));
    id.map(str::to_owned)
}

/// A request's body in the making.
struct Body<'a> {
    json: &'a mut Writer,
    request: &'a Request,
}

impl Body<'_> {
    /// A field, unless [`Request::extra`] replaces it.
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Writer)) {
        if self.request.extra_field(name).is_none() {
            write(self.json.key(name));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.field(name, |json| json.text(text));
    }

    fn float(&mut self, name: &str, number: Option<f64>) {
        if let Some(number) = number {
            self.field(name, |json| json.float(number));
        }
    }

    fn texts(&mut self, name: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.field(name, |json| json.list(texts, |json, text| json.text(text)));
        }
    }
}

/// The body that `fill` writes, with what the caller has added to it.
fn body(request: &Request, fill: impl FnOnce(&mut Body<'_>)) -> String {
    let mut json = Writer::default();
    json.object(|json| {
        fill(&mut Body { json, request });
        for (name, value) in &request.extra {
            json.key(name).raw(value.as_str());
        }
    });
    json.into_text()
}

/// Reads a provider's JSON; what is not understood is shown as far as a person would read it.
fn read_json<'a, T>(
    what: &str,
    json: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Stopped>,
) -> Result<T> {
    let read = Reader::of_bytes(json).and_then(|mut reader| {
        let value = read(&mut reader);
        let whole = value.and_then(|value| reader.end().map(|()| value));
        whole.map_err(|Stopped| reader.malformed())
    });
    read.map_err(|malformed| foreign(what, json, malformed))
}

#[cold]
fn foreign(what: &str, json: &[u8], malformed: Malformed) -> Error {
    let shown = quote(&String::from_utf8_lossy(json.get(..200).unwrap_or(json)));
    Error::decode([what, " is not what the provider's dialect says: ", &shown].concat())
        .with_source(malformed)
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "anthropic" => Ok(Self::Anthropic),
            "openai" => Ok(Self::OpenAi),
            _ => Err(Error::config(format!(
                "unknown provider {}: it is \"anthropic\" or \"openai\" (for servers that speak \
                 like OpenAI, \"openai\" with their base URL)",
                quote(name)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_sent_with_its_fields_in_their_order() {
        let schema = r#"{"type":"object","properties":{"why":{},"verdict":{},"a":{}}}"#;
        let tool = format!(r#"{{"name":"t","input_schema":{schema}}}"#);
        let request = format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{tool}],
                "output_schema":{{"name":"o","schema":{schema}}},"extra":{{"z":null,"b":{schema}}}}}"#
        );
        let request = Request::from_json(&request).unwrap();
        for provider in [Provider::Anthropic, Provider::OpenAi] {
            let body = provider.encode(&request, "m", false, true).unwrap();
            let body = std::str::from_utf8(&body).unwrap();
            assert_eq!(body.matches(schema).count(), 3, "{body}");
            assert!(
                body.ends_with(&format!(r#""z":null,"b":{schema}}}"#)),
                "{body}"
            );
        }
    }
}
