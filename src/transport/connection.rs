//! A connection: its handshake, its driver task, and the exchange of a request and a response.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::connector::BoxIo;
use super::options::Options;
use crate::pool::{Connection, ConnectionPermit, MAX_STREAMS_PER_CONNECTION, Pool, WeakPool};
use crate::runtime::Instant;

/// A socket and its permit. The fields are dropped in this order, so that the socket is closed before the permit is released.
///
/// A server may answer and close before it has read the whole request, for example because the key is invalid or the request
/// is too large. Writing the rest then fails, and hyper reports that error rather than the response that has arrived. So a
/// failing write counts as done. The next read returns the response, or else the end or the error of the connection.
struct PermitIo {
    io: BoxIo,
    _permit: ConnectionPermit<Conn>,
}

fn ignoring_errors(written: Poll<Result<usize>>, length: usize) -> Poll<Result<usize>> {
    written.map(|written| Ok(written.unwrap_or(length)))
}

impl Read for PermitIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for PermitIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        ignoring_errors(Pin::new(&mut self.io).poll_write(cx, buf), buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        ignoring_errors(Pin::new(&mut self.io).poll_write_vectored(cx, bufs), length)
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A handle for sending requests over a connection.
pub(crate) struct Conn {
    sender: Sender,
    driver: AbortHandle,
    /// Whether the peer is a plain-HTTP proxy, which takes the request target in absolute form.
    pub(super) proxied: bool,
}

impl Connection for Conn {
    fn capacity(&self) -> usize {
        match self.sender {
            Sender::Http1(_) => 1,
            Sender::Http2(_) => MAX_STREAMS_PER_CONNECTION,
        }
    }

    fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                driver: self.driver.clone(),
                proxied: self.proxied,
            }),
        }
    }

    fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
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
    ) -> hyper::Result<Self> {
        let connected = io.connected();
        let proxied = connected.is_proxied();
        // Over TLS, ALPN negotiates the version. In clear text the client has to know it.
        let http2 = connected.is_negotiated_h2() || (options.http2 && !https && !proxied);
        let id = permit.id();
        let socket = PermitIo {
            io,
            _permit: permit,
        };
        let expiry = (pool.downgrade(), id, options.limits.keepalive_expiry);
        let (sender, driver) = if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).adaptive_window(true);
            if let Some(interval) = options.http2_ping {
                builder
                    .keep_alive_interval(interval)
                    .keep_alive_while_idle(true);
            }
            let (sender, connection) = builder.handshake(socket).await?;
            (
                Sender::Http2(sender),
                tokio::spawn(drive(connection, expiry)),
            )
        } else {
            let (sender, connection) = http1::handshake(socket).await?;
            (
                Sender::Http1(sender),
                tokio::spawn(drive(connection, expiry)),
            )
        };
        Ok(Self {
            sender,
            driver: driver.abort_handle(),
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
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::task::Waker;

    use hyper_util::client::legacy::connect::Connected;

    use super::super::options::Timeouts;
    use super::super::proxy::Proxy;
    use super::*;
    use crate::Limits;

    /// A socket whose peer takes a part of the request, answers and closes.
    #[derive(Default)]
    struct Impatient {
        written: bool,
        broken: bool,
        answered: bool,
        reader: Option<Waker>,
    }

    impl Read for Impatient {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            mut buf: ReadBufCursor<'_>,
        ) -> Poll<Result<()>> {
            if !self.broken {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if !std::mem::replace(&mut self.answered, true) {
                buf.put_slice(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
            }
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Impatient {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<Result<usize>> {
            if !std::mem::replace(&mut self.written, true) {
                return Poll::Ready(Ok(buf.len() / 2));
            }
            self.broken = true;
            self.reader.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl hyper_util::client::legacy::connect::Connection for Impatient {
        fn connected(&self) -> Connected {
            Connected::new()
        }
    }

    #[tokio::test]
    async fn a_response_before_the_whole_request_is_written_is_read() {
        let minute = Duration::from_secs(60);
        let options = Options {
            limits: Limits::default(),
            alerts: Default::default(),
            timeouts: Timeouts {
                pool: minute,
                connect: minute,
                response_headers: minute,
            },
            http2: false,
            http2_ping: None,
            root_certificates: Vec::new(),
            proxy: Proxy::None,
            headers: Vec::new(),
        };
        let pool = Pool::new("server", options.limits, false, options.alerts.clone());
        let permit = pool.reserve_for_warmup().unwrap();
        let socket = Box::new(Impatient::default());
        let connection = Conn::establish(socket, permit, &pool, &options, false).await;
        let request = Request::new(Full::new(Bytes::from_static(b"the body")));
        let response = connection.unwrap().exchange(request).await.unwrap();
        assert_eq!(response.status(), 401);
    }
}
