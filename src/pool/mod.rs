//! How many connections there may be, and how many there are.

pub(crate) mod gate;
mod limits;
mod stats;

pub use limits::Limits;
pub use stats::{Histogram, PoolStats};
