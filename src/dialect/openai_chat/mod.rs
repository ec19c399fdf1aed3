//! OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>) and the servers that speak like it,
//! whose differences are met here.

mod pieces;
mod reply;
mod request;
mod stream;
mod wire;

use super::codec::{Codec, StreamState};
use super::{Dialect, EncodeOptions, RequestFacts};
use crate::{DialectName, Reply, Request, Result};

/// The limit that is assumed of a model that is in no list, and whose price is a guess: one that were put aside for all that
/// any model can write would refuse every call to a server of one's own.
const UNKNOWN_MAX_OUTPUT: u64 = 4096;

/// OpenAI's [Chat Completions API](https://platform.openai.com/docs/api-reference/chat), and that of the many servers that
/// are compatible with it.
///
/// ```
/// use warmline::Request;
/// use warmline::dialect::{Dialect, EncodeOptions, OpenAiChat};
///
/// let request = Request::new().user("Hello").max_tokens(9);
/// let options = EncodeOptions::new("m");
/// let own = OpenAiChat::default().encode(&request, &options)?;
/// assert!(own.body.windows(21).any(|w| w == b"max_completion_tokens"));
/// let other = OpenAiChat::compatible().encode(&request, &options)?;
/// assert!(!other.body.windows(21).any(|w| w == b"max_completion_tokens"));
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OpenAiChat {
    /// Whether the limit is sent as `max_completion_tokens`, which OpenAI's newer models demand, rather than as `max_tokens`,
    /// which is all that many other servers know. The default is true.
    pub max_completion_tokens: bool,
}

impl Default for OpenAiChat {
    fn default() -> Self {
        Self {
            max_completion_tokens: true,
        }
    }
}

impl OpenAiChat {
    /// Returns the dialect as most compatible servers understand it: with `max_tokens`.
    ///
    /// ```
    /// assert!(!warmline::dialect::OpenAiChat::compatible().max_completion_tokens);
    /// ```
    pub fn compatible() -> Self {
        Self {
            max_completion_tokens: false,
        }
    }
}

impl Dialect for OpenAiChat {
    fn name(&self) -> DialectName {
        DialectName::OpenAiChat
    }

    fn max_output_tokens(&self, facts: &RequestFacts, model_max: Option<u64>) -> u64 {
        // Of the older name and the newer one a server may know either. One that only some servers know can let a model write
        // more, but is not relied on for less.
        let asked = facts.max_tokens.max(facts.max_completion_tokens);
        // Some servers read 0 as no limit.
        let asked = asked.filter(|tokens| *tokens > 0);
        let most = asked.or(model_max).unwrap_or(UNKNOWN_MAX_OUTPUT);
        most.max(facts.other_limit)
    }

    /// <https://platform.openai.com/docs/guides/images-vision>: gpt-4o-mini's 2,833 and 5,667 for each of at most 8 tiles.
    fn max_image_tokens(&self) -> u64 {
        50_000
    }

    /// Servers cache as they like.
    fn may_write_cache(&self, _facts: &RequestFacts) -> bool {
        true
    }
}

impl Codec for OpenAiChat {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("content-type", "application/json")]
    }

    fn body(&self, request: &Request, options: &EncodeOptions<'_>) -> Result<String> {
        request::encode(self.max_completion_tokens, request, options)
    }

    fn reply(&self, body: &str, request_id: Option<&str>) -> Result<Reply> {
        reply::decode(body, request_id)
    }

    fn stream_state(&self) -> Box<dyn StreamState> {
        Box::new(stream::State::default())
    }

    fn asks_for_usage(&self) -> bool {
        true
    }
}
