//! Requests to other paths below `/v1`, which are passed through to the provider that the caller names.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use warmline::{ByName, Client, DialectName, Error, ErrorKind, Router};

use crate::api_error::{ApiError, dialect_of};
use crate::forward_body::{ForwardBody, is_json};
use crate::limit_headers::add_headers;
use crate::paths::PATHS;
use crate::request_body::respond;
use crate::state::GatewayState;

/// The header by which a caller names a provider, or a target of the router.
const PROVIDER: &str = "x-warmline-provider";

/// The headers of requests that reach the provider: those that say what is asked for and how. Not those that name an account or a
/// session (`openai-organization`, `x-session-id`), nor what a program says of itself (`user-agent`, `x-stainless-*`).
const REQUEST_HEADERS: [&str; 11] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "idempotency-key",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "openai-beta",
    "range",
    "x-goog-api-client",
];

/// The headers of responses that reach the caller. Not those of the gateway's account (`openai-organization`, rate limits), nor cookies.
const RESPONSE_HEADERS: [&str; 12] = [
    "accept-ranges",
    "content-disposition",
    "content-language",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "openai-processing-ms",
    "openai-version",
    "request-id",
    "retry-after",
    "x-request-id",
];

/// Passes a request through.
pub(crate) async fn forward(State(state): State<Arc<GatewayState>>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let outcome = try_forward(&state, &parts, &mut body).await;
    let dialect = dialect_of(&parts.headers, parts.uri.path());
    respond(outcome, &parts.headers, body, dialect)
}

async fn try_forward(
    state: &GatewayState,
    parts: &Parts,
    body: &mut Body,
) -> Result<Response, ApiError> {
    let path = parts.uri.path();
    let caller = state.caller(&parts.headers)?;
    caller.check_other_endpoints(path)?;
    let (mut body, held) = state
        .body_limits
        .read(&parts.headers, body, caller.held(), state.shut_down())
        .await?;
    let chosen = choose(&caller.router, parts, &body)?;
    if let Some((model, place)) = chosen.model {
        let model = serde_json::to_string(&model).unwrap_or_default();
        body = [&body[..place.start], model.as_bytes(), &body[place.end..]]
            .concat()
            .into();
    }
    let below = path.strip_prefix("/v1").unwrap_or(path);
    let target = match parts.uri.query() {
        Some(query) => format!("{below}?{query}"),
        None => below.to_owned(),
    };
    let mut request = axum::http::Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target.parse().map_err(|e| {
        let message = format!("the path cannot be forwarded: {e}");
        ApiError::new(StatusCode::BAD_REQUEST, "path", message)
    })?;
    *request.headers_mut() = kept(&parts.headers, &REQUEST_HEADERS);
    let max_tokens = || max_tokens(&parts.headers, request.body());
    let taken = caller.reserve(&state.shared, max_tokens).await?;
    let limits = taken.as_ref().map(|taken| taken.limits.clone());
    let limits = limits.unwrap_or_default();
    let mut in_flight = state.metrics.call_started(chosen.target);
    match chosen.client.forward(request, []).await {
        Ok(response) => {
            let (status, attempts) = (response.status(), response.attempts());
            if let Some(in_flight) = &mut in_flight {
                in_flight.answered(None, attempts);
            }
            let mut headers = kept(response.headers(), &RESPONSE_HEADERS);
            headers.insert("x-warmline-attempts", attempts.into());
            add_headers(
                &mut headers,
                &limits,
                dialect_of(&parts.headers, parts.uri.path()),
            );
            let body = ForwardBody::new(response, parts, in_flight, taken, held);
            let mut response = Response::new(body.into_body(&parts.method).await);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        }
        Err(error) => {
            if let Some(in_flight) = in_flight {
                in_flight.failed(&error);
            }
            if let Some(taken) = taken {
                taken.settle_failed(&error);
            }
            Err(ApiError::of_call(error, Some(chosen.target))
                .retried_by_caller()
                .limits(limits))
        }
    }
}

fn kept(headers: &HeaderMap, names: &[&'static str]) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in names {
        for value in headers.get_all(*name) {
            kept.append(HeaderName::from_static(name), value.clone());
        }
    }
    kept
}

