//! The public properties of a provider, read from its row.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::table::{ALL, ROWS, Row};
use crate::dialect::{self, Dialect};
use crate::quote::quote;
use crate::{DialectName, Error, Provider, Result};

impl Provider {
    /// Returns every provider, in the order in which a key in the environment selects one.
    ///
    /// ```
    /// use warmline::Provider;
    ///
    /// assert_eq!(Provider::all().next(), Some(Provider::Anthropic));
    /// let ids: Vec<_> = Provider::all().map(Provider::name).collect();
    /// assert!(ids.contains(&"bedrock-anthropic"));
    /// ```
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        ALL.iter().copied()
    }

    pub(crate) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns the id, as the environment, JSON, the command line and traces have it.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.name(), "openai");
    /// ```
    pub fn name(self) -> &'static str {
        self.row().id
    }

    /// Returns the default wire format, which is the first of [`Provider::dialect_names`].
    ///
    /// ```
    /// # use warmline::{DialectName, Provider};
    /// assert_eq!(Provider::BedrockAnthropic.dialect_name(), DialectName::Anthropic);
    /// ```
    pub fn dialect_name(self) -> DialectName {
        // Every row has one.
        let first = self.dialect_names().first().copied();
        first.unwrap_or(DialectName::OpenAiChat)
    }

    /// Returns the wire formats that the provider speaks; see [`ClientBuilder::dialect`](crate::ClientBuilder::dialect).
    ///
    /// ```
    /// # use warmline::{DialectName, Provider};
    /// assert_eq!(Provider::OpenAi.dialect_names(), [DialectName::OpenAiChat, DialectName::OpenAiResponses]);
    /// ```
    pub fn dialect_names(self) -> &'static [DialectName] {
        self.row().dialects
    }

    /// Returns the codec of one of its wire formats. `is_first_party` says that the provider itself is called rather than a server
    /// that is compatible with it.
    ///
    /// # Errors
    /// `Config` if the provider does not speak the dialect, or the crate was built without it.
    pub(crate) fn dialect(
        self,
        name: DialectName,
        is_first_party: bool,
    ) -> Result<Arc<dyn Dialect>> {
        if !self.dialect_names().contains(&name) {
            let known: Vec<&str> = self.dialect_names().iter().map(|of| of.name()).collect();
            let message = [
                "the provider ",
                self.name(),
                " does not speak the dialect ",
                name.name(),
                ": it must be ",
                &known.join(" or "),
            ];
            return Err(Error::config(message.concat()));
        }
        match name {
            #[cfg(feature = "anthropic")]
            DialectName::Anthropic => Ok(Arc::new(dialect::Anthropic)),
            #[cfg(feature = "openai-chat")]
            DialectName::OpenAiChat => {
                // Azure behind a custom domain or a gateway is still Azure.
                let own_names =
                    self.row().max_completion_tokens && (is_first_party || self == Self::Azure);
                Ok(Arc::new(match own_names {
                    true => dialect::OpenAiChat::default(),
                    false => dialect::OpenAiChat::compatible(),
                }))
            }
            #[cfg(feature = "openai-responses")]
            DialectName::OpenAiResponses => Ok(Arc::new(dialect::OpenAiResponses)),
            // Without this arm where all are built, the compiler shows that a new dialect is missing here.
            #[cfg(not(all(
                feature = "anthropic",
                feature = "openai-chat",
                feature = "openai-responses"
            )))]
            name => {
                let _ = is_first_party;
                Err(Error::config(format!(
                    "this build does not have the dialect {name} of {self}: turn on the crate's feature `{name}`"
                )))
            }
        }
    }

    /// Returns whether its servers refuse what a dialect asks for beyond what the caller writes.
    pub(crate) fn refuses_asking(self, dialect: DialectName) -> bool {
        dialect == DialectName::OpenAiChat && !self.row().stream_options
    }

    /// Returns the base URL of clients that are given none. Where it depends on settings, these are in braces.
    ///
    /// ```
    /// # use warmline::Provider;
    /// assert_eq!(Provider::Anthropic.default_base_url(), "https://api.anthropic.com");
    /// assert_eq!(Provider::Azure.default_base_url(), "https://{resource}.openai.azure.com/openai/v1");
    /// ```
    pub fn default_base_url(self) -> &'static str {
        self.row().base_url
    }

    /// Returns the model of clients that are given none: one of middling size and price. Some providers have none, and a request to
    /// them must name its model.
    ///
    /// ```
    /// # use warmline::Provider;
    /// assert!(Provider::Anthropic.default_model().unwrap().starts_with("claude"));
    /// assert_eq!(Provider::Ollama.default_model(), None);
    /// ```
    pub fn default_model(self) -> Option<&'static str> {
        self.row().default_model
    }

    /// Returns the environment variable of the key. A few providers have a second one; see [`Provider::variables`].
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.key_variable(), "OPENAI_API_KEY");
    /// ```
    pub fn key_variable(self) -> &'static str {
        self.row()
            .key_variables
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// Returns the environment variable of the base URL.
    ///
    /// ```
    /// assert_eq!(warmline::Provider::OpenAi.base_url_variable(), "OPENAI_BASE_URL");
    /// ```
    pub fn base_url_variable(self) -> &'static str {
        self.row().base_url_variable
    }

    /// Returns the environment variables that authorise requests: of the key, and of a bearer token in its place.
    ///
    /// ```
    /// let gemini: Vec<_> = warmline::Provider::GeminiOpenAi.credential_variables().collect();
    /// assert_eq!(gemini, ["GEMINI_API_KEY", "GOOGLE_API_KEY"]);
    /// ```
    pub fn credential_variables(self) -> impl Iterator<Item = &'static str> {
        let row = self.row();
        row.key_variables.iter().copied().chain(row.token_variable)
    }

    /// Returns the environment variables of the provider: of its credentials, its base URL and its other settings.
    ///
    /// ```
    /// let azure: Vec<_> = warmline::Provider::Azure.variables().collect();
    /// assert!(azure.contains(&"OPENAI_API_VERSION"));
    /// ```
    pub fn variables(self) -> impl Iterator<Item = &'static str> {
        let row = self.row();
        let settings = row.setting_variables.iter().map(|(_, name)| *name);
        self.credential_variables()
            .chain([row.base_url_variable])
            .chain(settings)
    }

    /// Returns whether the provider itself must be called with a key. Local servers, and servers at other base URLs, may need none.
    ///
    /// ```
    /// # use warmline::Provider;
    /// assert!(Provider::Groq.needs_key() && !Provider::Ollama.needs_key());
    /// ```
    pub fn needs_key(self) -> bool {
        self.row().needs_key
    }

    /// Returns whether a stream is billed to its end after the client disconnects, as far as is known. Unary replies always are.
    ///
    /// ```
    /// # use warmline::Provider;
    /// assert!(Provider::Groq.bills_after_disconnect());
    /// ```
    pub fn bills_after_disconnect(self) -> bool {
        self.row().bills_after_disconnect
    }

    /// Returns an upper bound of the output speed of its models, in tokens per second. It is an estimate above the published speeds.
    ///
    /// ```
    /// # use warmline::Provider;
    /// assert!(Provider::Cerebras.max_output_speed() > Provider::Anthropic.max_output_speed());
    /// ```
    pub fn max_output_speed(self) -> u32 {
        self.row().max_output_speed
    }

    /// Whether the provider itself answers at a host, rather than a server that is compatible with it.
    pub(crate) fn is_at(self, host: &str) -> bool {
        let at = |domain: &&str| {
            let sub = host.len().checked_sub(domain.len());
            let Some((before, end)) = sub.and_then(|at| host.split_at_checked(at)) else {
                return false;
            };
            let is_whole = before.is_empty() || before.ends_with('.') || domain.starts_with('-');
            is_whole && end.eq_ignore_ascii_case(domain)
        };
        self.row().domains.iter().any(at)
    }

    /// The prices at a host: the provider's own, or those of another one whose host it is.
    pub(crate) fn row_at(self, host: &str) -> &'static Row {
        let other = || Self::all().find(|other| other.is_at(host));
        let whose = if self.is_at(host) { None } else { other() };
        whose.unwrap_or(self).row()
    }
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = name.trim();
        let found = Self::all().find(|provider| provider.name().eq_ignore_ascii_case(wanted));
        found.ok_or_else(|| {
            let mut message = ["unknown provider ", &quote(name), ": "].concat();
            // The first word of a name with two, such as `gemini`.
            let is_meant = |known: &str| {
                known
                    .split_once('-')
                    .is_some_and(|(first, _)| first.eq_ignore_ascii_case(wanted))
            };
            for (i, near) in Self::all()
                .filter(|known| is_meant(known.name()))
                .enumerate()
            {
                message.push_str(if i == 0 {
                    "did you mean \""
                } else {
                    "\" or \""
                });
                message.push_str(near.name());
            }
            message.push_str(match message.ends_with(": ") {
                true => "it must be one of ",
                false => "\"? It must be one of ",
            });
            for provider in Self::all() {
                message.push_str(provider.name());
                message.push_str(", ");
            }
            message.push_str(
                "or openai with the base URL of another server that is compatible with OpenAI",
            );
            Error::config(message)
        })
    }
}

#[cfg(test)]
mod tests;
