//! `warmline serve`: a gateway, so that callers need no key of the provider.

mod alerts;
mod answer;
mod api_keys;
mod metrics;
mod origin;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::serve::{Listener, ListenerExt};
use clap::Args;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower_http::services::ServeDir;
use warmline::{AlertThresholds, Client, Provider};

use self::alerts::Alerts;
use self::answer::{Answer, ApiError};
use self::api_keys::ApiKeys;
use self::metrics::Metrics;
use self::origin::{Guard, Origins};
use crate::environment::{self, Overrides};
use crate::report::Failure;

#[derive(Args)]
pub(crate) struct Options {
    /// The address to listen on. Others than this machine can call only where it is another one.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// A JSON file of who may call: [{"name": "alice", "key": "…", "budget": "5"}], the budget in dollars a month. Without it
    /// everyone may who reaches the port.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// An origin whose pages may call, such as `https://example.com`; can be given several times, and `*` allows all. Pages of this gateway
    /// itself (--site) always may. Without --keys, requests of other pages are refused.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// A host that callers may use in the URL, such as `gateway.example.com`; can be given several times. Without --keys, requests to
    /// other hosts are refused, except to `localhost`, to loopback addresses and to the address of --host (to every address where that is
    /// 0.0.0.0 or ::). With --keys every host is accepted.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// The largest request that is read, in bytes.
    #[arg(long, default_value_t = 32 << 20, value_name = "BYTES")]
    max_body: usize,
    /// How long a call may wait for a connection, in milliseconds, before there is an alert.
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    alert_wait: u64,
    /// A folder of pages to serve besides, such as the demo's.
    #[arg(long, value_name = "FOLDER")]
    site: Option<PathBuf>,
    /// The most that may be spent this month, in dollars, or `none`. [env: LLM_BUDGET_LIMIT] [default: 50.0]
    #[arg(long, allow_negative_numbers = true)]
    budget: Option<String>,
    /// Answer with the simulated provider, even if a provider's key is set.
    #[arg(long)]
    simulate: bool,
}

/// What every request needs.
struct Gateway {
    clients: Vec<Client>,
    api_keys: ApiKeys,
    metrics: Metrics,
    /// Whether it has been told to end.
    ending: watch::Sender<bool>,
}

impl Gateway {
    /// The stats again and again, until the gateway is told to end.
    fn live(self: Arc<Self>, samples: usize, every: Duration) -> Response {
        let ending = self.ending.subscribe();
        let state = (self, ending, tokio::time::interval(every));
        let events = futures_util::stream::unfold(state, move |mut state| async move {
            let (gateway, ending, ticks) = &mut state;
            tokio::select! {
                _ = ticks.tick() => {}
                _ = ending.wait_for(|ending| *ending) => return None,
            }
            let stats = gateway.metrics.stats(&gateway.clients, samples).await;
            // A ledger that cannot be reached just now may be so the next time.
            let event =
                stats.map_or_else(|_| ":\n\n".to_owned(), |stats| format!("data: {stats}\n\n"));
            Some((Ok::<_, std::convert::Infallible>(event), state))
        });
        let mut response = Response::new(Body::from_stream(events));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn client(&self, provider: Provider) -> Result<&Client, ApiError> {
        let found = self
            .clients
            .iter()
            .find(|client| client.provider() == provider);
        found.ok_or_else(|| {
            let key = provider.key_variable();
            let message =
                format!("this gateway has no key for {provider}: set {key} where it runs");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_configured", message)
        })
    }
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let origins = Origins::parse(&options.allow_origin)?;
    let cors = origins.cors();
    let guard = Guard::new(origins, options.host, &options.allow_host)?;
    let guard = options.keys.is_none().then_some(guard);
    let overrides = Overrides {
        budget: options.budget,
        ..Overrides::default()
    };
    let alerts = Alerts::default();
    let thresholds = AlertThresholds {
        wait: Duration::from_millis(options.alert_wait),
        ..AlertThresholds::default()
    };
    let prepare = |builder| alerts.of_pool(builder).alert_thresholds(thresholds);
    let (clients, _sim) = environment::clients(overrides, options.simulate, prepare).await?;
    let clients: Vec<Client> = clients
        .iter()
        .map(|client| alerts.of_budgets(client))
        .collect();
    let api_keys = match &options.keys {
        Some(file) => ApiKeys::read(file).map_err(Failure::Config)?,
        None => ApiKeys::default(),
    };
    let gateway = Arc::new(Gateway {
        metrics: Metrics::new(&clients, alerts),
        clients,
        api_keys,
        ending: watch::Sender::new(false),
    });
    let app = router(gateway.clone(), options.max_body, options.site, guard).layer(cors);
    let address = SocketAddr::from((options.host, options.port));
    let listener = listen(address).await.map_err(|e| {
        Failure::Config(format!(
            "{address} cannot be listened on: {e}; choose another with --port or --host"
        ))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    eprintln!("listening on http://{address}, Ctrl-C ends it once its streams have ended");
    if !options.host.is_loopback() && options.keys.is_none() {
        eprintln!(
            "anyone who reaches this address can spend from the budget: give --keys to say who may"
        );
    }
    let sampling = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.metrics.sample(&gateway.clients).await }
    });
    let told = {
        let gateway = gateway.clone();
        async move {
            shutdown_signal().await;
            gateway.ending.send_replace(true);
        }
    };
    let served = axum::serve(listener, app)
        .with_graceful_shutdown(told)
        .await;
    sampling.abort();
    served.map_err(|e| Failure::Other(format!("the gateway has failed: {e}")))?;
    for client in &gateway.clients {
        client.cost_tracker().flush().await?;
    }
    Ok(())
}

