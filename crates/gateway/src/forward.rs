//! Requests to other paths below `/v1`, which are passed through to the provider that the caller names.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_core::Stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use warmline::{ByName, Client, DialectName, ForwardResponse, Router};

use crate::api_error::ApiError;
use crate::paths::PATHS;
use crate::request_body::{Held, discard};
use crate::state::GatewayState;

/// The header by which a caller names a provider, or a target of the router.
const PROVIDER: &str = "x-warmline-provider";

/// The headers of requests that reach the provider: those that say what is asked for and how. Not those that name an account or a
/// session (`openai-organization`, `x-session-id`), nor what a program says of itself (`user-agent`, `x-stainless-*`).
const REQUEST_HEADERS: [&str; 9] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "idempotency-key",
    "if-none-match",
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
    match try_forward(&state, &parts, &mut body).await {
        Ok(response) => response,
        Err(error) => {
            discard(&parts.headers, body);
            error.into_response(dialect_of(&parts))
        }
    }
}

fn dialect_of(parts: &Parts) -> DialectName {
    match parts.headers.contains_key("anthropic-version") {
        true => DialectName::Anthropic,
        false => crate::api_error::dialect_of(parts.uri.path()),
    }
}

async fn try_forward(
    state: &GatewayState,
    parts: &Parts,
    body: &mut Body,
) -> Result<Response, ApiError> {
    let caller = state.caller(&parts.headers)?;
    let (mut body, held) = state
        .body_limits
        .read(body, caller.held(), state.shut_down())
        .await?;
    let chosen = choose(&caller.router, parts, &body)?;
    if let Some((model, place)) = chosen.model {
        let model = serde_json::to_string(&model).unwrap_or_default();
        body = [&body[..place.start], model.as_bytes(), &body[place.end..]]
            .concat()
            .into();
    }
    let path = parts.uri.path();
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut request = axum::http::Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target.parse().map_err(|e| {
        let message = format!("the path cannot be forwarded: {e}");
        ApiError::new(StatusCode::BAD_REQUEST, "path", message)
    })?;
    *request.headers_mut() = kept(&parts.headers, &REQUEST_HEADERS);
    let taken = caller.reserve_request(&state.shared).await?;
    match chosen.client.forward(request, []).await {
        Ok(response) => Ok(respond(response, held)),
        Err(error) => {
            let limits = taken.as_ref().map(|taken| taken.limits.clone());
            if let Some(taken) = taken {
                taken.settle_failed(&error);
            }
            Err(ApiError::from(error)
                .retried_by_caller()
                .limits(limits.unwrap_or_default()))
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

fn respond(response: ForwardResponse, held: Held) -> Response {
    let status = response.status();
    let headers = kept(response.headers(), &RESPONSE_HEADERS);
    let attempts = response.attempts();
    let body = ForwardBody {
        response,
        _held: held,
    };
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert("x-warmline-attempts", HeaderValue::from(attempts));
    response
}

/// The body of a response. An error cuts it, so that nobody takes it for whole.
struct ForwardBody {
    response: ForwardResponse,
    /// The request's bytes, which the call keeps for as long as it runs.
    _held: Held,
}

impl Stream for ForwardBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = self.response.poll_chunk(cx);
        chunk.map(|chunk| Some(chunk?.map_err(io::Error::other)))
    }
}

/// Who serves a request.
struct Chosen<'a> {
    client: &'a Client,
    /// What replaces the body's model, and where that is.
    model: Option<(String, Range<usize>)>,
}

/// Chooses a provider: the one that the header names, or that stands before a slash in the body's model; else the only one whose API the
/// caller writes, which the header `anthropic-version` or the path tells.
fn choose<'a>(router: &'a Router, parts: &Parts, body: &[u8]) -> Result<Chosen<'a>, ApiError> {
    let named = |name: &str| {
        let by_name = router.targets().find(|(target, _)| *target == name);
        let by_provider = || {
            let mut targets = router.targets();
            targets.find(|(_, client)| client.provider().name() == name)
        };
        by_name.or_else(by_provider).map(|(_, client)| client)
    };
    let names = || {
        let names: Vec<&str> = router.targets().map(|(name, _)| name).collect();
        names.join(", ")
    };
    if let Some(name) = parts.headers.get(PROVIDER) {
        let client = name.to_str().ok().and_then(|name| named(name.trim()));
        return match client {
            Some(client) => Ok(Chosen {
                client,
                model: None,
            }),
            None => {
                let message = format!("{PROVIDER} is {name:?}: it must be one of {}", names());
                Err(ApiError::new(StatusCode::BAD_REQUEST, "provider", message))
            }
        };
    }
    if let Some((model, place)) = model_of(body)
        && let Some((name, rest)) = model.split_once('/')
        && let Some(client) = named(name)
    {
        let model = Some((rest.to_owned(), place));
        return Ok(Chosen { client, model });
    }
    let is_anthropic = dialect_of(parts) == DialectName::Anthropic;
    let mut clients = router.targets().map(|(_, client)| client);
    let mut of_dialect = router
        .targets()
        .map(|(_, client)| client)
        .filter(|client| (client.dialect_name() == DialectName::Anthropic) == is_anthropic);
    let only = match (of_dialect.next(), of_dialect.next()) {
        (Some(client), None) => Some(client),
        (None, _) => clients.next().filter(|_| clients.next().is_none()),
        (Some(_), Some(_)) => None,
    };
    only.map(|client| Chosen {
        client,
        model: None,
    })
    .ok_or_else(|| {
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