/// Returns the maximum number of tokens that an endpoint can read from a body, and write if the body limits that.
///
/// A token of text has at least one byte. Only JSON is text for a model: uploads, such as files and audio, count as none.
///
/// # Errors
/// `Config` for an object whose limits cannot be read, or are there twice: the provider could read them in another way.
fn max_tokens(headers: &HeaderMap, body: &[u8]) -> Result<u64, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Limits {
        max_tokens: Option<f64>,
        max_completion_tokens: Option<f64>,
        max_output_tokens: Option<f64>,
        n: Option<f64>,
    }
    // Some servers read JSON whatever its type.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    if !is_object && !is_json(headers) {
        return Ok(0);
    }
    let mut limits = Limits::default();
    if is_object {
        limits = serde_json::from_slice(body).map_err(|e| {
            let message =
                format!("the request body cannot be read as JSON with limits of tokens: {e}");
            Error::new(ErrorKind::Config, message)
        })?;
    }
    let outputs = [
        limits.max_tokens,
        limits.max_completion_tokens,
        limits.max_output_tokens,
    ];
    let output = outputs.into_iter().flatten().fold(0.0, f64::max);
    let all = output * limits.n.unwrap_or(1.0).max(1.0);
    Ok((all as u64).saturating_add(body.len() as u64))
}

/// Who serves a request.
struct Chosen<'a> {
    /// The name of the target.
    target: &'a str,
    client: &'a Client,
    /// What replaces the body's model, and where that is.
    model: Option<(String, Range<usize>)>,
}

/// Chooses a provider: the one that the header names, or that stands before a slash in the body's model; else the only one whose API the
/// caller writes, which the header `anthropic-version` or the path tells.
fn choose<'a>(router: &'a Router, parts: &Parts, body: &[u8]) -> Result<Chosen<'a>, ApiError> {
    let chosen = |(target, client): (&'a str, &'a Client)| Chosen {
        target,
        client,
        model: None,
    };
    let named = |name: &str| {
        let by_name = router.targets().find(|(target, _)| *target == name);
        let by_provider = || {
            let mut targets = router.targets();
            targets.find(|(_, client)| client.provider().name() == name)
        };
        by_name.or_else(by_provider).map(chosen)
    };
    let names = || {
        let names: Vec<&str> = router.targets().map(|(name, _)| name).collect();
        names.join(", ")
    };
    if let Some(name) = parts.headers.get(PROVIDER) {
        let by_header = name.to_str().ok().and_then(|name| named(name.trim()));
        return by_header.ok_or_else(|| {
            let message = format!("{PROVIDER} is {name:?}: it must be one of {}", names());
            ApiError::new(StatusCode::BAD_REQUEST, "provider", message)
        });
    }
    if let Some((model, place)) = model_of(body)
        && let Some((name, rest)) = model.split_once('/')
        && let Some(chosen) = named(name)
    {
        let model = Some((rest.to_owned(), place));
        return Ok(Chosen { model, ..chosen });
    }
    let is_anthropic = dialect_of(&parts.headers, parts.uri.path()) == DialectName::Anthropic;
    let mut targets = router.targets();
    let mut of_dialect = router
        .targets()
        .filter(|(_, client)| (client.dialect_name() == DialectName::Anthropic) == is_anthropic);
    let only = match (of_dialect.next(), of_dialect.next()) {
        (Some(target), None) => Some(target),
        (None, _) => targets.next().filter(|_| targets.next().is_none()),
        (Some(_), Some(_)) => None,
    };
    only.map(chosen).ok_or_else(|| {
        let message = format!(
            "there is no {} here, and which provider it is for is not known: name one by the header {PROVIDER} or by \
             \"model\": \"NAME/MODEL\", where NAME is one of {}; there are {}",
            parts.uri.path(),
            names(),
            PATHS
        );
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    })
}

/// Returns the model of a JSON body, and where it is.
fn model_of(body: &[u8]) -> Option<(String, Range<usize>)> {
    #[derive(Deserialize)]
    struct Asked<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let ByName(asked) = serde_json::from_slice::<ByName<Asked<'_>>>(body).ok()?;
    let raw = asked.model.get();
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    let model = serde_json::from_str(raw).ok()?;
    Some((model, start..start + raw.len()))
}
