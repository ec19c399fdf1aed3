use std::sync::Weak;

use super::{Connection, Gate, Shared};

/// A place in the queue; dropping it leaves the queue.
pub(super) struct Place<'a, C: Connection> {
    pub(super) gate: &'a Gate<C>,
    pub(super) id: u64,
}

impl<C: Connection> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let mut state = self.gate.0.lock();
        let left = state.waiting.remove(&self.id);
        self.gate.0.publish(state);
        drop(left);
    }
}

/// The right to have one socket open. It goes where the socket goes; dropping it says that the socket
/// is closed. It does not keep the gate alive, so that idle connections close with their client.
pub(crate) struct Ticket<C: Connection> {
    pub(super) gate: Weak<Shared<C>>,
    pub(super) id: u64,
}

impl<C: Connection> Ticket<C> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl<C: Connection> Drop for Ticket<C> {
    fn drop(&mut self) {
        if let Some(shared) = self.gate.upgrade() {
            Gate(shared).closed(self.id);
        }
    }
}

/// A connection lent to one call. Dropped before [`Lease::done`], it takes the connection with it,
/// since a reply may still be on its way.
pub(crate) struct Lease<C: Connection> {
    pub(super) gate: Gate<C>,
    pub(super) id: u64,
    pub(super) conn: Option<C>,
    pub(super) reusable: bool,
}

impl<C: Connection> Lease<C> {
    pub(crate) fn conn(&mut self) -> Option<&mut C> {
        self.conn.as_mut()
    }

    /// The reply has ended: the connection is free for the next call.
    pub(crate) fn done(mut self) {
        self.reusable = true;
    }
}

impl<C: Connection> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.gate.release(self.id, conn, self.reusable);
        }
    }
}
