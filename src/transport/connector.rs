//! Opens connections with reqwest.
//!
//! reqwest provides name resolution with happy eyeballs, TLS by either library, and every kind of proxy. Its own pool
//! cannot hold an exact limit: it may open a connection while another becomes free, and does not report when one closes.
//! So reqwest only dials. A `connector_layer` captures each connection for the task that asked for it and fails reqwest's
//! own request. From then on, Warmline's pool owns the connection.

use std::cell::Cell;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection as Connected;
use hyper_util::client::proxy::matcher::Matcher;
use tower_layer::Layer;
use tower_service::Service;

use super::options::Options;
use super::proxy::{Proxy, ProxyVariables};
use crate::provider::Endpoint;
use crate::url::scheme;
use crate::{Error, ErrorKind, Result, TimeoutKind};

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
compile_error!("warmline needs one of its features `rustls` (the default) and `native-tls`");

/// A connection that reqwest opened: TCP or TLS, direct or through a proxy.
pub(crate) trait Io: Read + Write + Connected + Send + Unpin {}

impl<T: Read + Write + Connected + Send + Unpin> Io for T {}

pub(crate) type BoxIo = Box<dyn Io>;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The time without traffic after which the kernel probes a connection, and the time between two probes.
///
/// A model can be silent for minutes, so silence says nothing about the network. The kernel does: a connection fails once
/// [`KEEPALIVE_PROBES`] have not been answered, which is a minute after the network has died.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// The time after which the kernel closes a connection whose data is not acknowledged (RFC 5482). Keepalive does not apply
/// to such a connection.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
const DEAD_AFTER: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// The connection that the current task has dialed.
    static CAPTURED: Cell<Option<BoxIo>>;
}

#[derive(Clone)]
struct CaptureConnector<S>(S);

/// The layer that wraps reqwest's connector in a [`CaptureConnector`].
#[derive(Clone)]
struct CaptureLayer;

impl<S> Layer<S> for CaptureLayer {
    type Service = CaptureConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CaptureConnector(inner)
    }
}

impl<S, Target> Service<Target> for CaptureConnector<S>
where
    S: Service<Target, Error = BoxError>,
    S::Response: Io + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let io: BoxIo = Box::new(connecting.await?);
            CAPTURED.with(|captured| captured.set(Some(io)));
            Err("the connection was captured".into())
        })
    }
}

/// Opens connections to one origin.
#[derive(Clone)]
pub(super) struct Connector {
    client: reqwest::Client,
    origin: String,
    /// The proxy of the connections, and the setting that it comes from, as errors show them.
    proxy: Option<String>,
    /// The `proxy-authorization` header for a plain-HTTP proxy, which needs it in every request because there is no tunnel.
    pub(super) proxy_authorization: Option<http::HeaderValue>,
}

impl Connector {
    pub(super) fn new(endpoint: &Endpoint, target: &http::Uri, options: &Options) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(KEEPALIVE_PROBES)
            .connector_layer(CaptureLayer);
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
        {
            builder = builder.tcp_user_timeout(DEAD_AFTER);
        }
        if !options.http2 {
            builder = builder.http1_only();
        }
        let (mut shown_proxy, mut proxy_authorization) = (None, None);
        match Route::to(target, &options.proxy)? {
            Route::Direct => builder = builder.no_proxy(),
            Route::System => {
                if let Some(proxy) = Matcher::from_system().intercept(target) {
                    let (scheme, host) = (proxy.uri().scheme_str(), proxy.uri().authority());
                    let url = format!(
                        "{}://{}",
                        scheme.unwrap_or("http"),
                        host.map_or("", http::uri::Authority::as_str)
                    );
                    shown_proxy = reqwest::Url::parse(&url)
                        .ok()
                        .map(|url| show(url, "the system's settings"));
                    proxy_authorization = proxy.basic_auth().cloned();
                }
            }
            Route::Proxy {
                setting,
                url,
                authorization,
            } => {
                shown_proxy = Some(show(url.clone(), setting));
                let wrong = |e| {
                    Error::config("the proxy's URL cannot be used")
                        .with_source(reqwest::Error::without_url(e))
                };
                builder = builder.proxy(reqwest::Proxy::all(url).map_err(wrong)?);
                proxy_authorization = authorization;
            }
        }
        if !options.root_certificates.is_empty() {
            let mut certificates = Vec::new();
            for pem in &options.root_certificates {
                super::pem::check_certificates(pem)?;
                let wrong =
                    |e| Error::config("a root certificate cannot be read as PEM").with_source(e);
                certificates.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(wrong)?);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        // Reading the platform's certificates takes far longer than a simulation does.
        #[cfg(test)]
        if crate::simulation::Network::to(endpoint.origin()).is_some() {
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|e| Error::config("TLS cannot be set up").with_source(e))?;
        Ok(Self {
            client,
            origin: endpoint.origin().to_owned(),
            proxy: shown_proxy,
            proxy_authorization,
        })
    }

