//! The error type.

mod attempt;
mod json;
mod kind;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use self::attempt::Attempt;
pub(crate) use self::kind::seconds;
pub use self::kind::{ErrorKind, TimeoutKind};
use crate::Provider;
use crate::quote::{escaped, shorten};
use crate::secret::Secret;
use crate::usd::ParseUsdError;

/// A [`Result`](std::result::Result) whose error type is [`Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The error of a call, a setting or a ledger.
///
/// Match on [`Error::kind`]. The other methods return details that do not depend on the kind. The client's API key never
/// appears in an error's `Debug`, `Display` or JSON form, even if the provider echoes it.
///
/// ```
/// use warmline::{Client, ErrorKind, Provider};
///
/// let error = Client::builder(Provider::Anthropic).build().unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::Config));
/// assert!(error.to_string().contains("ANTHROPIC_API_KEY"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    hint: Cow<'static, str>,
    provider: Option<Provider>,
    attempts: Vec<Attempt>,
    details: Details,
    source: Option<Source>,
}

/// The details that a provider reported about a failure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) status: Option<u16>,
    pub(crate) error_type: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// The `x-should-retry` header.
    pub(crate) should_retry: Option<bool>,
    pub(crate) body: Option<String>,
}

impl Error {
    /// Creates an error, for ledgers, tests and mock clients. It has no attempts and no details.
    ///
    /// ```
    /// use warmline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Overloaded, "try later");
    /// assert_eq!(error.message(), "try later");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: Cow::Borrowed(""),
            provider: None,
            attempts: Vec::new(),
            details: Details::default(),
            source: None,
        }))
    }

    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub(crate) fn decode(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Decode, message)
    }

    pub(crate) fn stream(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Stream, message)
    }

    pub(crate) fn timeout(which: TimeoutKind, after: Duration) -> Self {
        let (summary, hint) = match which {
            TimeoutKind::Connect => (
                "no connection",
                "check that the address is right and reachable, or raise `timeout` (LLM_TIMEOUT)",
            ),
            TimeoutKind::Reply => (
                "the model was silent, and wrote no text",
                "raise `reply_timeout` (LLM_REPLY_TIMEOUT) if the model takes longer",
            ),
            TimeoutKind::Read => (
                "the model had begun to write, and no further text came",
                "raise `timeout` (LLM_TIMEOUT) if the model pauses longer",
            ),
            TimeoutKind::Deadline => (
                "the call did not finish",
                "raise `deadline` (LLM_DEADLINE) or lower `max_retries`",
            ),
        };
        Self::new(
            ErrorKind::Timeout { which },
            [summary, " within ", &seconds(after)].concat(),
        )
        .with_hint(hint)
    }

    /// Creates the error of a call that its caller cancelled, for programs that turn a signal into an error.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().kind().name(), "cancelled");
    /// ```
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled by the caller")
    }

    /// Sets the cause, which `Display` appends.
    ///
    /// ```
    /// use warmline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Connect, "no connection").with_source("refused");
    /// assert_eq!(error.to_string(), "no connection: refused");
    /// ```
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_provider(mut self, provider: Provider) -> Self {
        self.0.provider = Some(provider);
        self
    }

    /// Sets [`Error::hint`].
    ///
    /// ```
    /// use warmline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Connect, "no connection").with_hint("start the server");
    /// assert_eq!(error.to_string(), "no connection; start the server");
    /// ```
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// Sets [`Error::attempts`].
    ///
    /// ```
    /// use warmline::{Attempt, Error};
    ///
    /// let error = Error::cancelled().with_attempts(vec![Attempt::default()]);
    /// assert_eq!(error.attempts().len(), 1);
    /// ```
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.0.attempts = attempts;
        self
    }

    pub(crate) fn with_details(mut self, details: Details) -> Self {
        self.0.details = details;
        self
    }

    pub(crate) fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        self.0.details.retry_after = delay;
        self
    }

    pub(crate) fn with_request_id(mut self, id: Option<&str>) -> Self {
        if self.0.details.request_id.is_none() {
            self.0.details.request_id = id.map(str::to_owned);
        }
        self
    }

    /// Returns the attempt that ended with this error.
    pub(crate) fn attempt(&self, duration: Duration) -> Attempt {
        Attempt {
            target: None,
            kind: Some(self.kind().name().to_owned()),
            status: self.status(),
            message: Some(shorten(self.message()).to_owned()),
            request_id: self.request_id().map(str::to_owned),
            duration,
            delay: Duration::ZERO,
        }
    }

    /// Names the target of all attempts.
    pub(crate) fn at_target(mut self, name: &str) -> Self {
        for attempt in &mut self.0.attempts {
            attempt.target = Some(name.to_owned());
        }
        self
    }

    /// Appends the reason why the call was not retried to the message.
    pub(crate) fn with_reason(mut self, reason: &str) -> Self {
        self.0.message = format!("{}; {reason}", self.0.message).into();
        self
    }

    /// Appends that the deadline is the reason.
    pub(crate) fn with_no_time_left(self, deadline: Duration) -> Self {
        let deadline = seconds(deadline);
        let reason = [
            "the deadline of ",
            &deadline,
            " leaves no time to try again",
        ];
        self.with_reason(&reason.concat())
    }

    /// Removes the key from all texts, in case the provider echoed it.
    pub(crate) fn redacted(mut self, secret: &Secret) -> Self {
        if secret.is_empty() {
            return self;
        }
        let Inner {
            kind,
            message,
            details,
            ..
        } = &mut *self.0;
        secret.redact(message.to_mut());
        let Details {
            error_type,
            code,
            request_id,
            body,
            ..
        } = details;
        [error_type, code, request_id, body]
            .into_iter()
            .flatten()
            .for_each(|text| secret.redact(text));
        if let ErrorKind::Status { message, code, .. } = kind {
            secret.redact(message);
            code.iter_mut().for_each(|text| secret.redact(text));
        }
        if let Some(cause) = self.cause() {
            let mut shown = cause.clone();
            secret.redact(&mut shown);
            if shown != cause {
                self.0.source = Some(shown.into());
            }
        }
        self
    }

    /// Returns the chain of causes as text.
    fn cause(&self) -> Option<String> {
        let mut source: &dyn std::error::Error = self.0.source.as_deref()?;
        let mut cause = source.to_string();
        while let Some(next) = source.source() {
            cause = [&cause, ": ", &next.to_string()].concat();
            source = next;
        }
        Some(cause)
    }

    pub(crate) fn details(&self) -> &Details {
        &self.0.details
    }

    /// Returns the kind of error.
    ///
    /// ```
    /// # use warmline::{Error, ErrorKind};
    /// assert_eq!(*Error::cancelled().kind(), ErrorKind::Cancelled);
    /// ```
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Returns the message, without the provider, cause, hint, attempts and request id that `Display` adds.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().message(), "cancelled by the caller");
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the HTTP status, if the provider responded.
    ///
    /// An error within a reply, such as an `error` event of a stream, came with status 200. It has the status that it names itself, or else the one
    /// with which the provider documents its [code](Self::code): 529 for `overloaded_error`, 429 for `insufficient_quota`. An unknown code has 500.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().status(), None);
    /// ```
    pub fn status(&self) -> Option<u16> {
        self.0.details.status
    }

    /// Returns the provider's error code (OpenAI's `code`, such as `insufficient_quota`). Without a code, returns the error
    /// type (such as Anthropic's `overloaded_error`).
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().code(), None);
    /// ```
    pub fn code(&self) -> Option<&str> {
        self.0.details.code.as_deref().or(self.error_type())
    }

    /// Returns the provider's error type, such as `rate_limit_error`.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().error_type(), None);
    /// ```
    pub fn error_type(&self) -> Option<&str> {
        self.0.details.error_type.as_deref()
    }

    /// Returns the provider's id of the last request. Quote it to the provider's support.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().request_id(), None);
    /// ```
    pub fn request_id(&self) -> Option<&str> {
        self.0.details.request_id.as_deref()
    }

    /// Returns the delay that the provider asks for before the next attempt. If all targets of a [`Router`](crate::Router) have failed, it is the
    /// time until the first of them is ready.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().retry_after(), None);
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.details.retry_after
    }

    /// Returns the body of the provider's error response, up to the first 64 KiB.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().body(), None);
    /// ```
    pub fn body(&self) -> Option<&str> {
        self.0.details.body.as_deref()
    }

    /// Returns what can be done about it, such as which setting to change.
    ///
    /// ```
    /// assert_eq!(warmline::Error::cancelled().hint(), None);
    /// ```
    pub fn hint(&self) -> Option<&str> {
        Some(&*self.0.hint).filter(|hint| !hint.is_empty())
    }

    /// Returns the attempts that the call made, including retries, in their order. The list is empty if no attempt was started.
    ///
    /// ```
    /// assert!(warmline::Error::cancelled().attempts().is_empty());
    /// ```
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// Returns whether the failure is temporary, so that the same call may succeed later. The default
    /// [`RetryPolicy`](crate::RetryPolicy) retries these failures, unless content has already been returned to the caller.
    ///
    /// It is `false` for a timeout after the request was sent, because the provider may bill that request.
    ///
    /// ```
    /// use warmline::{Error, ErrorKind};
    ///
    /// assert!(Error::new(ErrorKind::Overloaded, "try later").is_retryable());
    /// assert!(!Error::cancelled().is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        if let Some(should_retry) = self.0.details.should_retry {
            return should_retry;
        }
        match self.kind() {
            ErrorKind::Connect
            | ErrorKind::RateLimited { .. }
            | ErrorKind::Overloaded
            | ErrorKind::Stream => true,
            ErrorKind::Timeout { which } => *which == TimeoutKind::Connect,
            ErrorKind::Status { status, .. } => matches!(status, 408 | 409 | 500..),
            _ => false,
        }
    }
}

/// Control characters, and the marks that change the direction of text, are escaped, because the provider chooses parts of the
/// message, and logs are shown in terminals.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = self.0.provider {
            write!(f, "{provider}: ")?;
        }
        write!(f, "{}", escaped(&self.0.message))?;
        if let Some(cause) = self.cause() {
            write!(f, ": {}", escaped(&cause))?;
        }
        if let Some(hint) = self.hint() {
            write!(f, "; {hint}")?;
        }
        if self.0.attempts.len() > 1 {
            write!(f, " (after {} attempts)", self.0.attempts.len())?;
        }
        if let Some(id) = self.request_id() {
            write!(f, " [request {}]", escaped(id))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("hint", &self.0.hint)
            .field("attempts", &self.0.attempts)
            .field("details", &self.0.details)
            // Its own `Debug` could show more than its `Display`, such as a URL with a key.
            .field("cause", &self.cause())
            .finish()
    }
}

impl From<ParseUsdError> for Error {
    fn from(error: ParseUsdError) -> Self {
        Self::config(error.to_string())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests;
