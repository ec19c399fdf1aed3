//! Origins of web pages, as `Origin` headers name them.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use warmline::quote;

use crate::error::ConfigError;
use crate::host::Authority;

/// Headers that a page may read.
const EXPOSED_HEADERS: [&str; 17] = [
    "request-id",
    "x-request-id",
    "retry-after",
    "x-should-retry",
    "x-warmline-attempts",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

/// How long browsers may keep the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// An origin. A port that is not written is the default of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    authority: Authority,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"+-.".contains(&c);
        if scheme.is_empty() || !scheme.bytes().all(plain) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let mut authority = Authority::parse(authority)?;
        authority.port = authority.port.or(default_port(&scheme));
        Some(Self { scheme, authority })
    }

    pub(crate) fn from_header(value: &HeaderValue) -> Option<Self> {
        value.to_str().ok().and_then(Self::parse)
    }

    /// Whether a page of this origin that calls `authority` calls the server that it came from.
    pub(crate) fn is_same(&self, authority: &Authority) -> bool {
        let port = default_port(&self.scheme);
        port.is_some()
            && self.authority.host == authority.host
            && self.authority.port == authority.port.or(port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// An origin whose web pages may call the gateway, such as `https://example.com`, or `*` for all of them. See
/// [`GatewayBuilder::allow_origin`](crate::GatewayBuilder::allow_origin).
///
/// ```
/// use warmline_gateway::AllowedOrigin;
///
/// let origin: AllowedOrigin = "https://example.com".parse()?;
/// let any: AllowedOrigin = "*".parse()?;
/// assert!("example.com".parse::<AllowedOrigin>().is_err());
/// # Ok::<(), warmline_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Only(Origin),
}

impl FromStr for AllowedOrigin {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        if value == "*" {
            return Ok(Self(Pattern::Any));
        }
        let origin = Origin::parse(value.trim_end_matches('/'));
        origin.map(|origin| Self(Pattern::Only(origin))).ok_or_else(|| {
            ConfigError::new(format!(
                "{} is not an origin: expected a scheme and a host, such as https://example.com, or *",
                quote(value)
            ))
        })
    }
}

/// The origins whose pages may call.
#[derive(Clone)]
pub(crate) enum Origins {
    Any,
    Only(Vec<Origin>),
}

impl Origins {
    pub(crate) fn new(allowed: Vec<AllowedOrigin>) -> Self {
        let mut origins = Vec::new();
        for AllowedOrigin(pattern) in allowed {
            match pattern {
                Pattern::Any => return Self::Any,
                Pattern::Only(origin) => origins.push(origin),
            }
        }
        Self::Only(origins)
    }

    pub(crate) fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Only(origins) => {
                Origin::from_header(origin).is_some_and(|origin| origins.contains(&origin))
            }
        }
    }

    /// Lets pages of these origins read responses.
    pub(crate) fn cors(&self) -> CorsLayer {
        let allowed = match self.clone() {
            Self::Any => AllowOrigin::any(),
            some @ Self::Only(_) => AllowOrigin::predicate(move |origin, _| some.allow(origin)),
        };
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            // The official SDKs send many headers of their own, and more with each version. Those that are not known are not forwarded.
            .allow_headers(AllowHeaders::mirror_request())
            // A public page that calls a gateway in a private network asks for this.
            .allow_private_network(true)
            .max_age(PREFLIGHT_MAX_AGE)
            .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_origin_is_named() {
        for value in [
            "",
            "null",
            "example.com",
            "https://",
            "://a",
            "https://a/b",
            "https://a@b",
            "a b://c",
        ] {
            let error = value.parse::<AllowedOrigin>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{value:?} ")), "{error}");
        }
    }
}
