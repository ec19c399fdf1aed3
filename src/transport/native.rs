//! The native transport: a connection pool, and connections that reqwest opens.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Conn, Failure};
use super::connector::Connector;
use super::options::Options;
use super::rate_limit;
use super::relay::Relay;
use super::request::HttpRequest;
use super::response::HttpResponse;

use crate::pool::{Checkout, ConnectionPermit, Pool, PooledConnection, Ticket};
use crate::provider::Endpoint;
use crate::runtime::{Instant, MaybeSend, MaybeSync};
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

    /// Returns the same transport, whose responses have all headers.
    pub(crate) fn with_rate_limit_headers(&self) -> Self {
        self.clone()
    }

    /// Takes the rate limits that a response reports. Secrets have been removed from its headers.
    pub(crate) fn update_rate_limits(&self, headers: &HeaderMap) {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        rate_limit::update(&mut self.0.rate_limits(), headers);
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
                connection.unused();
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

    /// Draws a ticket for a place in the pool's queue. Each attempt of a call draws one.
    pub(crate) fn ticket(&self) -> Ticket {
        self.0.pool.ticket()
    }

    /// Takes a turn: waits for an idle connection or for the right to open one, for at most `limit`. Adds the time
    /// spent waiting to `timing.queued`.
    ///
    /// A turn that is dropped returns to the pool. Its ticket then still holds its place in the queue.
    pub(crate) async fn acquire(
        &self,
        ticket: Ticket,
        limit: Duration,
        timing: &mut Timing,
    ) -> Result<Turn> {
        let checkout = self.0.acquire(ticket, limit, timing).await?;
        Ok(Turn { ticket, checkout })
    }

    /// Sends a request, and waits for the response headers, with the timeout of each phase. Calls `sent(true)` just before the
    /// first byte may be sent, and `sent(false)` if it turns out that the server has not processed the request.
    ///
    /// A request that was not processed because its connection was no longer usable goes out on another connection. A request
    /// that may have been processed is never repeated.
    pub(crate) async fn send(
        &self,
        turn: Turn,
        request: HttpRequest<'_>,
        timing: &mut Timing,
        sent: &(impl Fn(bool) + MaybeSend + MaybeSync),
    ) -> Result<HttpResponse<Body>> {
        let timeouts = request.timeouts;
        let target = match request.to {
            Some(endpoint) => &Target::new(endpoint)?,
            None => &self.0.target,
        };
        let Turn {
            ticket,
            mut checkout,
        } = turn;
        // All idle connections can turn out to be closed. After them comes a new one.
        let mut repetitions = self.0.options.limits.max_keepalive_connections.max(1);
        loop {
            let connection = self.0.connect(checkout, timeouts.timeout, timing).await?;
            let reused = connection.is_reused();
            if connection.was_idle() {
                // Lets the runtime poll its sockets, so that the connection's driver sees whether the server has closed it.
                tokio::task::yield_now().await;
            }
            sent(true);
            let exchange = self.0.exchange(connection, target, request);
            let error = match exchange.await {
                Err(Failure::Unsent(error)) => error,
                Err(Failure::Refused(error)) => {
                    repetitions = repetitions.min(1);
                    error
                }
                Err(Failure::Broken(error)) => return Err(error),
                Ok(response) => return Ok(response),
            };
            sent(false);
            // If a new connection is closed at once, others would be too. The call's retries wait before they try again.
            if !reused || repetitions == 0 {
                return Err(error);
            }
            repetitions -= 1;
            tracing::debug!(%error, "the request goes out again on another connection");
            checkout = self.0.acquire(ticket, timeouts.pool(), timing).await?;
        }
    }
}

/// A turn in the pool: an idle connection, or the right to open one.
pub(crate) struct Turn {
    ticket: Ticket,
    checkout: Checkout<Conn>,
}

impl Inner {
    async fn acquire(
        &self,
        ticket: Ticket,
        limit: Duration,
        timing: &mut Timing,
    ) -> Result<Checkout<Conn>> {
        let (checkout, waited) = self.pool.acquire(ticket, limit).await.map_err(|waited| {
            tracing::debug!(pool = ?self.pool, "no connection became free");
            let max_connections = self.options.limits.max_connections;
            let message = format!(
                "no connection became free within {waited:.1?}: all {max_connections} are in use"
            );
            Error::new(ErrorKind::PoolTimeout { max_connections, waited }, message).with_hint(
                "raise max_connections (LLM_MAX_CONNECTIONS) or make fewer concurrent calls; `pool_timeout` is how long a call waits",
            )
        })?;
        timing.queued += waited;
        Ok(checkout)
    }

