//! Ledgers in Redis, directly or over REST.

mod rest;
mod script;

pub use self::rest::RestLedger;
use crate::{CostTracker, Error, Result};

crate::runtime::native_only! {
    #[cfg(feature = "redis")]
    mod native;
    #[cfg(feature = "redis")]
    pub use self::native::RedisLedger;

    /// Sets the ledger of a tracker to the one in the Redis at a URL.
    #[cfg(feature = "redis")]
    pub(crate) fn connect(tracker: CostTracker, url: &str) -> Result<CostTracker> {
        Ok(tracker.ledger(RedisLedger::open(url)?))
    }

    #[cfg(not(feature = "redis"))]
    pub(crate) fn connect(_tracker: CostTracker, _url: &str) -> Result<CostTracker> {
        Err(unavailable())
    }
}

crate::runtime::wasm_only! {
    pub(crate) fn connect(_tracker: CostTracker, _url: &str) -> Result<CostTracker> {
        Err(unavailable())
    }
}

#[allow(dead_code, reason = "not used with the feature `redis`")]
fn unavailable() -> Error {
    Error::config(
        "a ledger in Redis requires the crate's feature `redis` and a native target: use a file, or a Redis over REST",
    )
}
