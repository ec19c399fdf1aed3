//! What the server counts.

use std::collections::{HashMap, VecDeque};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::scripted_server::ScriptedServer;

/// The counts of a [`Sim`](crate::Sim), as `GET /sim/stats` gives them too.
///
/// ```
/// assert_eq!(warmline_sim::Stats::default().peak, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The sockets that are open now: accepted, and closed by neither side.
    pub open: usize,
    /// The most sockets that were open when one was accepted, including that one.
    pub peak: usize,
    /// The sockets accepted so far.
    pub total: usize,
    /// Those of them that completed a TLS handshake.
    pub tls: usize,
    /// The TLS handshakes that resumed a session.
    pub tls_resumed: usize,
    /// The requests read so far.
    pub requests: usize,
    /// The requests of each connection, in the order in which the connections were accepted.
    pub requests_per_connection: Vec<usize>,
    /// The requests whose response has not ended.
    pub active: usize,
    /// The requests that a scenario with `hold` keeps waiting.
    pub holding: usize,
    /// The responses whose client left before they ended.
    pub aborted: usize,
    /// The input tokens of the requests that were answered.
    pub input_tokens: u64,
    /// The output tokens sent.
    pub output_tokens: u64,
}

/// The maximum number of stored responses.
const MAX_STORED: usize = 1000;

/// The counters of a running simulator, and what it remembers of requests.
#[derive(Debug)]
pub(crate) struct Counters {
    inner: Mutex<Inner>,
    changed: Notify,
    /// A permit lets one held request go on.
    pub(crate) held: Semaphore,
    /// The servers that `POST /sim/scripts` has started.
    pub(crate) scripts: Mutex<Vec<Arc<ScriptedServer>>>,
}

#[derive(Debug, Default)]
struct Inner {
    stats: Stats,
    sockets: HashMap<usize, Open>,
    /// How many requests each scenario with `times` has had.
    asked: HashMap<String, u64>,
    /// The hashes of the prompt prefixes that are cached.
    cached: std::collections::HashSet<u64>,
    /// The ids of the last stored responses, and the items of each, with those that it continues.
    stored: VecDeque<(String, Vec<Value>)>,
}

#[derive(Debug)]
struct Open {
    /// A second handle to the socket, to find out whether the client has closed it.
    socket: TcpStream,
    close: Arc<CloseSignal>,
}

/// Tells a connection to close.
#[derive(Debug, Default)]
pub(crate) struct CloseSignal {
    /// As soon as it is idle.
    pub(crate) gracefully: Notify,
    pub(crate) at_once: Notify,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            held: Semaphore::new(0),
            scripts: Mutex::default(),
        }
    }
}

impl Counters {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts and wakes those that wait for them.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Stats) -> T) -> T {
        let result = change(&mut self.lock().stats);
        self.changed.notify_waiters();
        result
    }

    pub(crate) fn stats(&self) -> Stats {
        let inner = self.lock();
        Stats {
            open: inner.open(),
            ..inner.stats.clone()
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
                // No event tells that a client has closed a socket that is not read from, so this looks again.
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

    /// Counts a new socket. `peak` counts the other sockets as the kernel knows them: one that its client has
    /// closed does not count, even if this side has not read that far.
    pub(crate) fn accepted(&self, socket: TcpStream) -> (usize, Arc<CloseSignal>) {
        let mut inner = self.lock();
        let id = inner.stats.total;
        let close = Arc::new(CloseSignal::default());
        inner.sockets.insert(
            id,
            Open {
                socket,
                close: close.clone(),
            },
        );
        inner.stats.total += 1;
        inner.stats.requests_per_connection.push(0);
        inner.stats.peak = inner.stats.peak.max(inner.open());
        drop(inner);
        self.changed.notify_waiters();
        (id, close)
    }

    pub(crate) fn closed(&self, id: usize) {
        let gone = self.lock().sockets.remove(&id);
        drop(gone);
        self.changed.notify_waiters();
    }

    /// Makes the socket end with RST.
    pub(crate) fn reset(&self, id: usize) {
        if let Some(open) = self.lock().sockets.get(&id) {
            let _ = socket2::SockRef::from(&open.socket).set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn close_idle(&self) {
        self.lock()
            .sockets
            .values()
            .for_each(|open| open.close.gracefully.notify_one());
    }

    pub(crate) fn close_all(&self) {
        self.lock()
            .sockets
            .values()
            .for_each(|open| open.close.at_once.notify_one());
    }

    /// Counts a request with a scenario. Gives back whether the scenario applies to it, which `times` limits.
    pub(crate) fn still_applies(&self, scenario: &str, times: Option<u64>) -> bool {
        let Some(times) = times else { return true };
        let mut inner = self.lock();
        let asked = inner.asked.entry(scenario.to_owned()).or_default();
        *asked += 1;
        *asked <= times
    }

    /// Stores the items of a response, and forgets the oldest response if there are many.
    pub(crate) fn store(&self, id: String, items: Vec<Value>) {
        let stored = &mut self.lock().stored;
        if stored.len() == MAX_STORED {
            stored.pop_front();
        }
        stored.push_back((id, items));
    }

    /// Returns the items of a stored response.
    pub(crate) fn stored(&self, id: &str) -> Option<Vec<Value>> {
        let inner = self.lock();
        let mut stored = inner.stored.iter();
        let (_, items) = stored.find(|(known, _)| known == id)?;
        Some(items.clone())
    }

    /// Whether a stored response has the item with this id.
    pub(crate) fn has_item(&self, id: &str) -> bool {
        let inner = self.lock();
        let mut items = inner.stored.iter().flat_map(|(_, items)| items);
        items.any(|item| item["id"] == id)
    }

    /// Caches a prompt prefix. Gives back whether it was cached before.
    pub(crate) fn is_cached(&self, prefix: u64) -> bool {
        !self.lock().cached.insert(prefix)
    }
}

impl Inner {
    fn open(&self) -> usize {
        self.sockets
            .values()
            .filter(|open| !closed_by_client(&open.socket))
            .count()
    }
}

/// Asks the kernel, without waiting. Linux reports a close even if there are unread bytes before it; on other
/// systems a close is visible only when everything before it has been read.
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
