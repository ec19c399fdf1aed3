//! Limits of requests and tokens per minute of each key.
//!
//! A call takes a request and its maximum of tokens before it is made. When it has ended, it gives back the tokens that it has not used.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use futures_util::FutureExt;
use warmline::shared::{Quota, QuotaState, SharedState};
use warmline::{DialectName, Error};

use crate::api_error::ApiError;

const MINUTE: Duration = Duration::from_secs(60);

/// The state that the limits are counted in.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<dyn SharedState + Send + Sync>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedState")
    }
}

/// The limits of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RateLimits {
    pub(crate) requests: Option<Quota>,
    pub(crate) tokens: Option<Quota>,
}

/// A limit as headers show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LimitState {
    /// `requests` or `tokens`.
    resource: &'static str,
    limit: u64,
    state: QuotaState,
}

/// What a call has taken.
pub(crate) struct Reservation {
    shared: Shared,
    /// The tokens, and how many.
    tokens: Option<(Quota, u64)>,
    at: u64,
    pub(crate) limits: Vec<LimitState>,
}

impl RateLimits {
    /// Returns the limits of the key of this name.
    ///
    /// # Errors
    /// A limit is too large.
    pub(crate) fn new(
        name: &str,
        requests: Option<u64>,
        tokens: Option<u64>,
    ) -> Result<Self, Error> {
        let quota = |resource: &str, limit: Option<u64>| {
            let quota =
                limit.map(|limit| Quota::new(format!("key:{name}:{resource}"), limit, MINUTE));
            quota.transpose()
        };
        Ok(Self {
            requests: quota("requests", requests)?,
            tokens: quota("tokens", tokens)?,
        })
    }

    /// Takes a request and the maximum of tokens of a call. Returns `None` if there is no limit.
    ///
    /// # Errors
    /// 429 if a limit is reached, 400 if the call can never fit, and the errors of `max_tokens` and of the shared state.
    pub(crate) async fn reserve(
        &self,
        shared: &Shared,
        max_tokens: impl FnOnce() -> Result<u64, Error>,
    ) -> Result<Option<Reservation>, ApiError> {
        let mut amounts = Vec::new();
        let mut resources = Vec::new();
        if let Some(quota) = &self.requests {
            amounts.push((quota.clone(), 1));
            resources.push("requests");
        }
        if let Some(quota) = &self.tokens {
            amounts.push((quota.clone(), max_tokens()?));
            resources.push("tokens");
        }
        if amounts.is_empty() {
            return Ok(None);
        }
        let shown = |states: Vec<QuotaState>| {
            let of = resources.iter().zip(&amounts).zip(states);
            let limits = of.map(|((resource, (quota, _)), state)| LimitState {
                resource,
                limit: quota.limit,
                state,
            });
            limits.collect()
        };
        match shared.0.take(&amounts).await? {
            Ok(taken) => Ok(Some(Reservation {
                shared: shared.clone(),
                at: taken.at,
                limits: shown(taken.states),
                tokens: amounts.pop().filter(|_| self.tokens.is_some()),
            })),
            Err(exceeded) => {
                let (quota, amount) = &amounts[exceeded.index];
                let (resource, limit) = (resources[exceeded.index], quota.limit);
                let used = exceeded.states[exceeded.index].used;
                let error = match exceeded.retry_after {
                    None => {
                        let message = format!(
                            "this call can use up to {amount} {resource}, and this key may use {limit} in a minute, so it can never be made: \
                             shorten the input, or lower the maximum of output tokens"
                        );
                        ApiError::new(StatusCode::BAD_REQUEST, "rate_limit_too_low", message)
                    }
                    Some(wait) => {
                        let seconds = wait.as_micros().div_ceil(1_000_000) as u64;
                        let message = format!(
                            "this key has used or reserved {used} of the {limit} {resource} that it may use in a minute, and this call can use \
                             {amount}: try again in {seconds} s"
                        );
                        let status = StatusCode::TOO_MANY_REQUESTS;
                        ApiError::new(status, "rate_limit_exceeded", message)
                            .retry_after(seconds.max(1))
                    }
                };
                Err(error.limits(shown(exceeded.states)))
            }
        }
    }
}

