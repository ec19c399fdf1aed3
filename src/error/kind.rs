use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runtime;
use crate::usd::Usd;

/// The kinds of [`Error`]; [`ErrorKind::name`] is what `warmline chat --json` prints.
///
/// ```
/// use warmline::{ErrorKind, TimeoutKind};
///
/// let kind = ErrorKind::Timeout { which: TimeoutKind::Read };
/// assert_eq!(kind.name(), "timeout");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client or the request is set up wrongly; nothing was sent.
    Config,
    /// No connection came free within the pool timeout; nothing was sent.
    PoolTimeout {
        /// The limit on connections that was in force.
        max_connections: usize,
        /// How long the call waited in the queue.
        waited: Duration,
    },
    /// No connection could be made (name resolution, TCP, TLS or proxy), or it broke before a reply.
    Connect,
    /// One of the waits took longer than allowed.
    Timeout {
        /// Which wait.
        which: TimeoutKind,
    },
    /// The provider answered with an HTTP error status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The provider's error code or type, such as `invalid_request_error`.
        code: Option<String>,
        /// The provider's message.
        message: String,
    },
    /// The provider answered 429: too many requests or tokens for now.
    RateLimited {
        /// How long the provider asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// The provider is overloaded: 529, 503, or an `overloaded_error` inside a stream.
    Overloaded,
    /// A budget has not enough left for what the call can cost; nothing was sent.
    BudgetExceeded {
        /// The budget's limit for the month.
        limit: Usd,
        /// What is spent of it.
        spent: Usd,
        /// What calls under way have put aside.
        reserved: Usd,
        /// What this call can cost at most.
        needed: Usd,
    },
    /// The reply is not what the provider's dialect says.
    Decode,
    /// A streamed reply broke off or reported an error after it had begun.
    Stream,
    /// The caller cancelled the call.
    Cancelled,
}

impl ErrorKind {
    /// The kind in `snake_case`.
    ///
    /// ```
    /// assert_eq!(warmline::ErrorKind::Overloaded.name(), "overloaded");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::PoolTimeout { .. } => "pool_timeout",
            Self::Connect => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Status { .. } => "status",
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::Decode => "decode",
            Self::Stream => "stream",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which wait of a call ran out; see [`ClientBuilder::timeout`](crate::ClientBuilder::timeout).
///
/// ```
/// assert_eq!(warmline::TimeoutKind::ResponseHeaders.name(), "response_headers");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeoutKind {
    /// Name resolution, TCP, TLS and the proxy, together.
    Connect,
    /// From the request being sent to the head of the response.
    ResponseHeaders,
    /// From one piece of content to the next; pings and comments do not count.
    Read,
    /// The whole call with its retries.
    Deadline,
}

impl TimeoutKind {
    /// The wait in `snake_case`.
    ///
    /// ```
    /// assert_eq!(warmline::TimeoutKind::Deadline.name(), "deadline");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ResponseHeaders => "response_headers",
            Self::Read => "read",
            Self::Deadline => "deadline",
        }
    }
}

/// A duration for people: in seconds, with as many places as it has.
pub(crate) fn seconds(duration: Duration) -> String {
    runtime::print_float(duration.as_secs_f64()) + "s"
}
