//! The connection pool: limits, state, statistics and alerts. Its unit tests need no sockets.

mod alert;
mod limits;
mod stats;

pub(crate) use self::alert::Alerts;
pub use self::alert::{AlertThresholds, PoolAlert, PoolAlertKind};
pub use self::limits::Limits;
pub use self::stats::{Histogram, PoolStats};

// On WebAssembly the runtime owns the connections.
crate::runtime::native_only! {
    mod connection;
    mod connections;
    mod histogram;
    mod monitor;
    mod state;
    mod ticket;

    pub(crate) use self::connection::Connection;
    pub(crate) use self::connections::{Checkout, ConnectionPermit, Pool, PooledConnection, WeakPool};
    pub(crate) use self::ticket::Ticket;
}
