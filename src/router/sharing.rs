//! The state that routers of several processes share.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::choice::hash_of;
use super::health::Finding;
use crate::error::seconds;
use crate::runtime::{self, BoxFuture, Instant};
use crate::shared::{MemoryState, SharedState};
use crate::{Client, Error, ErrorKind, Result};

/// The time between two exchanges, while there is nothing new to tell.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);
/// The maximum time that an operation of the state takes.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The state that a router shares.
pub(super) struct Sharing {
    pub(super) state: Arc<dyn SharedState>,
    /// The names of the targets in it.
    pub(super) names: Vec<String>,
    /// The keys of their marks: of the cooldown and of the probe of each.
    pub(super) keys: Vec<String>,
    /// What this process has called for. It counts as the shared state does.
    pub(super) own: MemoryState,
    task: Mutex<Task>,
}

/// The task in the background.
#[derive(Default)]
pub(super) struct Task {
    pub(super) is_running: bool,
    /// Whether there is something new to tell.
    pub(super) is_urgent: bool,
    pub(super) last_call: Option<Instant>,
    pub(super) waker: Option<Waker>,
}

/// Returns a name that a target has in all processes.
pub(super) fn shared_name(name: &str, client: &Client) -> String {
    let server = [client.provider().name(), " ", client.origin()].concat();
    format!("router:{name}:{:016x}", hash_of(&server))
}

impl Sharing {
    pub(super) fn new(state: Arc<dyn SharedState>, names: Vec<String>) -> Self {
        let marks = |name: &String| ["cooldown", "probe"].map(|of| [name, ":", of].concat());
        Self {
            state,
            keys: names.iter().flat_map(marks).collect(),
            names,
            own: MemoryState::default(),
            task: Mutex::default(),
        }
    }

    pub(super) fn task(&self) -> MutexGuard<'_, Task> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something new to tell, at most for the interval.
    pub(super) async fn wait(&self) {
        let urgent = poll_fn(|cx| {
            let mut task = self.task();
            if std::mem::take(&mut task.is_urgent) {
                return Poll::Ready(());
            }
            task.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        runtime::timeout(INTERVAL, urgent).await;
    }

    /// Writes a finding of a target.
    pub(super) async fn tell(&self, target: usize, finding: Finding) -> Result<()> {
        if let Some(time) = finding.cooldown {
            within(self.state.mark(&self.keys[2 * target], time)).await?;
        }
        within(self.state.mark(&self.keys[2 * target + 1], finding.probe)).await
    }
}

/// Waits for an operation of the state.
///
/// # Errors
/// Those of the operation, or that it takes too long.
pub(super) async fn within<T>(operation: BoxFuture<'_, Result<T>>) -> Result<T> {
    let done = runtime::timeout(TIMEOUT, operation).await;
    done.unwrap_or_else(|| {
        let message = ["the shared state did not answer within ", &seconds(TIMEOUT)];
        Err(Error::new(ErrorKind::Ledger, message.concat()))
    })
}
