//! Decodes errors of providers: responses with an error status, and errors in a response with status 200.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::wire::{Pairs, list, request_id, text_of};
use crate::error::Details;
use crate::quote::quote;
use crate::{Error, ErrorKind, headers, retry};

/// Decodes an error response. The body is bounded, and may be incomplete.
pub(crate) fn decode_error(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Error {
    let text = text_of(body).into_owned();
    let error_body = ErrorBody::read(&text);
    let message = error_body.message.clone().unwrap_or_else(|| {
        let text = text.trim();
        match text.char_indices().nth(300) {
            _ if text.is_empty() => "no error body".to_owned(),
            Some((end, _)) => [text.get(..end).unwrap_or_default(), "…"].concat(),
            None => text.to_owned(),
        }
    });
    let mut error = build(
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
        && let Some(location) = headers::text(headers, &headers::LOCATION)
    {
        error = error.with_reason(&format!(
            "redirects are not followed, so that the key goes nowhere else; set the base URL to {} if that is right",
            quote(location)
        ));
    }
    error
}

/// Decodes an error in a response with status 200: an `error` event of a stream, or a whole body.
pub(super) fn embedded_error(body: &str, headers_id: Option<&str>) -> Error {
    error_within(body, body, headers_id)
}

/// Decodes an error that is a part of what was received.
pub(super) fn error_within(error: &str, body: &str, headers_id: Option<&str>) -> Error {
    let error_body = ErrorBody::read(error);
    let message = error_body
        .message
        .clone()
        .unwrap_or_else(|| error.to_owned());
    // The status with which the provider documents the same error. An unknown type counts as 500, which is retried.
    let status =
        error_body
            .status
            .unwrap_or(match error_body.error_type.as_deref().unwrap_or_default() {
                // https://platform.openai.com/docs/guides/error-codes/api-errors
                _ if error_body.is_called("insufficient_quota") => 429,
                _ if error_body.quota_spent() => 402,
                "invalid_request_error" | "BadRequestError" => 400,
                "authentication_error" => 401,
                "billing_error" => 402,
                "permission_error" => 403,
                "not_found_error" | "NotFoundError" => 404,
                "request_too_large" => 413,
                "rate_limit_error" | "rate_limit_exceeded" => 429,
                "timeout_error" => 504,
                "overloaded_error" => 529,
                _ if error_body.blames_request() => 400,
                _ if error_body.code.as_deref() == Some("rate_limit_exceeded") => 429,
                _ => 500,
            });
    build(
        error_body,
        message,
        Details {
            status: Some(status),
            request_id: headers_id.map(str::to_owned),
            body: Some(body.to_owned()),
            ..Details::default()
        },
    )
}

/// Returns the error in a body that contains no reply.
pub(super) fn instead_of_reply(body: &str, headers_id: Option<&str>) -> Option<Error> {
    let says = ErrorBody::read(body).message.is_some();
    says.then(|| embedded_error(body, headers_id))
}

fn build(error_body: ErrorBody, message: String, mut details: Details) -> Error {
    let quota = error_body.quota_spent();
    let status = details.status.unwrap_or_default();
    let code = error_body
        .code
        .clone()
        .or_else(|| error_body.error_type.clone());
    // Some servers repeat the status as the code.
    let label = code.as_deref().filter(|code| *code != status.to_string());
    let label = label.map(|code| [" ", code].concat()).unwrap_or_default();
    let hint = match status {
        429 if !quota => "slow down or raise the account's limits",
        503 | 529 => "the provider is overloaded: try later",
        401 | 403 => "check the API key and what it may do",
        402 | 429 => "the account's quota or credit is spent",
        404 => "check the model's name and the base URL",
        413 => "the request is too large",
        _ => "",
    };
    let text = format!("{status}{label}: {message}");
    details.retry_after = details.retry_after.or(error_body.retry_after);
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
    Error::new(kind, text).with_hint(hint).with_details(details)
}

/// The contents of an error body.
#[derive(Default)]
struct ErrorBody {
    message: Option<String>,
    error_type: Option<String>,
    code: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
    /// The delay in Google's `RetryInfo`.
    retry_after: Option<Duration>,
}

/// Returns MiniMax's report of a failure. `None` if it reports success.
fn failure<'a>(base_resp: Option<&'a RawValue>) -> Option<Pairs<'a>> {
    Pairs::read(base_resp).filter(|base| base.count("status_code").get() != 0)
}

