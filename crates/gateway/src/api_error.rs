//! Errors in the shape that each dialect has.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use warmline::{DialectName, Error, ErrorKind};

use crate::limit_headers::{LimitState, add_headers};

/// The message to callers while the ledger cannot be used.
const LEDGER_UNAVAILABLE: &str = "the ledger of the gateway's budgets and limits cannot be used at the moment; the gateway's log says why";

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
        let Self {
            status,
            code,
            message,
            ..
        } = self;
        let kind = match status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
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
        let mut response = json_text(self.status, body);
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

    /// Whether the status is one that the provider has sent.
    fn is_providers(&self) -> bool {
        let status = self.error.as_ref().and_then(Error::status);
        status == Some(self.status.as_u16())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config => 400,
            ErrorKind::BudgetExceeded { .. } => 402,
            ErrorKind::PoolTimeout { .. } | ErrorKind::Ledger => 503,
            ErrorKind::Timeout { .. } => 504,
            ErrorKind::RateLimited { .. } => error.status().unwrap_or(429),
            ErrorKind::Overloaded => error.status().unwrap_or(529),
            // A redirect of the provider's is none of the gateway's: callers would follow it, with their keys.
            _ => error
                .status()
                .filter(|status| (400..600).contains(status))
                .unwrap_or(502),
        };
        let message = match (error.kind(), error.hint()) {
            // Its message names files and servers of the operator's.
            (ErrorKind::Ledger, _) => {
                tracing::error!(%error, "the ledger cannot be used");
                LEDGER_UNAVAILABLE.to_owned()
            }
            (_, Some(hint)) => format!("{}; {hint}", error.message()),
            (_, None) => error.message().to_owned(),
        };
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            code: error.kind().name(),
            message,
            // Not earlier, because the attempt would fail.
            retry_after: error
                .retry_after()
                .map(|after| after.as_secs_f64().ceil().max(1.0) as u64),
            error: Some(error),
            limits: Vec::new(),
            may_retry: false,
        }
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

/// The dialect that a path belongs to.
pub(crate) fn dialect_of(path: &str) -> DialectName {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    match path {
        path if path.starts_with("/messages") => DialectName::Anthropic,
        path if path.starts_with("/responses") => DialectName::OpenAiResponses,
        _ => DialectName::OpenAiChat,
    }
}
