//! The gate in front of the connections: who may open one, who gets a warm one, who waits.
//!
//! It does no IO and knows no protocol. Exactness comes from ownership: a [`Ticket`] is the right to
//! have one socket open, and whoever owns the socket owns its ticket, so that the count falls when the
//! socket is gone, however it went, and never before. A [`Lease`] is the right to use a connection for
//! one call. The lock is never held across an await, nor while anything of the caller's is dropped.

mod lease;
mod state;
mod watch;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use self::lease::Place;
pub(crate) use self::lease::{Lease, Ticket};
pub(crate) use self::state::SHARED_CALLS;
use self::state::{Chosen, Socket, State};
use self::watch::{Cause, Watch};
use super::Alerts;
use super::recorder::Recorder;
use crate::runtime::{self, Instant, timeout};
use crate::{Limits, PoolAlert, PoolStats};

/// What the gate must know of a connection.
pub(crate) trait Connection: Sized {
    /// How many calls it carries at once.
    fn capacity(&self) -> usize;
    /// Another handle to it, where it carries more than one.
    fn share(&self) -> Option<Self>;
    /// Whether it can still carry a call, as far as is known on this side.
    fn is_open(&self) -> bool;
    /// Closes it although a reply has not ended.
    fn abort(&self);
}

/// What a caller gets: a warm connection, or the right to open one.
pub(crate) enum Grant<C: Connection> {
    Warm(Lease<C>),
    Cold(Ticket<C>),
}

pub(crate) struct Gate<C: Connection>(Arc<Shared<C>>);

impl<C: Connection> Clone for Gate<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<C: Connection> {
    server: String,
    limits: Limits,
    alerts: Alerts,
    state: Mutex<State<C>>,
    /// Open, idle, in use and connecting, 16 bits each, so that one load sees them at one instant.
    sockets: AtomicU64,
    active: AtomicUsize,
    waiting: AtomicUsize,
    peak: AtomicUsize,
    opened: AtomicU64,
    closed: AtomicU64,
    reused: AtomicU64,
    exhausted: AtomicU64,
    alerted: AtomicU64,
    wait: Recorder,
    handshake: Recorder,
}

impl<C: Connection> Gate<C> {
    /// `server` is who the connections are to. `shares` says that a new connection is expected to carry several calls at once.
    pub(crate) fn new(server: &str, limits: Limits, shares: bool, alerts: Alerts) -> Self {
        let watch = Watch::new(alerts.thresholds, limits);
        Self(Arc::new(Shared {
            server: server.to_owned(),
            limits,
            alerts,
            state: Mutex::new(State::new(shares, watch)),
            sockets: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            alerted: AtomicU64::new(0),
            wait: Recorder::default(),
            handshake: Recorder::default(),
        }))
    }

    /// Waits for a grant, in turn, and says how long. `Err` holds the wait that was in vain.
    pub(crate) async fn acquire(
        &self,
        at_most: Duration,
    ) -> Result<(Grant<C>, Duration), Duration> {
        let (place, mut offer) = {
            let mut state = self.0.lock();
            // Nobody overtakes those who wait.
            let mut dead = Vec::new();
            let free = state.waiting.is_empty();
            if let Some(chosen) = free
                .then(|| state.choose(&self.0.limits, &mut dead))
                .flatten()
            {
                self.0.publish(state);
                drop(dead);
                self.0.wait.record(Duration::ZERO);
                return Ok((self.grant(chosen), Duration::ZERO));
            }
            let (sender, offer) = oneshot::channel();
            let id = state.take_id();
            state.waiting.insert(id, sender);
            self.0.exhausted.fetch_add(1, Ordering::Relaxed);
            self.0.publish(state);
            drop(dead);
            (Place { gate: self, id }, offer)
        };
        let start = Instant::now();
        let long = at_most.min(self.0.alerts.thresholds.wait);
        let mut offered = timeout(long, &mut offer).await;
        if offered.is_none() && long < at_most {
            let alert = self.0.lock().watch.long_wait(long);
            self.0.tell(alert);
            offered = timeout(at_most - long, offer).await;
        }
        drop(place);
        let waited = start.elapsed();
        self.0.wait.record(waited);
        match offered {
            Some(Ok(grant)) => Ok((grant, waited)),
            _ => Err(waited),
        }
    }

