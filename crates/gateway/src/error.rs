//! Why a gateway cannot be made.

use std::fmt;
use std::path::Path;

use warmline::may_be_secret;

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

/// Shows the path of a file in a message. One that does not exist can be a key, given by mistake in place of its file, and is not shown then.
#[doc(hidden)] // For `warmline serve`.
pub fn shown_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_secret = text.split(['/', '\\']).any(may_be_secret);
    match is_secret && !path.exists() {
        true => "a path that is not shown, because it may be a key".to_owned(),
        false => text.escape_debug().take(4096).collect(),
    }
}
