//! What callers get: the provider's bytes as they come, and errors in the shape that their dialect has.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_core::Stream;
use serde::Serialize;
use serde_json::{Value, json};
use warmline::{Error, ErrorKind, PassthroughResponse, Provider};

use super::metrics::InFlight;

/// Headers that a page may read.
pub(super) const EXPOSED: [&str; 5] = [
    "request-id",
    "x-request-id",
    "retry-after",
    "x-should-retry",
    "x-warmline-attempts",
];

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A reply on its way. Dropped by a caller who goes away, it is aborted.
pub(super) struct Answer {
    response: PassthroughResponse,
    provider: Provider,
    started: Option<InFlight>,
}

impl Answer {
    pub(super) fn new(
        response: PassthroughResponse,
        provider: Provider,
        started: InFlight,
    ) -> Self {
        Self {
            response,
            provider,
            started: Some(started),
        }
    }

    pub(super) async fn into_response(mut self) -> Response {
        let id = self
            .response
            .request_id()
            .and_then(|id| HeaderValue::from_str(id).ok());
        let attempts = self.response.attempts();
        let id_header = id_header(self.provider);
        let kind = match self.response.is_stream() {
            true => "text/event-stream",
            false => "application/json",
        };
        let body = match self.response.is_stream() {
            true => Body::from_stream(self),
            // It is all there, and goes with its length.
            false => {
                let mut whole = Vec::new();
                while let Some(Ok(bytes)) = poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await {
                    whole.extend_from_slice(&bytes);
                }
                Body::from(whole)
            }
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-warmline-attempts", attempts.into());
        if let Some(id) = id {
            headers.insert(id_header, id);
        }
        response
    }
}

impl Stream for Answer {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = match ready!(self.response.poll_chunk(cx)) {
            Some(Ok(bytes)) => Some(bytes),
            None => {
                if let (Some(started), Some(reply)) = (self.started.take(), self.response.reply()) {
                    started.done(reply);
                }
                None
            }
            Some(Err(error)) => {
                if let Some(started) = self.started.take() {
                    started.failed(&error);
                }
                // What the provider itself said of it has been passed on already.
                let ours = matches!(
                    error.kind(),
                    ErrorKind::Stream
                        | ErrorKind::Timeout { .. }
                        | ErrorKind::Connect
                        | ErrorKind::Decode
                );
                ours.then(|| {
                    let body = ApiError::from(error).body(self.provider);
                    let event = match self.provider {
                        Provider::Anthropic => "event: error\n",
                        _ => "",
                    };
                    format!("{event}data: {body}\n\n").into()
                })
            }
        };
        Poll::Ready(chunk.map(Ok))
    }
}

fn id_header(provider: Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "request-id",
        _ => "x-request-id",
    }
}

/// Why a call is not answered.
pub(super) struct ApiError {
    status: StatusCode,
    /// A word for programs, of this gateway's own.
    code: &'static str,
    message: String,
    error: Option<Error>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            error: None,
        }
    }

    /// As the official clients of the dialect read it
    /// (<https://docs.claude.com/en/api/errors>, <https://platform.openai.com/docs/guides/error-codes>).
    fn body(&self, provider: Provider) -> Value {
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

    pub(super) fn in_dialect(&self, provider: Provider) -> Response {
        let error = self.error.as_ref();
        // What the provider has answered is its own to say.
        let theirs = error.and_then(|error| error.status().and(error.body()));
        let theirs = theirs.and_then(|body| serde_json::from_str::<Value>(body).ok());
        let body = theirs.unwrap_or_else(|| self.body(provider));
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        if let Some(error) = error {
            // It has been tried again as often as there is sense in it.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
            headers.insert("x-warmline-attempts", error.attempts().into());
            if let Some(after) = error.retry_after() {
                headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
            }
            if let Some(Ok(id)) = error.request_id().map(HeaderValue::from_str) {
                headers.insert(id_header(provider), id);
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
            ErrorKind::PoolTimeout { .. } => 503,
            ErrorKind::Timeout { .. } => 504,
            ErrorKind::RateLimited { .. } => error.status().unwrap_or(429),
            ErrorKind::Overloaded => error.status().unwrap_or(529),
            _ => error.status().unwrap_or(502),
        };
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            code: error.kind().name(),
            message: error.message().to_owned(),
            error: Some(error),
        }
    }
}
