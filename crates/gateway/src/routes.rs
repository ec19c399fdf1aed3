//! The routes of the gateway, and their handlers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use serde::Deserialize;
use serde_json::json;
use tower_service::Service;
use warmline::{CallOptions, DialectName};

use crate::api_error::{ApiError, dialect_of, json_response};
use crate::forward::forward;
use crate::live_stats;
use crate::models::{model, models};
use crate::paths::{PATHS, normal_form};
use crate::proxy_body::ProxyBody;
use crate::request_body::respond;
use crate::state::GatewayState;

/// The routes that the guard protects.
pub(crate) fn api(state: Arc<GatewayState>) -> Router {
    let by_normal_form = {
        let routes = endpoints(any(forward))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(state.clone());
        any(move |request| route_by_normal_form(routes.clone(), request))
    };
    let router = endpoints(by_normal_form);
    route(router, "/metrics", get(metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// The endpoints that callers of a provider ask for. `other` answers at the other paths below `/v1`.
fn endpoints(other: MethodRouter<Arc<GatewayState>>) -> Router<Arc<GatewayState>> {
    let mut router = Router::new();
    // Base URLs are written with `/v1` and without it.
    for prefix in ["/v1", ""] {
        let path = |path| format!("{prefix}{path}");
        router = route(router, &path("/messages"), post(messages).head(exists));
        router = route(
            router,
            &path("/chat/completions"),
            post(chat_completions).head(exists),
        );
        router = route(router, &path("/responses"), post(responses).head(exists));
        for count in ["/messages/count_tokens", "/responses/input_tokens"] {
            router = route(router, &path(count), post(count_tokens).head(exists));
        }
        router = route(router, &path("/models"), get(models));
        // Its ID can have slashes.
        router = router.route(&path("/models/{*id}"), other.clone().get(model));
        router = route(router, &path("/llm/stats"), get(stats));
    }
    router.route("/v1/{*path}", other)
}

/// Routes a request again by the normal form of its path, so that no endpoint is reached in another way than by its route.
async fn route_by_normal_form(mut routes: Router, mut request: Request) -> Response {
    match in_normal_form(request.uri()) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(why) => {
            let path: String = request.uri().path().chars().take(256).collect();
            let message = format!("the path {path:?} {why}");
            let error = ApiError::new(StatusCode::BAD_REQUEST, "path", message);
            let (parts, body) = request.into_parts();
            let dialect = dialect_of(&parts.headers, parts.uri.path());
            return respond(Err(error), &parts.headers, body, dialect);
        }
    }
    match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn in_normal_form(uri: &Uri) -> Result<Uri, String> {
    let path = match normal_form(uri.path())? {
        Cow::Borrowed(_) => return Ok(uri.clone()),
        Cow::Owned(path) => path,
    };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    target.parse().map_err(|e| format!("is invalid: {e}"))
}

/// The routes for health checks. The guard does not protect them, since such checks call by address.
pub(crate) fn health(state: Arc<GatewayState>) -> Router {
    let router = route(Router::new(), "/healthz", get(async || "ok\n"));
    route(router, "/readyz", get(ready))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// Adds a route, and the same with a slash at its end.
fn route(
    router: Router<Arc<GatewayState>>,
    path: &str,
    methods: MethodRouter<Arc<GatewayState>>,
) -> Router<Arc<GatewayState>> {
    router
        .route(&format!("{path}/"), methods.clone())
        .route(path, methods)
}

async fn messages(State(state): State<Arc<GatewayState>>, request: Request) -> Response {
    proxy(&state, DialectName::Anthropic, request).await
}

async fn chat_completions(State(state): State<Arc<GatewayState>>, request: Request) -> Response {
    proxy(&state, DialectName::OpenAiChat, request).await
}

async fn responses(State(state): State<Arc<GatewayState>>, request: Request) -> Response {
    proxy(&state, DialectName::OpenAiResponses, request).await
}

/// Answers programs that ask by a HEAD request whether a path is there.
async fn exists() {}

async fn proxy(state: &GatewayState, dialect: DialectName, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let outcome = try_proxy(state, dialect, &parts, &mut body).await;
    respond(outcome, &parts.headers, body, dialect)
}

async fn try_proxy(
    state: &GatewayState,
    dialect: DialectName,
    parts: &Parts,
    body: &mut Body,
) -> Result<Response, ApiError> {
    let caller = state.authorize(dialect, &parts.headers)?;
    let options = options(parts);
    let (body, held) = state
        .body_limits
        .read(&parts.headers, body, caller.held(), state.shut_down())
        .await?;
    let body = match caller.router.route(dialect, body) {
        Ok(body) => body,
        Err(error) => {
            let target = caller.router.targets_speaking(dialect).next();
            if let Some(in_flight) = target.and_then(|target| state.metrics.call_started(target)) {
                in_flight.failed(&error);
            }
            return Err(error.into());
        }
    };
    let taken = caller.reserve(&state.shared, || body.max_tokens()).await?;
    // The one that may serve the call, until it is known which one does.
    let target = body.targets().next();
    let mut in_flight = target.and_then(|target| state.metrics.call_started(target));
    match body.send(options).await {
        Ok(response) => {
            if let Some(in_flight) = &mut in_flight {
                in_flight.answered(response.target(), response.attempts());
            }
            let body = ProxyBody::new(response, dialect, in_flight, taken, held);
            Ok(body.into_response().await)
        }
        Err(error) => {
            if let Some(in_flight) = in_flight {
                in_flight.failed(&error);
            }
            let limits = taken.as_ref().map(|taken| taken.limits.clone());
            if let Some(taken) = taken {
                taken.settle_failed(&error);
            }
            Err(ApiError::from(error).limits(limits.unwrap_or_default()))
        }
    }
}

/// Answers with the number of input tokens of a request. It takes nothing of a budget, and of the limits of a key one count.
async fn count_tokens(State(state): State<Arc<GatewayState>>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let dialect = dialect_of(&parts.headers, parts.uri.path());
    let outcome = try_count(&state, dialect, &parts, &mut body).await;
    respond(outcome, &parts.headers, body, dialect)
}

async fn try_count(
    state: &GatewayState,
    dialect: DialectName,
    parts: &Parts,
    body: &mut Body,
) -> Result<Response, ApiError> {
    let caller = state.authorize(dialect, &parts.headers)?;
    let (body, _held) = state
        .body_limits
        .read(&parts.headers, body, caller.held(), state.shut_down())
        .await?;
    let body = caller.router.route(dialect, body)?;
    caller.take_count(&state.shared).await?;
    let count = body.count_tokens(options(parts)).await?;
    Ok(match (&count.raw, dialect) {
        (Some(raw), _) => json_response(StatusCode::OK, raw),
        (None, DialectName::Anthropic) => {
            json_response(StatusCode::OK, &json!({"input_tokens": count.input_tokens}))
        }
        (None, _) => {
            let count =
                json!({"object": "response.input_tokens", "input_tokens": count.input_tokens});
            json_response(StatusCode::OK, &count)
        }
    })
}

/// Returns what the head of a request says of its call: the query and the headers that are forwarded to the provider, and the key of its
/// conversation.
fn options(parts: &Parts) -> CallOptions {
    let mut options = CallOptions::from(forwarded_headers(&parts.headers));
    options.query = parts.uri.query().map(str::to_owned);
    let session = parts.headers.get("x-session-id");
    options.conversation = session.and_then(|id| id.to_str().ok()).map(str::to_owned);
    options
}

/// The headers of a caller that are forwarded to the provider: those that change what is asked for, and `idempotency-key`, by which the provider
/// recognises a request that the caller repeats.
///
/// Not forwarded are those that name an account (`openai-organization`, `openai-project`), because the account is the gateway's, those by which a program
/// describes itself (`user-agent`, `x-stainless-*`), and `x-session-id`, which is for the gateway.
fn forwarded_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let names = [
        "anthropic-beta",
        "anthropic-version",
        "idempotency-key",
        "openai-beta",
    ];
    let value = |name: &str| {
        let values = headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| (name.to_owned(), values.join(",")))
    };
    names.into_iter().filter_map(value).collect()
}

#[derive(Deserialize)]
struct StatsQuery {
    /// The maximum number of samples of each pool, of which there is one a second; all by default.
    samples: Option<usize>,
    /// The interval in milliseconds at which the statistics are sent, as server-sent events; by default they are sent once.
    every: Option<u64>,
}

async fn stats(
    State(state): State<Arc<GatewayState>>,
    query: Result<Query<StatsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    match try_stats(state, query, headers).await {
        Ok(response) => response,
        Err(error) => error.into_response(DialectName::OpenAiChat),
    }
}

async fn try_stats(
    state: Arc<GatewayState>,
    query: Result<Query<StatsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|rejection| {
        ApiError::new(StatusCode::BAD_REQUEST, "query", rejection.body_text())
    })?;
    let view = state.view(&headers)?;
    let samples = query.samples.unwrap_or(usize::MAX);
    Ok(match query.every {
        Some(every) => {
            let events = live_stats::events(state, headers, samples, Duration::from_millis(every));
            with_content_type(Body::from_stream(events), "text/event-stream")
        }
        None => json_response(StatusCode::OK, &state.stats(&view, samples).await?),
    })
}

async fn metrics(State(state): State<Arc<GatewayState>>, headers: HeaderMap) -> Response {
    if let Err(error) = state.require_operator(&headers) {
        return error.into_response(DialectName::OpenAiChat);
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    with_content_type(state.metrics_text().await.into(), content_type)
}

/// Whether calls can be made. They would fail if the ledger cannot be reached.
async fn ready(State(state): State<Arc<GatewayState>>) -> Response {
    for (_, client) in state.router().targets() {
        if let Err(error) = client.cost_tracker().spend().await {
            let message = ApiError::from(error).message().to_owned() + "\n";
            return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
        }
    }
    Response::new(Body::from("ok\n"))
}

fn with_content_type(body: Body, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A handler for all other paths: a 404 in the caller's dialect, whose message lists the gateway's paths. At `/` they are the response.
///
/// ```
/// let fallback = axum::Router::<()>::new().fallback(warmline_gateway::not_found);
/// ```
pub async fn not_found(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if path == "/" && (method == Method::GET || method == Method::HEAD) {
        return format!("This is a gateway for LLM APIs: there are {PATHS}.\n").into_response();
    }
    let message = format!("there is no {path}: there are {PATHS}");
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
        .into_response(dialect_of(request.headers(), path))
}

async fn method_not_allowed(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{path} does not support {method}: there are {PATHS}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
        .into_response(dialect_of(request.headers(), path))
}
