use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::super::*;

#[derive(Clone, Debug)]
pub(super) struct Fake(pub(super) Rc<FakeState>);

#[derive(Debug)]
pub(super) struct FakeState {
    pub(super) open: Cell<bool>,
    /// The limit of streams; `None` in HTTP/1.1.
    pub(super) streams: Option<Cell<Option<usize>>>,
}

impl Connection for Fake {
    fn is_multiplexed(&self) -> bool {
        self.0.streams.is_some()
    }

    fn capacity(&self) -> Option<usize> {
        self.0.streams.as_ref().map_or(Some(1), Cell::get)
    }

    fn share(&self) -> Option<Self> {
        self.is_multiplexed().then(|| self.clone())
    }

    fn is_open(&self) -> bool {
        self.0.open.get()
    }

    fn abort(&self) {
        self.0.open.set(false);
    }
}

#[derive(Debug)]
pub(super) enum Held {
    Permit(u64),
    Connection { id: u64, conn: Fake, reused: bool },
}

/// A pool with callers, who are known by their tickets.
pub(super) struct Pool {
    pub(super) state: State<Fake, u64>,
    pub(super) now: Instant,
    pub(super) held: BTreeMap<u64, Held>,
    /// Every connection that was opened and is not closed yet, by id.
    pub(super) sockets: BTreeMap<u64, Fake>,
}

