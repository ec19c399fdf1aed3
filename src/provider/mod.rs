//! Wire dialects, one file each, without IO: a [`Request`] to bytes, bytes to a [`Reply`], chunks to
//! [`StreamEvent`]s, an error response to an [`Error`]. None awaits or knows the target, so that one set of
//! test vectors proves them on every runtime.

mod accumulator;
mod anthropic;
mod endpoint;
mod error;
mod openai;
mod stream;
mod wire;

use std::str::FromStr;

use bytes::Bytes;

pub(crate) use self::anthropic::DEFAULT_MAX_TOKENS;
pub(crate) use self::endpoint::{Endpoint, scheme, shown};
pub(crate) use self::error::decode_error;
pub(crate) use self::stream::StreamDecoder;
use crate::json::quote;
use crate::{Error, Provider, Reply, Request, Result};
use http::HeaderMap;

impl Provider {
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

    /// The request's body. `is_first_party` says that the provider itself is at the other end rather than
    /// a server that speaks like it.
    pub(crate) fn encode(
        self,
        request: &Request,
        model: &str,
        stream: bool,
        is_first_party: bool,
    ) -> Result<Bytes> {
        request.validate()?;
        let body = match self {
            Self::Anthropic => anthropic::encode(request, model, stream),
            Self::OpenAi => openai::encode(request, model, stream, is_first_party),
        }?;
        Ok(body.into())
    }

    /// A whole reply that was not streamed.
    pub(crate) fn decode(self, headers: HeaderMap, body: Bytes) -> Result<Reply> {
        let mut reply = match self {
            Self::Anthropic => anthropic::decode(&headers, &body),
            Self::OpenAi => openai::decode(&headers, &body),
        }?;
        reply.request_id = wire::request_id(&headers);
        reply.headers = headers;
        reply.raw = Some(body);
        Ok(reply)
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
                "response_format":{{"name":"o","schema":{schema}}},"extra_body":{{"z":null,"b":{schema}}}}}"#
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
