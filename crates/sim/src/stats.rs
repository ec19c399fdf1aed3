//! What the server saw.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, Semaphore};

/// The counts of a [`Sim`](crate::Sim), as `GET /sim/stats` gives them too.
///
/// ```
/// assert_eq!(warmline_sim::Stats::default().peak, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Sockets open now: accepted, and not closed by either side.
    pub open: usize,
    /// The most that were open when one was accepted, that one included.
    pub peak: usize,
    /// Sockets accepted.
    pub total: usize,
    /// Of these, those on which a TLS handshake was completed.
    pub tls: usize,
    /// TLS handshakes that resumed a session.
    pub tls_resumed: usize,
    /// Requests read.
    pub requests: usize,
    /// Requests per connection, in the order in which they were accepted.
    pub requests_per_connection: Vec<usize>,
    /// Requests whose response has not ended.
    pub active: usize,
    /// Requests that a `hold` keeps waiting.
    pub holding: usize,
    /// Responses whose client went away before they ended.
    pub aborted: usize,
    /// Input tokens of the requests that were answered.
    pub input_tokens: u64,
    /// Output tokens sent.
    pub output_tokens: u64,
}

#[derive(Debug)]
pub(crate) struct Books {
    page: Mutex<Page>,
    changed: Notify,
    pub(crate) held: Semaphore,
}

#[derive(Debug, Default)]
struct Page {
    stats: Stats,
    sockets: HashMap<usize, Open>,
    /// How often each scenario with `times` was asked for.
    asked: HashMap<String, u64>,
    /// Prompt prefixes that were marked to be cached.
    cached: std::collections::HashSet<u64>,
}

#[derive(Debug)]
struct Open {
    /// A second handle to the socket, to ask whether the client has closed it.
    socket: TcpStream,
    close: Arc<Closing>,
}

/// How a connection is told to close.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    /// In good order, once it is idle.
    pub(crate) gracefully: Notify,
    pub(crate) at_once: Notify,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            page: Mutex::default(),
            changed: Notify::new(),
            held: Semaphore::new(0),
        }
    }
}

impl Books {
    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut Stats) -> T) -> T {
        let result = change(&mut self.page().stats);
        self.changed.notify_waiters();
        result
    }

    pub(crate) fn stats(&self) -> Stats {
        let page = self.page();
        Stats {
            open: page.open(),
            ..page.stats.clone()
        }
    }

    pub(crate) async fn wait_until(&self, expected: impl Fn(&Stats) -> bool) -> Stats {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                let stats = self.stats();
                if expected(&stats) {
                    return stats;
                }
                // A client's close is seen by looking; there is no event for one that is not read from.
                let _ = tokio::time::timeout(Duration::from_millis(5), changed).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(10), waiting).await {
            Ok(stats) => stats,
            #[allow(clippy::panic)]
            Err(_) => panic!(
                "the simulator's counts never became as expected: {:#?}",
                self.stats()
            ),
        }
    }

    /// Writes a new socket down. The kernel's word on the others is asked, so that one that its client
    /// closed first does not count, although this side has not got round to reading its end.
    pub(crate) fn accepted(&self, socket: TcpStream) -> (usize, Arc<Closing>) {
        let mut page = self.page();
        let id = page.stats.total;
        let close = Arc::new(Closing::default());
        page.sockets.insert(
            id,
            Open {
                socket,
                close: close.clone(),
            },
        );
        page.stats.total += 1;
        page.stats.requests_per_connection.push(0);
        page.stats.peak = page.stats.peak.max(page.open());
        drop(page);
        self.changed.notify_waiters();
        (id, close)
    }

    pub(crate) fn closed(&self, id: usize) {
        let gone = self.page().sockets.remove(&id);
        drop(gone);
        self.changed.notify_waiters();
    }

    /// Makes the socket end by RST.
    pub(crate) fn reset(&self, id: usize) {
        if let Some(open) = self.page().sockets.get(&id) {
            let _ = socket2::SockRef::from(&open.socket).set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn close_idle(&self) {
        self.page()
            .sockets
            .values()
            .for_each(|open| open.close.gracefully.notify_one());
    }

    pub(crate) fn close_all(&self) {
        self.page()
            .sockets
            .values()
            .for_each(|open| open.close.at_once.notify_one());
    }

    /// Whether a scenario still holds, which `times` limits.
    pub(crate) fn still(&self, scenario: &str, times: Option<u64>) -> bool {
        let Some(times) = times else { return true };
        let mut page = self.page();
        let asked = page.asked.entry(scenario.to_owned()).or_default();
        *asked += 1;
        *asked <= times
    }

    /// Whether a prompt prefix was seen before; it is from now on.
    pub(crate) fn is_cached(&self, prefix: u64) -> bool {
        !self.page().cached.insert(prefix)
    }
}

impl Page {
    fn open(&self) -> usize {
        self.sockets
            .values()
            .filter(|open| !closed_by_client(&open.socket))
            .count()
    }
}

/// Asks the kernel, without waiting. On Linux it tells of a close even where there is still something to
/// read before it; elsewhere a close is seen only once all before it has been read.
#[cfg(target_os = "linux")]
fn closed_by_client(socket: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().intersects(gone)
}

#[cfg(not(target_os = "linux"))]
fn closed_by_client(socket: &TcpStream) -> bool {
    match socket.peek(&mut [0]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