    /// Returns the error of a connection that was not opened within `limit`.
    pub(super) fn timeout(&self, limit: Duration) -> Error {
        let error = Error::timeout(TimeoutKind::Connect, limit);
        match &self.proxy {
            Some(proxy) => error.with_reason(&format!("the connection goes through {proxy}")),
            None => error,
        }
    }

    pub(super) async fn dial(&self) -> Result<BoxIo> {
        #[cfg(test)]
        if let Some(network) = crate::simulation::Network::to(&self.origin) {
            return network.dial().await;
        }
        let dial = async {
            let result = self.client.get(&self.origin).send().await;
            CAPTURED.with(Cell::take).ok_or_else(|| match result {
                Err(error) => root_cause(&error),
                Ok(_) => "reqwest sent a request without passing the connector layer".to_owned(),
            })
        };
        CAPTURED
            .scope(Cell::new(None), dial)
            .await
            .map_err(|cause| {
                let message = match &self.proxy {
                    Some(proxy) => format!("no connection to {} through {proxy}", self.origin),
                    None => format!("no connection to {}", self.origin),
                };
                Error::new(ErrorKind::Connect, message).with_source(cause)
            })
    }
}

/// The route to the target.
enum Route {
    Direct,
    /// By the system's proxy settings (macOS and Windows), otherwise direct.
    System,
    Proxy {
        /// The setting that holds the URL.
        setting: &'static str,
        url: reqwest::Url,
        authorization: Option<http::HeaderValue>,
    },
}

impl Route {
    /// Returns the route to `target`.
    ///
    /// # Errors
    /// `Config` if the proxy for this target cannot be used. The connection must not bypass it.
    fn to(target: &http::Uri, proxy: &Proxy) -> Result<Self> {
        let https = target.scheme() == Some(&http::uri::Scheme::HTTPS);
        let environment;
        let variables = match proxy {
            Proxy::None => return Ok(Self::Direct),
            Proxy::Url(url) => {
                return Self::through("the proxy", "`ClientBuilder::proxy`", url, target);
            }
            Proxy::Variables(variables) if variables.proxy_for(https).is_some() => variables,
            Proxy::Variables(_) | Proxy::Environment => {
                environment = ProxyVariables::from_env()?;
                &environment
            }
        };
        let Some((name, url)) = variables.proxy_for(https) else {
            return Ok(Self::System);
        };
        let any = Matcher::builder().all("http://proxy");
        let any = any.no(variables.no_proxy().to_owned()).build();
        match any.intercept(target) {
            Some(_) => Self::through(name, name, url, target),
            None => Ok(Self::Direct),
        }
    }

    /// Returns the route through the proxy at `url`, which `setting` holds and the errors call `name`. They do not show the URL,
    /// because it can hold a password.
    fn through(name: &str, setting: &'static str, url: &str, target: &http::Uri) -> Result<Self> {
        const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
        let wrong = |why: &str| {
            Error::config(format!(
                "{name} {why}: it must be [SCHEME://][USER:PASSWORD@]HOST[:PORT]; SCHEME is one of {}, and http by default",
                SCHEMES.join(", ")
            ))
        };
        let url = url.trim();
        if url.is_empty() {
            return Err(wrong("is empty"));
        }
        let url = match url.split_once("://") {
            None => format!("http://{url}"),
            Some((given, rest)) => {
                let lower = given.to_ascii_lowercase();
                if !SCHEMES.contains(&&*lower) {
                    return Err(wrong(&match scheme(url) {
                        Some(unknown) => format!("has the unknown scheme {unknown:?}"),
                        None => "has no scheme before its \"://\"".to_owned(),
                    }));
                }
                format!("{lower}://{rest}")
            }
        };
        let url = reqwest::Url::parse(&url).map_err(|e| wrong(&format!("cannot be read ({e})")))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("has no host"));
        }
        if !["", "/"].contains(&url.path()) || url.query().or(url.fragment()).is_some() {
            return Err(wrong(
                "has a path, a query or a fragment (in a password, write \"/\", \"?\" and \"#\" as %2F, %3F and %23)",
            ));
        }
        // reqwest silently ignores a proxy that its matcher cannot read.
        let matcher = Matcher::builder().all(url.as_str()).build();
        match matcher.intercept(target) {
            Some(proxy) => Ok(Self::Proxy {
                setting,
                url,
                authorization: proxy.basic_auth().cloned(),
            }),
            None => Err(wrong("cannot be read")),
        }
    }
}

/// Returns a proxy without its credentials, and the setting that names it.
fn show(mut url: reqwest::Url, setting: &str) -> String {
    // They fail for URLs that cannot have credentials.
    let _ = (url.set_username(""), url.set_password(None));
    let url = url.as_str().trim_end_matches('/');
    format!("the proxy {url} ({setting})")
}

/// Returns the innermost cause, such as "Connection refused" or "certificate has expired". The outer ones only say that
/// connecting failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
