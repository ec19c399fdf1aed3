//! The limit of streams of an HTTP/2 server. hyper shows it to the driver of a connection, but does not wake it for a change.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::task::AtomicWaker;

/// The number of streams that an HTTP/2 server allows at the same time.
pub(super) struct StreamLimit {
    limit: AtomicUsize,
    /// Wakes the driver of the connection, which can read the limit.
    pub(super) waker: AtomicWaker,
}

impl Default for StreamLimit {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(Self::UNKNOWN),
            waker: AtomicWaker::new(),
        }
    }
}

impl StreamLimit {
    /// What hyper reports until the server's first SETTINGS frame. No server sets it: limits have 32 bits, and none is `usize::MAX`.
    pub(super) const UNKNOWN: usize = usize::MAX - 1;

    pub(super) fn get(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != Self::UNKNOWN).then_some(limit)
    }

    /// Returns whether the limit has changed.
    pub(super) fn set(&self, limit: usize) -> bool {
        self.limit.swap(limit, Ordering::Relaxed) != limit
    }
}

/// Spawns the tasks of an HTTP/2 connection. One of them reads the socket. Until the server's limit of streams is known, the
/// driver is woken after each step of theirs; later it looks at the limit whenever it has something to do.
#[derive(Clone)]
pub(super) struct Executor(pub(super) Arc<StreamLimit>);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let limit = self.0.clone();
        tokio::spawn(async move {
            tokio::pin!(task);
            poll_fn(|cx| {
                let polled = task.as_mut().poll(cx);
                if limit.get().is_none() {
                    limit.waker.wake();
                }
                polled
            })
            .await
        });
    }
}