/// Returns the delay in one of the details of Google's errors (<https://cloud.google.com/apis/design/errors#error_details>).
fn retry_after(details: Option<&RawValue>) -> Option<Duration> {
    let details = list(details?.get())?.into_iter().map(Some);
    let mut details = details.filter_map(Pairs::read);
    let is_info = |detail: &Pairs<'_>| {
        let kind = detail.text("@type").unwrap_or_default();
        kind.ends_with("google.rpc.RetryInfo")
    };
    retry::retry_delay(&details.find(is_info)?.text("retryDelay")?)
}

/// Returns whether MiniMax's `base_resp` reports a failure.
pub(super) fn reports_failure(base_resp: Option<&RawValue>) -> bool {
    failure(base_resp).is_some()
}

/// Returns the text of a string, or the JSON of another value. `None` for null and for empty values.
fn text_or_json(raw: &RawValue) -> Option<String> {
    let text = serde_json::from_str::<Cow<'_, str>>(raw.get());
    let text = text.map_or_else(|_| raw.get().to_owned(), Cow::into_owned);
    Some(text).filter(|text| !matches!(text.as_str(), "" | "null" | "false" | "{}" | "[]"))
}

/// Returns the text of FastAPI's `detail`: text, or a list of what is wrong with the request.
fn detail(raw: &RawValue) -> Option<String> {
    let wrong = list(raw.get()).unwrap_or_default();
    let says = |wrong: &RawValue| {
        let wrong = Pairs::read(Some(wrong))?;
        let message = wrong.text("msg")?;
        let path = wrong.raw("loc").and_then(|path| list(path.get()));
        let path = path.unwrap_or_default().into_iter();
        let path: Vec<&str> = path.map(|name| name.get().trim_matches('"')).collect();
        Some(match path.is_empty() {
            true => message,
            false => [&path.join("."), ": ", &message].concat(),
        })
    };
    let wrong: Option<Vec<String>> = wrong.into_iter().map(says).collect();
    match wrong {
        Some(wrong) if !wrong.is_empty() => Some(wrong.join("; ")),
        _ => text_or_json(raw),
    }
}

/// Whether a field named `error` contains an error.
pub(super) fn is_error(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "\"\"")
}

/// Deserializes whether a field named `error` contains an error. [`ErrorBody`] reads the error itself.
pub(super) fn holds_error<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let raw = <Option<&RawValue>>::deserialize(deserializer)?;
    Ok(raw.is_some_and(is_error))
}

impl ErrorBody {
    /// Decodes an error body in any of the known shapes: `{"type":"error","error":{"type","message"},"request_id"}` (Anthropic),
    /// `{"error":{"message","type","code"}}` (OpenAI), `{"error":"…"}`, `{"message":"…"}`, `{"msg":"…"}`, `{"detail":…}` (FastAPI
    /// servers), `{"errors":[{"message"}]}` (Cloudflare), `{"error_code","error_msg"}` (Baidu),
    /// `{"base_resp":{"status_code","status_msg"}}` (MiniMax), `{"choices":[{"error":…}]}`, one of these in a list, as the text of
    /// `message`, or as the data of a server-sent event.
    fn read(body: &str) -> Self {
        let events = || {
            let data = |line: &str| Self::of(line.strip_prefix("data:")?.trim(), 0);
            body.lines().find_map(data)
        };
        Self::of(body, 0).or_else(events).unwrap_or_default()
    }

