//! State that processes share: quotas, and marks that expire.
//!
//! [`MemoryState`] serves one process. [`RedisLedger`](crate::RedisLedger) (with the feature `redis`) and
//! [`RestLedger`](crate::RestLedger) implement [`SharedState`] too, so processes that share budgets can share this state as well.
//!
//! ```
//! use std::time::Duration;
//! use warmline::shared::{MemoryState, Quota, SharedState};
//!
//! # async fn demo() -> warmline::Result<()> {
//! let state = MemoryState::default();
//! let quota = Quota::new("alice:requests", 1, Duration::from_secs(60))?;
//! assert!(state.take(&[(quota.clone(), 1)]).await?.is_ok());
//! assert!(state.take(&[(quota, 1)]).await?.is_err());
//! # Ok(()) }
//! ```

mod memory;
mod remote;
#[cfg(all(test, not(target_family = "wasm")))]
mod tests;
mod window;

use std::sync::Arc;
use std::time::Duration;

pub use self::memory::MemoryState;
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};
use crate::{Error, Result};

/// The longest mark: a year. Clocks overflow with much longer times, and Redis refuses those.
const MAX_MARK: Duration = Duration::from_secs(365 * 86_400);

/// The maximum amount that may be taken in any period, such as 100 requests in any minute.
///
/// An amount counts from when it is taken until one period has passed (a sliding window). Amounts that are taken within the same 60th of a
/// period become available again together, one period after the last of them. A quota therefore needs a fixed amount of memory, and the limit
/// holds in every period.
///
/// ```
/// use std::time::Duration;
/// use warmline::shared::Quota;
///
/// let tokens = Quota::new("alice:tokens", 40_000, Duration::from_secs(60))?;
/// assert_eq!(tokens.limit, 40_000);
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The name of the quota in its state.
    pub name: String,
    /// The maximum amount in a period. It may differ from call to call.
    pub limit: u64,
    /// The period.
    pub period: Duration,
}

impl Quota {
    /// The greatest limit: 2⁵³ − 1. Redis calculates with floats, which are exact up to there.
    pub const MAX_LIMIT: u64 = (1 << 53) - 1;

    /// Returns a quota. Those of the same name in the same state are one, so they must have the same period.
    ///
    /// # Errors
    /// `Config` if the limit is above [`MAX_LIMIT`](Self::MAX_LIMIT), or the period is shorter than 1 ms or longer than 24 hours.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// assert!(warmline::shared::Quota::new("requests", 100, Duration::ZERO).is_err());
    /// ```
    pub fn new(name: impl Into<String>, limit: u64, period: Duration) -> Result<Self> {
        if limit > Self::MAX_LIMIT {
            let max = Self::MAX_LIMIT;
            return Err(Error::config(format!(
                "a quota's limit is {limit}: it must be at most {max}"
            )));
        }
        let periods = Duration::from_millis(1)..=Duration::from_secs(86_400);
        if !periods.contains(&period) {
            return Err(Error::config(format!(
                "a quota's period is {period:?}: it must be from 1 ms to 24 hours"
            )));
        }
        Ok(Self {
            name: name.into(),
            limit,
            period,
        })
    }

    fn period_ms(&self) -> u64 {
        // The constructor has checked that it fits.
        self.period.as_millis() as u64
    }
}

/// How much of a quota is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaState {
    /// The amount that was taken in the last period, with that of this take.
    pub used: u64,
    /// The time until the whole quota is available again if nothing more is taken.
    pub reset: Duration,
}

/// Amounts that were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When they were taken, in milliseconds by the clock of the state, for [`SharedState::give_back`].
    pub at: u64,
    /// The state of each quota.
    pub states: Vec<QuotaState>,
}

/// Why nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// The index of the quota that is exceeded. If several are exceeded, it is the one with the longest wait.
    pub index: usize,
    /// The time until the amounts fit if nothing else is taken, or `None` if an amount is above its quota's limit.
    pub retry_after: Option<Duration>,
    /// The state of each quota.
    pub states: Vec<QuotaState>,
}

