//! The pool as callers use it: a lock around its [`State`], the queue's channels, the permits, and the statistics.
//!
//! The counts are exact because of ownership. A [`ConnectionPermit`] is the right to have one socket open, and the socket
//! owns its permit, so the count falls when the socket closes, for whatever reason, and never earlier. A
//! [`PooledConnection`] is the right to use a connection for one call. The lock is never held across an await or while a
//! caller's value is dropped.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::alert::{Alerts, PoolAlert};
use super::connection::Connection;
use super::histogram::AtomicHistogram;
use super::limits::Limits;
use super::state::{Assignment, Counts, Effects, Progress, State};
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

impl<C: Connection> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lock().fmt(f)
    }
}

struct Shared<C: Connection> {
    server: Arc<str>,
    limits: Limits,
    alerts: Alerts,
    state: Mutex<State<C, Sender<C>>>,
    tickets: AtomicU64,
    stats: Stats,
}

/// The statistics, which are read without the lock.
#[derive(Default)]
struct Stats {
    /// The numbers of open, idle, in-use and connecting sockets, 16 bits each, so that one load reads a consistent set.
    sockets: AtomicU64,
    active: AtomicUsize,
    waiting: AtomicUsize,
    peak: AtomicUsize,
    opened: AtomicU64,
    closed: AtomicU64,
    reused: AtomicU64,
    acquire_waits: AtomicU64,
    alerts: AtomicU64,
    acquire_wait: AtomicHistogram,
    handshake: AtomicHistogram,
}

impl<C: Connection> Pool<C> {
    /// Creates a pool of connections to `server`. Set `multiplexed` if each connection is expected to carry several calls at
    /// the same time.
    pub(crate) fn new(server: &str, limits: Limits, multiplexed: bool, alerts: Alerts) -> Self {
        let (thresholds, now) = (alerts.thresholds, Instant::now());
        let server: Arc<str> = server.into();
        let state = State::new(server.clone(), limits, multiplexed, thresholds, now);
        Self(Arc::new(Shared {
            server,
            limits,
            alerts,
            state: Mutex::new(state),
            tickets: AtomicU64::new(0),
            stats: Stats::default(),
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
        let assigned = self.change(|state, now, effects| {
            state.acquire(ticket, now, effects).ok_or_else(|| {
                let (sender, receiver) = oneshot::channel();
                state.wait(ticket, sender, now, effects);
                receiver
            })
        });
        let mut receiver = match assigned {
            Ok(assigned) => {
                self.0.stats.acquire_wait.record(Duration::ZERO);
                return Ok((self.checkout(assigned), Duration::ZERO));
            }
            Err(receiver) => receiver,
        };
        let waiter = Waiter { pool: self, ticket };
        let start = Instant::now();
        let alert_after = limit.min(self.0.alerts.thresholds.wait);
        let mut received = timeout(alert_after, &mut receiver).await;
        if received.is_none() && alert_after < limit {
            let alert = self.0.lock().long_wait(alert_after, Instant::now());
            self.notify(alert);
            received = timeout(limit - alert_after, receiver).await;
        }
        drop(waiter);
        let waited = start.elapsed();
        self.0.stats.acquire_wait.record(waited);
        match received {
            Some(Ok(checkout)) => Ok((checkout, waited)),
            _ => Err(waited),
        }
    }

    /// Returns a permit to open a connection before a call needs it, if the limits allow another idle connection.
    pub(crate) fn reserve_for_warmup(&self) -> Option<ConnectionPermit<C>> {
        self.change(|state, _, _| state.warm_up())
            .map(|id| self.permit(id))
    }

    /// Adds the connection of permit `id` to the pool, and checks it out to the caller that opened it.
    pub(crate) fn on_connected(&self, id: u64, conn: C, took: Duration) -> PooledConnection<C> {
        self.0.stats.handshake.record(took);
        self.change(|state, now, effects| state.connected(id, &conn, now, effects));
        self.pooled(id, conn, Origin::Opened)
    }

    /// Evicts connection `id` if it has been idle for `keepalive_expiry`. Returns when to check again, or `None` if the
    /// connection is no longer in the pool.
    pub(crate) fn expire(weak: &WeakPool<C>, id: u64) -> Option<Instant> {
        let pool = weak.upgrade()?;
        pool.change(|state, now, effects| state.expire(id, now, effects))
    }

    /// Takes note that the capacity of connection `id` has changed.
    pub(crate) fn on_capacity_changed(weak: &WeakPool<C>, id: u64) {
        if let Some(pool) = weak.upgrade() {
            pool.change(|state, now, effects| state.capacity_changed(id, now, effects));
        }
    }

    pub(crate) fn downgrade(&self) -> WeakPool<C> {
        WeakPool(Arc::downgrade(&self.0))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let stats = &self.0.stats;
        let [open, idle, in_use, connecting] = unpack(stats.sockets.load(Ordering::Acquire));
        PoolStats {
            limits: Some(self.0.limits),
            active: stats.active.load(Ordering::Relaxed),
            waiting: stats.waiting.load(Ordering::Relaxed),
            open: Some(open),
            connecting: Some(connecting),
            in_use: Some(in_use),
            idle: Some(idle),
            peak: stats.peak.load(Ordering::Relaxed),
            opened: Some(stats.opened.load(Ordering::Relaxed)),
            closed: Some(stats.closed.load(Ordering::Relaxed)),
            reused: Some(stats.reused.load(Ordering::Relaxed)),
            acquire_waits: Some(stats.acquire_waits.load(Ordering::Relaxed)),
            alerts: Some(stats.alerts.load(Ordering::Relaxed)),
            acquire_wait: stats.acquire_wait.read(),
            handshake: Some(stats.handshake.read()),
        }
    }

    /// Changes the state, publishes the statistics, raises the alerts that are due, and does what the change requires.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State<C, Sender<C>>, Instant, &mut Effects<C, Sender<C>>) -> T,
    ) -> T {
        let now = Instant::now();
        let mut effects = Effects::default();
        let mut state = self.0.lock();
        let result = change(&mut state, now, &mut effects);
        self.0.stats.publish(state.counts());
        let alerts = state.alerts(now);
        drop(state);
        self.notify(alerts);
        let Effects {
            served,
            dropped,
            aborted,
        } = effects;
        aborted.iter().for_each(Connection::abort);
        drop((aborted, dropped));
        for (sender, assigned) in served {
            // If the waiter has just left, its checkout is dropped here, which releases the connection again.
            drop(sender.send(self.checkout(assigned)));
        }
        result
    }

    fn notify(&self, alerts: impl IntoIterator<Item = PoolAlert>) {
        for alert in alerts {
            self.0.stats.alerts.fetch_add(1, Ordering::Relaxed);
            let PoolAlert {
                kind,
                summary,
                hint,
            } = &alert;
            tracing::warn!(server = &*self.0.server, kind = kind.name(), %summary, %hint, "pool alert");
            if let Some(callback) = self.0.alerts.callback.clone() {
                // In the background, so that a slow or panicking callback does not affect the call that raised the alert.
                runtime::background(async move { callback(&alert) });
            }
        }
    }

    fn checkout(&self, assigned: Assignment<C>) -> Checkout<C> {
        match assigned {
            Assignment::Reuse {
                id,
                conn,
                last_used,
            } => Checkout::Idle(self.pooled(id, conn, Origin::Reused { last_used })),
            Assignment::Connect(id) => Checkout::Connect(self.permit(id)),
        }
    }

    fn permit(&self, id: u64) -> ConnectionPermit<C> {
        let pool = self.downgrade();
        ConnectionPermit { pool, id }
    }

    fn pooled(&self, id: u64, conn: C, origin: Origin) -> PooledConnection<C> {
        PooledConnection {
            pool: self.clone(),
            id,
            conn: Some(conn),
            progress: Progress::Unused,
            origin,
        }
    }
}

/// A place in the queue of waiting callers. Dropping it leaves the queue.
struct Waiter<'a, C: Connection> {
    pool: &'a Pool<C>,
    ticket: Ticket,
}

impl<C: Connection> Drop for Waiter<'_, C> {
    fn drop(&mut self) {
        drop(self.pool.change(|state, _, _| state.leave(self.ticket)));
    }
}

