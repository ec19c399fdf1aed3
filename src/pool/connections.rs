//! The connection pool: assigns each caller an idle connection, a permit to open one, or a place in the queue.
//!
//! The pool does no IO and knows no protocol. Its counts are exact because of ownership. A [`ConnectionPermit`]
//! is the right to have one socket open, and the socket owns its permit, so the count falls when the socket
//! closes, for whatever reason, and never earlier. A [`PooledConnection`] is the right to use a connection for
//! one call. The lock is never held across an await or while a caller's value is dropped.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::alert::{Alerts, PoolAlert};
use super::connection::Connection;
use super::histogram::AtomicHistogram;
use super::limits::Limits;
use super::monitor::{AlertMonitor, CloseReason};
use super::state::{Assignment, Slot, State};
use super::stats::PoolStats;
use super::ticket::Ticket;
use crate::runtime::{self, Instant, timeout};

/// The channel that delivers a connection to a waiter.
type Sender<C> = oneshot::Sender<Checkout<C>>;

/// An idle connection, or a permit to open one.
pub(crate) enum Checkout<C: Connection> {
    Idle(PooledConnection<C>),
    Connect(ConnectionPermit<C>),
}

pub(crate) struct Pool<C: Connection>(Arc<Shared<C>>);

impl<C: Connection> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<C: Connection> {
    server: String,
    limits: Limits,
    alerts: Alerts,
    state: Mutex<State<C, Sender<C>>>,
    tickets: AtomicU64,
    /// The numbers of open, idle, in-use and connecting sockets, 16 bits each, so that one load reads a consistent set.
    sockets: AtomicU64,
    active: AtomicUsize,
    waiting: AtomicUsize,
    peak: AtomicUsize,
    opened: AtomicU64,
    closed: AtomicU64,
    reused: AtomicU64,
    acquire_waits: AtomicU64,
    alerts_raised: AtomicU64,
    acquire_wait: AtomicHistogram,
    handshake: AtomicHistogram,
}

impl<C: Connection> Pool<C> {
    /// Creates a pool of connections to `server`. Set `multiplexed` if each connection is expected to carry several calls at
    /// the same time.
    pub(crate) fn new(server: &str, limits: Limits, multiplexed: bool, alerts: Alerts) -> Self {
        let monitor = AlertMonitor::new(alerts.thresholds, limits);
        Self(Arc::new(Shared {
            server: server.to_owned(),
            limits,
            alerts,
            state: Mutex::new(State::new(multiplexed, monitor)),
            tickets: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            acquire_waits: AtomicU64::new(0),
            alerts_raised: AtomicU64::new(0),
            acquire_wait: AtomicHistogram::default(),
            handshake: AtomicHistogram::default(),
        }))
    }

