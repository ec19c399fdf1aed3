//! Which web pages may call the gateway, and by which host names it may be called.
//!
//! A browser lets any page send requests to any address that the browser can reach. A POST of `text/plain` needs no preflight, and CORS
//! only keeps the page from reading the response. A page can also point a DNS name of its own at the gateway (DNS rebinding); its
//! requests then are of the same origin. A gateway without keys would spend money for both, so it checks the `Origin` and the
//! `Host` of each request. A gateway with keys needs neither check: no such page knows a key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::answer::{self, ApiError};
use crate::report::Failure;

#[derive(Clone, Debug, PartialEq)]
enum Host {
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

    /// Parses a value of `--allow-host`.
    fn parse_option(value: &str) -> Result<Self, Failure> {
        let host = match value.parse() {
            Ok(address) => Some(Self::Address(address)),
            Err(_) => Self::parse(value),
        };
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        let valid = |host: &Self| match host {
            Self::Name(name) => name.bytes().all(plain),
            Self::Address(_) => true,
        };
        host.filter(valid).ok_or_else(|| {
            Failure::Config(format!(
                "{value:?} cannot be allowed as a host (--allow-host): it should be a name or an address without scheme and port, such as gateway.example.com or 192.168.1.5"
            ))
        })
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// A host and a port, as in a `Host` header.
#[derive(Clone, Debug, PartialEq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

impl Authority {
    /// Returns `None` for what is not `host[:port]`; user information is not accepted.
    fn parse(text: &str) -> Option<Self> {
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

/// An origin; its port is the scheme's default where none is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Origin {
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

    /// Whether a page of this origin that calls `authority` calls the server that it came from.
    fn is_of(&self, authority: &Authority) -> bool {
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

/// The origins of `--allow-origin`.
#[derive(Clone)]
pub(super) enum Origins {
    Any,
    Only(Vec<Origin>),
}

impl Origins {
    pub(super) fn parse(values: &[String]) -> Result<Self, Failure> {
        if values.iter().any(|value| value == "*") {
            return Ok(Self::Any);
        }
        let origin = |value: &String| {
            Origin::parse(value.trim_end_matches('/')).ok_or_else(|| {
                Failure::Config(format!(
                    "{value:?} is no origin (--allow-origin): it should look like https://example.com"
                ))
            })
        };
        values
            .iter()
            .map(origin)
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Only(some) => parse(origin, Origin::parse).is_some_and(|it| some.contains(&it)),
        }
    }

    /// Lets pages of these origins read responses.
    pub(super) fn cors(&self) -> CorsLayer {
        let allowed = match self.clone() {
            Self::Any => AllowOrigin::any(),
            some @ Self::Only(_) => AllowOrigin::predicate(move |origin, _| some.allow(origin)),
        };
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("x-api-key"),
                HeaderName::from_static("anthropic-version"),
                HeaderName::from_static("anthropic-beta"),
                HeaderName::from_static("anthropic-dangerous-direct-browser-access"),
            ])
            .expose_headers(answer::EXPOSED.map(HeaderName::from_static))
    }
}

fn parse<T>(value: &HeaderValue, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    value.to_str().ok().and_then(parse)
}

/// What a gateway without keys checks of every request.
pub(super) struct Guard {
    origins: Origins,
    hosts: Vec<Host>,
    /// Whether every address is accepted as a host. It is where the gateway listens on all of the machine's addresses: a page can point a
    /// name of its own at one of them, but an address in a `Host` header is where the request went.
    any_address: bool,
}

impl Guard {
    /// `listening` is the value of `--host`, `hosts` are those of `--allow-host`.
    pub(super) fn new(
        origins: Origins,
        listening: IpAddr,
        hosts: &[String],
    ) -> Result<Self, Failure> {
        let hosts = hosts.iter().map(|value| Host::parse_option(value));
        let listening_host = std::iter::once(Ok(Host::Address(listening)));
        Ok(Self {
            origins,
            hosts: listening_host.chain(hosts).collect::<Result<_, _>>()?,
            any_address: listening.is_unspecified(),
        })
    }

    /// Whether a request may go on: the host first, since a same-origin request can be trusted only if its host can.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let authority = authority(uri, headers)?;
        if let Some(Authority { host, .. }) = &authority {
            let any = self.any_address && matches!(host, Host::Address(_));
            if !any && !host.is_loopback() && !self.hosts.contains(host) {
                let host = match host {
                    Host::Name(name) => name.clone(),
                    Host::Address(address) => address.to_string(),
                };
                return Err(wrong_host(format!(
                    "this gateway is not to be called as {host:?}: start it with --allow-host {host}, or call it as localhost"
                )));
            }
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return match headers.contains_key(header::ORIGIN) {
                true => Err(wrong_origin("the request has more than one Origin header")),
                false => Ok(()),
            };
        };
        let same = |authority| parse(origin, Origin::parse).is_some_and(|it| it.is_of(authority));
        if self.origins.allow(origin) || authority.as_ref().is_some_and(same) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(origin.as_bytes());
        // `null` is what sandboxed frames and files send, of whoever they are: it cannot be allowed by itself.
        let allow = if shown == "null" { "'*'" } else { &*shown };
        Err(wrong_origin(format!(
            "pages of the origin {shown:?} may not call this gateway: start it with --allow-origin {allow}"
        )))
    }
}

/// What a request calls this server: the authority of an absolute-form or HTTP/2 target, else the `Host` header. There is neither in
/// requests of HTTP/1.0 tools, which are accepted: browsers always send one.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(wrong_host("the request has more than one Host header"));
    }
    let unreadable = || wrong_host("the request's host cannot be read: it should be host[:port]");
    let header = header.map(|value| parse(value, Authority::parse).ok_or_else(unreadable));
    let header = header.transpose()?;
    match uri.authority() {
        Some(target) => Authority::parse(target.as_str())
            .map(Some)
            .ok_or_else(unreadable),
        None => Ok(header),
    }
}

