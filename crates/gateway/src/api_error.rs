//! Errors in the shape that each dialect has.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use warmline::{DialectName, Error, ErrorKind};

use crate::limit_headers::{LimitState, add_headers};

/// The message to callers while the ledger cannot be used.
const LEDGER_UNAVAILABLE: &str = "the ledger of the gateway's budgets and limits cannot be used at the moment; the gateway's log says why";

/// Anthropic's status for an overload, <https://docs.claude.com/en/api/errors>.
const OVERLOADED: u16 = 529;

/// Why a request is refused, or its call has failed.
pub(crate) struct ApiError {
    status: StatusCode,
    /// The machine-readable code, which is this gateway's own.
    code: &'static str,
    message: String,
    /// The `retry-after` header, in seconds.
    retry_after: Option<u64>,
    error: Option<Error>,
    /// The limits of the caller's key.
    limits: Vec<LimitState>,
    /// Whether the caller may try again at once: the call was not repeated here.
    may_retry: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            error: None,
            limits: Vec::new(),
            may_retry: false,
        }
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Leaves retries to the caller.
    pub(crate) fn retried_by_caller(mut self) -> Self {
        self.may_retry = true;
        self
    }

    /// Adds the headers of the key's limits.
    pub(crate) fn limits(mut self, limits: Vec<LimitState>) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The body as the official clients of the dialect read it
    /// (<https://docs.claude.com/en/api/errors>, <https://platform.openai.com/docs/guides/error-codes>).
    pub(crate) fn body(&self, dialect: DialectName) -> Value {
        let Self { code, message, .. } = self;
        let kind = match self.status_in(dialect).as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 if *code == "overloaded" => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        match dialect {
            DialectName::Anthropic => {
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
            _ => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
        }
    }

    /// The body as an event of a stream.
    pub(crate) fn event(&self, dialect: DialectName) -> String {
        let (event, body) = match dialect {
            DialectName::Anthropic => ("event: error\n", self.body(dialect)),
            // https://platform.openai.com/docs/api-reference/responses-streaming/error. Its `sequence_number` is left out, because the events before it
            // are not counted.
            DialectName::OpenAiResponses => (
                "event: error\n",
                json!({"type": "error", "code": self.code, "message": self.message, "param": null}),
            ),
            _ => ("", self.body(dialect)),
        };
        format!("{event}data: {body}\n\n")
    }

    pub(crate) fn into_response(self, dialect: DialectName) -> Response {
        let error = self.error.as_ref();
        // A body that the provider has sent is passed on as it is.
        let provider_body = error.filter(|_| self.is_providers());
        let provider_body = provider_body.and_then(Error::body).filter(|body| {
            // Pages of proxies, and bodies that were cut, are not.
            serde_json::from_str::<IgnoredAny>(body).is_ok()
        });
        let body = match provider_body {
            Some(body) => body.to_owned(),
            None => self.body(dialect).to_string(),
        };
        let mut response = json_text(self.status_in(dialect), body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED && error.is_none() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        add_headers(headers, &self.limits, dialect);
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, after.into());
        }
        if let Some(error) = error {
            // The call has been retried here as often as is useful.
            if !self.may_retry {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
            headers.insert("x-warmline-attempts", error.attempts().len().into());
            if let Some(Ok(id)) = error.request_id().map(HeaderValue::from_str) {
                headers.insert(request_id_header(dialect), id);
            }
        }
        response
    }

    /// The status in the API of a dialect. Only Anthropic's has 529.
    fn status_in(&self, dialect: DialectName) -> StatusCode {
        let is_unknown = self.status.as_u16() == OVERLOADED && dialect != DialectName::Anthropic;
        match is_unknown && !self.is_providers() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => self.status,
        }
    }

    /// Whether the status is one that the provider has sent.
    fn is_providers(&self) -> bool {
        let status = self.error.as_ref().and_then(Error::status);
        status == Some(self.status.as_u16())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let target = error.attempts().last();
        let target = target.and_then(|attempt| attempt.target.clone());
        Self::of_call(error, target.as_deref())
    }
}

impl ApiError {
    /// The error of a call that this target has served.
    pub(crate) fn of_call(error: Error, target: Option<&str>) -> Self {
        let status = match error.kind() {
            ErrorKind::Config => 400,
            ErrorKind::BudgetExceeded { .. } => 402,
            ErrorKind::PoolTimeout { .. } | ErrorKind::Ledger => 503,
            ErrorKind::Timeout { .. } => 504,
            ErrorKind::RateLimited { .. } => error.status().unwrap_or(429),
            ErrorKind::Overloaded => error.status().unwrap_or(OVERLOADED),
            // A redirect of the provider's is none of the gateway's: callers would follow it, with their keys.
            _ => error
                .status()
                .filter(|status| (400..600).contains(status))
                .unwrap_or(502),
        };
        let message = message_to_callers(&error, target);
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            code: error.kind().name(),
            message,
            // Not earlier, because the attempt would fail.
            retry_after: error
                .retry_after()
                .map(|after| after.as_millis().div_ceil(1000).max(1) as u64),
            error: Some(error),
            limits: Vec::new(),
            may_retry: false,
        }
    }
}

/// Returns the message for callers. A message that can name files, servers or addresses of the operator is logged instead of shown.
fn message_to_callers(error: &Error, target: Option<&str>) -> String {
    let name = match target {
        Some(name) => format!("the target {name}"),
        None => "the provider".to_owned(),
    };
    let own = || match error.hint() {
        Some(hint) => format!("{}; {hint}", error.message()),
        None => error.message().to_owned(),
    };
    match (error.kind(), error.status()) {
        (ErrorKind::Ledger, _) => {
            tracing::error!(%error, "the ledger cannot be used");
            LEDGER_UNAVAILABLE.to_owned()
        }
        (_, Some(status @ 300..400)) => {
            tracing::error!(%error, target, "a target redirects");
            format!(
                "{name} answered with a redirect (status {status}), and redirects are not followed; the gateway's log says where it leads"
            )
        }
        (ErrorKind::Connect, _) => {
            tracing::error!(%error, target, "a target cannot be reached");
            match error.attempts().len() {
                0 | 1 => format!("{name} cannot be reached; the gateway's log says why"),
                n => format!(
                    "{name} cannot be reached; this was the last of {n} attempts, and the gateway's log says why"
                ),
            }
        }
        (
            ErrorKind::Timeout { .. }
            | ErrorKind::PoolTimeout { .. }
            | ErrorKind::Decode
            | ErrorKind::Stream,
            None,
        ) if target.is_some() => format!("{name} has failed: {}", own()),
        _ => own(),
    }
}

pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    json_text(status, serde_json::to_string(value).unwrap_or_default())
}

fn json_text(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The header in which a provider sends the ID of a request.
pub(crate) fn request_id_header(dialect: DialectName) -> &'static str {
    match dialect {
        DialectName::Anthropic => "request-id",
        _ => "x-request-id",
    }
}

/// Returns the dialect of a caller. Paths that both APIs have are decided by a header that only the clients of one send.
pub(crate) fn dialect_of(headers: &HeaderMap, path: &str) -> DialectName {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let is_below = |start| {
        path.strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match () {
        () if is_below("/messages") => DialectName::Anthropic,
        () if is_below("/responses") => DialectName::OpenAiResponses,
        () if is_below("/chat") => DialectName::OpenAiChat,
        () if headers.contains_key("anthropic-version") => DialectName::Anthropic,
        () => DialectName::OpenAiChat,
    }
}
