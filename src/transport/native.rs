//! The native transport: the gate, and connections that reqwest dials.

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
use super::dial::Dialer;
use super::gate::{Gate, Grant, Lease, Ticket};
use super::{Endpoint, Headers, Incoming, Options, rate_limit};
use crate::runtime::{Instant, Shareable};
use crate::{Error, ErrorKind, PoolStats, RateLimit, Result, TimeoutKind, Timing};

/// Sends requests to one endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    gate: Gate<Conn>,
    dialer: Dialer,
    options: Options,
    https: bool,
    headers: HeaderMap,
    host: HeaderValue,
    /// The target of HTTP/1.1 requests (RFC 9112 section 3.2.1); a plain proxy and HTTP/2 want it whole.
    path: Uri,
    whole: Uri,
    rate_limits: Mutex<Vec<RateLimit>>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint, options: Options) -> Result<Self> {
        options.limits.validate()?;
        let unusable = |e: http::Error| Error::config("the base URL cannot be used").with_source(e);
        let uri = |text: &str| text.parse().map_err(|e: InvalidUri| unusable(e.into()));
        let whole: Uri = uri(&endpoint.url)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let name = HeaderName::try_from(name).map_err(|e| unusable(e.into()))?;
            let mut value = HeaderValue::try_from(value).map_err(|e| unusable(e.into()))?;
            // Kept out of hyper's own logs, and of HTTP/2's shared header table.
            value.set_sensitive(name == header::AUTHORIZATION || name.as_str() == "x-api-key");
            headers.insert(name, value);
        }
        Ok(Self(Arc::new(Inner {
            gate: Gate::new(
                endpoint.authority(),
                options.limits,
                options.http2,
                options.alerts.clone(),
            ),
            dialer: Dialer::new(endpoint, &whole, &options)?,
            https: endpoint.is_https(),
            host: HeaderValue::try_from(endpoint.authority()).map_err(|e| unusable(e.into()))?,
            path: uri(endpoint.path())?,
            whole,
            headers,
            options,
            rate_limits: Mutex::default(),
        })))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.0.gate.stats()
    }

    pub(crate) fn rate_limits(&self) -> Vec<RateLimit> {
        self.0.rate_limits().clone()
    }

    /// Opens up to `n` connections, as many as may be kept, and says how many were opened.
    pub(crate) async fn warm_up(&self, n: usize) -> Result<usize> {
        let mut dials = JoinSet::new();
        for ticket in std::iter::from_fn(|| self.0.gate.ticket_ahead()).take(n) {
            let transport = self.clone();
            dials.spawn(async move {
                let (lease, _) = transport.0.open(ticket).await?;
                lease.done();
                Ok::<_, Error>(())
            });
        }
        let mut opened = 0;
        while let Some(dialled) = dials.join_next().await {
            dialled.map_err(|e| {
                Error::new(ErrorKind::Connect, "dialling was stopped").with_source(e)
            })??;
            opened += 1;
        }
        Ok(opened)
    }

    /// Sends a request and waits for the head of its response, each wait within its bound.
    /// `sent` is called when the first byte is about to go out.
    pub(crate) async fn send(
        &self,
        body: &Bytes,
        more: &[(String, String)],
        timing: &mut Timing,
        sent: &(impl Fn() + Shareable),
    ) -> Result<Incoming> {
        timing.queued = Duration::ZERO;
        let (lease, warm) = self.0.connection(timing).await?;
        sent();
        match self.0.exchange(lease, body, more).await {
            // The server had closed a connection that was kept warm: no fault of the call's. Those that
            // were idle beside it are as old, so the one repetition takes none of them.
            Err(error) if warm && *error.kind() == ErrorKind::Connect => {
                tracing::debug!(%error, "a warm connection had gone stale");
                self.0.gate.close_idle();
                let (lease, _) = self.0.connection(timing).await?;
                self.0.exchange(lease, body, more).await
            }
            result => result,
        }
    }
}

