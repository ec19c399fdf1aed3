//! OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>) and the differences of compatible
//! servers.

mod pieces;
mod reply;
pub(super) mod request;
mod stream;
mod wire;

use std::fmt;

use super::codec::{Asking, Codec, StreamState};
use super::facts::{self, Fields, UNKNOWN_MAX_OUTPUT};
use super::{Dialect, EncodeOptions, MAX_OPENAI_IMAGE_TOKENS, RequestFacts};
use crate::headers::{self, Known};
use crate::{DialectName, Reply, Request, Result};

/// OpenAI's [Chat Completions API](https://platform.openai.com/docs/api-reference/chat) and that of compatible servers.
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
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct OpenAiChat {
    /// Whether the limit is sent as `max_completion_tokens`, which OpenAI's newer models require. If false, it is sent as
    /// `max_tokens`, the only name that many other servers accept. The default is true.
    pub max_completion_tokens: bool,
}

/// Not derived: the module for WebAssembly has no other use of std's indented `Debug`.
impl fmt::Debug for OpenAiChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.max_completion_tokens;
        write!(f, "OpenAiChat {{ max_completion_tokens: {tokens} }}")
    }
}

impl Default for OpenAiChat {
    fn default() -> Self {
        Self {
            max_completion_tokens: true,
        }
    }
}

impl OpenAiChat {
    /// Returns the dialect of most compatible servers, which sends `max_tokens`.
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
        // A server may know only one of the two names. A limit that only some servers know can raise the maximum, never lower
        // it.
        // Some servers read 0 as no limit.
        let one = facts.max_tokens.unwrap_or(0);
        let other = facts.max_completion_tokens.unwrap_or(0);
        let (mut least, mut most) = (one.min(other), one.max(other));
        if most == 0 {
            most = model_max.unwrap_or(UNKNOWN_MAX_OUTPUT);
        }
        if least == 0 {
            least = most;
        }
        facts.with_reasoning(least, most.max(facts.other_limit))
    }

    fn max_image_tokens(&self) -> u64 {
        MAX_OPENAI_IMAGE_TOKENS
    }

    /// Servers decide by themselves what to cache.
    fn may_write_cache(&self, _facts: &RequestFacts) -> bool {
        true
    }
}

impl Codec for OpenAiChat {
    fn fields(&self) -> Fields {
        facts::OPENAI_CHAT
    }

    fn headers(&self) -> &'static [(&'static Known, &'static str)] {
        static OWN: [(&Known, &str); 1] = [(&headers::CONTENT_TYPE, "application/json")];
        &OWN
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

    fn asking(&self) -> Option<&'static Asking> {
        // A stream reports its usage only on request
        // (https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options).
        static USAGE: Asking = Asking {
            field: r#""stream_options":{"include_usage":true},"#,
            refused_by: &["stream_options"],
            only_streams: true,
            to_passthrough: true,
        };
        Some(&USAGE)
    }
}