/// Listens for callers. Their connections have `TCP_NODELAY` set: otherwise the system holds back the small writes of a stream until the
/// caller has acknowledged the write before, which callers put off for up to 40 ms.
async fn listen(
    address: SocketAddr,
) -> std::io::Result<impl Listener<Io = TcpStream, Addr = SocketAddr>> {
    let listener = TcpListener::bind(address).await?;
    Ok(listener.tap_io(|socket| {
        // This fails for a connection that the caller has closed already, which then ends when it is read.
        let _ = socket.set_nodelay(true);
    }))
}

/// Ctrl-C, or what a service manager sends.
async fn shutdown_signal() {
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

fn router(
    gateway: Arc<Gateway>,
    max_body: usize,
    site: Option<PathBuf>,
    guard: Option<Guard>,
) -> Router {
    let api = Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/chat/completions", post(completions))
        .route("/v1/llm/stats", get(stats))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(gateway.clone());
    let mut app = match site {
        Some(folder) => api.fallback_service(ServeDir::new(folder).fallback(any(unknown))),
        None => api.fallback(any(unknown)),
    };
    if let Some(guard) = guard {
        app = app.layer(middleware::from_fn_with_state(
            Arc::new(guard),
            origin::check,
        ));
    }
    // Probes come by address, and are not guarded.
    let probes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(wrong_method)
        .with_state(gateway);
    app.merge(probes)
}

async fn messages(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    pass(gateway, Provider::Anthropic, request).await
}

async fn completions(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    pass(gateway, Provider::OpenAi, request).await
}

async fn pass(gateway: Arc<Gateway>, provider: Provider, request: Request) -> Response {
    match try_pass(gateway, provider, request).await {
        Ok(response) => response,
        Err(api_error) => api_error.in_dialect(provider),
    }
}

async fn try_pass(
    gateway: Arc<Gateway>,
    provider: Provider,
    request: Request,
) -> Result<Response, ApiError> {
    let budget = gateway.api_keys.authenticate(request.headers())?;
    let client = gateway.client(provider)?;
    let client = match budget {
        Some(budget) => client.with_cost_tracker(client.cost_tracker().clone().budget(budget)),
        None => client.clone(),
    };
    let headers = forwarded_headers(request.headers());
    let body = read(request).await?;
    let started = gateway.metrics.begin(provider);
    match client.passthrough(body, headers).await {
        Ok(response) => Ok(Answer::new(response, provider, started)
            .into_response()
            .await),
        Err(error) => {
            started.failed(&error);
            Err(error.into())
        }
    }
}

/// What of a caller's headers is the provider's to read.
fn forwarded_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let names = ["anthropic-beta", "anthropic-version", "openai-beta"];
    let value = |name: &str| {
        let values = headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| (name.to_owned(), values.join(",")))
    };
    names.into_iter().filter_map(value).collect()
}

async fn read(request: Request) -> Result<Bytes, ApiError> {
    use axum::extract::FromRequest;
    use axum::response::IntoResponse;
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| {
            let text = rejection.body_text();
            let status = rejection.into_response().status();
            let message = match status {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    "the request is larger than this gateway reads (--max-body)".to_owned()
                }
                _ => text,
            };
            ApiError::new(status, "request", message)
        })
}

/// What of the stats is overrides.
#[derive(Deserialize)]
struct StatsQuery {
    /// How many of the pools' last samples, of which there is one a second: all, where it is left out.
    samples: Option<usize>,
    /// So many milliseconds apart, for ever, as server-sent events; once, where it is left out.
    every: Option<u64>,
}

async fn stats(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<StatsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(why) => {
            let api_error = ApiError::new(StatusCode::BAD_REQUEST, "query", why.body_text());
            return api_error.in_dialect(Provider::OpenAi);
        }
    };
    if let Err(api_error) = gateway.api_keys.authenticate(&headers) {
        return api_error.in_dialect(Provider::OpenAi);
    }
    let samples = query.samples.unwrap_or(usize::MAX);
    if let Some(every) = query.every {
        return gateway.live(samples, Duration::from_millis(every.max(50)));
    }
    match gateway.metrics.stats(&gateway.clients, samples).await {
        Ok(stats) => answer::json(StatusCode::OK, &stats),
        Err(error) => ApiError::from(error).in_dialect(Provider::OpenAi),
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let text = gateway.metrics.text(&gateway.clients).await;
    let mut response = Response::new(Body::from(text));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether calls can be taken: the ledger answers, without which they would fail.
async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    for client in &gateway.clients {
        if let Err(error) = client.cost_tracker().spend().await {
            let mut response = Response::new(Body::from(format!("{error}\n")));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
    }
    Response::new(Body::from("ok\n"))
}

async fn unknown(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let message = format!(
        "there is no {path}: there are POST /v1/messages, POST /v1/chat/completions, GET /v1/llm/stats, /metrics, /healthz and /readyz"
    );
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message).in_dialect(dialect_of(&path))
}

async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let message = format!("{path} does not know {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", message).in_dialect(dialect_of(&path))
}

fn dialect_of(path: &str) -> Provider {
    match path.starts_with("/v1/messages") {
        true => Provider::Anthropic,
        false => Provider::OpenAi,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_to_callers_is_sent_at_once() {
        let mut listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _caller = TcpStream::connect(address).await.unwrap();
        let (socket, _) = listener.accept().await;
        assert!(socket.nodelay().unwrap());
    }
}
