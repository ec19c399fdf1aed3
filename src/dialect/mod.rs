//! Wire formats as codecs without IO. They encode a [`Request`] as an HTTP request, and decode a response as
//! a [`Reply`] and the bytes of a stream as [`StreamEvent`](crate::StreamEvent)s.
//!
//! [`Client`](crate::Client) uses them. You can use them with a transport of your own. None of them awaits, reads a clock or
//! depends on the target. Each has a cargo feature of its name, which is on by default.
//!
//! ```
//! use warmline::dialect::{Dialect, EncodeOptions, OpenAiChat};
//! use warmline::Request;
//!
//! let dialect = OpenAiChat::default();
//! let request = Request::new().user("Hello");
//! let encoded = dialect.encode(&request, &EncodeOptions::new("gpt-4.1"))?;
//! assert_eq!(encoded.path, "/chat/completions");
//! // Send it to the server's base URL plus that path, with credentials. Then decode the response:
//! let body = br#"{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "stop"}]}"#;
//! let reply = dialect.decode(http::HeaderMap::new(), body.as_slice().into())?;
//! assert_eq!(reply.text(), "Hi!");
//! # Ok::<(), warmline::Error>(())
//! ```

#![cfg_attr(
    not(all(
        feature = "anthropic",
        feature = "openai-chat",
        feature = "openai-responses"
    )),
    allow(dead_code, reason = "each dialect uses a part of what they share")
)]

#[cfg(not(any(
    feature = "anthropic",
    feature = "openai-chat",
    feature = "openai-responses"
)))]
compile_error!(
    "warmline needs at least one of its features `anthropic`, `openai-chat` and `openai-responses`"
);

mod accumulator;
#[cfg(feature = "anthropic")]
mod anthropic;
mod codec;
mod count;
mod error;
mod facts;
#[cfg(any(feature = "openai-chat", feature = "openai-responses"))]
mod in_place;
mod models;
#[cfg(feature = "openai-chat")]
mod openai_chat;
#[cfg(any(feature = "openai-chat", feature = "openai-responses"))]
mod openai_parts;
#[cfg(feature = "openai-responses")]
mod openai_responses;
mod options;
mod stream;
mod strict;
mod usage;
mod wire;

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

#[cfg(feature = "anthropic")]
pub use self::anthropic::Anthropic;
pub(crate) use self::count::{count_body, count_path, read_count};
pub(crate) use self::error::decode_error;
pub use self::facts::RequestFacts;
pub(crate) use self::models::ModelPage;
#[cfg(feature = "openai-chat")]
pub use self::openai_chat::OpenAiChat;
#[cfg(feature = "openai-responses")]
pub use self::openai_responses::OpenAiResponses;
pub use self::options::{EncodeOptions, Encoded};
pub use self::stream::StreamDecoder;
pub(crate) use self::stream::{MAX_REPLY_BYTES, RAISE_MAX_REPLY};
pub(crate) use self::wire::{fields_of, request_id};
use crate::runtime::{MaybeSend, MaybeSync};
use crate::{DialectName, Error, Reply, Request, Result};

/// <https://platform.openai.com/docs/guides/images-vision>: gpt-4o-mini's 2,833 and 5,667 for each of at most 8 tiles.
#[cfg(any(feature = "openai-chat", feature = "openai-responses"))]
const MAX_OPENAI_IMAGE_TOKENS: u64 = 50_000;

/// A wire format. The trait is sealed: only this crate implements it.
///
/// ```
/// use warmline::DialectName;
/// use warmline::dialect::{Anthropic, Dialect};
///
/// let dialect: &dyn Dialect = &Anthropic;
/// assert_eq!(dialect.name(), DialectName::Anthropic);
/// ```
pub trait Dialect: codec::Codec + fmt::Debug + MaybeSend + MaybeSync {
    /// Returns the name of the dialect.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// assert_eq!(OpenAiChat::default().name().name(), "openai-chat");
    /// ```
    fn name(&self) -> DialectName;

    /// Encodes a request.
    ///
    /// # Errors
    /// `Config` if the request is invalid, or contains something that this dialect cannot express.
    ///
    /// ```
    /// # use warmline::Request;
    /// # use warmline::dialect::{Anthropic, Dialect, EncodeOptions};
    /// let encoded = Anthropic.encode(&Request::new().user("Hi"), &EncodeOptions::new("claude-sonnet-4-5"))?;
    /// assert_eq!(encoded.headers["anthropic-version"], "2023-06-01");
    /// # Ok::<(), warmline::Error>(())
    /// ```
    fn encode(&self, request: &Request, options: &EncodeOptions<'_>) -> Result<Encoded> {
        request.validate()?;
        let mut headers = HeaderMap::new();
        for &(known, value) in self.headers() {
            headers.insert(&known.name, HeaderValue::from_static(value));
        }
        Ok(Encoded {
            method: Method::POST,
            path: self.name().path(),
            headers,
            body: self.body(request, options)?.into(),
        })
    }

