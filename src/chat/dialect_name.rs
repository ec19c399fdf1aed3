use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a wire format: how requests and replies are written.
///
/// ```
/// use warmline::{DialectName, Provider};
///
/// assert_eq!(Provider::Groq.dialect_name(), DialectName::OpenAiChat);
/// assert_eq!(DialectName::OpenAiChat.to_string(), "openai-chat");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DialectName {
    /// Anthropic's Messages API (<https://docs.claude.com/en/api/messages>).
    #[serde(rename = "anthropic")]
    Anthropic,
    /// OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>).
    #[serde(rename = "openai-chat")]
    OpenAiChat,
}

impl DialectName {
    /// Returns the name, such as `openai-chat`.
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

    /// The path below the base URL to which a chat is sent.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "/v1/messages",
            Self::OpenAiChat => "/chat/completions",
        }
    }
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
