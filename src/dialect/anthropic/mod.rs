//! Anthropic's Messages API: <https://docs.claude.com/en/api/messages> and
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>.

mod other;
mod reply;
pub(super) mod request;
mod stream;

use super::codec::{Codec, StreamState};
use super::facts::{self, Fields};
use super::{Dialect, EncodeOptions, RequestFacts};
use crate::headers::{self, Known};
use crate::{DialectName, Reply, Request, Result};

/// Anthropic's [Messages API](https://docs.claude.com/en/api/messages).
///
/// ```
/// use warmline::Request;
/// use warmline::dialect::{Anthropic, Dialect, EncodeOptions};
///
/// let request = Request::new().user("Hello");
/// let encoded = Anthropic.encode(&request, &EncodeOptions::new("claude-sonnet-4-5"))?;
/// assert_eq!(encoded.path, "/v1/messages");
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Anthropic;

impl Dialect for Anthropic {
    fn name(&self) -> DialectName {
        DialectName::Anthropic
    }

    fn max_output_tokens(&self, facts: &RequestFacts, model_max: Option<u64>) -> u64 {
        // The API requires the limit, and has no other name for it. A limit that only some servers know can raise the maximum,
        // never lower it.
        let default = model_max.unwrap_or(request::DEFAULT_MAX_TOKENS.into());
        let others = facts
            .max_completion_tokens
            .unwrap_or(0)
            .max(facts.other_limit);
        let own = facts.max_tokens.unwrap_or(default);
        facts.with_reasoning(own, own.max(others))
    }

    /// <https://docs.claude.com/en/docs/build-with-claude/vision>: at most 4,784 at high resolution.
    fn max_image_tokens(&self) -> u64 {
        5_000
    }

    /// The cache is written only on request, and between the rounds of tools that the provider runs.
    fn may_write_cache(&self, facts: &RequestFacts) -> bool {
        facts.cached || facts.more_input
    }
}

impl Codec for Anthropic {
    fn fields(&self) -> Fields {
        facts::ANTHROPIC
    }

    fn headers(&self) -> &'static [(&'static Known, &'static str)] {
        // https://docs.claude.com/en/api/versioning
        static OWN: [(&Known, &str); 2] = [
            (&headers::CONTENT_TYPE, "application/json"),
            (&headers::ANTHROPIC_VERSION, "2023-06-01"),
        ];
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
}
