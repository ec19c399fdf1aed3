//! Providers: who is called, at which URL, in which dialect and with which credentials.

mod endpoint;

use std::str::FromStr;
use std::sync::Arc;

pub(crate) use self::endpoint::{Endpoint, scheme, shown};
use crate::dialect::{self, Dialect};
use crate::quote::quote;
use crate::{DialectName, Error, Provider, Result};

impl Provider {
    /// Where its API lives when nothing else is said.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::Anthropic.default_base_url(), "https://api.anthropic.com");
    /// ```
    pub fn default_base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }

    /// The model when nothing else is said: one of middling size and price.
    ///
    /// ```
    /// assert!(warmline::Provider::Anthropic.default_model().starts_with("claude"));
    /// ```
    pub fn default_model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-sonnet-4-5",
            Self::OpenAi => "gpt-4.1",
        }
    }

    /// The environment variable that holds the key.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.key_variable(), "OPENAI_API_KEY");
    /// ```
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }

    /// The environment variable that holds another base URL.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.base_url_variable(), "OPENAI_BASE_URL");
    /// ```
    pub fn base_url_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::OpenAi => "OPENAI_BASE_URL",
        }
    }

    /// Returns the dialect that it speaks. `is_first_party` says that the provider itself is at the other end rather than a
    /// server that is compatible with it.
    ///
    /// # Errors
    /// `Config` where the crate was built without the dialect.
    pub(crate) fn dialect(self, is_first_party: bool) -> Result<Arc<dyn Dialect>> {
        let _ = is_first_party;
        match self {
            #[cfg(feature = "anthropic")]
            Self::Anthropic => Ok(Arc::new(dialect::Anthropic)),
            #[cfg(feature = "openai-chat")]
            Self::OpenAi if is_first_party => Ok(Arc::new(dialect::OpenAiChat::default())),
            #[cfg(feature = "openai-chat")]
            Self::OpenAi => Ok(Arc::new(dialect::OpenAiChat::compatible())),
            #[allow(unreachable_patterns)]
            _ => Err(Error::config(format!(
                "this build does not have the dialect of {self}: turn on the crate's feature `{}`",
                self.dialect_name()
            ))),
        }
    }

    fn dialect_name(self) -> DialectName {
        match self {
            Self::Anthropic => DialectName::Anthropic,
            Self::OpenAi => DialectName::OpenAiChat,
        }
    }

    /// The header that holds the credentials. An empty key sends none: local servers often want none.
    pub(crate) fn credentials(self, key: &str) -> Option<(String, String)> {
        match self {
            _ if key.is_empty() => None,
            Self::Anthropic => Some(("x-api-key".into(), key.to_owned())),
            Self::OpenAi => Some(("authorization".into(), ["Bearer ", key].concat())),
        }
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "anthropic" => Ok(Self::Anthropic),
            "openai" => Ok(Self::OpenAi),
            _ => Err(Error::config(format!(
                "unknown provider {}: it is \"anthropic\" or \"openai\" (for servers that speak \
                 like OpenAI, \"openai\" with their base URL)",
                quote(name)
            ))),
        }
    }
}
