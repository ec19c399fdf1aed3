use std::fmt;

use serde::{Deserialize, Serialize};

/// The provider whose API a client calls.
///
/// For servers with an OpenAI-compatible API (such as vLLM, Ollama, Groq, DeepSeek or OpenRouter), use
/// [`Provider::OpenAi`] and set [`ClientBuilder::base_url`](crate::ClientBuilder::base_url).
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
    /// Returns the provider's name, as it is used in JSON, in `LLM_PROVIDER` and in traces.
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
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a wire format.
///
/// ```
/// assert_eq!(warmline::DialectName::OpenAiChat.name(), "openai-chat");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DialectName {
    /// Anthropic's Messages API.
    #[serde(rename = "anthropic")]
    Anthropic,
    /// OpenAI's Chat Completions API.
    #[serde(rename = "openai-chat")]
    OpenAiChat,
}

impl DialectName {
    /// The name in JSON and in messages.
    ///
    /// ```
    /// assert_eq!(warmline::DialectName::Anthropic.name(), "anthropic");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAiChat => "openai-chat",
        }
    }

    /// The provider whose own it is.
    pub(crate) fn provider(self) -> Provider {
        match self {
            Self::Anthropic => Provider::Anthropic,
            Self::OpenAiChat => Provider::OpenAi,
        }
    }
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
