//! One connection of a caller, from its opening to its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;

use crate::relay::relayed;

/// How long the rest of a response may take to leave during a shutdown, when nothing else keeps the connection open.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum size of the head of a request, in bytes, and of what is read or written at once.
const MAX_HEAD: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For the head of a request.
    pub(crate) header: Duration,
    /// For a caller to read more of a response.
    pub(crate) write: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// No more requests are accepted, and responses may end.
    Draining,
    /// Connections are closed, whatever is under way.
    Cutting,
}

pub(crate) struct Connection {
    app: Router,
    timeouts: Timeouts,
    phase: watch::Receiver<Phase>,
    /// Whether a further caller waits for one of the connections to close. The one that closes unsets this.
    is_full: watch::Sender<bool>,
}

/// What goes on over a connection.
#[derive(Clone, Copy, Default)]
struct Activity {
    /// The number of requests whose response has not ended.
    requests: usize,
    /// Whether the head of a request has arrived.
    had_request: bool,
    is_http2: bool,
    is_draining: bool,
    /// Whether the connection is to make room for another as soon as it is idle.
    is_wanted: bool,
}

impl Connection {
    pub(crate) fn new(
        app: Router,
        timeouts: Timeouts,
        phase: watch::Receiver<Phase>,
        is_full: watch::Sender<bool>,
    ) -> Self {
        Self {
            app,
            timeouts,
            phase,
            is_full,
        }
    }

    /// Serves the connection to its end. Returns the number of requests that were cut by [`Phase::Cutting`].
    pub(crate) async fn serve(mut self, socket: TcpStream) -> usize {
        // This fails if the caller has closed the connection already, which is noticed when it is read. Without it the system holds
        // back the small writes of a stream until the caller has acknowledged the write before, which takes up to 40 ms.
        let _ = socket.set_nodelay(true);
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(self.timeouts.write));
        let activity = watch::Sender::new(Activity::default());
        let mut changes = activity.subscribe();
        let mut full = self.is_full.subscribe();
        let builder = self.builder();
        let service = service_fn(|request: Request<Incoming>| {
            let open = OpenRequest::new(&activity, request.version());
            let (mut app, stall) = (self.app.clone(), self.timeouts.write);
            async move {
                let is_http2 = request.version() == Version::HTTP_2;
                let response = app.call(request).await?;
                Ok::<_, Infallible>(response.map(|body| ResponseBody {
                    body: match is_http2 {
                        true => relayed(body, stall),
                        false => body,
                    },
                    _open: open,
                }))
            }
        });
        let io = TokioIo::new(Box::pin(socket));
        let mut serving = pin!(builder.serve_connection(io, service));
        loop {
            let Activity {
                requests,
                had_request,
                is_http2,
                is_draining,
                is_wanted,
            } = *changes.borrow_and_update();
            let idle_timeout = match () {
                () if requests > 0 => None,
                () if is_draining => Some(FLUSH_TIMEOUT.min(self.timeouts.write)),
                // hyper has a timeout for the heads of HTTP/1 only, once it knows that the caller speaks it.
                () if !had_request || is_http2 => Some(self.timeouts.header),
                () => None,
            };
            tokio::select! {
                _ = serving.as_mut() => return 0,
                _ = changes.changed() => {}
                () = tokio::time::sleep(idle_timeout.unwrap_or_default()), if idle_timeout.is_some() => {
                    if is_draining || !had_request {
                        return 0;
                    }
                    // A caller of HTTP/2 is told, so that it does not send a request now.
                    serving.as_mut().graceful_shutdown();
                    activity.send_modify(|activity| activity.is_draining = true);
                }
                // The number of requests may have changed since, unless the connection is wanted.
                () = is_true(&mut full), if had_request && !is_draining && (requests == 0 || !is_wanted) => {
                    if activity.borrow().requests > 0 {
                        activity.send_modify(|activity| activity.is_wanted = true);
                    } else if self.is_full.send_if_modified(std::mem::take) {
                        serving.as_mut().graceful_shutdown();
                        activity.send_modify(|activity| activity.is_draining = true);
                    }
                }
                _ = self.phase.changed() => match *self.phase.borrow_and_update() {
                    Phase::Serving => {}
                    Phase::Draining => {
                        serving.as_mut().graceful_shutdown();
                        activity.send_modify(|activity| activity.is_draining = true);
                    }
                    Phase::Cutting => return activity.borrow().requests,
                },
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.header)
            .max_buf_size(MAX_HEAD);
        // A caller of HTTP/2 who is gone is noticed by pings, since nothing is written to one who waits.
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.timeouts.header)
            .keep_alive_timeout(self.timeouts.write);
        builder
    }
}

/// Waits until the value is true.
async fn is_true(value: &mut watch::Receiver<bool>) {
    // What this returns locks the value, so it must not live on in the caller.
    drop(value.wait_for(|value| *value).await);
}

/// Counts a request for as long as its response has not ended.
struct OpenRequest(watch::Sender<Activity>);

impl OpenRequest {
    fn new(activity: &watch::Sender<Activity>, version: Version) -> Self {
        activity.send_if_modified(|activity| {
            let was_idle = activity.needs_idle_timeout();
            activity.requests += 1;
            activity.had_request = true;
            activity.is_http2 = version == Version::HTTP_2;
            was_idle
        });
        Self(activity.clone())
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.send_if_modified(|activity| {
            activity.requests -= 1;
            activity.needs_idle_timeout()
        });
    }
}

impl Activity {
    /// Whether the connection's task must know that a request has begun or ended. It is not woken otherwise.
    fn needs_idle_timeout(self) -> bool {
        !self.had_request || self.is_http2 || self.is_draining || self.is_wanted
    }
}

struct ResponseBody {
    body: Body,
    _open: OpenRequest,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