    /// Draws a ticket for a place in the queue, behind all that were drawn before.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.0.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for a connection, for at most `limit`. Waiters are served in the order of their tickets. Returns the connection
    /// with the time spent waiting, or that time as the error.
    pub(crate) async fn acquire(
        &self,
        ticket: Ticket,
        limit: Duration,
    ) -> Result<(Checkout<C>, Duration), Duration> {
        let (waiter, mut receiver) = {
            let mut state = self.0.lock();
            let mut to_drop = Vec::new();
            let is_first = state
                .waiting
                .first_key_value()
                .is_none_or(|(first, _)| ticket < *first);
            if let Some(assigned) = is_first
                .then(|| state.assign(&self.0.limits, &mut to_drop))
                .flatten()
            {
                self.0.publish_stats(state);
                drop(to_drop);
                self.0.acquire_wait.record(Duration::ZERO);
                return Ok((self.checkout(assigned), Duration::ZERO));
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.insert(ticket, sender);
            self.0.acquire_waits.fetch_add(1, Ordering::Relaxed);
            self.0.publish_stats(state);
            drop(to_drop);
            (Waiter { pool: self, ticket }, receiver)
        };
        let start = Instant::now();
        let alert_after = limit.min(self.0.alerts.thresholds.wait);
        let mut received = timeout(alert_after, &mut receiver).await;
        if received.is_none() && alert_after < limit {
            let alert = self.0.lock().monitor.long_wait(alert_after);
            self.0.notify(alert);
            received = timeout(limit - alert_after, receiver).await;
        }
        drop(waiter);
        let waited = start.elapsed();
        self.0.acquire_wait.record(waited);
        match received {
            Some(Ok(checkout)) => Ok((checkout, waited)),
            _ => Err(waited),
        }
    }

    /// Returns a permit to open a connection before a call needs it, if the limits allow another idle connection.
    pub(crate) fn reserve_for_warmup(&self) -> Option<ConnectionPermit<C>> {
        let mut state = self.0.lock();
        let room = state.slots.len() < self.0.limits.max_connections
            && state.idle.len() + state.connecting < self.0.limits.max_keepalive_connections;
        let assigned = room.then(|| state.connect());
        self.0.publish_stats(state);
        assigned.map(|id| ConnectionPermit {
            pool: Arc::downgrade(&self.0),
            id,
        })
    }

    /// Adds the connection of permit `id` to the pool, and checks it out to the caller that opened it.
    pub(crate) fn on_connected(&self, id: u64, conn: C, took: Duration) -> PooledConnection<C> {
        self.0.handshake.record(took);
        let mut state = self.0.lock();
        let (capacity, shared) = (conn.capacity(), conn.share());
        // A server that answered an offer of HTTP/2 with HTTP/1.1 will do so again.
        state.multiplexed &= capacity > 1;
        if let Some(slot @ Slot::Connecting) = state.slots.get_mut(&id) {
            *slot = Slot::Open {
                handle: shared,
                calls: 1,
                capacity,
                idle_since: Instant::now(),
            };
            state.connecting -= 1;
            state.in_use += 1;
            state.active += 1;
            self.0.opened.fetch_add(1, Ordering::Relaxed);
        }
        self.assign_waiters(state);
        PooledConnection {
            pool: self.clone(),
            id,
            conn: Some(conn),
            progress: Progress::Unused,
        }
    }

    /// Evicts connection `id` if it has been idle for `keepalive_expiry`. Returns when to check again, or `None` if the
    /// connection is no longer in the pool.
    pub(crate) fn expire(weak: &WeakPool<C>, id: u64) -> Option<Instant> {
        let pool = Pool(weak.0.upgrade()?);
        let expiry = pool.0.limits.keepalive_expiry;
        let mut state = pool.0.lock();
        let now = Instant::now();
        let Some(Slot::Open {
            calls, idle_since, ..
        }) = state.slots.get(&id)
        else {
            return None;
        };
        let due = *idle_since + expiry;
        if *calls > 0 {
            // At most every 10 ms, however short the expiry is.
            return Some(now + expiry.max(Duration::from_millis(10)));
        }
        if due > now {
            return Some(due);
        }
        let to_drop = state.evict(id, CloseReason::Expired);
        pool.0.publish_stats(state);
        drop(to_drop);
        None
    }

    pub(crate) fn downgrade(&self) -> WeakPool<C> {
        WeakPool(Arc::downgrade(&self.0))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let shared = &*self.0;
        let [open, idle, in_use, connecting] = unpack(shared.sockets.load(Ordering::Acquire));
        PoolStats {
            limits: Some(shared.limits),
            active: shared.active.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Relaxed),
            open: Some(open),
            connecting: Some(connecting),
            in_use: Some(in_use),
            idle: Some(idle),
            peak: shared.peak.load(Ordering::Relaxed),
            opened: Some(shared.opened.load(Ordering::Relaxed)),
            closed: Some(shared.closed.load(Ordering::Relaxed)),
            reused: Some(shared.reused.load(Ordering::Relaxed)),
            acquire_waits: Some(shared.acquire_waits.load(Ordering::Relaxed)),
            alerts: Some(shared.alerts_raised.load(Ordering::Relaxed)),
            acquire_wait: shared.acquire_wait.read(),
            handshake: Some(shared.handshake.read()),
        }
    }