fn wrong_host(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
}

fn wrong_origin(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
}

/// Answers requests that the guard refuses, in the dialect of their path.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(api_error) => api_error.in_dialect(super::dialect_of(request.uri().path())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listening: &str, origins: &[&str], hosts: &[&str]) -> Guard {
        let owned = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let Ok(origins) = Origins::parse(&owned(origins)) else {
            panic!("{origins:?}")
        };
        match Guard::new(origins, listening.parse().unwrap(), &owned(hosts)) {
            Ok(guard) => guard,
            Err(_) => panic!("{hosts:?}"),
        }
    }

    /// Whether a request to `target` with these headers passes.
    fn passes(guard: &Guard, target: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        guard.check(&target.parse().unwrap(), &map).is_ok()
    }

    #[test]
    fn hosts() {
        let local = guard("127.0.0.1", &[], &["Gateway.Example.com.", "fd00::1"]);
        let lan = guard("192.168.1.5", &[], &[]);
        let all = guard("0.0.0.0", &[], &["gateway"]);
        let all_v6 = guard("::", &[], &[]);
        for (host, expected) in [
            // Loopback passes everywhere: [local, lan, all, all_v6].
            ("localhost", [true; 4]),
            ("LocalHost.:8787", [true; 4]),
            ("a.b.localhost:1", [true; 4]),
            ("127.0.0.1:65535", [true; 4]),
            ("127.255.1.2", [true; 4]),
            ("127.0.0.1.", [true; 4]),
            ("[::1]", [true; 4]),
            ("[0:0::1]:8787", [true; 4]),
            ("localhost:", [true; 4]),
            // Names of others pass nowhere.
            ("evil.com", [false; 4]),
            ("localhost.evil.com", [false; 4]),
            ("127.0.0.1.evil.com", [false; 4]),
            ("evillocalhost", [false; 4]),
            ("127.1", [false; 4]),
            ("2130706433", [false; 4]),
            // What is named on the command line.
            ("gateway.example.com:8787", [true, false, false, false]),
            ("GATEWAY.example.com.", [true, false, false, false]),
            ("a.gateway.example.com", [false; 4]),
            ("[fd00::1]:80", [true, false, true, true]),
            ("gateway:8787", [false, false, true, false]),
            ("192.168.1.5:8787", [false, true, true, true]),
            ("192.168.1.6", [false, false, true, true]),
            ("0.0.0.0:8787", [false, false, true, true]),
            // What is no host.
            ("", [false; 4]),
            (".", [false; 4]),
            (":80", [false; 4]),
            ("::1", [false; 4]),
            ("[::1", [false; 4]),
            ("[localhost]", [false; 4]),
            ("[::1%25lo]", [false; 4]),
            ("localhost:http", [false; 4]),
            ("localhost:65536", [false; 4]),
            ("localhost:1:2", [false; 4]),
            ("localhost@localhost", [false; 4]),
            ("localhost:80@localhost", [false; 4]),
            ("localhost, evil.com", [false; 4]),
            ("localhost/", [false; 4]),
            ("http://localhost", [false; 4]),
            ("lo\u{e7}alhost", [false; 4]),
        ] {
            let given = [&local, &lan, &all, &all_v6].map(|it| passes(it, "/", &[("host", host)]));
            assert_eq!(given, expected, "{host:?}");
        }
    }

    #[test]
    fn a_target_with_an_authority_counts_and_one_host_at_most_is_read() {
        let local = guard("127.0.0.1", &[], &[]);
        for (target, hosts, expected) in [
            ("/", &[][..], true),
            ("/", &["localhost", "localhost"], false),
            ("/", &["localhost", "evil.com"], false),
            ("http://localhost:8787/", &[], true),
            ("http://localhost:8787/", &["evil.com"], true),
            ("http://localhost/", &["localhost", "evil.com"], false),
            ("http://localhost/", &["a b"], false),
            ("http://evil.com/", &["localhost"], false),
            ("http://evil.com/", &[], false),
            ("http://localhost@evil.com/", &["localhost"], false),
            ("http://evil.com@localhost/", &["localhost"], false),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(
                passes(&local, target, &headers),
                expected,
                "{target} {hosts:?}"
            );
        }
    }

    #[test]
    fn origins() {
        let none = guard("127.0.0.1", &[], &["gw.example.com"]);
        let some = guard(
            "127.0.0.1",
            &["HTTPS://Example.com:443/", "chrome-extension://abc"],
            &["gw.example.com"],
        );
        let any = guard("127.0.0.1", &["*"], &["gw.example.com"]);
        for (host, origin, expected) in [
            // The page's own server: [none, some, any].
            ("localhost:8787", "http://localhost:8787", [true; 3]),
            ("LOCALHOST:8787", "http://localhost:8787", [true; 3]),
            ("[::1]:8787", "http://[::1]:8787", [true; 3]),
            ("127.0.0.1", "http://127.0.0.1", [true; 3]),
            ("127.0.0.1:80", "http://127.0.0.1", [true; 3]),
            ("gw.example.com", "https://gw.example.com", [true; 3]),
            ("gw.example.com:443", "https://gw.example.com", [true; 3]),
            // Other servers on the same machine, and other schemes.
            (
                "localhost:8787",
                "http://localhost:3000",
                [false, false, true],
            ),
            (
                "localhost:8787",
                "http://127.0.0.1:8787",
                [false, false, true],
            ),
            ("localhost:8787", "http://localhost", [false, false, true]),
            (
                "localhost:8787",
                "app://localhost:8787",
                [false, false, true],
            ),
            ("localhost", "app://localhost", [false, false, true]),
            (
                "gw.example.com",
                "http://gw.example.com:443",
                [false, false, true],
            ),
            ("localhost:8787", "null", [false, false, true]),
            ("localhost:8787", "", [false, false, true]),
            ("localhost:8787", "localhost:8787", [false, false, true]),
            (
                "localhost:8787",
                "http://localhost:8787/",
                [false, false, true],
            ),
            (
                "localhost:8787",
                "http://evil@localhost:8787",
                [false, false, true],
            ),
            ("localhost:8787", "https://evil.com", [false, false, true]),
            // Those that are named.
            ("localhost:8787", "https://example.com", [false, true, true]),
            ("localhost:8787", "http://example.com", [false, false, true]),
            (
                "localhost:8787",
                "https://example.com:444",
                [false, false, true],
            ),
            (
                "localhost:8787",
                "https://a.example.com",
                [false, false, true],
            ),
            (
                "localhost:8787",
                "chrome-extension://abc",
                [false, true, true],
            ),
            // No origin makes up for a wrong host.
            ("evil.com", "https://example.com", [false; 3]),
            ("evil.com", "http://evil.com", [false; 3]),
        ] {
            let headers = [("host", host), ("origin", origin)];
            let given = [&none, &some, &any].map(|it| passes(it, "/", &headers));
            assert_eq!(given, expected, "{host} {origin:?}");
        }
        // Without a host nothing is of the same origin.
        assert!(!passes(&none, "/", &[("origin", "http://localhost:8787")]));
        let twice = [("origin", "https://example.com"); 2];
        assert!(!passes(&some, "/", &twice));
    }

    #[test]
    fn what_cannot_be_allowed_is_named() {
        let named = |failure: Failure, value: &str| match failure {
            Failure::Config(message) => {
                assert!(message.contains(&format!("{value:?}")), "{message}")
            }
            _ => panic!("{value}"),
        };
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
            named(Host::parse_option(value).unwrap_err(), value);
        }
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
            let Err(failure) = Origins::parse(&[value.to_owned()]) else {
                panic!("{value}")
            };
            named(failure, value);
        }
    }
}