impl Pool {
    pub(super) fn new(
        max_connections: usize,
        max_keepalive_connections: usize,
        multiplexed: bool,
    ) -> Self {
        let limits = Limits {
            max_connections,
            max_keepalive_connections,
            ..Limits::default()
        };
        let (thresholds, now) = (AlertThresholds::default(), Instant::now());
        Self {
            state: State::new("api.test".into(), limits, multiplexed, thresholds, now),
            now,
            held: BTreeMap::new(),
            sockets: BTreeMap::new(),
        }
    }

    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut State<Fake, u64>, Instant, &mut Effects<Fake, u64>) -> T,
    ) -> T {
        let mut effects = Effects::default();
        let result = change(&mut self.state, self.now, &mut effects);
        let mut last = None;
        for (ticket, assigned) in effects.served {
            assert!(last < Some(ticket), "served out of order");
            last = Some(ticket);
            self.hold(ticket, assigned);
        }
        let lowest = self.state.waiting.keys().next();
        if let (Some(last), Some(Ticket(lowest))) = (last, lowest) {
            assert!(last < *lowest, "served before a lower ticket");
        }
        for conn in effects.aborted {
            assert!(!conn.is_multiplexed());
            conn.abort();
        }
        self.check();
        result
    }

    pub(super) fn hold(&mut self, ticket: u64, assigned: Assignment<Fake>) {
        let held = match assigned {
            Assignment::Connect(id) => Held::Permit(id),
            Assignment::Reuse { id, conn, .. } => {
                assert!(conn.is_open(), "a closed connection was assigned");
                Held::Connection {
                    id,
                    conn,
                    reused: true,
                }
            }
        };
        assert!(self.held.insert(ticket, held).is_none());
    }

    /// Asks for a connection, and waits if there is none.
    pub(super) fn acquire(&mut self, ticket: u64) {
        let assigned = self.change(|state, now, effects| {
            let assigned = state.acquire(Ticket(ticket), now, effects);
            if assigned.is_none() {
                state.wait(Ticket(ticket), ticket, now, effects);
            }
            assigned
        });
        if let Some(assigned) = assigned {
            self.hold(ticket, assigned);
        }
    }

    pub(super) fn leave(&mut self, ticket: u64) {
        self.change(|state, _, _| state.leave(Ticket(ticket)));
    }

    pub(super) fn open(&mut self, ticket: u64, streams: Option<Option<usize>>) {
        let Some(Held::Permit(id)) = self.held.remove(&ticket) else {
            panic!("{ticket} holds no permit")
        };
        let conn = Fake(Rc::new(FakeState {
            open: Cell::new(true),
            streams: streams.map(Cell::new),
        }));
        self.sockets.insert(id, conn.clone());
        self.change(|state, now, effects| state.connected(id, &conn, now, effects));
        let reused = false;
        self.held
            .insert(ticket, Held::Connection { id, conn, reused });
    }

    /// Opens the connection that a caller has a permit for. It is one of HTTP/1.1.
    pub(super) fn connect(&mut self, ticket: u64) {
        self.open(ticket, None);
    }

    /// Opens an HTTP/2 connection.
    pub(super) fn connect_http2(&mut self, ticket: u64, streams: impl Into<Option<usize>>) {
        self.open(ticket, Some(streams.into()));
    }

    /// Ends what a caller does, with a connection or before it has one.
    pub(super) fn end(&mut self, ticket: u64, progress: Progress) {
        match self.held.remove(&ticket) {
            Some(Held::Permit(id)) => self.closed(id),
            Some(Held::Connection { id, conn, reused }) => {
                self.change(|state, now, effects| {
                    state.release(id, conn, progress, reused, now, effects);
                });
            }
            None => panic!("{ticket} holds nothing"),
        }
    }

    pub(super) fn done(&mut self, ticket: u64) {
        self.end(ticket, Progress::Done);
    }

    /// The socket is closed.
    pub(super) fn closed(&mut self, id: u64) {
        if let Some(conn) = self.sockets.remove(&id) {
            conn.0.open.set(false);
        }
        self.change(|state, now, effects| state.closed(id, now, effects));
    }

    /// The server sets a limit of streams.
    pub(super) fn set_streams(&mut self, id: u64, limit: usize) {
        let streams = self.sockets[&id].0.streams.as_ref();
        streams.unwrap().set(Some(limit));
        self.change(|state, now, effects| state.capacity_changed(id, now, effects));
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(super) fn expire(&mut self, id: u64) -> Option<Duration> {
        let due = self.change(|state, now, effects| state.expire(id, now, effects));
        due.map(|due| due - self.now)
    }

    #[track_caller]
    pub(super) fn is(&self, expected: &[&str]) {
        let text = format!("{:?}", self.state);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "api.test");
        assert_eq!(lines[1..], *expected);
    }

    /// What is true at every instant.
    pub(super) fn check(&self) {
        let (state, counts) = (&self.state, self.state.counts());
        assert!(state.connections.len() <= state.limits.max_connections);
        assert!(state.idle.len() <= state.limits.max_keepalive_connections);
        let mut expected = Counts {
            open: state.connections.len(),
            idle: state.idle.len(),
            waiting: state.waiting.len(),
            ..counts
        };
        (expected.connecting, expected.in_use, expected.active) = (0, 0, 0);
        let mut idle = 0;
        for slot in state.connections.values() {
            match slot {
                Slot::Connecting => expected.connecting += 1,
                Slot::Closing => {}
                Slot::Open(open) if open.streams == 0 => {
                    idle += 1;
                    assert!(open.handle.is_some());
                }
                Slot::Open(open) => {
                    expected.in_use += 1;
                    expected.active += open.streams;
                    assert!(open.multiplexed || (open.streams == 1 && open.handle.is_none()));
                }
            }
        }
        assert_eq!((counts, state.idle.len()), (expected, idle));
        let since = |id: &u64| match &state.connections[id] {
            Slot::Open(open) => open.idle_since,
            _ => panic!("#{id} is not open"),
        };
        assert!(state.idle.is_sorted_by_key(since));
    }

    /// Whoever waits has a reason to.
    pub(super) fn check_waiting(&mut self) {
        let noticed = self.sockets.values().all(Connection::is_open);
        let state = &mut self.state;
        if state.waiting.is_empty() {
            return;
        }
        assert!(state.assign_busy(self.now).is_none(), "{state:?}");
        let full = state.connections.len() >= state.limits.max_connections;
        let upcoming = state.waiting.len() <= state.upcoming_streams();
        assert!(full || upcoming || !noticed, "{state:?}");
    }
}