    fn checkout(&self, assigned: Assignment<C>) -> Checkout<C> {
        match assigned {
            Assignment::Idle(id, conn) => {
                self.0.reused.fetch_add(1, Ordering::Relaxed);
                Checkout::Idle(PooledConnection {
                    pool: self.clone(),
                    id,
                    conn: Some(conn),
                    progress: Progress::Unused,
                })
            }
            Assignment::Connect(id) => Checkout::Connect(ConnectionPermit {
                pool: Arc::downgrade(&self.0),
                id,
            }),
        }
    }

    /// Assigns connections to waiters in FIFO order, then evicts idle connections above `max_keepalive_connections`.
    fn assign_waiters(&self, mut state: MutexGuard<'_, State<C, Sender<C>>>) {
        let mut assignments = Vec::new();
        let mut to_drop = Vec::new();
        while !state.waiting.is_empty() {
            let Some(assigned) = state.assign(&self.0.limits, &mut to_drop) else {
                break;
            };
            assignments.extend(
                state
                    .waiting
                    .pop_first()
                    .map(|(_, sender)| (sender, assigned)),
            );
        }
        while state.idle.len() > self.0.limits.max_keepalive_connections {
            let oldest = state.idle[0];
            to_drop.extend(state.evict(oldest, CloseReason::MaxIdle));
        }
        self.0.publish_stats(state);
        drop(to_drop);
        for (sender, assigned) in assignments {
            // If the waiter has just left, its checkout is dropped here, which releases the connection again.
            drop(sender.send(self.checkout(assigned)));
        }
    }

    /// Removes the slot of a socket that has closed.
    fn closed(&self, id: u64) {
        let mut state = self.0.lock();
        let removed = state.slots.remove(&id);
        match &removed {
            Some(Slot::Connecting) => state.connecting -= 1,
            Some(Slot::Open { calls: 0, .. }) => {
                state.idle.retain(|idle| *idle != id);
                state.monitor.on_close(CloseReason::Server);
            }
            Some(Slot::Open { calls, .. }) => {
                state.in_use -= 1;
                state.active -= calls;
                state.monitor.on_close(CloseReason::Broken);
            }
            Some(Slot::Closing) | None => {}
        }
        if !matches!(removed, Some(Slot::Connecting)) {
            self.0.closed.fetch_add(1, Ordering::Relaxed);
        }
        self.assign_waiters(state);
        drop(removed);
    }

    /// Returns a connection to the pool, or evicts it if it cannot be reused.
    fn release(&self, id: u64, conn: C, progress: Progress) {
        let mut state = self.0.lock();
        let now = Instant::now();
        let idle_since = match (progress, state.slots.get(&id)) {
            (Progress::Unused, Some(Slot::Open { idle_since, .. })) => *idle_since,
            _ => now,
        };
        // On a multiplexed connection, dropping a reply ends only its own stream.
        let close_reason = if progress == Progress::Sent && conn.capacity() == 1 {
            Some(CloseReason::Broken)
        } else if !conn.is_open() {
            Some(CloseReason::Server)
        } else {
            let expired = now - idle_since >= self.0.limits.keepalive_expiry;
            expired.then_some(CloseReason::Expired)
        };
        let keep = close_reason.is_none();
        let mut spare = Some(conn);
        let mut unused = false;
        if let Some(Slot::Open {
            handle,
            calls,
            idle_since: since,
            ..
        }) = state.slots.get_mut(&id)
        {
            *calls -= 1;
            unused = *calls == 0;
            *since = idle_since;
            if handle.is_none() && keep {
                *handle = spare.take();
            }
            state.active -= 1;
        }
        let mut to_drop = None;
        if unused {
            state.in_use -= 1;
            state.idle.push(id);
            if let Some(reason) = close_reason {
                to_drop = state.evict(id, reason);
            }
        }
        self.assign_waiters(state);
        if !keep && let Some(conn) = &spare {
            conn.abort();
        }
        drop((to_drop, spare));
    }
}

