//! Errors in the shape that each dialect has.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use warmline::{Error, ErrorKind, Provider};

/// The message to callers while the ledger cannot be used.
const LEDGER_UNAVAILABLE: &str =
    "the ledger of the gateway's budgets cannot be used at the moment; the gateway's log says why";

/// Why a request is refused, or its call has failed.
pub(crate) struct ApiError {
    status: StatusCode,
    /// The machine-readable code, which is this gateway's own.
    code: &'static str,
    message: String,
    error: Option<Error>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            error: None,
        }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The body as the official clients of the dialect read it
    /// (<https://docs.claude.com/en/api/errors>, <https://platform.openai.com/docs/guides/error-codes>).
    pub(crate) fn body(&self, provider: Provider) -> Value {
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
        match provider {
            Provider::Anthropic => {
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
            _ => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
        }
    }

    pub(crate) fn into_response(self, provider: Provider) -> Response {
        let error = self.error.as_ref();
        // A body that the provider has sent is passed on.
        let provider_body = error.and_then(|error| error.status().and(error.body()));
        let provider_body = provider_body.and_then(|body| serde_json::from_str::<Value>(body).ok());
        let body = provider_body.unwrap_or_else(|| self.body(provider));
        let mut response = json_response(self.status, &body);
        let headers = response.headers_mut();
        if let Some(error) = error {
            // The call has been retried here as often as is useful.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
            headers.insert("x-warmline-attempts", error.attempts().len().into());
            if let Some(after) = error.retry_after() {
                headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
            }
            if let Some(Ok(id)) = error.request_id().map(HeaderValue::from_str) {
                headers.insert(request_id_header(provider), id);
            }
        }
        response
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
            _ => error.status().unwrap_or(502),
        };
        let message = match (error.kind(), error.hint()) {
            // Its message names files and servers of the operator's.
            (ErrorKind::Ledger, _) => {
                tracing::error!(%error, "the ledger of the budgets cannot be used");
                LEDGER_UNAVAILABLE.to_owned()
            }
            (_, Some(hint)) => format!("{}; {hint}", error.message()),
            (_, None) => error.message().to_owned(),
        };
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            code: error.kind().name(),
            message,
            error: Some(error),
        }
    }
}

pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The header in which a provider sends the ID of a request.
pub(crate) fn request_id_header(provider: Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "request-id",
        _ => "x-request-id",
    }
}

/// The provider whose dialect a path belongs to.
pub(crate) fn dialect_of(path: &str) -> Provider {
    match path.starts_with("/v1/messages") {
        true => Provider::Anthropic,
        false => Provider::OpenAi,
    }
}
