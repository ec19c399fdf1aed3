//! A connection: its handshake, its driver task, and the exchange of a request and a response.

use std::error::Error as _;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioTimer;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::connector::BoxIo;
use super::options::Options;
use crate::pool::{Connection, ConnectionPermit, Pool, WeakPool};
use crate::runtime::Instant;
use crate::{Error, ErrorKind, Result};

/// What is known about the writes to a socket.
#[derive(Default)]
struct Writes {
    /// The number of bytes that were written.
    bytes: AtomicU64,
    /// Whether a write has failed.
    failed: AtomicBool,
}

/// A socket and its permit. The fields are dropped in this order, so that the socket is closed before the permit is released.
struct PermitIo {
    io: BoxIo,
    writes: Arc<Writes>,
    /// Whether hyper does not learn of failed writes. A server can answer with an error, such as a 413, and close the connection
    /// before it has read the request. The write then fails, but the response can still be read.
    ignores_write_errors: bool,
    _permit: ConnectionPermit<Conn>,
}

impl PermitIo {
    fn written(
        &self,
        result: Poll<std::io::Result<usize>>,
        len: usize,
    ) -> Poll<std::io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(n)) => {
                self.writes.bytes.fetch_add(*n as u64, Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) if self.ignores_write_errors => {
                tracing::debug!(%error, "a write failed; the response may still arrive");
                self.writes.failed.store(true, Ordering::Relaxed);
                return Poll::Ready(Ok(len));
            }
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        result
    }

    fn is_discarding(&self) -> bool {
        self.writes.failed.load(Ordering::Relaxed)
    }
}

impl Read for PermitIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for PermitIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.is_discarding() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(result, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.is_discarding() {
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.written(result.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if self.is_discarding() {
            return Poll::Ready(Ok(len));
        }
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(result, len)
    }
}

/// The number of streams that an HTTP/2 server allows at the same time.
struct StreamLimit {
    limit: AtomicUsize,
    /// Wakes the driver of the connection, which can read the limit.
    waker: AtomicWaker,
}

impl Default for StreamLimit {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(Self::UNKNOWN),
            waker: AtomicWaker::new(),
        }
    }
}

impl StreamLimit {
    /// What hyper reports until the server's first SETTINGS frame. No server sets it: limits have 32 bits, and none is `usize::MAX`.
    const UNKNOWN: usize = usize::MAX - 1;

    fn get(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != Self::UNKNOWN).then_some(limit)
    }

    /// Returns whether the limit has changed.
    fn set(&self, limit: usize) -> bool {
        self.limit.swap(limit, Ordering::Relaxed) != limit
    }
}

/// Spawns the tasks of an HTTP/2 connection. One of them reads the socket. Until the server's limit of streams is known, the
/// driver is woken after each step of theirs; later it looks at the limit whenever it has something to do.
#[derive(Clone)]
struct Executor(Arc<StreamLimit>);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let limit = self.0.clone();
        tokio::spawn(async move {
            tokio::pin!(task);
            poll_fn(|cx| {
                let polled = task.as_mut().poll(cx);
                if limit.get().is_none() {
                    limit.waker.wake();
                }
                polled
            })
            .await
        });
    }
}

/// Why a request got no response.
pub(super) enum Failure {
    /// The server has not processed the request, and the connection is closed.
    Unsent(Error),
    /// The server has not processed the request, but the connection is still open.
    Refused(Error),
    /// The server may have processed the request.
    Broken(Error),
}

fn unsent(error: hyper::Error) -> Failure {
    let message = "the connection closed before the request was sent";
    Failure::Unsent(Error::new(ErrorKind::Connect, message).with_source(error))
}

fn refused(error: hyper::Error) -> Failure {
    let message = "the server refused the HTTP/2 stream";
    Failure::Refused(Error::new(ErrorKind::Connect, message).with_source(error))
}

fn broken(error: hyper::Error) -> Failure {
    Failure::Broken(match error.is_parse() {
        true => Error::decode("the server did not answer in HTTP").with_source(error),
        false => {
            Error::new(ErrorKind::Connect, "the connection broke before a reply").with_source(error)
        }
    })
}

/// Returns whether an HTTP/2 server says that it has not processed a request (RFC 9113, section 8.7). h2 reports a GOAWAY to
/// those streams only that are above its last stream ID.
fn is_refusal(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away()
            || (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>, Arc<StreamLimit>),
}

/// A handle for sending requests over a connection.
pub(crate) struct Conn {
    sender: Sender,
    driver: AbortHandle,
    writes: Arc<Writes>,
    /// Whether the peer is a plain-HTTP proxy, which takes the request target in absolute form.
    pub(super) proxied: bool,
}

impl Connection for Conn {
    fn is_multiplexed(&self) -> bool {
        matches!(self.sender, Sender::Http2(..))
    }