impl Inner {
    /// A connection, and whether it was a warm one.
    async fn connection(&self, timing: &mut Timing) -> Result<(Lease<Conn>, bool)> {
        let (grant, waited) = self.gate.acquire(self.options.waits.pool).await.map_err(|waited| {
            let limits = self.options.limits;
            let message = format!(
                "no connection came free in {waited:.1?}: all {} are in use; raise max_connections (LLM_MAX_CONNECTIONS) or make \
                 fewer calls at once",
                limits.max_connections
            );
            Error::new(ErrorKind::PoolTimeout { limits, waited }, message)
        })?;
        timing.queued += waited;
        match grant {
            Grant::Warm(lease) => {
                timing.connect = None;
                Ok((lease, true))
            }
            Grant::Cold(ticket) => {
                let (lease, took) = self.open(ticket).await?;
                timing.connect = Some(took);
                Ok((lease, false))
            }
        }
    }

    async fn open(&self, ticket: Ticket<Conn>) -> Result<(Lease<Conn>, Duration)> {
        let start = Instant::now();
        let id = ticket.id();
        let opening = async {
            let io = self.dialer.dial().await?;
            Conn::establish(io, ticket, &self.gate, &self.options, self.https)
                .await
                .map_err(broken)
        };
        let at_most = self.options.waits.connect;
        let conn = timeout(at_most, opening)
            .await
            .map_err(|_| Error::timeout(TimeoutKind::Connect, at_most))??;
        let took = start.elapsed();
        Ok((self.gate.opened(id, conn, took), took))
    }

    fn rate_limits(&self) -> MutexGuard<'_, Vec<RateLimit>> {
        self.rate_limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        &self,
        mut lease: Lease<Conn>,
        body: &Bytes,
        more: &[(String, String)],
    ) -> Result<Incoming> {
        let Some(conn) = lease.conn() else {
            return Err(Error::new(ErrorKind::Connect, "the connection is gone"));
        };
        let request = self.request(conn, body, more);
        let at_most = self.options.waits.head;
        let response = timeout(at_most, conn.exchange(request))
            .await
            .map_err(|_| Error::timeout(TimeoutKind::Head, at_most))?
            .map_err(broken)?;
        let (head, incoming) = response.into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        rate_limit::note(&mut self.rate_limits(), headers);
        let mut body = Body {
            incoming,
            lease: Some(lease),
        };
        body.free_if_ended();
        Ok(Incoming {
            status: head.status.as_u16(),
            headers: Headers::read(|name| Some(head.headers.get(name)?.to_str().ok()?.to_owned())),
            body,
        })
    }

    fn request(
        &self,
        conn: &Conn,
        body: &Bytes,
        more: &[(String, String)],
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        for (name, value) in more {
            // Both are known to be what HTTP allows.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                request.headers_mut().insert(name, value);
            }
        }
        if conn.is_http1() {
            request
                .headers_mut()
                .insert(header::HOST, self.host.clone());
        }
        *request.uri_mut() = if conn.is_http1() && !conn.proxied {
            self.path.clone()
        } else {
            self.whole.clone()
        };
        if conn.proxied
            && let Some(authorization) = &self.dialer.proxy_authorization
        {
            request
                .headers_mut()
                .insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        request
    }
}

/// What hyper says of a connection that failed before a response.
fn broken(error: hyper::Error) -> Error {
    if error.is_parse() {
        return Error::decode("what the server sent is not HTTP").with_source(error);
    }
    Error::new(ErrorKind::Connect, "the connection broke before any reply").with_source(error)
}

/// A response's body. The connection is the call's until it has ended or is dropped.
pub(crate) struct Body {
    incoming: hyper::body::Incoming,
    lease: Option<Lease<Conn>>,
}

impl Body {
    /// The next bytes; none at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.free_if_ended();
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.lease = None;
                    let error = Error::stream("the connection broke in the middle of the reply")
                        .with_source(error);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.free();
                    return Poll::Ready(None);
                }
            }
        }
    }

    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The caller has all it wants of a reply that is whole: the little that may be left, such as the
    /// last chunk's mark, is read aside, so that the connection stays warm.
    pub(crate) fn finish(mut self) {
        const AT_MOST: Duration = Duration::from_secs(1);
        if self.lease.is_some() {
            let rest = async move { while let Some(Ok(_)) = self.chunk().await {} };
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(timeout(AT_MOST, rest));
            }
        }
    }

    /// A body whose length was told ends with its last byte, without another look.
    fn free_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.free();
        }
    }

    fn free(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.done();
        }
    }
}
