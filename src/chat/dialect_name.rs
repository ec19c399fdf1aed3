use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! dialects {
    ($($(#[$docs:meta])* $variant:ident $name:literal $path:literal)*) => {
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
            $($(#[$docs])* #[serde(rename = $name)] $variant,)*
        }

        impl DialectName {
            /// Returns the name, such as `openai-chat`.
            ///
            /// ```
            /// assert_eq!(warmline::DialectName::Anthropic.name(), "anthropic");
            /// ```
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The path of its endpoint, as its official SDKs call it.
            pub(crate) fn endpoint(self) -> String {
                match self.path() {
                    path if path.starts_with("/v1/") => path.to_owned(),
                    path => ["/v1", path].concat(),
                }
            }

            /// The path below the base URL to which a chat is sent.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Self::$variant => $path,)*
                }
            }
        }
    };
}

// The name of each dialect, which is also that of its cargo feature, and its path.
dialects! {
    /// Anthropic's Messages API (<https://docs.claude.com/en/api/messages>).
    Anthropic "anthropic" "/v1/messages"
    /// OpenAI's Chat Completions API (<https://platform.openai.com/docs/api-reference/chat>).
    OpenAiChat "openai-chat" "/chat/completions"
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
