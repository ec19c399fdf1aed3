//! An event that many readers get.

use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The latest event with all statistics. Many readers get the same, since to make one for each takes so much time that calls would wait.
#[derive(Default)]
pub(crate) struct LatestEvent(Mutex<Option<Event>>);

struct Event {
    at: Instant,
    samples: usize,
    bytes: Bytes,
}

impl LatestEvent {
    /// Returns the latest event if it has so many samples and is not older than `max_age`, or else makes one.
    pub(crate) async fn get(
        &self,
        samples: usize,
        max_age: Duration,
        make: impl Future<Output = Bytes>,
    ) -> Bytes {
        let mut latest = self.0.lock().await;
        if let Some(latest) = &*latest
            && latest.samples == samples
            && latest.at.elapsed() < max_age
        {
            return latest.bytes.clone();
        }
        let bytes = make.await;
        *latest = Some(Event {
            // Those who have waited for it meanwhile get it, however long it took.
            at: Instant::now(),
            samples,
            bytes: bytes.clone(),
        });
        bytes
    }
}
