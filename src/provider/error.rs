//! A provider's error, from an error status or from inside a 200.

use std::time::SystemTime;

use super::wire::request_id;
use crate::error::Details;
use crate::json::{Reader, Stopped, quote};
use crate::{Error, ErrorKind, Provider, headers, retry};
use http::HeaderMap;

/// An error response: status, headers and the (bounded) body, as far as it could be read.
pub(crate) fn decode_error(
    provider: Provider,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Error {
    let text = String::from_utf8_lossy(body).into_owned();
    let error_body = ErrorBody::read(&text).unwrap_or_default();
    let message = error_body.message.clone().unwrap_or_else(|| {
        let text = text.trim();
        match text.char_indices().nth(300) {
            _ if text.is_empty() => "no error body".to_owned(),
            Some((end, _)) => [text.get(..end).unwrap_or_default(), "…"].concat(),
            None => text.to_owned(),
        }
    });
    let mut error = build(
        provider,
        error_body,
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
        && let Some(location) = headers::text(headers, "location")
    {
        error = error.with_reason(&format!(
            "redirects are not followed, so that the key goes nowhere else; set the base URL to {} if that is right",
            quote(location)
        ));
    }
    error
}

/// An error object that came inside a 200: an `error` event of a stream, or a whole body.
pub(super) fn embedded_error(provider: Provider, body: &[u8], headers_id: Option<&str>) -> Error {
    let text = String::from_utf8_lossy(body).into_owned();
    let error_body = ErrorBody::read(&text).unwrap_or_default();
    let message = error_body.message.clone().unwrap_or_else(|| text.clone());
    // The status that the same error would have had. 500 stands for what no table names: retried.
    let status = error_body
        .status
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(match error_body.error_type.as_deref().unwrap_or_default() {
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
        error_body,
        message,
        Details {
            status: Some(status),
            request_id: headers_id.map(str::to_owned),
            body: Some(text),
            ..Details::default()
        },
    )
}

fn build(
    provider: Provider,
    error_body: ErrorBody,
    message: String,
    mut details: Details,
) -> Error {
    let quota = error_body.quota_spent();
    let status = details.status.unwrap_or_default();
    let code = error_body
        .code
        .clone()
        .or_else(|| error_body.error_type.clone());
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
    details.request_id = details.request_id.or(error_body.request_id);
    details.error_type = error_body.error_type;
    details.code = error_body.code;
    Error::new(kind, text)
        .with_provider(provider)
        .with_details(details)
}

/// What an error body says, in whichever of the field's shapes:
/// `{"type":"error","error":{"type","message"},"request_id"}` (Anthropic),
/// `{"error":{"message","type","code"}}` (OpenAI), `{"error":"…"}`, `{"message":"…"}`,
/// `{"detail":…}` (FastAPI servers).
#[derive(Default)]
struct ErrorBody {
    message: Option<String>,
    error_type: Option<String>,
    code: Option<String>,
    status: Option<u64>,
    request_id: Option<String>,
}

/// A text that says something, or a number.
fn word(json: &mut Reader<'_>) -> Result<Option<String>, Stopped> {
    let words = matches!(json.peek(), Some(b'"' | b'-' | b'0'..=b'9'));
    let text = json.value_text()?;
    Ok(Some(text.into_owned()).filter(|text| words && !text.is_empty()))
}

impl ErrorBody {
    fn read(body: &str) -> Result<Self, Stopped> {
        let mut json = Reader::new(body);
        let error_body = Self::object(&mut json)?;
        json.end().map(|()| error_body)
    }

    fn object(json: &mut Reader<'_>) -> Result<Self, Stopped> {
        let (mut error_body, mut inner, mut detail) = (Self::default(), None, None);
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "error" if json.peek() == Some(b'{') => inner = Some(Self::object(json)?),
                "error" => error_body.message = error_body.message.or(word(json)?),
                "message" => error_body.message = word(json)?.or(error_body.message),
                "type" => error_body.error_type = word(json)?.filter(|t| t != "error"),
                "code" => error_body.code = word(json)?,
                "status" => error_body.status = error_body.status.or(json.count()?),
                "request_id" => error_body.request_id = word(json)?,
                "detail" => detail = Some(json.value_text()?).filter(|detail| detail != "null"),
                _ => json.pass()?,
            }
        }
        let number = error_body
            .code
            .as_deref()
            .and_then(|code| code.parse().ok());
        error_body.status = number
            .or(error_body.status)
            .filter(|n| (400..600).contains(n));
        if let Some(inner) = inner {
            error_body = Self {
                request_id: error_body.request_id,
                ..inner
            };
        }
        error_body.message = error_body.message.or(detail.map(Into::into));
        Ok(error_body)
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
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn bodies_that_are_not_json_are_shown_and_cut() {
        let page = format!("<html>{}</html>", "x".repeat(1000));
        let error = decode_error(
            Provider::OpenAi,
            502,
            &HeaderMap::default(),
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
        let to = HeaderValue::from_static("https://elsewhere.example/v1");
        let headers = HeaderMap::from_iter([(header::LOCATION, to)]);
        let error = decode_error(Provider::OpenAi, 308, &headers, b"", SystemTime::UNIX_EPOCH);
        assert!(
            error.to_string().contains("https://elsewhere.example/v1"),
            "{error}"
        );
    }
}
