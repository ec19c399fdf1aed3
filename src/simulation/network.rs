//! A network in memory. A connection is a pair of pipes, and dialing it takes virtual time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::transport::BoxIo;
use crate::{Error, ErrorKind, Result};

thread_local! {
    /// The networks of this thread's simulation, by the origin of their server.
    static NETWORKS: RefCell<HashMap<String, Network>> = RefCell::default();
}

/// How many bytes a direction of a connection holds, as the buffers of a socket do.
const BUFFER: usize = 16 << 10;

/// What dialing does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialing {
    Connects(Duration),
    Refuses(Duration),
    /// Packets are lost, and nothing ever answers.
    Stalls,
}

/// The network between one client and one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Network(Arc<Inner>);

struct Inner {
    server: mpsc::UnboundedSender<DuplexStream>,
    dialing: Box<dyn Fn() -> Dialing + Send + Sync>,
    sockets: Arc<Sockets>,
}

/// The sockets of the client that are connecting or open.
#[derive(Default)]
struct Sockets {
    open: AtomicUsize,
    peak: AtomicUsize,
}

/// Counts one socket until it is dropped.
struct Socket(Arc<Sockets>);

impl Socket {
    fn new(sockets: &Arc<Sockets>) -> Self {
        let open = sockets.open.fetch_add(1, Relaxed) + 1;
        sockets.peak.fetch_max(open, Relaxed);
        Self(sockets.clone())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Network {
    /// Makes a network that leads to `origin` on this thread. Returns it, and the connections that arrive at the server.
    pub(crate) fn new(
        origin: &str,
        dialing: impl Fn() -> Dialing + Send + Sync + 'static,
    ) -> (Self, mpsc::UnboundedReceiver<DuplexStream>) {
        let (server, connections) = mpsc::unbounded_channel();
        let network = Self(Arc::new(Inner {
            server,
            dialing: Box::new(dialing),
            sockets: Arc::default(),
        }));
        NETWORKS.with_borrow_mut(|networks| networks.insert(origin.to_owned(), network.clone()));
        (network, connections)
    }

    /// Returns the network that leads to `origin`, if this thread simulates one.
    pub(crate) fn to(origin: &str) -> Option<Self> {
        NETWORKS.with_borrow(|networks| networks.get(origin).cloned())
    }

    /// Opens a connection.
    pub(crate) async fn dial(&self) -> Result<BoxIo> {
        let socket = Socket::new(&self.0.sockets);
        match (self.0.dialing)() {
            Dialing::Connects(Duration::ZERO) => {}
            Dialing::Connects(after) => sleep(after).await,
            Dialing::Refuses(after) => {
                sleep(after).await;
                return Err(Error::new(ErrorKind::Connect, "connection refused"));
            }
            Dialing::Stalls => std::future::pending().await,
        }
        let (io, far) = duplex(BUFFER);
        let gone = |_| Error::new(ErrorKind::Connect, "the server is gone");
        self.0.server.send(far).map_err(gone)?;
        Ok(Box::new(TokioIo::new(Pipe {
            io,
            _socket: socket,
        })))
    }

    /// Returns the number of sockets of the client that are connecting or open.
    pub(crate) fn open(&self) -> usize {
        self.0.sockets.open.load(Relaxed)
    }

    /// Returns the maximum of [`open`](Self::open) so far.
    pub(crate) fn peak(&self) -> usize {
        self.0.sockets.peak.load(Relaxed)
    }
}

/// The client's end of a connection.
struct Pipe {
    io: DuplexStream,
    _socket: Socket,
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A seeded source of random numbers that tasks share.
#[derive(Clone)]
pub(crate) struct Random(Arc<Mutex<fastrand::Rng>>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// Returns true in `percent` of 100 cases.
    pub(crate) fn chance(&self, percent: u32) -> bool {
        self.with(|random| random.u32(0..100) < percent)
    }

    /// Returns a duration in milliseconds.
    pub(crate) fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.with(|random| random.u64(range)))
    }
}
