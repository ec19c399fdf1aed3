use serde::{Deserialize, Serialize};

/// The tokens that a call used, in the provider's own counts.
///
/// The one difference that money hangs on is kept, not hidden: Anthropic's `input_tokens` leave the
/// cached ones out (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>), OpenAI's
/// `prompt_tokens` hold them (<https://platform.openai.com/docs/guides/prompt-caching>).
/// [`Usage::total_input_tokens`] means the same for both.
///
/// ```
/// use warmline::Usage;
///
/// let anthropic = Usage { input_tokens: 12, cache_read_tokens: 100, ..Default::default() };
/// let openai = Usage { input_tokens: 112, cache_read_tokens: 100, input_includes_cache: true, ..Default::default() };
/// assert_eq!(anthropic.total_input_tokens(), openai.total_input_tokens());
/// assert_eq!(anthropic.uncached_input_tokens(), openai.uncached_input_tokens());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens in the prompt, as the provider counts them.
    pub input_tokens: u64,
    /// Tokens that the model wrote, thoughts included.
    pub output_tokens: u64,
    /// Prompt tokens that came from the provider's cache.
    pub cache_read_tokens: u64,
    /// Prompt tokens that were put into the provider's cache, for any lifetime.
    pub cache_write_tokens: u64,
    /// The part of `cache_write_tokens` that is kept for an hour, which costs more.
    pub cache_write_1h_tokens: u64,
    /// The part of `output_tokens` that was thought, where the provider says so.
    pub reasoning_tokens: u64,
    /// `input_tokens` holds the cached ones too (OpenAI), rather than standing beside them (Anthropic).
    pub input_includes_cache: bool,
}

impl Usage {
    /// All prompt tokens, cached or not.
    ///
    /// ```
    /// # use warmline::Usage;
    /// let usage = Usage { input_tokens: 5, cache_write_tokens: 2, ..Default::default() };
    /// assert_eq!(usage.total_input_tokens(), 7);
    /// ```
    pub fn total_input_tokens(&self) -> u64 {
        if self.input_includes_cache {
            self.input_tokens
        } else {
            self.input_tokens.saturating_add(self.cached())
        }
    }

    /// The prompt tokens that no cache had a part in.
    ///
    /// ```
    /// # use warmline::Usage;
    /// let usage = Usage { input_tokens: 5, cache_read_tokens: 2, input_includes_cache: true, ..Default::default() };
    /// assert_eq!(usage.uncached_input_tokens(), 3);
    /// ```
    pub fn uncached_input_tokens(&self) -> u64 {
        if self.input_includes_cache {
            self.input_tokens.saturating_sub(self.cached())
        } else {
            self.input_tokens
        }
    }

    /// Sums up. What one count holds must be what the other's does, as of one provider's.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.cache_write_1h_tokens, other.cache_write_1h_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.input_includes_cache = other.input_includes_cache;
    }

    fn cached(&self) -> u64 {
        self.cache_read_tokens
            .saturating_add(self.cache_write_tokens)
    }
}
