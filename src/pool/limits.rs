use std::time::Duration;

use serde::Serialize;

use crate::{Error, Result};

/// The limits of a client's connection pool. They hold at every instant.
///
/// The names are those of [httpx](https://www.python-httpx.org/advanced/resource-limits/). The defaults are smaller than
/// httpx's (100 and 20), because LLM calls are few and long.
///
/// ```
/// use std::time::Duration;
/// use warmline::Limits;
///
/// let limits = Limits { max_connections: 50, ..Limits::default() };
/// assert_eq!(limits.max_keepalive_connections, 5);
/// assert_eq!(limits.keepalive_expiry, Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The maximum number of open sockets, including those that are connecting or idle, from 1 to 65,535. The default is 10.
    /// Environment variable: `LLM_MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// The maximum number of idle connections, at most `max_connections`. The default is 5. Environment variable:
    /// `LLM_MAX_KEEPALIVE`.
    pub max_keepalive_connections: usize,
    /// The time after which an idle connection is closed. The default is 30 s. Environment variable:
    /// `LLM_KEEPALIVE_EXPIRY`. In JSON it is a number of seconds.
    #[serde(serialize_with = "seconds")]
    pub keepalive_expiry: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10,
            max_keepalive_connections: 5,
            keepalive_expiry: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The maximum value of [`Limits::max_connections`]. A client has no more ports than this.
    pub(crate) const MAX_SOCKETS: usize = u16::MAX as usize;

    pub(crate) fn validate(&self) -> Result<()> {
        let Self {
            max_connections,
            max_keepalive_connections,
            ..
        } = *self;
        if !(1..=Self::MAX_SOCKETS).contains(&max_connections) {
            return Err(Error::config(format!(
                "max_connections is {max_connections}: it must be from 1 to {}",
                Self::MAX_SOCKETS
            )));
        }
        if max_keepalive_connections > max_connections {
            return Err(Error::config(format!(
                "max_keepalive_connections is {max_keepalive_connections}, more than max_connections, which is \
                 {max_connections}: lower max_keepalive_connections or raise max_connections"
            )));
        }
        Ok(())
    }
}
