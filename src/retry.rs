//! Decides whether and after which delay a failed call is retried. Pure functions of the outcome of an attempt.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::seconds;
use crate::{Error, ErrorKind, TimeoutKind, headers, millis, runtime};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// The policy for retrying failed calls.
///
/// These failures are retried, unless content has already been returned to the caller:
///
/// - connect errors, timeouts of connecting, and connections that close before a reply,
/// - the statuses 408, 409, 429 and 5xx, except an exhausted quota,
/// - a stream that breaks off or reports an error before its first content.
///
/// The provider's `x-should-retry` header overrides this list. A timeout after the request was sent is not retried, because
/// the provider may bill the request; [`retry_timeouts`](Self::retry_timeouts) changes that.
///
/// The delay is the provider's: `retry-after-ms`, `retry-after`, or Google's `RetryInfo` in the error. Without one, it is
/// random between 0 and min([`base`](Self::base)·2ⁿ, [`cap`](Self::cap)), the "full jitter" of
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
///
/// Each client also has a retry budget, which stops retries while many calls fail: 500 tokens, of which a retry takes 5, or
/// 10 after a timeout. Each success returns 1.
///
/// ```
/// use warmline::RetryPolicy;
///
/// let policy = RetryPolicy { max_retries: 1, ..RetryPolicy::default() };
/// assert_eq!(policy.backoff(0, 1.0).as_millis(), 500);
/// assert_eq!(policy.backoff(9, 1.0).as_secs(), 8);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// The maximum number of retries after the first attempt. The default is 3. Environment variable: `LLM_MAX_RETRIES`.
    pub max_retries: u32,
    /// The maximum of the first random delay, which doubles with each retry. The default is 0.5 s.
    #[serde(rename = "base_ms", with = "millis")]
    pub base: Duration,
    /// The maximum random delay. The default is 8 s.
    #[serde(rename = "cap_ms", with = "millis")]
    pub cap: Duration,
    /// The maximum `retry-after` that the call waits for. With a longer one, the call fails at once. The default is 60 s.
    /// Environment variable: `LLM_MAX_RETRY_AFTER`.
    #[serde(rename = "max_retry_after_ms", with = "millis")]
    pub max_retry_after: Duration,
    /// Whether a [`Reply`](crate::TimeoutKind::Reply) timeout, or a [`Read`](crate::TimeoutKind::Read) timeout of an error's
    /// body, is retried although the provider may bill both requests. The default is `false`.
    pub retry_timeouts: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(8),
            max_retry_after: Duration::from_secs(60),
            retry_timeouts: false,
        }
    }
}

impl RetryPolicy {
    /// Returns a policy without retries.
    ///
    /// ```
    /// assert_eq!(warmline::RetryPolicy::never().max_retries, 0);
    /// ```
    pub fn never() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }

    /// Returns the delay before retry `n` (counted from 0), given a random number from 0 to 1.
    ///
    /// ```
    /// let policy = warmline::RetryPolicy::default();
    /// assert_eq!(policy.backoff(2, 0.5).as_secs(), 1);
    /// ```
    pub fn backoff(&self, n: u32, random: f64) -> Duration {
        let max = self.base.saturating_mul(1 << n.min(20)).min(self.cap);
        let nanos = max.as_secs_f64() * 1e9 * random.clamp(0.0, 1.0);
        Duration::from_nanos(nanos as u64)
    }

    /// Decides whether to retry a call that has been retried `n` times and failed with `error`. Returns the delay, or the
    /// reason against a retry that the caller should see.
    pub(crate) fn decide(
        &self,
        n: u32,
        error: &Error,
        budget: &RetryBudget,
        random: f64,
    ) -> Result<Duration, Option<String>> {
        let after = error.retry_after();
        self.decide_after(n, error, after, budget, random)
    }

    /// Decides the same, where the next attempt is possible only after `after`.
    pub(crate) fn decide_after(
        &self,
        n: u32,
        error: &Error,
        after: Option<Duration>,
        budget: &RetryBudget,
        random: f64,
    ) -> Result<Duration, Option<String>> {
        let retried = match error.kind() {
            ErrorKind::Timeout { which } if self.retry_timeouts => *which != TimeoutKind::Deadline,
            _ => error.is_retryable(),
        };
        if !retried {
            return Err(None);
        }
        if n >= self.max_retries {
            return Err(None);
        }
        let delay = match after {
            Some(delay) if delay > self.max_retry_after => {
                return Err(Some(format!(
                    "the provider asks to wait {}, longer than max_retry_after (LLM_MAX_RETRY_AFTER), which is {}",
                    seconds(delay),
                    seconds(self.max_retry_after)
                )));
            }
            Some(delay) => delay,
            None => self.backoff(n, random),
        };
        if !budget.take(error) {
            return Err(Some(
                "not retried, because the client's retry budget is spent".into(),
            ));
        }
        Ok(delay)
    }
}

