//! How many connections there may be, and what is known of them. The gate that keeps to it stands with
//! the connections, in the native transport: elsewhere they are the runtime's.

mod alert;
mod limits;
mod stats;

pub use alert::{AlertThresholds, PoolAlert, PoolAlertKind};
pub use limits::Limits;
pub use stats::{Histogram, PoolStats};
