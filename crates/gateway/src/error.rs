//! Why a gateway cannot be made.

use std::fmt;

/// Why a gateway cannot be configured as asked. The message names the value and what is accepted instead; it never contains a key.
///
/// ```
/// let error = "gateway:8787".parse::<warmline_gateway::AllowedHost>().unwrap_err();
/// assert!(error.to_string().starts_with("\"gateway:8787\" is not a host"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