    /// `None` if the text is neither an object nor a list of objects.
    fn of(body: &str, depth: u8) -> Option<Self> {
        if depth > 3 {
            return None;
        }
        if body.trim_start().starts_with('[') {
            return Self::of(list(body)?.first()?.get(), depth + 1);
        }
        let wire: Pairs<'_> = serde_json::from_str(body).ok()?;
        let any = |names: &[&str]| names.iter().find_map(|name| wire.text(name));
        let mut this = Self {
            message: any(&["message", "msg", "error_msg"]),
            error_type: any(&["type"]).filter(|kind| kind != "error"),
            code: any(&["code", "error_code"]),
            status: None,
            request_id: any(&["request_id"]),
            retry_after: retry_after(wire.raw("details")),
        };
        let number = |word: &String| word.parse().ok().filter(|n| (400..600).contains(n));
        let code = this.code.as_ref().and_then(number);
        this.status = code.or_else(|| any(&["status"]).as_ref().and_then(number));
        if let Some(base) = failure(wire.raw("base_resp")) {
            this.code = base.text("status_code");
            this.message = base.text("status_msg").or(this.message);
        }
        let choice = || {
            let choices = list(wire.raw("choices")?.get())?.into_iter().map(Some);
            let mut choices = choices.filter_map(Pairs::read);
            choices.find_map(|choice| choice.raw("error"))
        };
        let error = wire.raw("error").filter(|raw| is_error(raw));
        if let Some(error) = error.or_else(choice).or(wire.raw("errors")) {
            match Self::of(error.get(), depth + 1) {
                Some(inner) => {
                    this = Self {
                        message: inner.message.or(this.message),
                        status: inner.status.or(this.status),
                        request_id: this.request_id.or(inner.request_id),
                        retry_after: inner.retry_after.or(this.retry_after),
                        ..inner
                    };
                }
                None => this.message = this.message.or_else(|| text_or_json(error)),
            }
        }
        this.message = this.message.or_else(|| wire.raw("detail").and_then(detail));
        // A proxy can quote the whole error of another server.
        let quoted = this
            .message
            .as_deref()
            .filter(|message| message.starts_with('{'));
        if let Some(quoted) = quoted.and_then(|message| Self::of(message, depth + 1))
            && quoted.message.is_some()
        {
            this = Self {
                message: quoted.message,
                error_type: this.error_type.or(quoted.error_type),
                code: this.code.or(quoted.code),
                status: this.status.or(quoted.status),
                request_id: this.request_id.or(quoted.request_id),
                retry_after: this.retry_after.or(quoted.retry_after),
            };
        }
        Some(this)
    }

    /// Whether the code is one of the Responses API for a request that fails whenever it is sent
    /// (<https://platform.openai.com/docs/api-reference/responses/object#responses/object-error>).
    fn blames_request(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        code.starts_with("invalid_")
            || code.ends_with("_policy")
            || code.contains("image")
            || matches!(code, "data_residency_mismatch" | "context_length_exceeded")
    }

    fn is_called(&self, name: &str) -> bool {
        [&self.code, &self.error_type]
            .into_iter()
            .flatten()
            .any(|word| word == name)
    }

