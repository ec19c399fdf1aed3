//! Making connections, with reqwest.
//!
//! reqwest knows everything about reaching a host: name resolution with happy eyeballs, TLS by either
//! library, proxies of each kind. What it cannot do is keep an exact count, since its pool may open a
//! connection while another becomes free, and nobody outside is told when one closes. So it dials, and
//! what it dials is taken out of its hands: a `connector_layer` puts each connection aside for the task
//! that asked for it, and tells reqwest that there is none. From then on the pool owns it.

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
use crate::provider::{Endpoint, scheme};
use crate::{Error, ErrorKind, Result};

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
compile_error!("warmline needs one of its features `rustls` (the default) and `native-tls`");

/// A connection as reqwest made it: TCP, or TLS over it, through a proxy or not.
pub(super) trait Io: Read + Write + Connected + Send + Unpin {}

impl<T: Read + Write + Connected + Send + Unpin> Io for T {}

pub(super) type BoxIo = Box<dyn Io>;

type BoxError = Box<dyn StdError + Send + Sync>;

tokio::task_local! {
    /// What the dialling task gets in place of a response.
    static CAPTURED: Cell<Option<BoxIo>>;
}

#[derive(Clone)]
struct CaptureConnector<S>(S);

/// The layer itself: `CaptureConnector` around nothing yet.
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
            CAPTURED.with(|dialed| dialed.set(Some(io)));
            Err("the connection was taken out".into())
        })
    }
}

/// Opens connections to one origin.
#[derive(Clone)]
pub(super) struct Connector {
    client: reqwest::Client,
    origin: String,
    /// What a plain-HTTP proxy wants in every request, since there is no tunnel to it.
    pub(super) proxy_authorization: Option<http::HeaderValue>,
}

impl Connector {
    pub(super) fn new(endpoint: &Endpoint, target: &http::Uri, options: &Options) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(60))
            .connector_layer(CaptureLayer);
        if !options.http2 {
            builder = builder.http1_only();
        }
        let mut proxy_authorization = None;
        match Route::to(target, &options.proxy)? {
            Route::Direct => builder = builder.no_proxy(),
            Route::System => {
                let proxy = Matcher::from_system().intercept(target);
                proxy_authorization = proxy.and_then(|proxy| proxy.basic_auth().cloned());
            }
            Route::Proxy { url, authorization } => {
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
                let wrong =
                    |e| Error::config("a root certificate cannot be read as PEM").with_source(e);
                certificates.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(wrong)?);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder
            .build()
            .map_err(|e| Error::config("the TLS set-up failed").with_source(e))?;
        Ok(Self {
            client,
            origin: endpoint.origin().to_owned(),
            proxy_authorization,
        })
    }

    pub(super) async fn dial(&self) -> Result<BoxIo> {
        let dialling = async {
            let answer = self.client.get(&self.origin).send().await;
            CAPTURED.with(Cell::take).ok_or_else(|| match answer {
                Err(error) => root_cause(&error),
                Ok(_) => "reqwest answered without the connection being seen".to_owned(),
            })
        };
        CAPTURED
            .scope(Cell::new(None), dialling)
            .await
            .map_err(|cause| {
                let message = format!("no connection to {}", self.origin);
                Error::new(ErrorKind::Connect, message).with_source(cause)
            })
    }
}

/// The way to the target.
enum Route {
    Direct,
    /// As the system is set up, where that can be asked (macOS, Windows).
    System,
    Proxy {
        url: reqwest::Url,
        authorization: Option<http::HeaderValue>,
    },
}

impl Route {
    /// # Errors
    /// `Config` where the proxy for this target cannot be used: a connection must not go past it.
    fn to(target: &http::Uri, proxy: &Proxy) -> Result<Self> {
        let https = target.scheme() == Some(&http::uri::Scheme::HTTPS);
        let environment;
        let variables = match proxy {
            Proxy::None => return Ok(Self::Direct),
            Proxy::Url(url) => return Self::through("the proxy", url, target),
            Proxy::Variables(variables) if variables.proxy_for(https).is_some() => variables,
            Proxy::Variables(_) | Proxy::Environment => {
                environment = ProxyVariables::of_environment()?;
                &environment
            }
        };
        let Some((name, url)) = variables.proxy_for(https) else {
            return Ok(Self::System);
        };
        let any = Matcher::builder().all("http://proxy");
        let any = any.no(variables.except().to_owned()).build();
        match any.intercept(target) {
            Some(_) => Self::through(name, url, target),
            None => Ok(Self::Direct),
        }
    }

    /// Through the proxy at a URL, which `name` has set. Errors do not show the URL, since it can hold a password.
    fn through(name: &str, url: &str, target: &http::Uri) -> Result<Self> {
        const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
        let wrong = |why: &str| {
            Error::config(format!(
                "{name} {why}: it must look like SCHEME://[USER:PASSWORD@]HOST[:PORT], of which SCHEME is one of {}, and http where \
                 it is left out",
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
                "has a path, a query or a fragment (in a password, \"/\", \"?\" and \"#\" are written %2F, %3F and %23)",
            ));
        }
        // What this cannot read, reqwest would pass over without a word.
        let matcher = Matcher::builder().all(url.as_str()).build();
        match matcher.intercept(target) {
            Some(proxy) => Ok(Self::Proxy {
                url,
                authorization: proxy.basic_auth().cloned(),
            }),
            None => Err(wrong("cannot be read")),
        }
    }
}

/// The innermost cause says it all ("Connection refused", "certificate has expired"); the layers
/// around it only repeat that there was a connect error.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
