//! Limits of requests and tokens per minute of each key.
//!
//! A call takes a request and its maximum of tokens before it is made. When it has ended, it gives back the tokens that it has not used. A call that
//! was not sent gives back everything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt;
use warmline::Error;
use warmline::shared::{Quota, QuotaState, SharedState};

use crate::api_error::ApiError;
use crate::limit_headers::LimitState;

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
    requests: Option<Quota>,
    tokens: Option<Quota>,
    /// Requests that only count tokens. They are limited by themselves: coding agents send dozens of them at once.
    counts: Option<Quota>,
}

/// An amount of a limit.
struct Amount<'a> {
    resource: &'static str,
    quota: &'a Quota,
    amount: u64,
}

/// What a call has taken.
pub(crate) struct Reservation {
    shared: Shared,
    request: Option<Quota>,
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
            counts: quota("counts", requests)?,
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
        if let Some(quota) = &self.requests {
            amounts.push(Amount {
                resource: "requests",
                quota,
                amount: 1,
            });
        }
        let mut tokens = None;
        if let Some(quota) = &self.tokens {
            let amount = max_tokens()?;
            tokens = Some((quota.clone(), amount));
            amounts.push(Amount {
                resource: "tokens",
                quota,
                amount,
            });
        }
        if amounts.is_empty() {
            return Ok(None);
        }
        let (at, limits) = take(shared, &amounts).await?;
        Ok(Some(Reservation {
            shared: shared.clone(),
            request: self.requests.clone(),
            tokens,
            at,
            limits,
        }))
    }

    /// Takes a count of tokens.
    ///
    /// # Errors
    /// 429 if the limit is reached, and the errors of the shared state.
    pub(crate) async fn take_count(&self, shared: &Shared) -> Result<(), ApiError> {
        let Some(quota) = &self.counts else {
            return Ok(());
        };
        let count = Amount {
            resource: "counts of tokens",
            quota,
            amount: 1,
        };
        match take(shared, &[count]).await {
            Ok(_) => Ok(()),
            // No API has headers for this limit.
            Err(error) => Err(error.limits(Vec::new())),
        }
    }
}

/// Takes amounts of limits. Returns when, and what is left of each limit.
///
/// # Errors
/// 429 if a limit is reached, 400 for an amount above a limit, and the errors of the shared state.
async fn take(shared: &Shared, amounts: &[Amount<'_>]) -> Result<(u64, Vec<LimitState>), ApiError> {
    let shown = |states: Vec<QuotaState>| {
        let limits = amounts.iter().zip(states).map(|(of, state)| LimitState {
            resource: of.resource,
            limit: of.quota.limit,
            state,
        });
        limits.collect()
    };
    let quotas: Vec<_> = amounts
        .iter()
        .map(|of| (of.quota.clone(), of.amount))
        .collect();
    let exceeded = match shared.0.take(&quotas).await? {
        Ok(taken) => return Ok((taken.at, shown(taken.states))),
        Err(exceeded) => exceeded,
    };
    let Amount {
        resource,
        quota,
        amount,
    } = &amounts[exceeded.index];
    let (limit, used) = (quota.limit, exceeded.states[exceeded.index].used);
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
            ApiError::new(status, "rate_limit_exceeded", message).retry_after(seconds.max(1))
        }
    };
    Err(error.limits(shown(exceeded.states)))
}

impl Reservation {
    /// Whether tokens are taken, so that [`settle`](Self::settle) can give some back.
    pub(crate) fn has_tokens(&self) -> bool {
        self.tokens.as_ref().is_some_and(|(_, taken)| *taken > 0)
    }

    /// Gives back the tokens that the call has not used.
    pub(crate) fn settle(self, used: u64) {
        let tokens = self.unused(used);
        self.give_back(tokens.into_iter().collect());
    }

    /// Gives back what a call has taken that failed before its response: everything if it was not sent, and the tokens if it was refused.
    pub(crate) fn settle_failed(self, error: &Error) {
        use warmline::ErrorKind::{Overloaded, RateLimited, Status};
        let is_refused = matches!(
            error.kind(),
            Status { .. } | RateLimited { .. } | Overloaded
        );
        let is_unsent = is_unsent(error);
        let tokens = self.unused(0).filter(|_| is_refused || is_unsent);
        let request = self.request.clone().filter(|_| is_unsent);
        let request = request.map(|quota| (quota, 1));
        self.give_back(request.into_iter().chain(tokens).collect());
    }

    fn unused(&self, used: u64) -> Option<(Quota, u64)> {
        let (quota, taken) = self.tokens.clone()?;
        Some((quota, taken.saturating_sub(used))).filter(|(_, unused)| *unused > 0)
    }

    fn give_back(self, unused: Vec<(Quota, u64)>) {
        if unused.is_empty() {
            return;
        }
        let mut given_back = self.shared.0.give_back(&unused, self.at);
        // In memory it is done at once, so that the caller's next call has it.
        let report = |error: Error| tracing::warn!(%error, "what a call has not used of its key's limits cannot be given back, so that it counts for a minute");
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
}

/// Whether nothing of a call was sent to any provider.
fn is_unsent(error: &Error) -> bool {
    let is_unsent = |kind: &str| {
        matches!(
            kind,
            "config" | "pool_timeout" | "budget_exceeded" | "ledger"
        )
    };
    let mut attempts = error.attempts().iter();
    is_unsent(error.kind().name()) && attempts.all(|of| of.kind.as_deref().is_some_and(is_unsent))
}
