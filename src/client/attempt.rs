//! What every attempt begins with, and how it ends if the provider refuses it.

use std::time::Duration;

use super::body::Whole;
use super::clock::Clock;
use super::handle::Inner;
use crate::credentials::{Credentials, secret_in};
use crate::error::seconds;
use crate::millis;
use crate::retry::RetryBudget;
use crate::runtime;
use crate::secret::Secret;
use crate::timeouts::Timeouts;
use crate::transport::{Body, HttpResponse};
use crate::{Error, ErrorKind, Result, RetryPolicy};

/// The maximum number of bytes that are kept of an error response's body.
const MAX_ERROR_BODY: usize = 64 << 10;

/// What an attempt depends on.
pub(super) struct Attempt<'a> {
    pub(super) client: &'a Inner,
    /// The headers of the call in addition to the client's.
    pub(super) headers: &'a [(String, String)],
    pub(super) credentials: &'a Credentials,
    pub(super) timeouts: &'a Timeouts,
}

impl Attempt<'_> {
    /// Returns the headers of the attempt: those of the call, and the credentials unless the call has its own. Sets `secret` to the key
    /// or token. One that the provider has `refused` is renewed, if it can be.
    pub(super) async fn authorize(
        &self,
        refused: Option<&str>,
        secret: &mut Option<Secret>,
    ) -> Result<Vec<(String, String)>> {
        let provider = self.client.provider;
        let mut headers = self.headers.to_vec();
        let is_own = |name: &str| self.credentials.yield_to(provider, name);
        if let Some((_, own)) = headers.iter().find(|(name, _)| is_own(name)) {
            *secret = Some(secret_in(own).into());
            return Ok(headers);
        }
        let limit = self.timeouts.timeout;
        let key = runtime::timeout(limit, self.credentials.secret(refused)).await;
        let key = key.unwrap_or_else(|| {
            let message = [
                "the token source returned no token within ",
                &seconds(limit),
            ]
            .concat();
            Err(Error::new(ErrorKind::Connect, message))
        })?;
        headers.extend(self.credentials.header(provider, &key));
        *secret = Some(key);
        Ok(headers)
    }

    /// Reads the body of an error response. The part of one that breaks off can still explain the error.
    pub(super) async fn read_error(
        &self,
        mut response: HttpResponse<Body>,
        secret: &Secret,
    ) -> Error {
        let mut kept = Whole::default();
        let read = kept.read(&mut response.body, MAX_ERROR_BODY);
        let read = runtime::timeout(self.timeouts.timeout, read).await;
        let is_whole = matches!(read, Some(Ok(())));
        let (kept, now) = (kept.into_bytes(), runtime::wall_clock());
        let kept = secret.redacted_error(&kept, is_whole);
        let dialect = &self.client.dialect;
        dialect.decode_error(response.status, &response.headers, &kept, now)
    }
}

/// Decides whether another attempt follows an error, and records the delay before it. `repeats` is the number of attempts that repeated
/// another one at once.
///
/// # Errors
/// The error, if it is not to be retried, or if the deadline leaves no time for that.
pub(super) fn delay_next(
    (policy, budget): (&RetryPolicy, &RetryBudget),
    clock: &Clock,
    attempts: &mut [crate::Attempt],
    repeats: u32,
    error: Error,
) -> Result<Duration> {
    let number = attempts.len();
    let retries = (number as u32).saturating_sub(1 + repeats);
    let delay = match policy.decide(retries, &error, budget, runtime::random()) {
        Ok(delay) => delay,
        Err(None) => return Err(error),
        Err(Some(reason)) => return Err(error.with_reason(&reason)),
    };
    if let Some(deadline) = clock.deadline_within(delay) {
        return Err(error.with_no_time_left(deadline));
    }
    let shown = millis::rounded(delay);
    tracing::warn!(attempt = number, delay = ?shown, %error, "trying again");
    if let Some(attempt) = attempts.last_mut() {
        attempt.delay = delay;
    }
    Ok(delay)
}