impl Reservation {
    /// Gives back the tokens that the call has not used.
    pub(crate) fn settle(self, used: u64) {
        let Some((quota, taken)) = self.tokens else {
            return;
        };
        let unused = taken.saturating_sub(used);
        if unused == 0 {
            return;
        }
        let mut given_back = self.shared.0.give_back(&[(quota, unused)], self.at);
        // In memory it is done at once, so that the caller's next call has the tokens.
        let report = |error: Error| tracing::warn!(%error, "tokens cannot be given back, so that they count for a minute");
        match (&mut given_back).now_or_never() {
            Some(Ok(())) => {}
            Some(Err(error)) => report(error),
            None => drop(tokio::spawn(async move {
                if let Err(error) = given_back.await {
                    report(error);
                }
            })),
        }
    }

    /// Gives back the tokens of a call that failed before its response, unless they can have been used.
    pub(crate) fn settle_failed(self, error: &Error) {
        use warmline::ErrorKind::{
            BudgetExceeded, Config, Ledger, Overloaded, PoolTimeout, RateLimited, Status,
        };
        if matches!(
            error.kind(),
            Config
                | PoolTimeout { .. }
                | BudgetExceeded { .. }
                | Ledger
                | Status { .. }
                | RateLimited { .. }
                | Overloaded
        ) {
            self.settle(0);
        }
    }
}

/// Adds the headers of limits, as the official clients of the dialect know them
/// (<https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>,
/// <https://docs.claude.com/en/api/rate-limits#response-headers>).
pub(crate) fn add_headers(headers: &mut HeaderMap, limits: &[LimitState], dialect: DialectName) {
    for LimitState {
        resource,
        limit,
        state,
    } in limits
    {
        let remaining = limit.saturating_sub(state.used).to_string();
        for (field, value) in [
            ("limit", limit.to_string()),
            ("remaining", remaining),
            ("reset", reset(state.reset, dialect)),
        ] {
            let name = match dialect {
                DialectName::Anthropic => format!("anthropic-ratelimit-{resource}-{field}"),
                _ => format!("x-ratelimit-{field}-{resource}"),
            };
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        }
    }
}

/// Writes when a limit is whole again: as a time, or as a duration such as `1m0s` or `120ms`.
fn reset(after: Duration, dialect: DialectName) -> String {
    if dialect == DialectName::Anthropic {
        // Rounded up to a second.
        let at = SystemTime::now() + after + Duration::from_millis(999);
        return humantime::format_rfc3339_seconds(at).to_string();
    }
    let ms = after.as_micros().div_ceil(1000);
    match (ms / 60_000, ms % 60_000) {
        (0, ms @ 0..1000) => format!("{ms}ms"),
        (0, ms) => format!("{}s", ms as f64 / 1e3),
        (minutes, ms) => format!("{minutes}m{}s", ms as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_form_of_each_dialect() {
        let limits =
            [("requests", 500, 0), ("tokens", 3, 1500)].map(|(resource, limit, ms)| LimitState {
                resource,
                limit,
                state: QuotaState {
                    used: 4,
                    reset: Duration::from_millis(ms),
                },
            });
        let shown = |dialect| {
            let mut headers = HeaderMap::new();
            add_headers(&mut headers, &limits, dialect);
            let text = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            text.collect::<Vec<_>>()
        };
        assert_eq!(
            shown(DialectName::OpenAiChat),
            [
                "x-ratelimit-limit-requests: 500",
                "x-ratelimit-remaining-requests: 496",
                "x-ratelimit-reset-requests: 0ms",
                "x-ratelimit-limit-tokens: 3",
                "x-ratelimit-remaining-tokens: 0",
                "x-ratelimit-reset-tokens: 1.5s",
            ]
        );
        let anthropic = shown(DialectName::Anthropic);
        assert_eq!(anthropic[0], "anthropic-ratelimit-requests-limit: 500");
        assert_eq!(anthropic[4], "anthropic-ratelimit-tokens-remaining: 0");
        let (name, time) = anthropic[5].split_once(": ").unwrap();
        assert_eq!(name, "anthropic-ratelimit-tokens-reset");
        let time = humantime::parse_rfc3339(time).unwrap();
        let after = time.duration_since(SystemTime::now()).unwrap();
        assert!(after < Duration::from_secs(3), "{after:?}");
        for (ms, text) in [
            (1, "1ms"),
            (999, "999ms"),
            (1000, "1s"),
            (60_000, "1m0s"),
            (90_250, "1m30.25s"),
        ] {
            assert_eq!(
                reset(Duration::from_millis(ms), DialectName::OpenAiChat),
                text
            );
        }
    }
}
