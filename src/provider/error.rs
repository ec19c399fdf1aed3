//! A provider's error, from an error status or from inside a 200.

use std::time::SystemTime;

use serde_json::Value;

use super::request_id;
use crate::error::Details;
use crate::transport::Headers;
use crate::{Error, ErrorKind, Provider, retry};

/// An error response: status, headers and the (bounded) body, as far as it could be read.
pub(crate) fn decode_error(
    provider: Provider,
    status: u16,
    headers: &Headers,
    body: &[u8],
    now: SystemTime,
) -> Error {
    let text = String::from_utf8_lossy(body).into_owned();
    let said = serde_json::from_slice(body)
        .map(|value: Value| Said::read(&value))
        .unwrap_or_default();
    let message = said.message.clone().unwrap_or_else(|| {
        let text = text.trim();
        match text.char_indices().nth(300) {
            _ if text.is_empty() => "no error body".to_owned(),
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    });
    let mut error = build(
        provider,
        said,
        message,
        Details {
            status: Some(status),
            request_id: request_id(headers),
            retry_after: retry::retry_after(headers, now),
            should_retry: retry::should_retry(headers),
            body: Some(text),
            ..Details::default()
        },
    );
    if (300..400).contains(&status)
        && let Some(location) = headers.get("location")
    {
        error = error.because(&format!(
            "redirects are not followed, so that the key goes nowhere else; set the base URL to {location:?} if that is right"
        ));
    }
    error
}

/// An error object that came inside a 200: an `error` event of a stream, or a whole body.
pub(super) fn error_inside(provider: Provider, value: &Value, headers_id: Option<&str>) -> Error {
    let said = Said::read(value);
    let message = said.message.clone().unwrap_or_else(|| value.to_string());
    // The status that the same error would have had. 500 stands for what no table names: retried.
    let status = said
        .status
        .unwrap_or(match said.error_type.as_deref().unwrap_or_default() {
            "invalid_request_error" => 400,
            "authentication_error" => 401,
            "billing_error" => 402,
            "permission_error" => 403,
            "not_found_error" => 404,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "timeout_error" => 504,
            "overloaded_error" => 529,
            _ => 500,
        });
    build(
        provider,
        said,
        message,
        Details {
            status: Some(status),
            request_id: headers_id.map(str::to_owned),
            body: Some(value.to_string()),
            ..Details::default()
        },
    )
}

fn build(provider: Provider, said: Said, message: String, mut details: Details) -> Error {
    let quota = said.quota_spent();
    let status = details.status.unwrap_or_default();
    let code = said.code.clone().or_else(|| said.error_type.clone());
    let label = code.as_deref().map(|c| format!(" {c}")).unwrap_or_default();
    let advice = match status {
        429 if !quota => "; slow down or raise the account's limits",
        503 | 529 => "; the provider is overloaded: try later",
        401 | 403 => "; check the API key and what it may do",
        402 | 429 => "; the account's quota or credit is spent",
        404 => "; check the model's name and the base URL",
        413 => "; the request is too large",
        _ => "",
    };
    let text = format!("{status}{label}: {message}{advice}");
    let kind = match status {
        429 if !quota => ErrorKind::RateLimited {
            retry_after: details.retry_after,
        },
        503 | 529 => ErrorKind::Overloaded,
        _ => ErrorKind::Status {
            status,
            code,
            message,
        },
    };
    if quota {
        details.should_retry = Some(false);
    }
    details.request_id = details.request_id.or(said.request_id);
    details.error_type = said.error_type;
    details.code = said.code;
    Error::new(kind, text)
        .with_provider(provider)
        .with_details(details)
}

/// What an error body says, in whichever of the field's shapes:
/// `{"type":"error","error":{"type","message"},"request_id"}` (Anthropic),
/// `{"error":{"message","type","code"}}` (OpenAI), `{"error":"…"}`, `{"message":"…"}`,
/// `{"detail":…}` (FastAPI servers).
#[derive(Default)]
struct Said {
    message: Option<String>,
    error_type: Option<String>,
    code: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
}

impl Said {
    fn read(value: &Value) -> Self {
        let text = |v: &Value| match v {
            Value::String(s) if !s.is_empty() => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        };
        let error = &value["error"];
        let inner = if error.is_object() { error } else { value };
        let message = text(&inner["message"])
            .or_else(|| text(error))
            .or_else(|| text(&value["detail"]))
            .or_else(|| (!value["detail"].is_null()).then(|| value["detail"].to_string()));
        let number = inner["code"].as_u64().or_else(|| inner["status"].as_u64());
        Self {
            message,
            error_type: text(&inner["type"]).filter(|t| t != "error"),
            code: text(&inner["code"]),
            status: number
                .and_then(|n| u16::try_from(n).ok())
                .filter(|n| (400..600).contains(n)),
            request_id: text(&value["request_id"]),
        }
    }

    /// Waiting does not bring a spent quota back, so it is not retried.
    fn quota_spent(&self) -> bool {
        [&self.code, &self.error_type]
            .into_iter()
            .flatten()
            .any(|word| {
                matches!(
                    word.as_str(),
                    "insufficient_quota"
                        | "billing_hard_limit_reached"
                        | "billing_not_active"
                        | "billing_error"
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_not_json_are_shown_and_cut() {
        let page = format!("<html>{}</html>", "x".repeat(1000));
        let error = decode_error(
            Provider::OpenAi,
            502,
            &Headers::default(),
            page.as_bytes(),
            SystemTime::UNIX_EPOCH,
        );
        assert!(
            error.to_string().starts_with("openai: 502: <html>xxx"),
            "{error}"
        );
        assert!(error.to_string().len() < 400);
        assert_eq!(error.body(), Some(page.as_str()));
    }

    #[test]
    fn a_redirect_says_where_it_points() {
        let to = || Some("https://elsewhere.example/v1".to_owned());
        let headers = Headers::read(|name| to().filter(|_| name == "location"));
        let error = decode_error(Provider::OpenAi, 308, &headers, b"", SystemTime::UNIX_EPOCH);
        assert!(
            error.to_string().contains("https://elsewhere.example/v1"),
            "{error}"
        );
    }
}