    /// Decodes the body of a unary response.
    ///
    /// # Errors
    /// `Decode` if the body is not a reply. If the body contains an error, that error is returned.
    ///
    /// ```
    /// # use warmline::dialect::{Anthropic, Dialect};
    /// let body = br#"{"content": [{"type": "text", "text": "Hi!"}], "stop_reason": "end_turn"}"#;
    /// let reply = Anthropic.decode(http::HeaderMap::new(), body.as_slice().into())?;
    /// assert_eq!(reply.text(), "Hi!");
    /// # Ok::<(), warmline::Error>(())
    /// ```
    fn decode(&self, headers: HeaderMap, body: Bytes) -> Result<Reply> {
        let request_id = wire::request_id(&headers);
        let text = wire::text_of(&body);
        let mut reply = self.reply(&text, request_id.as_deref())?;
        drop(text);
        reply.request_id = request_id;
        reply.headers = headers;
        reply.raw = Some(body);
        Ok(reply)
    }

    /// Decodes a response with an error status. A date in `retry-after` is compared with `now`.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let body = br#"{"error": {"message": "no such model"}}"#;
    /// let error = OpenAiChat::default().decode_error(404, &http::HeaderMap::new(), body, std::time::SystemTime::now());
    /// assert!(error.message().starts_with("404: no such model"));
    /// ```
    fn decode_error(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Error {
        decode_error(status, headers, body, now)
    }

    /// Returns a decoder for a streamed response with these headers.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// decoder.feed("data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\n\n".into());
    /// assert!(decoder.next_event().is_some());
    /// ```
    fn decode_stream(&self, headers: HeaderMap) -> StreamDecoder {
        StreamDecoder::new(self.name(), self.stream_state(), headers)
    }

    /// Reads from a request's body what its maximum cost depends on.
    ///
    /// # Errors
    /// `Config` if the body is not one JSON object, or if servers could read it in different ways that affect its cost.
    ///
    /// ```
    /// # use warmline::dialect::{Anthropic, Dialect};
    /// let facts = Anthropic.facts(br#"{"model": "m", "max_tokens": 5}"#)?;
    /// assert_eq!(facts.max_tokens, Some(5));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    fn facts(&self, body: &[u8]) -> Result<RequestFacts> {
        let ask = self.asking().map(|asking| asking.field);
        RequestFacts::read(self.fields(), ask, body)
    }

    /// Returns the maximum number of output tokens of each reply to a request. `model_max` is the model's own maximum, if it is
    /// known.
    ///
    /// ```
    /// # use warmline::dialect::{Anthropic, Dialect};
    /// let facts = Anthropic.facts(br#"{"max_tokens": 5}"#)?;
    /// assert_eq!(Anthropic.max_output_tokens(&facts, Some(64_000)), 5);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    fn max_output_tokens(&self, facts: &RequestFacts, model_max: Option<u64>) -> u64;

    /// Returns the maximum number of tokens of one image.
    ///
    /// ```
    /// # use warmline::dialect::{Anthropic, Dialect};
    /// assert_eq!(Anthropic.max_image_tokens(), 5_000);
    /// ```
    fn max_image_tokens(&self) -> u64;

    /// Returns whether the provider may charge for writing the prompt to its cache.
    ///
    /// ```
    /// # use warmline::dialect::{Anthropic, Dialect};
    /// let facts = Anthropic.facts(br#"{"max_tokens": 5}"#)?;
    /// assert!(!Anthropic.may_write_cache(&facts));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    fn may_write_cache(&self, facts: &RequestFacts) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "openai-chat")]
    fn a_limit_of_no_tokens_is_no_limit() {
        let dialect = OpenAiChat::default();
        for body in ["{}", r#"{"max_tokens": 0, "max_completion_tokens": null}"#] {
            let facts = dialect.facts(body.as_bytes()).unwrap();
            assert_eq!(dialect.max_output_tokens(&facts, Some(64_000)), 64_000);
        }
    }

    #[test]
    #[cfg(all(feature = "anthropic", feature = "openai-chat"))]
    fn a_schema_is_sent_with_its_fields_in_their_order() {
        let schema = r#"{"type":"object","properties":{"why":{},"verdict":{},"a":{}}}"#;
        let tool = format!(r#"{{"name":"t","input_schema":{schema}}}"#);
        let request = format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{tool}],
                "response_format":{{"name":"o","schema":{schema}}},"extra_body":{{"z":null,"b":{schema}}}}}"#
        );
        let dialects: [&dyn Dialect; 2] = [&Anthropic, &OpenAiChat::default()];
        for request in [
            Request::from_json(&request).unwrap(),
            serde_json::from_str(&request).unwrap(),
        ] {
            for dialect in dialects {
                let encoded = dialect.encode(&request, &EncodeOptions::new("m")).unwrap();
                let body = std::str::from_utf8(&encoded.body).unwrap();
                assert_eq!(body.matches(schema).count(), 3, "{body}");
                assert!(
                    body.ends_with(&format!(r#""z":null,"b":{schema}}}"#)),
                    "{body}"
                );
            }
        }
    }
}