/// The right to have one socket open. The socket owns its permit, and dropping the permit removes the socket from the
/// pool. A permit does not keep the pool alive, so idle connections close when the last client is dropped.
pub(crate) struct ConnectionPermit<C: Connection> {
    pool: WeakPool<C>,
    id: u64,
}

impl<C: Connection> ConnectionPermit<C> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl<C: Connection> Drop for ConnectionPermit<C> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.change(|state, now, effects| state.closed(self.id, now, effects));
        }
    }
}

/// A connection checked out to one call. If it is dropped between [`PooledConnection::conn`] and [`PooledConnection::done`],
/// the connection is closed, because the rest of a reply may still arrive on it. If it is dropped unused, the connection is
/// idle again, as if it had not been checked out.
pub(crate) struct PooledConnection<C: Connection> {
    pool: Pool<C>,
    id: u64,
    conn: Option<C>,
    progress: Progress,
    origin: Origin,
}

/// Where a checked-out connection comes from.
#[derive(Clone, Copy)]
enum Origin {
    Opened,
    Reused {
        /// When the connection was last in use. `None` if it has not been used yet.
        last_used: Option<Instant>,
    },
}

impl<C: Connection> PooledConnection<C> {
    /// Returns whether the connection was open before it was checked out.
    pub(crate) fn is_reused(&self) -> bool {
        matches!(self.origin, Origin::Reused { .. })
    }

    /// Returns whether the connection has been idle for long enough that the server may have closed it.
    pub(crate) fn was_idle(&self) -> bool {
        const SHORT: Duration = Duration::from_millis(1);
        match self.origin {
            Origin::Opened => false,
            Origin::Reused { last_used } => last_used.is_none_or(|at| at.elapsed() >= SHORT),
        }
    }

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
            let reused = self.is_reused();
            self.pool.change(|state, now, effects| {
                state.release(self.id, conn, self.progress, reused, now, effects);
            });
        }
    }
}

impl<C: Connection> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C, Sender<C>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stats {
    fn publish(&self, counts: Counts) {
        let Counts {
            open,
            connecting,
            in_use,
            idle,
            ..
        } = counts;
        let sockets = pack([open, idle, in_use, connecting]);
        self.sockets.store(sockets, Ordering::Release);
        self.active.store(counts.active, Ordering::Relaxed);
        self.waiting.store(counts.waiting, Ordering::Relaxed);
        self.peak.fetch_max(open, Ordering::Relaxed);
        self.opened.store(counts.opened, Ordering::Relaxed);
        self.closed.store(counts.closed, Ordering::Relaxed);
        self.reused.store(counts.reused, Ordering::Relaxed);
        self.acquire_waits
            .store(counts.acquire_waits, Ordering::Relaxed);
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

impl<C: Connection> WeakPool<C> {
    fn upgrade(&self) -> Option<Pool<C>> {
        self.0.upgrade().map(Pool)
    }
}
