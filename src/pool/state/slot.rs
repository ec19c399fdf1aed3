use std::fmt;
use std::time::Duration;

use crate::pool::Connection;
use crate::runtime::Instant;

/// A socket, from the permit to open it until it is closed.
pub(super) enum Slot<C> {
    Connecting,
    Open(Open<C>),
    /// No call can use the connection any more. It counts until its socket is closed.
    Closing,
}

pub(super) struct Open<C> {
    /// The handle while the connection is idle. A multiplexed connection always has it.
    pub(super) handle: Option<C>,
    pub(super) multiplexed: bool,
    /// The number of calls that the connection carries.
    pub(super) streams: usize,
    /// The number of calls that the connection has carried, including current ones.
    pub(super) requests: u64,
    pub(super) idle_since: Instant,
}

impl<C: Connection> Open<C> {
    /// Returns a handle for another call, or `None` if the connection carries as many as it can.
    pub(super) fn take(&mut self) -> Option<C> {
        if !self.multiplexed {
            return self.handle.take();
        }
        let handle = self.handle.as_ref()?;
        // Until the server has set its limit, there is one call.
        let capacity = handle.capacity().unwrap_or(1);
        (self.streams < capacity).then(|| handle.share()).flatten()
    }

    pub(super) fn is_open(&self) -> bool {
        self.handle.as_ref().is_some_and(C::is_open)
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.handle.as_ref().map_or(Some(1), C::capacity)
    }
}

impl<C: Connection> Slot<C> {
    pub(super) fn print(
        &self,
        f: &mut fmt::Formatter<'_>,
        created: Instant,
        expiry: Duration,
    ) -> fmt::Result {
        let open = match self {
            Self::Connecting => return f.write_str("connecting"),
            Self::Closing => return f.write_str("closing"),
            Self::Open(open) => open,
        };
        if open.streams == 0 {
            let since = open.idle_since - created;
            let expires = since.saturating_add(expiry);
            write!(f, "idle since {since:?}, expires at {expires:?}")?;
        } else if !open.multiplexed {
            f.write_str("active")?;
        } else if let Some(max) = open.capacity() {
            write!(f, "active, {} of {max} streams", open.streams)?;
        } else {
            write!(f, "active, {} of ? streams", open.streams)?;
        }
        let plural = if open.requests == 1 { "" } else { "s" };
        write!(f, ", {} request{plural}", open.requests)
    }
}