    /// An exhausted quota is not retried, because waiting does not restore it.
    fn quota_spent(&self) -> bool {
        let words = [&self.code, &self.error_type].into_iter().flatten();
        let by_word = words.map(|word| word.to_ascii_lowercase()).any(|word| {
            let spent = ["quota", "balance", "credit", "fund"];
            matches!(
                word.as_str(),
                "billing_hard_limit_reached"
                    | "billing_not_active"
                    | "billing_error"
                    | "exceeded_current_quota_error"
            ) || (word.contains("insufficient") && spent.iter().any(|s| word.contains(s)))
        });
        let message = self.message.as_deref().unwrap_or_default();
        let message = message.to_ascii_lowercase();
        let says = |what: &&str| message.contains(*what);
        by_word
            || [
                "insufficient balance",
                "insufficient credit",
                "insufficient funds",
            ]
            .iter()
            .any(says)
            || message.contains("credit balance is too low")
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn decode(status: u16, headers: &HeaderMap, body: &str) -> Error {
        decode_error(status, headers, body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn bodies_that_are_not_json_are_shown_and_cut() {
        let page = format!("<html>{}</html>", "x".repeat(1000));
        let error = decode(502, &HeaderMap::default(), &page);
        assert!(error.to_string().starts_with("502: <html>xxx"), "{error}");
        assert!(error.to_string().len() < 400);
        assert_eq!(error.body(), Some(page.as_str()));
    }

    #[test]
    fn a_redirect_says_where_it_points() {
        let to = HeaderValue::from_static("https://elsewhere.example/v1");
        let headers = HeaderMap::from_iter([(header::LOCATION, to)]);
        let error = decode(308, &headers, "");
        assert!(
            error.to_string().contains("https://elsewhere.example/v1"),
            "{error}"
        );
    }

    #[test]
    fn every_shape_of_an_error_tells_its_message_and_a_numeric_code_only_once() {
        for (body, says) in [
            (r#"{"error":{"message":"m","code":400}}"#, "400: m"),
            (
                r#"[{"error":{"code":400,"message":"m","status":"X"}}]"#,
                "400: m",
            ),
            (r#"{"error":{"message":"m","code":1113}}"#, "400 1113: m"),
            (r#"{"error":{"message":"m","code":"bad"}}"#, "400 bad: m"),
            (
                r#"{"type":"error","error":{"type":"t","message":"m"}}"#,
                "400 t: m",
            ),
            (r#"{"error":"m"}"#, "400: m"),
            (r#"{"message":"m","error":null}"#, "400: m"),
            (r#"{"detail":"m"}"#, "400: m"),
            (r#"{"detail":[{"loc":1}]}"#, r#"400: [{"loc":1}]"#),
            (r#"{"object":"error","message":"m","code":400}"#, "400: m"),
            (
                r#"{"base_resp":{"status_code":7,"status_msg":"m"}}"#,
                "400 7: m",
            ),
            (r#"{"choices":[{"error":{"message":"m"}}]}"#, "400: m"),
            (r#"{"code":"c","msg":"m"}"#, "400 c: m"),
            (
                r#"{"detail":[{"loc":["body","messages",0],"msg":"field required"},{"loc":["x"],"msg":"m"}]}"#,
                "400: body.messages.0: field required; x: m",
            ),
            (r#"{"error_code":17,"error_msg":"m"}"#, "400 17: m"),
            (
                r#"{"success":false,"errors":[{"code":7003,"message":"m"}]}"#,
                "400 7003: m",
            ),
            (r#"{"errors":{"message":"m"}}"#, "400: m"),
            (r#"{"errors":[]}"#, r#"400: {"errors":[]}"#),
            (
                r#"{"error":{"message":"{\"error\":{\"message\":\"m\",\"code\":\"c\"}}"}}"#,
                "400 c: m",
            ),
            (r#"{"error":{"message":"{\"a\": 1}"}}"#, r#"400: {"a": 1}"#),
            (r#"{"error":"{\"message\":\"m\"}"}"#, "400: m"),
            (
                "event: error\ndata: {\"error\":{\"message\":\"m\"}}\n\n",
                "400: m",
            ),
            (
                "id:1\nevent:error\ndata:{\"code\":\"c\",\"message\":\"m\"}\n\n",
                "400 c: m",
            ),
        ] {
            let error = decode(400, &HeaderMap::default(), body);
            assert_eq!(error.message(), says, "{body}");
        }
    }

    #[test]
    fn the_delay_in_googles_retry_info_is_read() {
        let info = |delay: &str| {
            let kind = "type.googleapis.com/google.rpc.RetryInfo";
            format!(
                r#"[{{"error":{{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
                {{"@type":"type.googleapis.com/google.rpc.Help","links":[]}},{{"@type":"{kind}","retryDelay":{delay}}}]}}}}]"#
            )
        };
        for (delay, expected) in [
            (r#""34s""#, Some(34_000)),
            (r#""1.5s""#, Some(1_500)),
            (r#""soon""#, None),
            ("null", None),
        ] {
            let after = decode(429, &HeaderMap::new(), &info(delay)).retry_after();
            assert_eq!(after.map(|d| d.as_millis()), expected, "{delay}");
        }
        // A header comes first.
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("2"))]);
        let after = decode(429, &headers, &info(r#""34s""#)).retry_after();
        assert_eq!(after, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_spent_quota_is_not_tried_again_and_a_rate_limit_is() {
        for (body, again) in [
            (
                r#"{"error":{"message":"m","type":"exceeded_current_quota_error"}}"#,
                false,
            ),
            (
                r#"{"error":{"message":"m","code":"insufficient_quota"}}"#,
                false,
            ),
            (
                r#"{"error":{"message":"Insufficient balance (1008)"}}"#,
                false,
            ),
            (
                r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#,
                true,
            ),
            // Gemini's message for a limit per minute.
            (
                r#"{"error":{"message":"You exceeded your current quota","code":429}}"#,
                true,
            ),
        ] {
            let error = decode(429, &HeaderMap::default(), body);
            assert_eq!(error.details().should_retry != Some(false), again, "{body}");
        }
    }
}
