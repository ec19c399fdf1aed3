use std::collections::{BTreeMap, HashMap};

use super::connection::Connection;
use super::limits::Limits;
use super::monitor::{AlertMonitor, CloseReason};
use super::ticket::Ticket;
use crate::runtime::Instant;

/// The assumed number of concurrent calls per multiplexed connection. RFC 9113, section 6.5.2, recommends that servers
/// allow at least 100.
pub(crate) const MAX_STREAMS_PER_CONNECTION: usize = 100;

/// The state of a pool. `W` is the type of a waiter.
pub(super) struct State<C, W> {
    pub(super) slots: HashMap<u64, Slot<C>>,
    /// The idle connections, the most recently used last. The last is taken first, because it is the least likely to be stale.
    pub(super) idle: Vec<u64>,
    /// The waiters. The lowest ticket is served first.
    pub(super) waiting: BTreeMap<Ticket, W>,
    pub(super) next: u64,
    pub(super) connecting: usize,
    pub(super) active: usize,
    pub(super) in_use: usize,
    /// Whether new connections are expected to carry several calls each. Callers then wait for one that is connecting.
    pub(super) multiplexed: bool,
    pub(super) monitor: AlertMonitor,
}

pub(super) enum Slot<C> {
    Connecting,
    /// `handle` is set while the connection is idle. A multiplexed connection always has it.
    Open {
        handle: Option<C>,
        calls: usize,
        capacity: usize,
        idle_since: Instant,
    },
    /// No call can use the connection any more. It counts until its socket is closed.
    Closing,
}

/// A [`Checkout`](super::Checkout) that does not hold a reference to the pool yet.
pub(super) enum Assignment<C> {
    Idle(u64, C),
    Connect(u64),
}

impl<C: Connection, W> State<C, W> {
    pub(super) fn new(multiplexed: bool, monitor: AlertMonitor) -> Self {
        Self {
            slots: HashMap::new(),
            idle: Vec::new(),
            waiting: BTreeMap::new(),
            next: 0,
            connecting: 0,
            active: 0,
            in_use: 0,
            multiplexed,
            monitor,
        }
    }

    /// Returns whether the next caller has to wait.
    pub(super) fn is_exhausted(&self, limits: &Limits) -> bool {
        let full = self.slots.len() >= limits.max_connections && self.idle.is_empty();
        // A multiplexed connection may have room for more calls.
        full && (!self.multiplexed || !self.waiting.is_empty())
    }

    pub(super) fn take_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn connect(&mut self) -> u64 {
        let id = self.take_id();
        self.slots.insert(id, Slot::Connecting);
        self.connecting += 1;
        id
    }

    /// Assigns one caller an idle connection or a permit to open one. Evicted connections are pushed to `to_drop`, so that
    /// the caller drops them after unlocking.
    pub(super) fn assign(
        &mut self,
        limits: &Limits,
        to_drop: &mut Vec<C>,
    ) -> Option<Assignment<C>> {
        if self.multiplexed
            && let Some(assigned) = self.assign_shared()
        {
            self.monitor.on_reuse();
            return Some(assigned);
        }
        while let Some(id) = self.idle.last().copied() {
            let Some(Slot::Open {
                handle,
                calls,
                idle_since,
                capacity,
            }) = self.slots.get_mut(&id)
            else {
                self.idle.pop();
                continue;
            };
            let fresh = idle_since.elapsed() < limits.keepalive_expiry;
            if fresh && handle.as_ref().is_some_and(Connection::is_open) {
                let conn = if *capacity > 1 {
                    handle.as_ref().and_then(C::share)
                } else {
                    handle.take()
                };
                if let Some(conn) = conn {
                    *calls = 1;
                    self.idle.pop();
                    self.in_use += 1;
                    self.active += 1;
                    self.monitor.on_reuse();
                    return Some(Assignment::Idle(id, conn));
                }
            }
            let reason = if fresh {
                CloseReason::Server
            } else {
                CloseReason::Expired
            };
            to_drop.extend(self.evict(id, reason));
        }
        // A connecting multiplexed connection will serve as many waiters as it has capacity for.
        let enough = self.multiplexed
            && self.connecting > 0
            && self.waiting.len() <= self.connecting * MAX_STREAMS_PER_CONNECTION;
        let room = self.slots.len() < limits.max_connections && !enough;
        room.then(|| {
            self.monitor.on_connect();
            Assignment::Connect(self.connect())
        })
    }

    /// Assigns a stream on a multiplexed connection that already carries other calls.
    fn assign_shared(&mut self) -> Option<Assignment<C>> {
        self.slots.iter_mut().find_map(|(id, slot)| match slot {
            Slot::Open {
                handle: Some(handle),
                calls,
                capacity,
                ..
            } if (1..*capacity).contains(calls) && handle.is_open() => {
                let conn = handle.share()?;
                *calls += 1;
                self.active += 1;
                Some(Assignment::Idle(*id, conn))
            }
            _ => None,
        })
    }

    /// Evicts an idle connection, and returns its handle for the caller to drop. Its socket counts until it is closed.
    pub(super) fn evict(&mut self, id: u64, reason: CloseReason) -> Option<C> {
        self.monitor.on_close(reason);
        self.idle.retain(|idle| *idle != id);
        match self.slots.insert(id, Slot::Closing) {
            Some(Slot::Open { handle, .. }) => handle,
            _ => None,
        }
    }
}
