//! A server for the gateway, which bounds what its callers can hold.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connection, Phase, Timeouts};

/// The time between two attempts to accept a connection while the system has no file descriptor left for it.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How often it is logged that callers wait for a connection.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves an axum app over HTTP/1.1 and HTTP/2, within limits of connections and time.
///
/// `axum::serve` has no such limits: a caller who sends half a request, or does not read a response, holds its connection for ever.
///
/// ```no_run
/// use std::time::Duration;
/// use warmline_gateway::Server;
///
/// # async fn demo(app: axum::Router) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8787").await?;
/// let stopped = Server::new(listener)
///     .max_connections(500)
///     .shutdown_timeout(Duration::from_secs(10))
///     .shutdown_on(async { drop(tokio::signal::ctrl_c().await) })
///     .serve(app)
///     .await;
/// println!("{} requests were cut", stopped.cut_requests);
/// # Ok(()) }
/// ```
#[must_use]
pub struct Server {
    listener: TcpListener,
    max_connections: usize,
    timeouts: Timeouts,
    shutdown_timeout: Duration,
    shutdown: Signal,
    abort: Signal,
}

/// How a [`Server`] ended.
///
/// ```
/// # fn demo(stopped: warmline_gateway::Stopped) {
/// assert_eq!(stopped.cut_requests, 0);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// The number of requests whose response was not complete when the shutdown timeout had passed, or the abort was signalled.
    pub cut_requests: usize,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("max_connections", &self.max_connections)
            .field("timeouts", &self.timeouts)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// The default of [`max_connections`](Self::max_connections).
    pub const MAX_CONNECTIONS: usize = 1024;
    /// The default of [`header_timeout`](Self::header_timeout).
    pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
    /// The default of [`write_timeout`](Self::write_timeout).
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
    /// The default of [`shutdown_timeout`](Self::shutdown_timeout).
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

    /// Returns a server that accepts connections of `listener`.
    ///
    /// ```
    /// # use warmline_gateway::Server;
    /// # async fn demo() -> std::io::Result<()> {
    /// let server = Server::new(tokio::net::TcpListener::bind("127.0.0.1:0").await?);
    /// # Ok(()) }
    /// ```
    pub fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            max_connections: Self::MAX_CONNECTIONS,
            timeouts: Timeouts {
                header: Self::HEADER_TIMEOUT,
                write: Self::WRITE_TIMEOUT,
            },
            shutdown_timeout: Self::SHUTDOWN_TIMEOUT,
            shutdown: Box::pin(std::future::pending()),
            abort: Box::pin(std::future::pending()),
        }
    }

    /// Sets the maximum number of open connections. The default is 1024. For a further caller, a
    /// connection is closed that has had a request and has none now. If there is none, the caller waits, unanswered, until one closes.
    ///
    /// ```
    /// # fn demo(server: warmline_gateway::Server) {
    /// let server = server.max_connections(100);
    /// # }
    /// ```
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = max.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how long a caller may take for the head of a request, from the opening of the connection or the end of the last response.
    /// The default is 60 s. Then the connection is closed, so this is also how long an idle one stays open.
    ///
    /// ```
    /// # fn demo(server: warmline_gateway::Server) {
    /// let server = server.header_timeout(std::time::Duration::from_secs(10));
    /// # }
    /// ```
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.header = timeout;
        self
    }

    /// Sets how long a caller may read nothing of a response that is being written. The default is 60 s. Then the connection is closed,
    /// and its calls are aborted.
    ///
    /// ```
    /// # fn demo(server: warmline_gateway::Server) {
    /// let server = server.write_timeout(std::time::Duration::from_secs(10));
    /// # }
    /// ```
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.write = timeout;
        self
    }

    /// Sets how long a shutdown waits for responses to end. The default is 25 s. Then they are cut.
    ///
    /// ```
    /// # fn demo(server: warmline_gateway::Server) {
    /// let server = server.shutdown_timeout(std::time::Duration::from_secs(5));
    /// # }
    /// ```
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Sets when to shut down: the server then accepts no more requests, closes connections without one, waits for the others
    /// until [`shutdown_timeout`](Self::shutdown_timeout) has passed, and returns.
    ///
    /// ```
    /// # fn demo(server: warmline_gateway::Server, gateway: warmline_gateway::Gateway) {
    /// let server = server.shutdown_on(async move {
    ///     let _ = tokio::signal::ctrl_c().await;
    ///     gateway.shutdown();
    /// });
    /// # }
    /// ```
    pub fn shutdown_on(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Box::pin(signal);
        self
    }

    /// Sets when to close all connections at once, and to return. By default this never happens.
    ///
    /// ```
    /// # fn demo(server: warmline_gateway::Server, second_signal: tokio::sync::oneshot::Receiver<()>) {
    /// let server = server.abort_on(async { drop(second_signal.await) });
    /// # }
    /// ```
    pub fn abort_on(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.abort = Box::pin(signal);
        self
    }

    /// Serves `app` until the shutdown has ended.
    ///
    /// ```
    /// # async fn demo(server: warmline_gateway::Server) {
    /// let stopped = server.serve(axum::Router::new()).await;
    /// # }
    /// ```
    pub async fn serve(self, app: Router) -> Stopped {
        let Self {
            listener,
            max_connections,
            timeouts,
            shutdown_timeout,
            mut shutdown,
            mut abort,
        } = self;
        let mut acceptor = Acceptor {
            listener,
            permits: Arc::new(Semaphore::new(max_connections)),
            waiting: None,
            is_full: watch::Sender::new(false),
            warned: None,
            paused: None,
        };
        let phase = watch::Sender::new(Phase::Serving);
        let mut connections = JoinSet::new();
        let is_aborted = loop {
            tokio::select! {
                () = &mut shutdown => break false,
                () = &mut abort => break true,
                (socket, permit) = acceptor.accept() => {
                    let connection = Connection::new(
                        app.clone(),
                        timeouts,
                        phase.subscribe(),
                        acceptor.is_full.clone(),
                    );
                    connections.spawn(async move {
                        let cut = connection.serve(socket).await;
                        drop(permit);
                        cut
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        };
        drop(acceptor);
        if !is_aborted {
            phase.send_replace(Phase::Draining);
            tokio::select! {
                () = async { while connections.join_next().await.is_some() {} } => {}
                () = tokio::time::sleep(shutdown_timeout) => {}
                () = &mut abort => {}
            }
        }
        phase.send_replace(Phase::Cutting);
        let mut cut_requests = 0;
        while let Some(ended) = connections.join_next().await {
            cut_requests += ended.unwrap_or_default();
        }
        Stopped { cut_requests }
    }
}

struct Acceptor {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    /// A connection that is accepted, and waits for a permit.
    waiting: Option<TcpStream>,
    /// Whether a connection waits for a permit. An idle connection that sees this makes room.
    is_full: watch::Sender<bool>,
    /// When it was last logged that callers wait.
    warned: Option<Instant>,
    /// When a connection could not be accepted, after which there is a pause.
    paused: Option<Instant>,
}

impl Acceptor {
    /// Accepts a connection, and waits until there is room for it. What it waits for can be cancelled.
    async fn accept(&mut self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            if self.waiting.is_none() {
                self.waiting = Some(self.next().await);
            }
            let permit = self.permit().await;
            if let Some(socket) = self.waiting.take() {
                return (socket, permit);
            }
        }
    }

    async fn next(&mut self) -> TcpStream {
        loop {
            if let Some(since) = self.paused {
                tokio::time::sleep_until(since + ACCEPT_PAUSE).await;
                self.paused = None;
            }
            match self.listener.accept().await {
                Ok((socket, _)) => return socket,
                // The caller has left before its connection was accepted.
                Err(error) if is_of_caller(&error) => {}
                Err(error) => {
                    tracing::error!(
                        %error,
                        "connections cannot be accepted: if too many files are open, raise their limit (ulimit -n, LimitNOFILE)"
                    );
                    self.paused = Some(Instant::now());
                }
            }
        }
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.permit_when_there_is_room().await,
        };
        self.is_full.send_if_modified(std::mem::take);
        permit
    }

    async fn permit_when_there_is_room(&mut self) -> OwnedSemaphorePermit {
        if self.warned.is_none_or(|at| at.elapsed() > WARNING_INTERVAL) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                "as many connections are open as callers may have: idle ones are closed, and further callers wait; raise max_connections \
                 (--max-caller-connections) if the machine can hold more"
            );
        }
        self.is_full.send_replace(true);
        match self.permits.clone().acquire_owned().await {
            Ok(permit) => permit,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

fn is_of_caller(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
