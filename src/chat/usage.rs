use serde::{Deserialize, Serialize};

/// The number of tokens that a call used, as the provider counts them.
///
/// Anthropic's `input_tokens` exclude cached tokens
/// (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>), and OpenAI's `prompt_tokens` include them
/// (<https://platform.openai.com/docs/guides/prompt-caching>). [`Usage::input_includes_cache`] records which applies;
/// [`Usage::total_input_tokens`] and [`Usage::uncached_input_tokens`] have the same meaning for both.
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
    /// Prompt tokens, with or without cached ones; see [`Usage::input_includes_cache`].
    pub input_tokens: u64,
    /// Tokens that the model generated, including reasoning.
    pub output_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Prompt tokens written to the provider's cache, with any lifetime.
    pub cache_write_tokens: u64,
    /// The part of `cache_write_tokens` that is cached for an hour, at a higher price.
    pub cache_write_1h_tokens: u64,
    /// The part of `output_tokens` that was reasoning, if the provider reports it.
    pub reasoning_tokens: u64,
    /// The part of the prompt tokens that was audio, if the provider reports it.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input_tokens: u64,
    /// The part of `output_tokens` that was audio, if the provider reports it.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_output_tokens: u64,
    /// The number of web searches that the provider made and charges for, if it reports them.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_search_requests: u64,
    /// Whether `input_tokens` includes cached tokens: `true` for OpenAI, `false` for Anthropic.
    pub input_includes_cache: bool,
}

impl Usage {
    /// Returns the number of prompt tokens, including cached ones.
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

    /// Returns the number of prompt tokens that were neither read from nor written to the cache.
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

    /// Adds the counts of another usage, which must come from the same provider.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.cache_write_1h_tokens, other.cache_write_1h_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.audio_input_tokens, other.audio_input_tokens),
            (&mut self.audio_output_tokens, other.audio_output_tokens),
            (&mut self.web_search_requests, other.web_search_requests),
        ] {
            *sum = sum.saturating_add(count);
        }
        self.input_includes_cache = other.input_includes_cache;
    }

    fn cached(&self) -> u64 {
        self.cache_read_tokens
            .saturating_add(self.cache_write_tokens)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
