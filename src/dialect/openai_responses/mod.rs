//! OpenAI's Responses API (<https://platform.openai.com/docs/api-reference/responses>) and the differences of compatible
//! servers.

mod item;
mod reply;
mod request;
mod stream;
mod wire;

use super::codec::{Asking, Codec, StreamState};
use super::facts::{self, Fields, UNKNOWN_MAX_OUTPUT};
use super::{Dialect, EncodeOptions, MAX_OPENAI_IMAGE_TOKENS, RequestFacts};
use crate::headers::{self, Known};
use crate::{DialectName, Reply, Request, Result};

/// OpenAI's [Responses API](https://platform.openai.com/docs/api-reference/responses) and that of compatible servers.
///
/// Requests are stateless by default: the provider stores nothing (`store: false`), and returns its reasoning encrypted, which is sent
/// back with the conversation.
///
/// ```
/// use warmline::Request;
/// use warmline::dialect::{Dialect, EncodeOptions, OpenAiResponses};
///
/// let request = Request::new().user("Hello");
/// let encoded = OpenAiResponses.encode(&request, &EncodeOptions::new("gpt-4.1"))?;
/// assert_eq!(encoded.path, "/responses");
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn name(&self) -> DialectName {
        DialectName::OpenAiResponses
    }

    /// `max_output_tokens` includes reasoning. Some servers read 0 as no limit, and a limit that only some servers know can raise the
    /// maximum, never lower it.
    fn max_output_tokens(&self, facts: &RequestFacts, model_max: Option<u64>) -> u64 {
        let own = match facts.max_tokens.unwrap_or(0) {
            0 => model_max.unwrap_or(UNKNOWN_MAX_OUTPUT),
            own => own,
        };
        facts.with_reasoning(own, own.max(facts.other_limit))
    }

    fn max_image_tokens(&self) -> u64 {
        MAX_OPENAI_IMAGE_TOKENS
    }

    /// Servers decide by themselves what to cache.
    fn may_write_cache(&self, _facts: &RequestFacts) -> bool {
        true
    }
}

impl Codec for OpenAiResponses {
    fn fields(&self) -> Fields {
        facts::OPENAI_RESPONSES
    }

    fn headers(&self) -> &'static [(&'static Known, &'static str)] {
        static OWN: [(&Known, &str); 1] = [(&headers::CONTENT_TYPE, "application/json")];
        &OWN
    }

    fn body(&self, request: &Request, options: &EncodeOptions<'_>) -> Result<String> {
        request::encode(request, options)
    }

    fn reply(&self, body: &str, request_id: Option<&str>) -> Result<Reply> {
        reply::decode(body, request_id)
    }

    fn stream_state(&self) -> Box<dyn StreamState> {
        Box::new(stream::State::default())
    }

    fn asking(&self) -> Option<&'static Asking> {
        // Without it a stateless conversation loses its reasoning
        // (https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items). Some models that do not reason refuse it:
        // "Encrypted content is not supported with this model".
        static REASONING: Asking = Asking {
            field: r#""include":["reasoning.encrypted_content"],"#,
            refused_by: &[
                "reasoning.encrypted_content",
                "Encrypted content is not supported",
                "\"include\"",
            ],
            only_streams: false,
            to_passthrough: false,
        };
        Some(&REASONING)
    }

    fn without_reasoning(&self, body: &[u8]) -> Option<String> {
        request::without_reasoning(body)
    }
}