/// A place in the queue of waiting callers. Dropping it leaves the queue.
struct Waiter<'a, C: Connection> {
    pool: &'a Pool<C>,
    ticket: Ticket,
}

impl<C: Connection> Drop for Waiter<'_, C> {
    fn drop(&mut self) {
        let mut state = self.pool.0.lock();
        let sender = state.waiting.remove(&self.ticket);
        self.pool.0.publish_stats(state);
        drop(sender);
    }
}

/// The right to have one socket open. The socket owns its permit, and dropping the permit removes the socket from the
/// pool. A permit does not keep the pool alive, so idle connections close when the last client is dropped.
pub(crate) struct ConnectionPermit<C: Connection> {
    pool: Weak<Shared<C>>,
    id: u64,
}

impl<C: Connection> ConnectionPermit<C> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl<C: Connection> Drop for ConnectionPermit<C> {
    fn drop(&mut self) {
        if let Some(shared) = self.pool.upgrade() {
            Pool(shared).closed(self.id);
        }
    }
}

/// How far the call of a [`PooledConnection`] has come.
#[derive(Clone, Copy, PartialEq)]
enum Progress {
    Unused,
    Sent,
    Done,
}

/// A connection checked out to one call. If it is dropped between [`PooledConnection::conn`] and [`PooledConnection::done`],
/// the connection is closed, because the rest of a reply may still arrive on it. If it is dropped unused, the connection is
/// idle again, as if it had not been checked out.
pub(crate) struct PooledConnection<C: Connection> {
    pool: Pool<C>,
    id: u64,
    conn: Option<C>,
    progress: Progress,
}

impl<C: Connection> PooledConnection<C> {
    /// Returns the connection, in order to send a request.
    pub(crate) fn conn(&mut self) -> Option<&mut C> {
        self.progress = Progress::Sent;
        self.conn.as_mut()
    }

    /// Returns the connection to the pool after a request that was not sent.
    pub(crate) fn unused(mut self) {
        self.progress = Progress::Unused;
    }

    /// Returns the connection to the pool for reuse. Call this once the reply has been read to its end.
    pub(crate) fn done(mut self) {
        self.progress = Progress::Done;
    }
}

impl<C: Connection> Drop for PooledConnection<C> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.release(self.id, conn, self.progress);
        }
    }
}

impl<C: Connection> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C, Sender<C>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the counts to the atomics that [`Pool::stats`] reads, then raises the alerts that are due.
    fn publish_stats(&self, mut state: MutexGuard<'_, State<C, Sender<C>>>) {
        let open = state.slots.len();
        let packed = pack([open, state.idle.len(), state.in_use, state.connecting]);
        self.sockets.store(packed, Ordering::Release);
        self.active.store(state.active, Ordering::Relaxed);
        self.waiting.store(state.waiting.len(), Ordering::Relaxed);
        self.peak.fetch_max(open, Ordering::Relaxed);
        let (exhausted, waiting) = (state.is_exhausted(&self.limits), state.waiting.len());
        let alerts = state.monitor.on_change(exhausted, waiting);
        drop(state);
        self.notify(alerts);
    }

    fn notify(&self, alerts: impl IntoIterator<Item = PoolAlert>) {
        for alert in alerts {
            self.alerts_raised.fetch_add(1, Ordering::Relaxed);
            let PoolAlert {
                kind,
                summary,
                hint,
            } = &alert;
            tracing::warn!(server = self.server, kind = kind.name(), %summary, %hint, "pool alert");
            if let Some(callback) = self.alerts.callback.clone() {
                // In the background, so that a slow or panicking callback does not affect the call that raised the alert.
                runtime::background(async move { callback(&alert) });
            }
        }
    }
}

fn pack(counts: [usize; 4]) -> u64 {
    counts
        .iter()
        .fold(0, |packed, count| packed << 16 | *count as u64)
}

fn unpack(packed: u64) -> [usize; 4] {
    [48, 32, 16, 0].map(|shift| usize::from((packed >> shift) as u16))
}

pub(crate) struct WeakPool<C: Connection>(Weak<Shared<C>>);
