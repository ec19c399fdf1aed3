use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::quote::quote;
use crate::{Error, Result};

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

            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

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
    /// OpenAI's Responses API (<https://platform.openai.com/docs/api-reference/responses>).
    OpenAiResponses "openai-responses" "/responses"
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DialectName {
    type Err = Error;

    /// # Errors
    /// `Config` if no dialect has the name. The message lists all names.
    fn from_str(name: &str) -> Result<Self> {
        let mut all = Self::ALL.iter().copied();
        let found = all.find(|dialect| dialect.name().eq_ignore_ascii_case(name.trim()));
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|dialect| dialect.name()).collect();
            let message = [
                "unknown dialect ",
                &quote(name),
                ": it must be one of ",
                &known.join(", "),
            ];
            Error::config(message.concat())
        })
    }
}
