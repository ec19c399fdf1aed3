//! The native transport: a connection pool, and connections that reqwest opens.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::Full;
use hyper::body::Body as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::Conn;
use super::connector::Connector;
use super::options::Options;
use super::rate_limit;
use super::response::HttpResponse;
use crate::pool::{Checkout, ConnectionPermit, Pool, PooledConnection};
use crate::provider::Endpoint;
use crate::runtime::{Instant, MaybeSend, MaybeSync};
use crate::timeouts::Timeouts;
use crate::{Error, ErrorKind, PoolStats, RateLimit, Result, TimeoutKind, Timing};

/// Sends requests to one endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    pool: Pool<Conn>,
    connector: Connector,
    options: Options,
    https: bool,
    headers: HeaderMap,
    host: HeaderValue,
    target: Target,
    rate_limits: Mutex<Vec<RateLimit>>,
}

/// The targets of requests to an endpoint.
struct Target {
    /// The request target of HTTP/1.1 (RFC 9112, section 3.2.1).
    origin_form: Uri,
    /// The request target for HTTP/2 and for plain-HTTP proxies.
    absolute_form: Uri,
}

impl Target {
    fn new(endpoint: &Endpoint) -> Result<Self> {
        let uri = |text: &str| text.parse().map_err(|e: InvalidUri| unusable(e.into()));
        Ok(Self {
            origin_form: uri(&endpoint.path())?,
            absolute_form: uri(&endpoint.url)?,
        })
    }
}

fn unusable(error: http::Error) -> Error {
    Error::config("the base URL cannot be used").with_source(error)
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint, options: Options) -> Result<Self> {
        options.limits.validate()?;
        let target = Target::new(endpoint)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let name = HeaderName::try_from(name).map_err(|e| unusable(e.into()))?;
            let value = HeaderValue::try_from(value).map_err(|e| unusable(e.into()))?;
            insert(&mut headers, name, value);
        }
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(
                endpoint.authority(),
                options.limits,
                options.http2,
                options.alerts.clone(),
            ),
            connector: Connector::new(endpoint, &target.absolute_form, &options)?,
            https: target.absolute_form.scheme_str() == Some("https"),
            host: HeaderValue::try_from(endpoint.authority()).map_err(|e| unusable(e.into()))?,
            target,
            headers,
            options,
            rate_limits: Mutex::default(),
        })))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    pub(crate) fn rate_limits(&self) -> Vec<RateLimit> {
        self.0.rate_limits().clone()
    }

    /// Opens up to `n` connections, as far as the limits allow that many idle ones. Returns the number opened.
    pub(crate) async fn warm_up(&self, n: usize) -> Result<usize> {
        let mut dials = JoinSet::new();
        for permit in std::iter::from_fn(|| self.0.pool.reserve_for_warmup()).take(n) {
            let transport = self.clone();
            dials.spawn(async move {
                let (connection, _) = transport
                    .0
                    .open(permit, transport.0.options.timeouts.timeout)
                    .await?;
                connection.done();
                Ok::<_, Error>(())
            });
        }
        let mut opened = 0;
        while let Some(result) = dials.join_next().await {
            result.map_err(|e| {
                Error::new(ErrorKind::Connect, "warming up was aborted").with_source(e)
            })??;
            opened += 1;
        }
        Ok(opened)
    }

    /// Sends a request and waits for the response headers, with the timeout of each phase. Calls `sent` just before the first
    /// byte is sent.
    ///
    /// The request goes to the transport's endpoint, or `to` another one on the same server.
    pub(crate) async fn send(
        &self,
        to: Option<&Endpoint>,
        body: &Bytes,
        extra_headers: &[(String, String)],
        timeouts: &Timeouts,
        timing: &mut Timing,
        sent: &(impl Fn() + MaybeSend + MaybeSync),
    ) -> Result<HttpResponse<Body>> {
        timing.queued = Duration::ZERO;
        let target = match to {
            Some(endpoint) => &Target::new(endpoint)?,
            None => &self.0.target,
        };
        let (connection, reused) = self.0.acquire(timeouts, timing).await?;
        sent();
        match self
            .0
            .exchange(connection, target, body, extra_headers, timeouts.reply)
            .await
        {
            // The server had closed the idle connection. The others that are idle may be as stale, so the one repetition
            // opens a new connection.
            Err(error) if reused && *error.kind() == ErrorKind::Connect => {
                tracing::debug!(%error, "a reused connection was stale");
                self.0.pool.close_idle();
                let (connection, _) = self.0.acquire(timeouts, timing).await?;
                self.0
                    .exchange(connection, target, body, extra_headers, timeouts.reply)
                    .await
            }
            result => result,
        }
    }
}

