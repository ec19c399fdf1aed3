use http::Uri;
use http::uri::Scheme;

use crate::{Error, Provider, Result};

/// Where a client's calls go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The whole address.
    pub(crate) uri: Uri,
    /// The provider itself is there, rather than a server that speaks like it.
    pub(crate) official: bool,
}

#[cfg_attr(target_family = "wasm", allow(dead_code))]
impl Endpoint {
    /// The provider's path below a base URL.
    pub(crate) fn new(provider: Provider, base: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::config(format!(
                "the base URL {:?} {why}: it should look like {:?}",
                without_userinfo(base),
                provider.default_base_url()
            ))
        };
        let trimmed = base.trim();
        let uri: Uri = trimmed
            .parse()
            .map_err(|e| wrong("cannot be read").with_source(e))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(wrong("has no scheme or no host"));
        };
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(wrong("is neither http nor https"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong(
                "holds a user name or password; keys go into the API key",
            ));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        if authority.port().is_none() && authority.as_str() != host {
            return Err(wrong("has a port that is no number up to 65535"));
        }
        let official = match provider {
            Provider::Anthropic => host.ends_with("anthropic.com"),
            Provider::OpenAi => host.ends_with("openai.com") || host.ends_with("openai.azure.com"),
        };
        let mut path = uri.path().trim_end_matches('/');
        // Anthropic's path brings its own version; many base URLs have it already.
        if provider.path().starts_with("/v1/") {
            path = path.strip_suffix("/v1").unwrap_or(path);
        }
        let whole = format!("{scheme}://{authority}{path}{}", provider.path());
        let uri = whole
            .parse()
            .map_err(|e| wrong("cannot be read").with_source(e))?;
        Ok(Self { uri, official })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        format!("{scheme}://{authority}")
    }
}

fn without_userinfo(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_lead_to_the_providers_paths() {
        for (provider, base, expected, official) in [
            (
                Provider::Anthropic,
                "https://api.anthropic.com",
                "https://api.anthropic.com/v1/messages",
                true,
            ),
            (
                Provider::Anthropic,
                "https://api.anthropic.com/v1/",
                "https://api.anthropic.com/v1/messages",
                true,
            ),
            (
                Provider::Anthropic,
                "http://127.0.0.1:9/x",
                "http://127.0.0.1:9/x/v1/messages",
                false,
            ),
            (
                Provider::OpenAi,
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/chat/completions",
                true,
            ),
            (
                Provider::OpenAi,
                " http://[::1]:11434/v1/ ",
                "http://[::1]:11434/v1/chat/completions",
                false,
            ),
            (
                Provider::OpenAi,
                "http://localhost:1",
                "http://localhost:1/chat/completions",
                false,
            ),
        ] {
            let endpoint = Endpoint::new(provider, base).unwrap();
            assert_eq!(
                (endpoint.uri.to_string().as_str(), endpoint.official),
                (expected, official)
            );
        }
    }

    #[test]
    fn wrong_base_urls_are_named_without_their_secrets() {
        for (base, shown) in [
            ("", "\"\""),
            ("api.openai.com", "\"api.openai.com\""),
            ("/v1", "\"/v1\""),
            ("ftp://host/v1", "neither http nor https"),
            ("http://", "\"http://\""),
            ("http://host:port/v1", "has a port"),
            ("http://host:99999/v1", "has a port"),
            ("http://ho st/", "ho st"),
            ("https://host/v1?key=1", "has a query"),
            ("https://user:hunter2@host/v1", "https://…@host/v1"),
        ] {
            let error = Endpoint::new(Provider::OpenAi, base)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(shown) && !error.contains("hunter2"),
                "{base}: {error}"
            );
        }
    }
}
