//! Hosts, as `Host` headers and URLs name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::uri;
use warmline::quote;

use crate::error::ConfigError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A DNS name in lower case, without a trailing dot.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Parses a host as a URL has it, with an IPv6 address in brackets.
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address)));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match name.parse() {
            Ok(address) => Some(Self::Address(IpAddr::V4(address))),
            Err(_) => (!name.is_empty()).then_some(Self::Name(name)),
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A host that callers may name in the URL: a DNS name or an IP address, without scheme and port. See
/// [`GatewayBuilder::allow_host`](crate::GatewayBuilder::allow_host).
///
/// ```
/// use warmline_gateway::AllowedHost;
///
/// let name: AllowedHost = "gateway.example.com".parse()?;
/// let address = AllowedHost::from(std::net::IpAddr::from([192, 168, 1, 5]));
/// assert!("https://example.com".parse::<AllowedHost>().is_err());
/// # Ok::<(), warmline_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(pub(crate) Host);

impl From<IpAddr> for AllowedHost {
    fn from(address: IpAddr) -> Self {
        Self(Host::Address(address))
    }
}

impl FromStr for AllowedHost {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let host = match value.parse() {
            Ok(address) => Some(Host::Address(address)),
            Err(_) => Host::parse(value),
        };
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        let valid = |host: &Host| match host {
            Host::Name(name) => name.bytes().all(plain),
            Host::Address(_) => true,
        };
        host.filter(valid).map(Self).ok_or_else(|| {
            ConfigError::new(format!(
                "{} is not a host: expected a name or an IP address without scheme and port, such as gateway.example.com or 192.168.1.5",
                quote(value)
            ))
        })
    }
}

/// A host and a port, as in a `Host` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// Returns `None` for what is not `host[:port]`; user information is not accepted.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let authority: uri::Authority = text.parse().ok()?;
        let host = authority.host();
        let port = match text.strip_prefix(host)? {
            "" | ":" => None,
            rest => Some(rest.strip_prefix(':')?.parse().ok()?),
        };
        let host = Host::parse(host)?;
        Some(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_host_is_named() {
        for value in [
            "",
            ".",
            "*",
            "*.example.com",
            "http://a",
            "a:80",
            "[::1]:80",
            "a/b",
            "a@b",
            "ü.ch",
            "a b",
        ] {
            let error = value.parse::<AllowedHost>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{value:?} ")), "{error}");
        }
    }
}
