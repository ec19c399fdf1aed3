use std::collections::{BTreeMap, HashMap};

use tokio::sync::oneshot;

use super::watch::{Cause, Watch};
use super::{Connection, Grant};
use crate::Limits;
use crate::runtime::Instant;

/// How many calls a shared connection is taken to carry: what most servers allow
/// (RFC 9113 section 6.5.2 recommends no less).
pub(crate) const SHARED_CALLS: usize = 100;

pub(super) struct State<C: Connection> {
    pub(super) sockets: HashMap<u64, Socket<C>>,
    /// The idle ones, the one used last at the end, since it is the least likely to have gone stale.
    pub(super) idle: Vec<u64>,
    /// Those who wait, in the order in which they came.
    pub(super) waiting: BTreeMap<u64, oneshot::Sender<Grant<C>>>,
    pub(super) next: u64,
    pub(super) connecting: usize,
    pub(super) active: usize,
    pub(super) in_use: usize,
    /// Whether new connections may carry several calls, so that callers wait for one being made.
    pub(super) shares: bool,
    pub(super) watch: Watch,
}

pub(super) enum Socket<C> {
    Connecting,
    /// The handle is here while it is idle, and always where it can be shared.
    Open {
        handle: Option<C>,
        calls: usize,
        capacity: usize,
        idle_since: Instant,
    },
    /// Nobody can use it any more; it counts until the system has closed it.
    Closing,
}

/// A grant as the state knows it, before it owns a reference to the gate.
pub(super) enum Chosen<C> {
    Warm(u64, C),
    Cold(u64),
}

impl<C: Connection> State<C> {
    pub(super) fn new(shares: bool, watch: Watch) -> Self {
        Self {
            sockets: HashMap::new(),
            idle: Vec::new(),
            waiting: BTreeMap::new(),
            next: 0,
            connecting: 0,
            active: 0,
            in_use: 0,
            shares,
            watch,
        }
    }

    /// Whether the next caller would have to wait.
    pub(super) fn is_exhausted(&self, limits: &Limits) -> bool {
        let full = self.sockets.len() >= limits.max_connections && self.idle.is_empty();
        // What is shared has room that is not seen here.
        full && (!self.shares || !self.waiting.is_empty())
    }

    pub(super) fn take_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn cold(&mut self) -> u64 {
        let id = self.take_id();
        self.sockets.insert(id, Socket::Connecting);
        self.connecting += 1;
        id
    }

    /// The best there is for one caller. What is found dead on the way is to be dropped unlocked.
    pub(super) fn choose(&mut self, limits: &Limits, dead: &mut Vec<C>) -> Option<Chosen<C>> {
        if self.shares
            && let Some(warm) = self.shared()
        {
            self.watch.reused();
            return Some(warm);
        }
        while let Some(id) = self.idle.last().copied() {
            let Some(Socket::Open {
                handle,
                calls,
                idle_since,
                capacity,
            }) = self.sockets.get_mut(&id)
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
                    self.watch.reused();
                    return Some(Chosen::Warm(id, conn));
                }
            }
            let cause = if fresh { Cause::Server } else { Cause::Expired };
            dead.extend(self.retire(id, cause));
        }
        // Where connections are shared, one being made serves all who wait, up to what it carries.
        let enough = self.shares
            && self.connecting > 0
            && self.waiting.len() <= self.connecting * SHARED_CALLS;
        let room = self.sockets.len() < limits.max_connections && !enough;
        room.then(|| {
            self.watch.opens();
            Chosen::Cold(self.cold())
        })
    }

    /// A place on a connection that others use too.
    fn shared(&mut self) -> Option<Chosen<C>> {
        self.sockets
            .iter_mut()
            .find_map(|(id, socket)| match socket {
                Socket::Open {
                    handle: Some(handle),
                    calls,
                    capacity,
                    ..
                } if (1..*capacity).contains(calls) && handle.is_open() => {
                    let conn = handle.share()?;
                    *calls += 1;
                    self.active += 1;
                    Some(Chosen::Warm(*id, conn))
                }
                _ => None,
            })
    }

    /// Takes an idle connection out of use; its socket counts until it is closed.
    pub(super) fn retire(&mut self, id: u64, cause: Cause) -> Option<C> {
        self.watch.closed(cause);
        self.idle.retain(|idle| *idle != id);
        match self.sockets.insert(id, Socket::Closing) {
            Some(Socket::Open { handle, .. }) => handle,
            _ => None,
        }
    }
}
