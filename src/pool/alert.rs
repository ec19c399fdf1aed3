use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::runtime::{MaybeSend, MaybeSync};

/// A warning that a pool's limits do not suit its load.
///
/// A pool raises each kind of alert at most once a minute. Every alert is logged as a `tracing` warning, passed to
/// [`ClientBuilder::on_pool_alert`](crate::ClientBuilder::on_pool_alert), and counted in
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
    /// What the pool observed.
    pub summary: String,
    /// The recommended change.
    pub hint: String,
}

impl fmt::Display for PoolAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.summary, self.hint)
    }
}

/// The kinds of [`PoolAlert`].
///
/// ```
/// assert_eq!(warmline::PoolAlertKind::QueueGrowing.name(), "queue_growing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolAlertKind {
    /// A call has waited for a connection for [`AlertThresholds::wait`] and is still waiting.
    LongWait,
    /// All connections were in use for at least [`AlertThresholds::exhausted_percent`] of a window, and calls waited.
    Exhausted,
    /// The shortest queue length in a window exceeded the shortest in the previous window.
    QueueGrowing,
    /// At least [`AlertThresholds::handshake_percent`] of a window's calls, and at least ten, opened a connection to replace
    /// a closed one.
    HandshakesRising,
}

impl PoolAlertKind {
    /// Returns the kind in `snake_case`, which is also its JSON form.
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

/// The thresholds at which a pool raises a [`PoolAlert`].
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
    /// The time spent waiting for a connection that raises [`PoolAlertKind::LongWait`]. The default is 1 s.
    pub wait: Duration,
    /// The length of the window over which the other kinds of alert are evaluated. The default is 10 s.
    pub window: Duration,
    /// The share of a window with all connections in use that raises [`PoolAlertKind::Exhausted`], in percent.
    /// The default is 80.
    pub exhausted_percent: u8,
    /// The share of a window's calls that replaced a closed connection that raises
    /// [`PoolAlertKind::HandshakesRising`], in percent. The default is 50.
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

/// The alert settings of a pool.
#[derive(Clone, Default)]
pub(crate) struct Alerts {
    pub(crate) thresholds: AlertThresholds,
    pub(crate) callback: Option<Arc<dyn OnPoolAlert>>,
}

/// The type of [`ClientBuilder::on_pool_alert`](crate::ClientBuilder::on_pool_alert) callbacks.
pub(crate) trait OnPoolAlert: Fn(&PoolAlert) + MaybeSend + MaybeSync {}

impl<F: Fn(&PoolAlert) + MaybeSend + MaybeSync> OnPoolAlert for F {}
