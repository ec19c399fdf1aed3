//! A connection: its handshake, its driver task, and the exchange of a request and a response.

use std::io::IoSlice;
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
struct PermitIo {
    io: BoxIo,
    _permit: ConnectionPermit<Conn>,
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
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
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
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
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