    fn capacity(&self) -> Option<usize> {
        match &self.sender {
            Sender::Http1(_) => Some(1),
            Sender::Http2(_, limit) => limit.get(),
        }
    }

    fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender, limit) => Some(Self {
                sender: Sender::Http2(sender.clone(), limit.clone()),
                driver: self.driver.clone(),
                writes: self.writes.clone(),
                proxied: self.proxied,
            }),
        }
    }

    fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => {
                !sender.is_closed() && !self.writes.failed.load(Ordering::Relaxed)
            }
            Sender::Http2(sender, _) => !sender.is_closed(),
        }
    }

    fn abort(&self) {
        if let Sender::Http1(_) = self.sender {
            self.driver.abort();
        }
    }
}

impl Conn {
    /// Performs the HTTP handshake, and spawns a task that drives the connection until it closes.
    pub(super) async fn establish(
        io: BoxIo,
        permit: ConnectionPermit<Self>,
        pool: &Pool<Self>,
        options: &Options,
        https: bool,
    ) -> Result<Self> {
        let failed =
            |error| Error::new(ErrorKind::Connect, "the HTTP handshake failed").with_source(error);
        let connected = io.connected();
        let proxied = connected.is_proxied();
        // Over TLS, ALPN negotiates the version. In clear text the client has to know it.
        let http2 = connected.is_negotiated_h2() || (options.http2 && !https && !proxied);
        let id = permit.id();
        let writes = Arc::<Writes>::default();
        let socket = PermitIo {
            io,
            writes: writes.clone(),
            ignores_write_errors: !http2,
            _permit: permit,
        };
        let expiry = (pool.downgrade(), id, options.limits.keepalive_expiry);
        let (sender, driver) = if http2 {
            let limit = Arc::<StreamLimit>::default();
            let mut builder = http2::Builder::new(Executor(limit.clone()));
            builder
                .timer(TokioTimer::new())
                .adaptive_window(true)
                .initial_max_send_streams(StreamLimit::UNKNOWN);
            if let Some(interval) = options.http2_ping {
                builder
                    .keep_alive_interval(interval)
                    .keep_alive_while_idle(true);
            }
            let (sender, mut connection) = builder.handshake(socket).await.map_err(failed)?;
            let weak = pool.downgrade();
            let (sender, followed) = (Sender::Http2(sender, limit.clone()), limit);
            let driver = poll_fn(move |cx| {
                followed.waker.register(cx.waker());
                let polled = Pin::new(&mut connection).poll(cx);
                if followed.set(connection.current_max_send_streams()) {
                    Pool::on_capacity_changed(&weak, id);
                }
                polled
            });
            (sender, tokio::spawn(drive(driver, expiry)))
        } else {
            let (sender, connection) = http1::handshake(socket).await.map_err(failed)?;
            (
                Sender::Http1(sender),
                tokio::spawn(drive(connection, expiry)),
            )
        };
        Ok(Self {
            sender,
            driver: driver.abort_handle(),
            writes,
            proxied,
        })
    }

    pub(super) fn is_http1(&self) -> bool {
        matches!(self.sender, Sender::Http1(_))
    }

    /// Sends a request and waits for the response headers.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(unsent)?;
                let before = self.writes.bytes.load(Ordering::Relaxed);
                let result = sender.try_send_request(request).await;
                result.map_err(|mut error| {
                    let nothing_written = self.writes.bytes.load(Ordering::Relaxed) == before;
                    match error.take_message().is_some() || nothing_written {
                        true => unsent(error.into_error()),
                        false => broken(error.into_error()),
                    }
                })
            }
            Sender::Http2(sender, _) => {
                sender.ready().await.map_err(unsent)?;
                let result = sender.try_send_request(request).await;
                result.map_err(|mut error| {
                    if error.take_message().is_some() {
                        return unsent(error.into_error());
                    }
                    let error = error.into_error();
                    let h2 = error.source().and_then(|e| e.downcast_ref::<h2::Error>());
                    match h2.is_some_and(is_refusal) {
                        true => refused(error),
                        false => broken(error),
                    }
                })
            }
        }
    }
}

/// Drives a connection until it closes, and evicts it once it has been idle for `keepalive_expiry`: hyper closes a
/// connection gracefully when its last handle is dropped. An error reaches the call that uses the connection, if any.
async fn drive<D: Future>(driver: D, (pool, id, expiry): (WeakPool<Conn>, u64, Duration)) {
    tokio::pin!(driver);
    let mut next_check = Some(Instant::now() + expiry);
    while let Some(at) = next_check {
        tokio::select! {
            _ = &mut driver => return,
            () = sleep_until(at) => next_check = Pool::expire(&pool, id),
        }
    }
    driver.await;
}