/// State that the calls of a process, or of several processes, share.
///
/// The operations are atomic and use one clock, so no quota is exceeded, however many calls and processes take from it.
pub trait SharedState: MaybeSend + MaybeSync {
    /// Takes an amount from each quota, or nothing from any of them. Each quota may be in the list once.
    ///
    /// An amount of 0 is always granted, and changes nothing: use it to read a quota's state.
    ///
    /// # Errors
    /// If the state cannot be reached. The amounts may have been taken in that case.
    ///
    /// ```
    /// use std::time::Duration;
    /// use warmline::shared::{MemoryState, Quota, SharedState};
    ///
    /// # async fn demo() -> warmline::Result<()> {
    /// let minute = Duration::from_secs(60);
    /// let amounts = [(Quota::new("requests", 10, minute)?, 1), (Quota::new("tokens", 500, minute)?, 501)];
    /// let exceeded = MemoryState::default().take(&amounts).await?.unwrap_err();
    /// assert_eq!((exceeded.index, exceeded.retry_after), (1, None));
    /// # Ok(()) }
    /// ```
    fn take<'a>(
        &'a self,
        amounts: &'a [(Quota, u64)],
    ) -> BoxFuture<'a, Result<Result<Taken, QuotaExceeded>>>;

    /// Gives back amounts that were taken at [`Taken::at`]. After the period has passed, this has no effect.
    ///
    /// # Errors
    /// If the state cannot be reached. The amounts are then available when the period has passed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use warmline::shared::{MemoryState, Quota, SharedState};
    ///
    /// # async fn demo() -> warmline::Result<()> {
    /// let state = MemoryState::default();
    /// let tokens = Quota::new("tokens", 1000, Duration::from_secs(60))?;
    /// if let Ok(taken) = state.take(&[(tokens.clone(), 900)]).await? {
    ///     state.give_back(&[(tokens, 700)], taken.at).await?;
    /// }
    /// # Ok(()) }
    /// ```
    fn give_back(&self, amounts: &[(Quota, u64)], at: u64) -> BoxFuture<'static, Result<()>>;

    /// Marks a key for a time, at most a year. This replaces an earlier mark of the key. A time of zero removes the mark.
    ///
    /// # Errors
    /// If the state cannot be reached.
    ///
    /// ```
    /// use std::time::Duration;
    /// use warmline::shared::{MemoryState, SharedState};
    ///
    /// # async fn demo() -> warmline::Result<()> {
    /// let state = MemoryState::default();
    /// state.mark("cooldown:eu", Duration::from_secs(30)).await?;
    /// let left = state.marks(&["cooldown:eu".into(), "cooldown:us".into()]).await?;
    /// assert!(!left[0].is_zero() && left[1].is_zero());
    /// # Ok(()) }
    /// ```
    fn mark(&self, key: &str, time: Duration) -> BoxFuture<'static, Result<()>>;

    /// Returns the remaining time of the mark of each key, in the order of the keys. It is zero for a key without a mark.
    ///
    /// # Errors
    /// If the state cannot be reached.
    fn marks(&self, keys: &[String]) -> BoxFuture<'static, Result<Vec<Duration>>>;
}

impl<S: SharedState + ?Sized> SharedState for Arc<S> {
    fn take<'a>(
        &'a self,
        amounts: &'a [(Quota, u64)],
    ) -> BoxFuture<'a, Result<Result<Taken, QuotaExceeded>>> {
        (**self).take(amounts)
    }

    fn give_back(&self, amounts: &[(Quota, u64)], at: u64) -> BoxFuture<'static, Result<()>> {
        (**self).give_back(amounts, at)
    }

    fn mark(&self, key: &str, time: Duration) -> BoxFuture<'static, Result<()>> {
        (**self).mark(key, time)
    }

    fn marks(&self, keys: &[String]) -> BoxFuture<'static, Result<Vec<Duration>>> {
        (**self).marks(keys)
    }
}
