//! The state of a pool, without locks, tasks, sockets or a clock: methods take the time, and return what has to be done
//! outside of the lock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::alert::{AlertThresholds, PoolAlert};
use super::connection::Connection;
use super::limits::Limits;
use super::monitor::{AlertMonitor, CloseReason};
use super::ticket::Ticket;
use crate::runtime::Instant;

mod slot;
#[cfg(test)]
mod tests;

use self::slot::{Open, Slot};

/// The number of streams that a multiplexed connection is expected to carry before a server has set its limit. RFC 9113,
/// section 6.5.2, recommends that servers allow at least 100.
const EXPECTED_STREAMS: usize = 100;

/// The state of a pool. `C` is the type of a connection's handle, and `W` that of a waiter.
pub(super) struct State<C, W> {
    server: Arc<str>,
    limits: Limits,
    created: Instant,
    connections: BTreeMap<u64, Slot<C>>,
    /// The idle connections, the most recently used last. The last is taken first, because it is the least likely to be stale.
    idle: Vec<u64>,
    /// The waiters. The lowest ticket is served first.
    waiting: BTreeMap<Ticket, W>,
    last_id: u64,
    /// Whether new connections are expected to carry several calls each. Callers then wait for one that is connecting.
    multiplexed: bool,
    /// The limit of streams that the server has set most recently.
    expected_streams: usize,
    counts: Counts,
    monitor: AlertMonitor,
}

/// The numbers that the statistics show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) open: usize,
    pub(super) connecting: usize,
    pub(super) in_use: usize,
    pub(super) idle: usize,
    pub(super) active: usize,
    pub(super) waiting: usize,
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) reused: u64,
    pub(super) acquire_waits: u64,
}

/// What a caller gets: the use of an open connection, or the permit to open one.
#[derive(Debug)]
pub(super) enum Assignment<C> {
    Reuse {
        id: u64,
        conn: C,
        /// When the connection was last in use. `None` if it has not been used yet.
        last_used: Option<Instant>,
    },
    Connect(u64),
}

/// How far a call has come with its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress {
    /// No request was sent.
    Unused,
    /// A request was sent, and its response has not ended.
    Sent,
    /// The response has ended.
    Done,
}

/// What has to be done after a change of the state, once it is unlocked.
pub(super) struct Effects<C, W> {
    /// The waiters whose turn it is, in order.
    pub(super) served: Vec<(W, Assignment<C>)>,
    /// The connections to close.
    pub(super) dropped: Vec<C>,
    /// The connections to close in the middle of a response.
    pub(super) aborted: Vec<C>,
}

impl<C, W> Default for Effects<C, W> {
    fn default() -> Self {
        Self {
            served: Vec::new(),
            dropped: Vec::new(),
            aborted: Vec::new(),
        }
    }
}

impl<C: Connection, W> State<C, W> {
    pub(super) fn new(
        server: Arc<str>,
        limits: Limits,
        multiplexed: bool,
        thresholds: AlertThresholds,
        now: Instant,
    ) -> Self {
        Self {
            server,
            limits,
            created: now,
            connections: BTreeMap::new(),
            idle: Vec::new(),
            waiting: BTreeMap::new(),
            last_id: 0,
            multiplexed,
            expected_streams: EXPECTED_STREAMS,
            counts: Counts::default(),
            monitor: AlertMonitor::new(thresholds, limits, now),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            open: self.connections.len(),
            idle: self.idle.len(),
            waiting: self.waiting.len(),
            ..self.counts
        }
    }

    /// Returns the alerts that are due. Call this after every change.
    pub(super) fn alerts(&mut self, now: Instant) -> Vec<PoolAlert> {
        let full = self.connections.len() >= self.limits.max_connections && self.idle.is_empty();
        // A multiplexed connection may have room for more calls.
        let exhausted = full && (!self.multiplexed || !self.waiting.is_empty());
        self.monitor.on_change(exhausted, self.waiting.len(), now)
    }

    /// Returns the alert for a call that has waited for `waited` and is still waiting, if one is due.
    pub(super) fn long_wait(&mut self, waited: Duration, now: Instant) -> Option<PoolAlert> {
        self.monitor.long_wait(waited, now)
    }

    /// Assigns a connection to a caller, unless none is available or a lower ticket is waiting.
    pub(super) fn acquire(
        &mut self,
        ticket: Ticket,
        now: Instant,
        effects: &mut Effects<C, W>,
    ) -> Option<Assignment<C>> {
        let lowest = self.waiting.first_key_value();
        if lowest.is_some_and(|(lowest, _)| *lowest < ticket) {
            return None;
        }
        self.assign(self.waiting.len() + 1, now, effects)
    }

    /// Adds a caller to the queue.
    pub(super) fn wait(
        &mut self,
        ticket: Ticket,
        waiter: W,
        now: Instant,
        effects: &mut Effects<C, W>,
    ) {
        self.waiting.insert(ticket, waiter);
        self.counts.acquire_waits += 1;
        // The queue can now be too long for the connections that are being opened.
        self.serve(now, effects);
    }