    /// The right to open one connection more for later, where the limits leave room.
    pub(crate) fn ticket_ahead(&self) -> Option<Ticket<C>> {
        let mut state = self.0.lock();
        let room = state.sockets.len() < self.0.limits.max_connections
            && state.idle.len() + state.connecting < self.0.limits.max_keepalive_connections;
        let chosen = room.then(|| state.cold());
        self.0.publish(state);
        chosen.map(|id| Ticket {
            gate: Arc::downgrade(&self.0),
            id,
        })
    }

    /// The ticket's socket is connected: lends it to the caller that opened it.
    pub(crate) fn opened(&self, id: u64, conn: C, took: Duration) -> Lease<C> {
        self.0.handshake.record(took);
        let mut state = self.0.lock();
        let (capacity, shared) = (conn.capacity(), conn.share());
        // A server that was asked for HTTP/2 and speaks HTTP/1.1 will go on doing so.
        state.shares &= capacity > 1;
        if let Some(socket @ Socket::Connecting) = state.sockets.get_mut(&id) {
            *socket = Socket::Open {
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
        self.serve(state);
        Lease {
            gate: self.clone(),
            id,
            conn: Some(conn),
            reusable: false,
        }
    }

    /// Closes a connection that has been idle for the expiry; says when to ask again, or that it is gone.
    pub(crate) fn expire(weak: &WeakGate<C>, id: u64) -> Option<Instant> {
        let gate = Gate(weak.0.upgrade()?);
        let expiry = gate.0.limits.keepalive_expiry;
        let mut state = gate.0.lock();
        let now = Instant::now();
        let Some(Socket::Open {
            calls, idle_since, ..
        }) = state.sockets.get(&id)
        else {
            return None;
        };
        let due = *idle_since + expiry;
        if *calls > 0 {
            // Not too often, however short the expiry.
            return Some(now + expiry.max(Duration::from_millis(10)));
        }
        if due > now {
            return Some(due);
        }
        let dead = state.retire(id, Cause::Expired);
        gate.0.publish(state);
        drop(dead);
        None
    }

    /// Closes what is idle now.
    pub(crate) fn close_idle(&self) {
        let mut state = self.0.lock();
        let mut dead = Vec::new();
        while let Some(id) = state.idle.last().copied() {
            dead.push(state.retire(id, Cause::Server));
        }
        self.0.publish(state);
        drop(dead);
    }

    pub(crate) fn downgrade(&self) -> WeakGate<C> {
        WeakGate(Arc::downgrade(&self.0))
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
            exhausted: Some(shared.exhausted.load(Ordering::Relaxed)),
            alerts: Some(shared.alerted.load(Ordering::Relaxed)),
            wait: shared.wait.read(),
            handshake: Some(shared.handshake.read()),
        }
    }

    fn grant(&self, chosen: Chosen<C>) -> Grant<C> {
        match chosen {
            Chosen::Warm(id, conn) => {
                self.0.reused.fetch_add(1, Ordering::Relaxed);
                Grant::Warm(Lease {
                    gate: self.clone(),
                    id,
                    conn: Some(conn),
                    reusable: false,
                })
            }
            Chosen::Cold(id) => Grant::Cold(Ticket {
                gate: Arc::downgrade(&self.0),
                id,
            }),
        }
    }

    /// Gives those who wait what there is, in turn, then keeps no more idle than allowed.
    fn serve(&self, mut state: MutexGuard<'_, State<C>>) {
        let mut offers = Vec::new();
        let mut dead = Vec::new();
        while !state.waiting.is_empty() {
            let Some(chosen) = state.choose(&self.0.limits, &mut dead) else {
                break;
            };
            offers.extend(
                state
                    .waiting
                    .pop_first()
                    .map(|(_, sender)| (sender, chosen)),
            );
        }
        while state.idle.len() > self.0.limits.max_keepalive_connections {
            let oldest = state.idle[0];
            dead.extend(state.retire(oldest, Cause::Spare));
        }
        self.0.publish(state);
        drop(dead);
        for (sender, chosen) in offers {
            // One who has just left drops his grant, which gives it to the next.
            drop(sender.send(self.grant(chosen)));
        }
    }

    /// A socket is gone.
    fn closed(&self, id: u64) {
        let mut state = self.0.lock();
        let removed = state.sockets.remove(&id);
        match &removed {
            Some(Socket::Connecting) => state.connecting -= 1,
            Some(Socket::Open { calls: 0, .. }) => {
                state.idle.retain(|idle| *idle != id);
                state.watch.closed(Cause::Server);
            }
            Some(Socket::Open { calls, .. }) => {
                state.in_use -= 1;
                state.active -= calls;
                state.watch.closed(Cause::Broken);
            }
            Some(Socket::Closing) | None => {}
        }
        if !matches!(removed, Some(Socket::Connecting)) {
            self.0.closed.fetch_add(1, Ordering::Relaxed);
        }
        self.serve(state);
        drop(removed);
    }

    /// A call is done with its connection.
    fn release(&self, id: u64, conn: C, reusable: bool) {
        let mut state = self.0.lock();
        // Of a shared connection only the one call's stream ends with its reply.
        let loss = if !(reusable || conn.capacity() > 1) {
            Some(Cause::Broken)
        } else if !conn.is_open() {
            Some(Cause::Server)
        } else {
            let expiry = self.0.limits.keepalive_expiry;
            expiry.is_zero().then_some(Cause::Expired)
        };
        let keep = loss.is_none();
        let mut spare = Some(conn);
        let mut emptied = false;
        if let Some(Socket::Open {
            handle,
            calls,
            idle_since,
            ..
        }) = state.sockets.get_mut(&id)
        {
            *calls -= 1;
            emptied = *calls == 0;
            *idle_since = Instant::now();
            if handle.is_none() && keep {
                *handle = spare.take();
            }
            state.active -= 1;
        }
        let mut dead = None;
        if emptied {
            state.in_use -= 1;
            state.idle.push(id);
            if let Some(cause) = loss {
                dead = state.retire(id, cause);
            }
        }
        self.serve(state);
        if !keep && let Some(conn) = &spare {
            conn.abort();
        }
        drop((dead, spare));
    }
}

impl<C: Connection> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those who read the statistics see the state as it is left, and tells what should be told of it.
    fn publish(&self, mut state: MutexGuard<'_, State<C>>) {
        let open = state.sockets.len();
        let packed = pack([open, state.idle.len(), state.in_use, state.connecting]);
        self.sockets.store(packed, Ordering::Release);
        self.active.store(state.active, Ordering::Relaxed);
        self.waiting.store(state.waiting.len(), Ordering::Relaxed);
        self.peak.fetch_max(open, Ordering::Relaxed);
        let (exhausted, waiting) = (state.is_exhausted(&self.limits), state.waiting.len());
        let alerts = state.watch.changed(exhausted, waiting);
        drop(state);
        self.tell(alerts);
    }

    fn tell(&self, alerts: impl IntoIterator<Item = PoolAlert>) {
        for alert in alerts {
            self.alerted.fetch_add(1, Ordering::Relaxed);
            let PoolAlert { kind, seen, advice } = &alert;
            tracing::warn!(server = self.server, kind = kind.name(), %seen, %advice, "pool alert");
            if let Some(tell) = self.alerts.tell.clone() {
                // Elsewhere than in the call that happens to see it, which it must neither hold up nor break.
                runtime::background(async move { tell(&alert) });
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

pub(crate) struct WeakGate<C: Connection>(Weak<Shared<C>>);
