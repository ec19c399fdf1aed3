use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::usd::Usd;

/// The kinds of [`Error`](crate::Error).
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
    /// A setting or the request is invalid. Nothing was sent.
    Config,
    /// No connection became free within the pool timeout. Nothing was sent.
    PoolTimeout {
        /// The value of [`Limits::max_connections`](crate::Limits::max_connections).
        max_connections: usize,
        /// The time spent waiting.
        waited: Duration,
    },
    /// A connection could not be opened (name resolution, TCP, TLS or proxy), or it closed before a reply.
    Connect,
    /// A timeout expired.
    Timeout {
        /// The timeout that expired.
        which: TimeoutKind,
    },
    /// The provider responded with an HTTP error status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The provider's error code or type, such as `invalid_request_error`.
        code: Option<String>,
        /// The provider's message.
        message: String,
    },
    /// The provider responded with status 429: too many requests or tokens.
    RateLimited {
        /// The delay that the provider asks for, if it names one.
        retry_after: Option<Duration>,
    },
    /// The provider is overloaded: status 529 or 503, or an `overloaded_error` in a stream.
    Overloaded,
    /// A budget does not have enough left for the maximum cost of the call. Nothing was sent.
    BudgetExceeded {
        /// The budget's limit per month.
        limit: Usd,
        /// The amount spent this month.
        spent: Usd,
        /// The amount reserved by calls in flight.
        reserved: Usd,
        /// The maximum cost of this call.
        needed: Usd,
    },
    /// The ledger of the budgets cannot be used, for example because its file is locked or its server does not answer. Nothing
    /// was sent.
    Ledger,
    /// The reply is malformed, or does not have the requested type.
    Decode,
    /// A reply broke off, or reported an error after it had started.
    Stream,
    /// The caller cancelled the call.
    Cancelled,
}

impl ErrorKind {
    /// Returns the kind in `snake_case`, which is the `kind` of the error's JSON form.
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
            Self::Ledger => "ledger",
            Self::Decode => "decode",
            Self::Stream => "stream",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The timeouts of a call. Set them with [`ClientBuilder::timeout`](crate::ClientBuilder::timeout),
/// [`ClientBuilder::reply_timeout`](crate::ClientBuilder::reply_timeout) and
/// [`ClientBuilder::deadline`](crate::ClientBuilder::deadline).
///
/// ```
/// assert_eq!(warmline::TimeoutKind::Reply.name(), "reply");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeoutKind {
    /// `timeout`: the time to open a connection, with name resolution, TCP, TLS and proxy together.
    Connect,
    /// `reply_timeout`: a silence of the model while it was not writing text, such as the time from sending the request to
    /// the first content, or the time of a whole unstreamed reply.
    Reply,
    /// `timeout`: the time from one piece of text to the next content. Pings and comments do not count.
    Read,
    /// `deadline`: the time of the whole call, including its retries.
    Deadline,
}

impl TimeoutKind {
    /// Returns the kind in `snake_case`.
    ///
    /// ```
    /// assert_eq!(warmline::TimeoutKind::Deadline.name(), "deadline");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reply => "reply",
            Self::Read => "read",
            Self::Deadline => "deadline",
        }
    }
}

/// Formats a duration in seconds, exact to the microsecond, such as `2.5s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let (whole, micros) = (duration.as_secs(), duration.subsec_micros());
    if micros == 0 {
        return format!("{whole}s");
    }
    let places = format!("{micros:06}");
    format!("{whole}.{}s", places.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted_in_seconds_without_trailing_zeros() {
        for (micros, text) in [
            (0, "0s"),
            (1, "0.000001s"),
            (40_000, "0.04s"),
            (1_000_000, "1s"),
            (2_500_000, "2.5s"),
            (10_000_001, "10.000001s"),
            (30_000_000, "30s"),
        ] {
            assert_eq!(seconds(Duration::from_micros(micros)), text);
        }
        assert_eq!(seconds(Duration::from_nanos(1_999)), "0.000001s");
        assert_eq!(seconds(Duration::MAX), "18446744073709551615.999999s");
    }
}
