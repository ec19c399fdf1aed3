use crate::quote::quote;
use crate::{Error, Provider, Result};

/// Where a client's calls go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The whole address.
    pub(crate) url: String,
    /// How long its parts are: the scheme, and what stands before the path.
    scheme: usize,
    origin: usize,
    /// The provider itself is there, rather than a server that speaks like it.
    pub(crate) is_first_party: bool,
}

impl Endpoint {
    /// A provider's base URL; see [`Endpoint::with_path`].
    pub(crate) fn new(provider: Provider, base: &str) -> Result<Self> {
        let mut endpoint = Self::parse("base URL", base, provider.default_base_url())?;
        let host = endpoint.host();
        let of = |domain: &str| host == domain || host.ends_with(&[".", domain].concat());
        endpoint.is_first_party = match provider {
            Provider::Anthropic => of("anthropic.com"),
            Provider::OpenAi => of("openai.com") || of("openai.azure.com"),
        };
        Ok(endpoint)
    }

    /// The same with a dialect's path below it.
    pub(crate) fn with_path(mut self, path: &str) -> Self {
        // Anthropic's path brings its own version; many base URLs have it already.
        if path.starts_with("/v1/") && self.path().ends_with("/v1") {
            self.url.truncate(self.url.len() - "/v1".len());
        }
        self.url.push_str(path);
        self
    }

    /// An address as it is, without a slash at its end. Errors say `what` it is, and an `example` of it.
    pub(crate) fn parse(what: &str, base: &str, example: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let given = quote(&shown(base));
            Error::config(
                [
                    "the ",
                    what,
                    " ",
                    &given,
                    " ",
                    why,
                    ": it should look like \"",
                    example,
                    "\"",
                ]
                .concat(),
            )
        };
        let trimmed = base.trim();
        let Some((scheme, rest)) = split_scheme(trimmed) else {
            return Err(wrong("has no scheme"));
        };
        if scheme != "http" && scheme != "https" {
            return Err(wrong("is neither http nor https"));
        }
        if trimmed.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(wrong("holds characters that an address cannot have"));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong("has a query or a fragment"));
        }
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(slash).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(wrong(
                "holds a user name or password; keys go into the API key",
            ));
        }
        let (host, port) = split_port(authority);
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(wrong("has a port that is no number up to 65535"));
        }
        Ok(Self {
            url: [scheme, "://", authority, path.trim_end_matches('/')].concat(),
            scheme: scheme.len(),
            origin: scheme.len() + "://".len() + authority.len(),
            is_first_party: false,
        })
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        self.url.get(..self.origin).unwrap_or_default()
    }

    /// Host and port, as they stand in the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        let authority = self.scheme + "://".len()..self.origin;
        self.url.get(authority).unwrap_or_default()
    }

    pub(crate) fn host(&self) -> &str {
        split_port(self.authority()).0
    }

    pub(crate) fn port(&self) -> Option<u16> {
        split_port(self.authority()).1?.parse().ok()
    }

    /// As a request asks for it: "/" where there is none (RFC 9112 section 3.2.1).
    pub(crate) fn path(&self) -> &str {
        match self.url.get(self.origin..) {
            None | Some("") => "/",
            Some(path) => path,
        }
    }
}

/// The scheme of a URL, where what stands before its first "://" is one: elsewhere it can be part of a secret.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let begins = scheme.bytes().next()?.is_ascii_alphabetic();
    (begins && scheme.bytes().all(fits)).then_some(scheme)
}

/// A URL, or what was given for one, without what can be secret in it: user name and password, query and fragment.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = match scheme(url) {
        Some(scheme) => url.split_at(scheme.len() + "://".len()),
        None => ("", url),
    };
    let query = rest.find(['?', '#']);
    let (left_out, rest, after) = match (rest.rfind('@'), query) {
        (None, None) => ("", rest, ""),
        (None, Some(query)) => ("", rest.get(..query).unwrap_or_default(), "…"),
        (Some(at), None) => ("…", rest.get(at..).unwrap_or_default(), ""),
        (Some(at), Some(query)) if at < query => {
            ("…", rest.get(at..query).unwrap_or_default(), "…")
        }
        // Either of the two can be part of the other.
        (Some(_), Some(_)) => ("…", "", ""),
    };
    [scheme, left_out, rest, after].concat()
}

fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// A colon within brackets belongs to an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_lead_to_the_providers_paths() {
        for (provider, base, expected, is_first_party) in [
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
            let path = provider.dialect(true).unwrap().path();
            let endpoint = endpoint.with_path(path);
            assert_eq!(
                (endpoint.url.as_str(), endpoint.is_first_party),
                (expected, is_first_party)
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
            ("http://hos\u{f6}/", "characters"),
            ("https://host/v1?key=1", "has a query"),
            ("https://user:hunter2@host/v1", "https://…@host/v1"),
            (
                "https://host/v1?key=hunter2",
                "\"https://host/v1…\" has a query",
            ),
            ("https://host/v1#hunter2", "\"https://host/v1…\""),
            ("host/v1?key=hunter2", "\"host/v1…\" has no scheme"),
            ("user:hunter2@host", "\"…@host\""),
            (
                "https://u:hunter2@host/v1?k=hunter2",
                "\"https://…@host/v1…\"",
            ),
            // Where a query holds an "@", or a password a "?", neither half is shown.
            ("https://host/v1?key=hunt@hunter2", "\"https://…\""),
            ("https://user:hunter2?x@host/v1", "\"https://…\""),
            ("user:hunter2://x@host", "\"…@host\""),
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
