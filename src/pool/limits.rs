use std::time::Duration;

use serde::Serialize;

use crate::{Error, Result};

/// How many connections a client may have, in httpx's words and with its defaults
/// (<https://www.python-httpx.org/advanced/resource-limits/>, except that ours are the smaller ones
/// that suit LLM calls). They hold at every instant.
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
    /// The most sockets open at once, those still connecting and those idle included: 10.
    /// `LLM_MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// The most idle connections kept: 5. `LLM_MAX_KEEPALIVE`.
    pub max_keepalive_connections: usize,
    /// How long an idle connection is kept: 30 s. `LLM_KEEPALIVE_EXPIRY`. In JSON, in seconds.
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
    /// The most that [`Limits::max_connections`] takes; more sockets than a client has ports.
    pub(crate) const MOST: usize = u16::MAX as usize;

    pub(crate) fn validate(&self) -> Result<()> {
        let Self {
            max_connections,
            max_keepalive_connections,
            ..
        } = *self;
        if !(1..=Self::MOST).contains(&max_connections) {
            return Err(Error::config(format!(
                "max_connections is {max_connections}: it must be from 1 to {}",
                Self::MOST
            )));
        }
        if max_keepalive_connections > max_connections {
            return Err(Error::config(format!(
                "max_keepalive_connections is {max_keepalive_connections}, more than max_connections, which is \
                 {max_connections}: lower the one or raise the other"
            )));
        }
        Ok(())
    }
}