    /// Returns the connection of a checkout, which it opens if need be.
    async fn connect(
        &self,
        checkout: Checkout<Conn>,
        limit: Duration,
        timing: &mut Timing,
    ) -> Result<PooledConnection<Conn>> {
        match checkout {
            Checkout::Idle(connection) => {
                timing.connect = None;
                Ok(connection)
            }
            Checkout::Connect(permit) => {
                // In a box, because its future is large and rarely needed.
                let (connection, took) = Box::pin(self.open(permit, limit)).await?;
                timing.connect = Some(took);
                Ok(connection)
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
            Conn::establish(io, permit, &self.pool, &self.options, self.https).await
        };
        let conn = timeout(limit, opening)
            .await
            .map_err(|_| self.connector.timeout(limit))??;
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
        request: HttpRequest<'_>,
    ) -> Result<HttpResponse<Body>, Failure> {
        let Some(conn) = connection.conn() else {
            let error = Error::new(ErrorKind::Connect, "the connection is closed");
            return Err(Failure::Unsent(error));
        };
        let relay = conn.relay.clone();
        let limit = request.timeouts.reply;
        let request = self.request(conn, target, request);
        let response = match timeout(limit, conn.exchange(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => {
                if !matches!(failure, Failure::Broken(_)) {
                    connection.unused();
                }
                return Err(failure);
            }
            Err(_) => {
                let error = Error::timeout(TimeoutKind::Reply, limit);
                return Err(Failure::Broken(error));
            }
        };
        let (head, incoming) = response.into_parts();
        Ok(HttpResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body: Body::new(incoming, relay, connection),
        })
    }

    fn request(
        &self,
        conn: &Conn,
        target: &Target,
        HttpRequest {
            method,
            body,
            headers,
            ..
        }: HttpRequest<'_>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.headers_mut() = self.headers.clone();
        if body.is_empty() {
            request.headers_mut().remove(header::CONTENT_TYPE);
            // RFC 9110, section 8.6: for a method that usually has a body.
            if [Method::POST, Method::PUT, Method::PATCH].contains(method) {
                request
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, 0.into());
            }
        }
        for (name, value) in headers {
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

/// A response body. It holds the connection until it has ended or is dropped.
pub(crate) struct Body {
    source: Source,
    /// `None` once the body has ended.
    connection: Option<PooledConnection<Conn>>,
}

enum Source {
    /// With the relay of the connection, if it has one.
    Hyper(Incoming, Option<Arc<Relay>>),
    /// After the first wait for a body of HTTP/1.1.
    Relay(Arc<Relay>),
}

impl Body {
    fn new(
        incoming: Incoming,
        relay: Option<Arc<Relay>>,
        connection: PooledConnection<Conn>,
    ) -> Self {
        let is_ended = incoming.is_end_stream();
        let mut body = Self {
            source: Source::Hyper(incoming, relay),
            connection: Some(connection),
        };
        if is_ended {
            body.release();
        }
        body
    }

    /// Returns the next bytes, or `None` at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.connection.is_none() {
            return Poll::Ready(None);
        }
        let read = loop {
            let (incoming, relay) = match &mut self.source {
                Source::Relay(relay) => break ready!(relay.poll_read(cx)),
                Source::Hyper(incoming, relay) => (incoming, relay),
            };
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => {
                        break Ok((bytes, incoming.is_end_stream()));
                    }
                    // Trailers are not read.
                    _ => {}
                },
                Poll::Ready(Some(Err(error))) => break Err(error),
                Poll::Ready(None) => break Ok((Bytes::new(), true)),
                Poll::Pending => {
                    let Some(relay) = relay.take() else {
                        return Poll::Pending;
                    };
                    let relayed = Source::Relay(relay.clone());
                    if let Source::Hyper(incoming, _) = std::mem::replace(&mut self.source, relayed)
                    {
                        relay.take_over(incoming);
                    }
                }
            }
        };
        Poll::Ready(match read {
            Ok((bytes, is_end)) => {
                if is_end {
                    self.release();
                }
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Err(error) => {
                self.connection = None;
                let error = Error::stream("the connection broke in the middle of the reply")
                    .with_source(error);
                Some(Err(error))
            }
        })
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

    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.done();
        }
    }
}
