//! The timeouts of a call, and what follows from those that are set.

use std::time::Duration;

use crate::{Error, Result};

/// The timeouts of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For connecting, and for a silence while text is being written.
    pub(crate) timeout: Duration,
    /// For every other silence of the model.
    pub(crate) reply: Duration,
    /// Whether `reply` is that long because only `timeout` was set.
    pub(crate) reply_by_timeout: bool,
    /// For a place in the pool: as `reply`, unless it is set.
    pool: Option<Duration>,
    /// For the whole call with its retries.
    pub(crate) deadline: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            reply: Duration::from_secs(600),
            reply_by_timeout: false,
            pool: None,
            deadline: None,
        }
    }
}

/// Timeouts as a client or a request sets them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeoutSettings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) reply: Option<Duration>,
    pub(crate) pool: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
}

impl Timeouts {
    /// Returns the timeouts with those that are set. Who sets `timeout` means it: it is then the default of the other two.
    ///
    /// # Errors
    /// `Config` for a timeout of 0.
    pub(crate) fn with(self, set: &TimeoutSettings) -> Result<Self> {
        for (name, duration) in [
            ("timeout", set.timeout),
            ("reply_timeout", set.reply),
            ("pool_timeout", set.pool),
            ("deadline", set.deadline),
        ] {
            if duration.is_some_and(|duration| duration.is_zero()) {
                return Err(Error::config(format!("{name} is 0: it must be longer")));
            }
        }
        let or = |set: Option<Duration>, default: Duration| at_most(set.unwrap_or(default));
        Ok(Self {
            timeout: or(set.timeout, self.timeout),
            reply: or(set.reply.or(set.timeout), self.reply),
            reply_by_timeout: match set.reply {
                Some(_) => false,
                None => set.timeout.is_some() || self.reply_by_timeout,
            },
            pool: set.pool.or(set.timeout).or(self.pool).map(at_most),
            deadline: set.deadline.or(self.deadline).map(at_most),
        })
    }

    /// Returns timeouts that are all the same, without a deadline.
    pub(crate) fn all(timeout: Duration) -> Self {
        Self {
            timeout,
            reply: timeout,
            reply_by_timeout: false,
            pool: None,
            deadline: None,
        }
    }

    /// Returns the timeout of waiting in the pool.
    #[allow(dead_code, reason = "on WebAssembly there is no pool")]
    pub(crate) fn pool(&self) -> Duration {
        self.pool.unwrap_or(self.reply)
    }
}

/// Cuts a duration to the maximum, so that adding it to the current time cannot overflow.
pub(crate) fn at_most(duration: Duration) -> Duration {
    const MAX: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    duration.min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_is_set_is_the_default_of_the_other_two() {
        let s = |n: u64| Some(Duration::from_secs(n));
        let set = |timeout, reply, pool| TimeoutSettings {
            timeout,
            reply,
            pool,
            deadline: None,
        };
        for (client, request, expected) in [
            (set(None, None, None), set(None, None, None), [30, 600, 600]),
            (set(s(5), None, None), set(None, None, None), [5, 5, 5]),
            (set(s(5), s(9), None), set(None, None, None), [5, 9, 5]),
            (set(None, s(9), None), set(None, None, None), [30, 9, 9]),
            (set(None, s(9), None), set(None, s(8), None), [30, 8, 8]),
            (set(s(5), None, s(7)), set(s(2), None, None), [2, 2, 2]),
            (set(s(5), s(9), s(7)), set(None, s(3), None), [5, 3, 7]),
            (
                set(None, None, None),
                set(s(700), None, s(1)),
                [700, 700, 1],
            ),
        ] {
            let timeouts = Timeouts::default().with(&client).unwrap();
            let timeouts = timeouts.with(&request).unwrap();
            let got = [timeouts.timeout, timeouts.reply, timeouts.pool()];
            let got = got.map(|timeout| timeout.as_secs());
            assert_eq!(got, expected, "{client:?} {request:?}");
        }
    }
}
