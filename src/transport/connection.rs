//! A connection: its handshake, its driver task, and the exchange of a request and a response.

use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::task::AbortHandle;

use super::connector::BoxIo;
use super::options::Options;
use super::relay::{Driver, Relay};
use super::socket::{PermitIo, Writes};
use super::stream_limit::{Executor, StreamLimit};
use crate::pool::{Connection, ConnectionPermit, Pool, WeakPool};
use crate::runtime::{Instant, Timer};
use crate::{Error, ErrorKind, Result};

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
    /// Reads the bodies of HTTP/1.1.
    pub(super) relay: Option<Arc<Relay>>,
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
                relay: None,
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
        let (sender, driver, relay) = if http2 {
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
            (sender, tokio::spawn(drive(driver, expiry)), None)
        } else {
            let (sender, connection) = http1::handshake(socket).await.map_err(failed)?;
            let relay = Arc::<Relay>::default();
            let driver = Driver::new(connection, relay.clone());
            let driver = tokio::spawn(drive(driver, expiry));
            (Sender::Http1(sender), driver, Some(relay))
        };
        Ok(Self {
            sender,
            driver: driver.abort_handle(),
            writes,
            relay,
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
    let mut driver = pin!(driver);
    let mut timer = Timer::new(expiry);
    let mut next_check = Some(Instant::now() + expiry);
    poll_fn(|cx| {
        if driver.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some(at) = next_check
            && timer.poll_until(cx, at).is_ready()
        {
            next_check = Pool::expire(&pool, id);
        }
        Poll::Pending
    })
    .await;
}
