use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use tokio::time::{Instant, Sleep, sleep};

/// A number from 0 to 1.
pub(crate) fn random() -> f64 {
    fastrand::f64()
}

/// The date, for `retry-after`.
pub(crate) fn wall_clock() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// What the future gives, or none where it takes longer.
pub(crate) async fn timeout<F: Future>(at_most: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(at_most, future).await.ok()
}

/// A future that can go wherever this target's futures must be able to go.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