impl Inner {
    /// Returns a connection, and whether it is a reused one.
    async fn acquire(
        &self,
        timeouts: &Timeouts,
        timing: &mut Timing,
    ) -> Result<(PooledConnection<Conn>, bool)> {
        let (checkout, waited) = self.pool.acquire(timeouts.pool()).await.map_err(|waited| {
            let max_connections = self.options.limits.max_connections;
            let message = format!(
                "no connection became free within {waited:.1?}: all {max_connections} are in use"
            );
            Error::new(ErrorKind::PoolTimeout { max_connections, waited }, message).with_hint(
                "raise max_connections (LLM_MAX_CONNECTIONS) or make fewer concurrent calls; `pool_timeout` is how long a call waits",
            )
        })?;
        timing.queued += waited;
        match checkout {
            Checkout::Idle(connection) => {
                timing.connect = None;
                Ok((connection, true))
            }
            Checkout::Connect(permit) => {
                let (connection, took) = self.open(permit, timeouts.timeout).await?;
                timing.connect = Some(took);
                Ok((connection, false))
            }
        }
    }

    async fn open(
        &self,
        permit: ConnectionPermit<Conn>,
        limit: Duration,
    ) -> Result<(PooledConnection<Conn>, Duration)> {
        let start = Instant::now();
        let id = permit.id();
        let opening = async {
            let io = self.connector.dial().await?;
            Conn::establish(io, permit, &self.pool, &self.options, self.https)
                .await
                .map_err(map_hyper_error)
        };
        let conn = timeout(limit, opening)
            .await
            .map_err(|_| Error::timeout(TimeoutKind::Connect, limit))??;
        let took = start.elapsed();
        Ok((self.pool.on_connected(id, conn, took), took))
    }

    fn rate_limits(&self) -> MutexGuard<'_, Vec<RateLimit>> {
        self.rate_limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        &self,
        mut connection: PooledConnection<Conn>,
        target: &Target,
        body: &Bytes,
        extra_headers: &[(String, String)],
        limit: Duration,
    ) -> Result<HttpResponse<Body>> {
        let Some(conn) = connection.conn() else {
            return Err(Error::new(ErrorKind::Connect, "the connection is closed"));
        };
        let request = self.request(conn, target, body, extra_headers);
        let response = timeout(limit, conn.exchange(request))
            .await
            .map_err(|_| Error::timeout(TimeoutKind::Reply, limit))?
            .map_err(map_hyper_error)?;
        let (head, incoming) = response.into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        rate_limit::update(&mut self.rate_limits(), headers);
        let mut body = Body {
            incoming,
            connection: Some(connection),
        };
        body.release_if_ended();
        Ok(HttpResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    fn request(
        &self,
        conn: &Conn,
        target: &Target,
        body: &Bytes,
        extra_headers: &[(String, String)],
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        for (name, value) in extra_headers {
            // The request has been validated, so both are valid.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                insert(request.headers_mut(), name, value);
            }
        }
        if conn.is_http1() {
            request
                .headers_mut()
                .insert(header::HOST, self.host.clone());
        }
        *request.uri_mut() = if conn.is_http1() && !conn.proxied {
            target.origin_form.clone()
        } else {
            target.absolute_form.clone()
        };
        if conn.proxied
            && let Some(authorization) = &self.connector.proxy_authorization
        {
            request
                .headers_mut()
                .insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        request
    }
}

/// Adds a header. A secret is kept out of hyper's logs and HTTP/2's header compression table.
fn insert(headers: &mut HeaderMap, name: HeaderName, mut value: HeaderValue) {
    let secret = ["authorization", "cookie"].contains(&name.as_str());
    value.set_sensitive(secret || name.as_str().ends_with("-key"));
    headers.insert(name, value);
}

/// Maps the error of a connection that failed before a response.
fn map_hyper_error(error: hyper::Error) -> Error {
    if error.is_parse() {
        return Error::decode("the server did not answer in HTTP").with_source(error);
    }
    Error::new(ErrorKind::Connect, "the connection broke before a reply").with_source(error)
}

/// A response body. It holds the connection until it has ended or is dropped.
pub(crate) struct Body {
    incoming: hyper::body::Incoming,
    connection: Option<PooledConnection<Conn>>,
}

impl Body {
    /// Returns the next bytes, or `None` at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.release_if_ended();
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.connection = None;
                    let error = Error::stream("the connection broke in the middle of the reply")
                        .with_source(error);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.release();
                    return Poll::Ready(None);
                }
            }
        }
    }

    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Reads the rest of a complete reply in the background, such as the last chunk's marker, so that the connection can be
    /// reused.
    pub(crate) fn finish(mut self) {
        const LIMIT: Duration = Duration::from_secs(1);
        if self.connection.is_some() {
            let rest = async move { while let Some(Ok(_)) = self.chunk().await {} };
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(timeout(LIMIT, rest));
            }
        }
    }

    /// Releases the connection if the body has ended. A body of known length ends with its last byte, before another poll.
    fn release_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.done();
        }
    }
}
