//! Which web pages may call the gateway, and under which hosts.
//!
//! A browser lets any page send requests to any address that the browser can reach. A POST of `text/plain` needs no preflight, and CORS
//! only keeps the page from reading the response. A page can also point a DNS name of its own at the gateway (DNS rebinding); its
//! requests then are of the same origin. A gateway without API keys would spend money for both, so it checks the `Origin` and the
//! `Host` of each request. A gateway with API keys needs neither check: no such page knows a key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::api_error::{ApiError, dialect_of};
use crate::host::{AllowedHost, Authority, Host};
use crate::origin::{Origin, Origins};

/// What a gateway without API keys checks of every request.
pub(crate) struct Guard {
    origins: Origins,
    hosts: Vec<Host>,
    /// Whether every IP address is accepted as a host, which is so if the gateway listens on all addresses of the machine. A page can
    /// point a name of its own at one of them, but an address in a `Host` header is where the request went.
    any_address: bool,
}

impl Guard {
    pub(crate) fn new(
        origins: Origins,
        listen_address: IpAddr,
        allowed_hosts: Vec<AllowedHost>,
    ) -> Self {
        let hosts = allowed_hosts.into_iter().map(|AllowedHost(host)| host);
        Self {
            origins,
            hosts: std::iter::once(Host::Address(listen_address))
                .chain(hosts)
                .collect(),
            any_address: listen_address.is_unspecified(),
        }
    }

    /// Checks the host first, since a same-origin request can be trusted only if its host can.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let authority = authority(uri, headers)?;
        if let Some(Authority { host, .. }) = &authority {
            let any = self.any_address && matches!(host, Host::Address(_));
            if !any && !host.is_loopback() && !self.hosts.contains(host) {
                return Err(wrong_host(format!(
                    "the host \"{host}\" is not allowed: call the gateway as localhost, or start it with --allow-host {host} \
                     (in code: GatewayBuilder::allow_host)"
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
        let same =
            |authority| Origin::from_header(origin).is_some_and(|origin| origin.is_same(authority));
        if self.origins.allow(origin) || authority.as_ref().is_some_and(same) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(origin.as_bytes());
        // Sandboxed frames and files send `null`, whoever made them, so it cannot be allowed by itself.
        let allow = if shown == "null" { "'*'" } else { &*shown };
        Err(wrong_origin(format!(
            "pages of the origin {shown:?} may not call this gateway: start it with --allow-origin {allow} \
             (in code: GatewayBuilder::allow_origin)"
        )))
    }
}

/// Returns the host that a request names: the authority of an absolute-form or HTTP/2 target, else the `Host` header. Requests of
/// HTTP/1.0 tools have neither, and are accepted: browsers always send one.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(wrong_host("the request has more than one Host header"));
    }
    let invalid = || wrong_host("the host of the request is invalid: expected host[:port]");
    let parse = |text: &str| Authority::parse(text).ok_or_else(invalid);
    let header = header.map(|value| value.to_str().map_err(|_| invalid()).and_then(parse));
    let header = header.transpose()?;
    match uri.authority() {
        Some(target) => parse(target.as_str()).map(Some),
        None => Ok(header),
    }
}

fn wrong_host(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
}

fn wrong_origin(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
}

/// Middleware that answers requests which the guard refuses, in the dialect of their path.
pub(crate) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(dialect_of(request.headers(), request.uri().path())),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn guard(listening: &str, origins: &[&str], hosts: &[&str]) -> Guard {
        let origins = origins.iter().map(|origin| origin.parse().unwrap());
        let hosts = hosts.iter().map(|host| host.parse().unwrap());
        Guard::new(
            Origins::new(origins.collect()),
            listening.parse().unwrap(),
            hosts.collect(),
        )
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
}
