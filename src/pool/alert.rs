use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::runtime::{MaybeSend, MaybeSync};

/// A sign that a pool's limits do not fit its use.
///
/// Each kind is reported at most once a minute: as a `tracing` event, to
/// [`ClientBuilder::on_pool_alert`](crate::ClientBuilder::on_pool_alert), and in the count
/// [`PoolStats::alerts`](crate::PoolStats::alerts).
///
/// ```
/// use warmline::{Client, Provider};
///
/// let builder = Client::builder(Provider::OpenAi).on_pool_alert(|alert| eprintln!("{alert}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolAlert {
    /// The kind of alert.
    pub kind: PoolAlertKind,
    /// What was seen.
    pub summary: String,
    /// What to change.
    pub hint: String,
}

impl fmt::Display for PoolAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.summary, self.hint)
    }
}

/// What a [`PoolAlert`] is about.
///
/// ```
/// assert_eq!(warmline::PoolAlertKind::QueueGrowing.name(), "queue_growing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolAlertKind {
    /// A call has waited for a connection for longer than [`AlertThresholds::wait`], and waits on.
    LongWait,
    /// For [`AlertThresholds::exhausted_percent`] of a window all connections were in use, and calls waited.
    Exhausted,
    /// The queue was longer throughout a window than at its shortest in the one before.
    QueueGrowing,
    /// [`AlertThresholds::handshake_percent`] of a window's calls, and no fewer than ten, had to open a connection in place of one
    /// that was closed.
    HandshakesRising,
}

impl PoolAlertKind {
    /// Its name for programs.
    ///
    /// ```
    /// assert_eq!(warmline::PoolAlertKind::LongWait.name(), "long_wait");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::LongWait => "long_wait",
            Self::Exhausted => "exhausted",
            Self::QueueGrowing => "queue_growing",
            Self::HandshakesRising => "handshakes_rising",
        }
    }
}

/// When a pool gives a [`PoolAlert`].
///
/// ```
/// use std::time::Duration;
/// use warmline::{AlertThresholds, Client, Provider};
///
/// let thresholds = AlertThresholds { wait: Duration::from_millis(200), ..AlertThresholds::default() };
/// let builder = Client::builder(Provider::OpenAi).alert_thresholds(thresholds);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertThresholds {
    /// How long a call may wait for a connection: 1 s.
    pub wait: Duration,
    /// How long the pool is watched before the multiplexed are looked at: 10 s.
    pub window: Duration,
    /// For how much of a window all connections may be in use while calls wait, in percent: 80.
    pub exhausted_percent: u8,
    /// How many of a window's calls may open a connection in place of a closed one, in percent: 50.
    pub handshake_percent: u8,
}

impl Default for AlertThresholds {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(1),
            window: Duration::from_secs(10),
            exhausted_percent: 80,
            handshake_percent: 50,
        }
    }
}

/// Which alerts a pool raises, and who is called for them.
#[derive(Clone, Default)]
pub(crate) struct Alerts {
    pub(crate) thresholds: AlertThresholds,
    pub(crate) callback: Option<Arc<dyn OnPoolAlert>>,
}

/// A caller's callback for alerts.
pub(crate) trait OnPoolAlert: Fn(&PoolAlert) + MaybeSend + MaybeSync {}

impl<F: Fn(&PoolAlert) + MaybeSend + MaybeSync> OnPoolAlert for F {}