    /// Removes a caller from the queue, unless it has been served.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<W> {
        self.waiting.remove(&ticket)
    }

    /// Returns a permit to open a connection that no call needs yet, if the limits allow another idle connection.
    pub(super) fn warm_up(&mut self) -> Option<u64> {
        let kept = self.idle.len() + self.counts.connecting;
        let room = self.connections.len() < self.limits.max_connections
            && kept < self.limits.max_keepalive_connections;
        room.then(|| self.connect())
    }

    /// Adds the connection that was opened by permit `id`. Its first call is that of the caller who has opened it.
    pub(super) fn connected(
        &mut self,
        id: u64,
        conn: &C,
        now: Instant,
        effects: &mut Effects<C, W>,
    ) {
        let multiplexed = conn.is_multiplexed();
        // A server that answered an offer of HTTP/2 with HTTP/1.1 will do so again.
        self.multiplexed &= multiplexed;
        if let Some(slot @ Slot::Connecting) = self.connections.get_mut(&id) {
            *slot = Slot::Open(Open {
                handle: conn.share(),
                multiplexed,
                streams: 1,
                requests: 1,
                idle_since: now,
            });
            self.counts.connecting -= 1;
            self.counts.in_use += 1;
            self.counts.active += 1;
            self.counts.opened += 1;
        }
        self.serve(now, effects);
    }

    /// Takes note of a server's limit of streams, which connection `id` has from now on.
    pub(super) fn capacity_changed(&mut self, id: u64, now: Instant, effects: &mut Effects<C, W>) {
        if let Some(Slot::Open(open)) = self.connections.get(&id)
            && let Some(capacity) = open.capacity()
        {
            self.expected_streams = capacity;
        }
        self.serve(now, effects);
    }

    /// Returns a connection to the pool, or closes it if it cannot be used again. `reused` is whether it was assigned while it
    /// was open.
    pub(super) fn release(
        &mut self,
        id: u64,
        conn: C,
        progress: Progress,
        reused: bool,
        now: Instant,
        effects: &mut Effects<C, W>,
    ) {
        let Some(Slot::Open(open)) = self.connections.get_mut(&id) else {
            effects.dropped.push(conn);
            return;
        };
        open.streams -= 1;
        self.counts.active -= 1;
        if progress == Progress::Unused {
            open.requests -= 1;
            self.counts.reused -= u64::from(reused);
        } else {
            open.idle_since = now;
        }
        let idle_since = open.idle_since;
        // On a multiplexed connection, dropping a response ends only its own stream.
        let reason = if progress == Progress::Sent && !open.multiplexed {
            Some(CloseReason::Broken)
        } else if !conn.is_open() {
            Some(CloseReason::Server)
        } else {
            (now - idle_since >= self.limits.keepalive_expiry).then_some(CloseReason::Expired)
        };
        if open.streams > 0 {
            effects.dropped.push(conn);
        } else if let Some(reason) = reason {
            self.counts.in_use -= 1;
            effects.dropped.extend(self.evict(id, reason));
            match reason {
                CloseReason::Broken => effects.aborted.push(conn),
                _ => effects.dropped.push(conn),
            }
        } else {
            self.counts.in_use -= 1;
            match &open.handle {
                Some(_) => effects.dropped.push(conn),
                None => open.handle = Some(conn),
            }
            let later = |other: &&u64| matches!(self.connections.get(other), Some(Slot::Open(open)) if open.idle_since > idle_since);
            let later = self.idle.iter().rev().take_while(later).count();
            self.idle.insert(self.idle.len() - later, id);
        }
        self.serve(now, effects);
    }

    /// Removes a socket that has closed, or that could not be opened. Returns whether it was a connection.
    pub(super) fn closed(&mut self, id: u64, now: Instant, effects: &mut Effects<C, W>) {
        match self.connections.remove(&id) {
            Some(Slot::Connecting) => self.counts.connecting -= 1,
            Some(Slot::Open(open)) => {
                if open.streams == 0 {
                    self.idle.retain(|idle| *idle != id);
                    self.monitor.on_close(CloseReason::Server);
                } else {
                    self.counts.in_use -= 1;
                    self.counts.active -= open.streams;
                    self.monitor.on_close(CloseReason::Broken);
                }
                self.counts.closed += 1;
                effects.dropped.extend(open.handle);
            }
            Some(Slot::Closing) => self.counts.closed += 1,
            None => {}
        }
        self.serve(now, effects);
    }

    /// Closes connection `id` if it has been idle for `keepalive_expiry`. Returns when to check again, or `None` if the
    /// connection is no longer usable.
    pub(super) fn expire(
        &mut self,
        id: u64,
        now: Instant,
        effects: &mut Effects<C, W>,
    ) -> Option<Instant> {
        let expiry = self.limits.keepalive_expiry;
        let Some(Slot::Open(open)) = self.connections.get(&id) else {
            return None;
        };
        // In use, it counts from the last use before: a call can give it back unused.
        let due = open.idle_since + expiry;
        if due > now {
            return Some(due);
        }
        if open.streams > 0 {
            // At most every 10 ms, however short the expiry is.
            return Some(now + expiry.max(Duration::from_millis(10)));
        }
        effects.dropped.extend(self.evict(id, CloseReason::Expired));
        None
    }

    /// Assigns connections to waiters, then closes the idle connections above `max_keepalive_connections`.
    fn serve(&mut self, now: Instant, effects: &mut Effects<C, W>) {
        while !self.waiting.is_empty() {
            let Some(assigned) = self.assign(self.waiting.len(), now, effects) else {
                break;
            };
            if let Some((_, waiter)) = self.waiting.pop_first() {
                effects.served.push((waiter, assigned));
            }
        }
        while self.idle.len() > self.limits.max_keepalive_connections {
            let oldest = self.idle[0];
            effects
                .dropped
                .extend(self.evict(oldest, CloseReason::MaxIdle));
        }
    }

    /// Assigns a connection to the first of so many callers.
    fn assign(
        &mut self,
        callers: usize,
        now: Instant,
        effects: &mut Effects<C, W>,
    ) -> Option<Assignment<C>> {
        let assigned = self
            .assign_busy(now)
            .or_else(|| self.assign_idle(now, effects));
        if assigned.is_some() {
            self.monitor.on_reuse();
            self.counts.reused += 1;
            self.counts.active += 1;
            return assigned;
        }
        // A connection that is being opened will serve as many waiters as it carries calls, besides the one who opens it.
        let room = self.connections.len() < self.limits.max_connections
            && callers > self.upcoming_streams();
        room.then(|| {
            self.monitor.on_connect();
            Assignment::Connect(self.connect())
        })
    }

    /// Assigns a stream of a connection that carries other calls.
    fn assign_busy(&mut self, now: Instant) -> Option<Assignment<C>> {
        if !self.multiplexed {
            return None;
        }
        self.connections.iter_mut().find_map(|(id, slot)| {
            let Slot::Open(open) = slot else {
                return None;
            };
            let conn = (open.streams > 0 && open.is_open())
                .then(|| open.take())
                .flatten()?;
            open.streams += 1;
            open.requests += 1;
            Some(Assignment::Reuse {
                id: *id,
                conn,
                last_used: Some(now),
            })
        })
    }

    fn assign_idle(&mut self, now: Instant, effects: &mut Effects<C, W>) -> Option<Assignment<C>> {
        for index in (0..self.idle.len()).rev() {
            let id = self.idle[index];
            let Some(Slot::Open(open)) = self.connections.get_mut(&id) else {
                continue;
            };
            let expired = now - open.idle_since >= self.limits.keepalive_expiry;
            if expired || !open.is_open() {
                let reason = match expired {
                    true => CloseReason::Expired,
                    false => CloseReason::Server,
                };
                effects.dropped.extend(self.evict(id, reason));
            } else if let Some(conn) = open.take() {
                let last_used = (open.requests > 0).then_some(open.idle_since);
                open.streams = 1;
                open.requests += 1;
                self.idle.remove(index);
                self.counts.in_use += 1;
                return Some(Assignment::Reuse {
                    id,
                    conn,
                    last_used,
                });
            }
        }
        None
    }

    /// Returns the number of waiters that the connections will serve which are being opened, or whose limit of streams is not
    /// known yet.
    fn upcoming_streams(&self) -> usize {
        if !self.multiplexed {
            return 0;
        }
        let is_upcoming = |slot: &&Slot<C>| match slot {
            Slot::Connecting => true,
            Slot::Open(open) => open.is_open() && open.capacity().is_none(),
            Slot::Closing => false,
        };
        let upcoming = self.connections.values().filter(is_upcoming).count();
        upcoming.saturating_mul(self.expected_streams.saturating_sub(1))
    }

    fn connect(&mut self) -> u64 {
        self.last_id += 1;
        self.connections.insert(self.last_id, Slot::Connecting);
        self.counts.connecting += 1;
        self.last_id
    }

    /// Takes a connection that carries no call out of use, and returns its handle. Its socket counts until it is closed.
    fn evict(&mut self, id: u64, reason: CloseReason) -> Option<C> {
        self.monitor.on_close(reason);
        self.idle.retain(|idle| *idle != id);
        match self.connections.insert(id, Slot::Closing) {
            Some(Slot::Open(open)) => open.handle,
            _ => None,
        }
    }
}

/// Lists the connections and the waiters. Times are from the creation of the pool.
impl<C: Connection, W> fmt::Debug for State<C, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.server)?;
        for (id, slot) in &self.connections {
            write!(f, "\n#{id} ")?;
            slot.print(f, self.created, self.limits.keepalive_expiry)?;
        }
        for Ticket(ticket) in self.waiting.keys() {
            write!(f, "\nwaiting: ticket {ticket}")?;
        }
        Ok(())
    }
}