/// A token bucket that limits the retries of a client, with the numbers of the AWS SDKs' standard retry mode
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>).
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicU32);

impl RetryBudget {
    const CAPACITY: u32 = 500;
    const RETRY_COST: u32 = 5;
    const TIMEOUT_RETRY_COST: u32 = 10;

    /// Takes the cost of a retry after `error`, if enough tokens are left.
    fn take(&self, error: &Error) -> bool {
        self.take_tokens(match error.kind() {
            ErrorKind::Timeout { .. } => Self::TIMEOUT_RETRY_COST,
            _ => Self::RETRY_COST,
        })
    }

    /// Takes the cost of a second attempt beside the first, if enough tokens are left.
    pub(crate) fn take_hedge(&self) -> bool {
        self.take_tokens(Self::RETRY_COST)
    }

    fn take_tokens(&self, cost: u32) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(cost)
            })
            .is_ok()
    }

    /// Returns one token after a successful call.
    pub(crate) fn succeeded(&self) {
        // Fails if the bucket is full.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left < Self::CAPACITY).then_some(left + 1)
            });
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(Self::CAPACITY))
    }
}

/// Returns the delay that the provider asks for: `retry-after-ms`, otherwise `retry-after` in seconds or as an HTTP date
/// (RFC 9110, section 10.2.3). Returns `None` if neither is valid.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |known| headers::text(headers, known).map(str::trim);
    if let Some(ms) = text(&headers::RETRY_AFTER_MS).and_then(decimal) {
        return Some(ms / 1000);
    }
    let after = text(&headers::RETRY_AFTER)?;
    decimal(after).or_else(|| {
        let date = runtime::parse_http_date(after)?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

/// Returns the delay in Google's `RetryInfo`, such as `34s` or `1.5s`
/// (<https://protobuf.dev/reference/protobuf/google.protobuf/#duration>).
pub(crate) fn retry_delay(text: &str) -> Option<Duration> {
    decimal(text.trim().strip_suffix('s')?)
}

/// The maximum delay that is read, in seconds: a year. Adding it to the current time cannot overflow.
const MAX_SECONDS: u64 = 365 * 24 * 3600;

/// Parses a decimal number of seconds, to the nanosecond. It does not use std's float parser, whose tables would be a large
/// part of the WebAssembly module.
fn decimal(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = fraction.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    // A number that does not fit is a long time all the same.
    let whole = whole.parse().unwrap_or(MAX_SECONDS).min(MAX_SECONDS);
    Some(Duration::new(whole, nanos))
}

/// Returns the value of the `x-should-retry` header, if it is valid.
pub(crate) fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers::text(headers, &headers::X_SHOULD_RETRY)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::dialect::decode_error;

    const NOW: u64 = 1_700_000_000;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn error_of(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Error {
        decode_error(status, &headers(pairs), body.as_bytes(), now())
    }

    fn decide(n: u32, error: &Error) -> Result<Duration, Option<String>> {
        RetryPolicy::default().decide(n, error, &RetryBudget::default(), 0.5)
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let date = |offset: i64| {
            let at =
                SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.saturating_add_signed(offset));
            httpdate::fmt_http_date(at)
        };
        let ms = Duration::from_millis;
        for (pairs, expected) in [
            (vec![("retry-after", "2".to_owned())], Some(ms(2000))),
            (vec![("retry-after", "0.25".into())], Some(ms(250))),
            (vec![("retry-after", " 7 ".into())], Some(ms(7000))),
            (
                vec![("retry-after-ms", "30".into()), ("retry-after", "9".into())],
                Some(ms(30)),
            ),
            (
                vec![("retry-after-ms", "x".into()), ("retry-after", "9".into())],
                Some(ms(9000)),
            ),
            (vec![("retry-after", date(5))], Some(ms(5000))),
            (vec![("retry-after", date(-5))], Some(ms(0))),
            (vec![("retry-after", "-1".into())], None),
            (vec![("retry-after", "soon".into())], None),
            (vec![("retry-after", "inf".into())], None),
            (vec![("retry-after", "1e3".into())], None),
            (
                vec![("retry-after", "99999999999999999999".into())],
                Some(Duration::from_secs(MAX_SECONDS)),
            ),
            (vec![("retry-after", "1.5.1".into())], None),
            (vec![], None),
        ] {
            let pairs: Vec<(&'static str, &str)> =
                pairs.iter().map(|(k, v)| (*k, v.as_str())).collect();
            assert_eq!(retry_after(&headers(&pairs), now()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn which_statuses_are_retried() {
        let quota = r#"{"error":{"message":"spent","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        for (status, pairs, body, retried) in [
            (400, vec![], "", false),
            (401, vec![], "", false),
            (402, vec![], "", false),
            (404, vec![], "", false),
            (408, vec![], "", true),
            (409, vec![], "", true),
            (413, vec![], "", false),
            (422, vec![], "", false),
            (429, vec![], "", true),
            (429, vec![], quota, false),
            (500, vec![], "", true),
            (503, vec![], "", true),
            (529, vec![], "", true),
            (307, vec![], "", false),
            (400, vec![("x-should-retry", "true")], "", true),
            (503, vec![("x-should-retry", "false")], "", false),
            (503, vec![("x-should-retry", "perhaps")], "", true),
        ] {
            let error = error_of(status, &pairs, body);
            assert_eq!(
                decide(0, &error).is_ok(),
                retried,
                "{status} {pairs:?} {body}"
            );
        }
    }

    #[test]
    fn which_failures_are_retried() {
        let second = Duration::from_secs(1);
        for (error, retried) in [
            (Error::new(ErrorKind::Connect, "refused"), true),
            (Error::timeout(TimeoutKind::Connect, second), true),
            (Error::timeout(TimeoutKind::Reply, second), false),
            (Error::timeout(TimeoutKind::Read, second), false),
            (Error::timeout(TimeoutKind::Deadline, second), false),
            (
                Error::new(
                    ErrorKind::PoolTimeout {
                        max_connections: 1,
                        waited: second,
                    },
                    "full",
                ),
                false,
            ),
            (Error::stream("cut"), true),
            (Error::decode("garbage"), false),
            (Error::config("wrong"), false),
            (Error::cancelled(), false),
        ] {
            assert_eq!(decide(0, &error).is_ok(), retried, "{error}");
            assert_eq!(error.is_retryable(), retried, "{error}");
            let policy = RetryPolicy {
                retry_timeouts: true,
                ..RetryPolicy::default()
            };
            let is_timeout = error.kind().name() == "timeout"
                && *error.kind()
                    != ErrorKind::Timeout {
                        which: TimeoutKind::Deadline,
                    };
            let decided = policy.decide(0, &error, &RetryBudget::default(), 0.5);
            assert_eq!(decided.is_ok(), retried || is_timeout, "{error}");
        }
    }

    #[test]
    fn delays_double_up_to_the_cap_and_retries_end_at_the_maximum() {
        let error = Error::new(ErrorKind::Overloaded, "busy");
        let policy = RetryPolicy {
            max_retries: 7,
            ..RetryPolicy::default()
        };
        let delays: Vec<_> = (0..8)
            .map(|n| {
                policy
                    .decide(n, &error, &RetryBudget::default(), 1.0)
                    .map(|d| d.as_millis())
            })
            .collect();
        let expected = [500, 1000, 2000, 4000, 8000, 8000, 8000].map(Ok);
        assert_eq!(delays[..7], expected);
        assert_eq!(delays[7], Err(None));
    }

    #[test]
    fn jitter_is_full_and_stays_within_the_bounds() {
        let policy = RetryPolicy::default();
        let mut random = fastrand::Rng::with_seed(7);
        let delays: Vec<_> = (0..1000).map(|_| policy.backoff(1, random.f64())).collect();
        assert!(delays.iter().all(|d| *d <= Duration::from_secs(1)));
        assert!(delays.iter().any(|d| *d < Duration::from_millis(50)));
        assert!(delays.iter().any(|d| *d > Duration::from_millis(950)));
    }

    #[test]
    fn a_retry_after_above_the_maximum_fails_at_once_and_is_named() {
        let short = error_of(429, &[("retry-after", "60")], "");
        assert_eq!(decide(0, &short), Ok(Duration::from_secs(60)));
        let long = error_of(429, &[("retry-after", "61")], "");
        assert!(decide(0, &long).unwrap_err().unwrap().contains("61s"));
    }

    #[test]
    fn the_retry_budget_stops_retries_and_refills_by_successes() {
        let policy = RetryPolicy::default();
        let budget = RetryBudget::default();
        let busy = Error::new(ErrorKind::Overloaded, "busy");
        let slow = Error::timeout(TimeoutKind::Connect, Duration::from_secs(1));
        for _ in 0..98 {
            assert!(policy.decide(0, &busy, &budget, 0.0).is_ok());
        }
        assert!(policy.decide(0, &slow, &budget, 0.0).is_ok());
        assert!(
            policy
                .decide(0, &busy, &budget, 0.0)
                .unwrap_err()
                .unwrap()
                .contains("retry budget")
        );
        (0..5).for_each(|_| budget.succeeded());
        assert!(policy.decide(0, &slow, &budget, 0.0).is_err());
        assert!(policy.decide(0, &busy, &budget, 0.0).is_ok());
        (0..1000).for_each(|_| budget.succeeded());
        assert_eq!(budget.0.load(Ordering::Relaxed), RetryBudget::CAPACITY);
    }
}
