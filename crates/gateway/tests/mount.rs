//! The gateway mounted in another app, before the simulated provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;
use warmline::{
    BoxFuture, Budget, BudgetExceeded, Client, CostTracker, Error, ErrorKind, Ledger, Provider,
    Settlement, Usd,
};
use warmline_gateway::{AlertLog, ApiKeys, Gateway, GatewayBuilder, Server, not_found};
use warmline_sim::{Config, Sim};

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

fn client(sim: &Sim, provider: Provider, tracker: CostTracker) -> Client {
    let url = match provider {
        Provider::Anthropic => sim.anthropic_url(),
        _ => sim.openai_url(),
    };
    let builder = Client::builder(provider).api_key("simulated").base_url(url);
    builder.no_proxy().cost_tracker(tracker).build().unwrap()
}

/// A gateway with a client for each provider.
fn gateway(sim: &Sim) -> GatewayBuilder {
    let tracker = CostTracker::new();
    Gateway::builder()
        .client(client(sim, Provider::Anthropic, tracker.clone()))
        .client(client(sim, Provider::OpenAi, tracker))
}

/// An app that has a route of its own.
fn app() -> Router {
    Router::new().route("/own", get(|| async { "own" }))
}

fn get_request(path: &str, host: &str) -> Request<Body> {
    let request = Request::get(path).header("host", host);
    request.body(Body::empty()).unwrap()
}

fn call(path: &str, model: &str, stream: bool) -> Request<Body> {
    let body = json!({"model": model, "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
    Request::post(path).body(body.to_string().into()).unwrap()
}

async fn send(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_str(&text(response).await).unwrap())
}

#[tokio::test]
async fn it_is_nested_beside_another_route() {
    let sim = sim().await;
    let app = app().nest("/llm", gateway(&sim).build().unwrap().router());
    for path in ["/llm/v1/messages", "/llm/v1/chat/completions"] {
        let (status, reply) = json(send(&app, call(path, "m?tokens=3", false)).await).await;
        assert_eq!(status, 200, "{reply}");
        let stream = send(&app, call(path, "m?tokens=3", true)).await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        let events = text(stream).await;
        assert!(events.matches("data: ").count() > 3, "{events}");
        // Errors have the shape of the dialect, though the path has a prefix.
        let (status, error) = json(send(&app, get_request(path, "localhost")).await).await;
        assert_eq!(status, 405);
        assert_eq!(error["type"] == "error", path.ends_with("messages"));
    }
    let (_, stats) = json(send(&app, get_request("/llm/v1/llm/stats", "localhost")).await).await;
    for provider in ["anthropic", "openai"] {
        assert_eq!(stats["providers"][provider]["calls"]["total"], 2, "{stats}");
    }
    assert_eq!(
        text(send(&app, get_request("/own", "localhost")).await).await,
        "own"
    );
    assert_eq!(sim.stats().requests, 4);
}

#[tokio::test]
async fn paths_may_lack_v1_and_end_with_a_slash_and_others_are_told_what_there_is() {
    let sim = sim().await;
    let gateway = gateway(&sim).build().unwrap();
    let app = gateway.router_with_fallback(Router::new().fallback(not_found));
    for path in [
        "/messages",
        "/messages/",
        "/v1/messages/",
        "/chat/completions",
        "/chat/completions/",
        "/v1/chat/completions/",
    ] {
        let (status, reply) = json(send(&app, call(path, "m?tokens=3", false)).await).await;
        assert_eq!(status, 200, "{path}: {reply}");
        let (status, error) = json(send(&app, get_request(path, "localhost")).await).await;
        assert_eq!(status, 405, "{path}");
        assert_eq!(
            error["type"] == "error",
            path.contains("messages"),
            "{error}"
        );
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("POST /v1/messages"), "{message}");
    }
    for path in [
        "/llm/stats",
        "/v1/llm/stats/",
        "/metrics/",
        "/healthz/",
        "/readyz/",
        "/",
    ] {
        let response = send(&app, get_request(path, "localhost")).await;
        assert_eq!(response.status(), 200, "{path}");
    }
    for path in [
        "/",
        "/v1/messages",
        "/messages/",
        "/v1/chat/completions",
        "/healthz",
        "/v1/llm/stats",
    ] {
        let request = Request::head(path)
            .header("host", "localhost")
            .body(Body::empty());
        let response = send(&app, request.unwrap()).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(text(response).await, "");
    }
    for path in ["/v2/messages", "/v1", "//v1/messages", "/responses/x"] {
        let (status, error) = json(send(&app, call(path, "m", false)).await).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(status, 404);
        let says = format!(
            "there is no {path}: there are POST /v1/messages, /v1/messages/count_tokens, /v1/chat/completions, /v1/responses and "
        );
        assert!(message.starts_with(&says), "{message}");
    }
}

#[tokio::test]
async fn the_preflight_allows_every_header_to_allowed_origins_and_none_to_others() {
    let sim = sim().await;
    let origin = "https://example.com";
    let gateway = gateway(&sim).allow_origin(origin.parse().unwrap());
    let app = gateway.build().unwrap().router();
    let headers = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,openai-organization,idempotency-key,x-of-tomorrow";
    for (from, allowed) in [(origin, Some(origin)), ("https://example.org", None)] {
        for path in ["/v1/messages", "/chat/completions"] {
            let preflight = Request::options(path)
                .header("host", "localhost")
                .header("origin", from)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", headers)
                .header("access-control-request-private-network", "true");
            let response = send(&app, preflight.body(Body::empty()).unwrap()).await;
            let given = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap())
            };
            assert_eq!(given("access-control-allow-origin"), allowed);
            if allowed.is_some() {
                assert_eq!(given("access-control-allow-headers"), Some(headers));
                assert_eq!(given("access-control-allow-private-network"), Some("true"));
                assert!(
                    given("access-control-allow-methods")
                        .unwrap()
                        .contains("POST")
                );
            }
        }
    }
}

/// A ledger that cannot be used, and whose errors name what callers must not see.
struct Unreachable;

const INTERNAL: &str = "redis.internal:6379 /var/lib/spend.log https://example.upstash.io";

fn unreachable<T: Send + 'static>() -> BoxFuture<'static, warmline::Result<T>> {
    let error = Error::new(ErrorKind::Connect, INTERNAL).with_source(INTERNAL);
    Box::pin(std::future::ready(Err(error)))
}

impl Ledger for Unreachable {
    fn reserve<'a>(
        &'a self,
        _id: u64,
        _budgets: &'a [Budget],
        _amount: Usd,
    ) -> BoxFuture<'a, warmline::Result<Result<(), BudgetExceeded>>> {
        unreachable()
    }

    fn settle(&self, _id: u64, _amount: Usd) -> Settlement {
        Settlement::Pending(unreachable())
    }

    fn state<'a>(&'a self, _budget: &'a str) -> BoxFuture<'a, warmline::Result<(Usd, Usd)>> {
        unreachable()
    }
}

#[tokio::test]
async fn callers_do_not_see_the_details_of_a_ledgers_error() {
    let sim = sim().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let budget = Budget::monthly("all", "1".parse().unwrap()).unwrap();
    let tracker = CostTracker::new().budget(budget).ledger(Unreachable);
    let gateway = Gateway::builder()
        .client(client(&sim, Provider::Anthropic, tracker.clone()))
        .client(client(&sim, Provider::OpenAi, tracker));
    let app = gateway.build().unwrap().router();
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for stream in [false, true] {
            let (status, error) = json(send(&app, call(path, "m?tokens=3", stream)).await).await;
            assert_eq!(status, 503);
            let mut expected = match path {
                "/v1/messages" => json!({"type": "error", "error": {"type": "api_error"}}),
                _ => json!({"error": {"type": "api_error", "code": "ledger", "param": null}}),
            };
            let message = error["error"]["message"].clone();
            assert!(message.as_str().unwrap().contains("the ledger"), "{error}");
            expected["error"]["message"] = message;
            assert_eq!(error, expected);
            assert!(log.take().contains(INTERNAL));
        }
    }
    let stats = send(&app, get_request("/v1/llm/stats", "localhost")).await;
    let metrics = send(&app, get_request("/metrics", "localhost")).await;
    let ready = send(&app, get_request("/readyz", "localhost")).await;
    assert_eq!([stats.status(), ready.status()], [503; 2]);
    for response in [stats, metrics, ready] {
        let text = text(response).await;
        for secret in INTERNAL.split(' ') {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert_eq!(sim.stats().requests, 0);
}

#[tokio::test]
async fn a_key_that_the_provider_echoes_does_not_reach_callers() {
    let key = "sk-live-0123456789abcdefghijklmnopqrstuvwxyz";
    let escaped: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let error = format!(r#"{{"error":{{"message":"{key} {escaped}","type":"{key}"}}}}"#);
    let reply = format!(
        r#"{{"id":"{key}","model":"m","choices":[{{"finish_reason":"stop","message":{{"content":"{escaped}"}}}}]}}"#
    );
    let events = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{escaped}\"}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    for (status, content_type, body, stream) in [
        ("401 Unauthorized", "application/json", &error, false),
        ("403 Forbidden", "text/plain", &key.to_owned(), true),
        ("200 OK", "application/json", &reply, false),
        ("200 OK", "text/event-stream", &events, true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nx-request-id: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert_ne!(socket.read(&mut request).await.unwrap(), 0);
            socket.write_all(response.as_bytes()).await.unwrap();
            // The connection stays open until the client closes it.
            let _ = socket.read(&mut request).await;
        });
        let client = Client::builder(Provider::OpenAi).api_key(key).no_proxy();
        let client = client.base_url(url).build().unwrap();
        let gateway = Gateway::builder().client(client).build().unwrap();
        let answer = send(&gateway.router(), call("/v1/chat/completions", "m", stream)).await;
        assert_eq!(answer.status().as_str(), &status[..3]);
        let headers = format!("{:?}", answer.headers());
        let body = text(answer).await;
        assert!(headers.contains("[redacted]"), "{headers}");
        assert!(body.contains("[redacted]"), "{body}");
        for shown in [headers, body] {
            assert!(!shown.contains(&key[8..]), "{shown}");
            assert!(!shown.contains(&escaped[48..]), "{shown}");
        }
    }
}

/// The lines that are logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn its_checks_and_its_fallback_are_not_imposed_on_the_app() {
    let sim = sim().await;
    let gateway = gateway(&sim).build().unwrap();
    let merged = app().merge(gateway.router());
    let with_fallback = app()
        .fallback(|| async { (StatusCode::GONE, "the app's") })
        .merge(gateway.router());
    let whole = gateway.router_with_fallback(app().fallback(not_found));
    for (path, expected) in [
        // Merged, merged into an app with a fallback, and with the app as the gateway's fallback.
        ("/own", [200, 200, 403]),
        ("/nowhere", [404, 410, 403]),
        ("/metrics", [403, 403, 403]),
        ("/healthz", [200, 200, 200]),
    ] {
        let mut given = [0; 3];
        for (app, given) in [&merged, &with_fallback, &whole]
            .into_iter()
            .zip(&mut given)
        {
            let response = send(app, get_request(path, "evil.com")).await;
            *given = response.status().as_u16();
        }
        assert_eq!(given, expected, "{path}");
    }
    let (status, error) = json(send(&whole, get_request("/messages/x", "localhost")).await).await;
    assert_eq!((status.as_u16(), &error["type"]), (404, &json!("error")));
    let own = send(&whole, get_request("/own", "localhost")).await;
    assert_eq!(own.status(), 200);
}

#[tokio::test]
async fn callers_need_a_key_and_have_their_own_budget() {
    let sim = sim().await;
    let keys = r#"[
        {"name": "alice", "key": "alice-key-0123456789"},
        {"name": "bob", "key": "bob-key-012345678901", "budget": "0.000001"}
    ]"#;
    let keys = ApiKeys::from_json(keys).unwrap();
    let app = gateway(&sim).api_keys(keys).build().unwrap().router();
    for (key, expected) in [
        ("alice-key-0123456789", 200),
        ("bob-key-012345678901", 402),
        ("wrong", 401),
    ] {
        let mut request = call("/v1/messages", "m?tokens=1", false);
        let headers = request.headers_mut();
        headers.insert("x-api-key", key.parse().unwrap());
        headers.insert("host", "gateway.example.com".parse().unwrap());
        assert_eq!(send(&app, request).await.status(), expected, "{key}");
    }
}

#[tokio::test]
async fn alerts_of_budgets_are_in_the_statistics() {
    let sim = sim().await;
    let alerts = AlertLog::default();
    let recorded = alerts.clone();
    let tracker = CostTracker::new()
        .budget(Budget::monthly("small", "0.1".parse().unwrap()).unwrap())
        .on_alert(move |alert| recorded.record_budget(alert));
    let app = Gateway::builder()
        .client(client(&sim, Provider::Anthropic, tracker))
        .alert_log(alerts)
        .build()
        .unwrap()
        .router();
    // Calls until the budget is used up.
    while send(&app, call("/v1/messages", "m?tokens=50", false))
        .await
        .status()
        == 200
    {}
    let (_, stats) = json(send(&app, get_request("/v1/llm/stats", "localhost")).await).await;
    let alert = &stats["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["budget"]),
        (&json!("budget"), &json!("small")),
        "{stats}"
    );
}

#[tokio::test]
async fn a_shutdown_ends_live_statistics_and_the_sampling() {
    let sim = sim().await;
    let gateway = gateway(&sim).build().unwrap();
    let sampling = tokio::spawn(gateway.sample_pools());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app().merge(gateway.router());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn({
        let gateway = gateway.clone();
        async move {
            let shutdown = async move {
                let _ = stopped.await;
                gateway.shutdown();
            };
            let server = Server::new(listener).shutdown_on(shutdown);
            server.serve(app).await
        }
    });
    let mut caller = BufReader::new(TcpStream::connect(address).await.unwrap());
    let request = "GET /v1/llm/stats?every=50 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert_ne!(caller.read_line(&mut line).await.unwrap(), 0);
    }
    stop.send(()).unwrap();
    // The stream ends, and so does the server, which waits for it.
    let mut rest = Vec::new();
    caller.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(server.await.unwrap().cut_requests, 0);
    sampling.await.unwrap();
    gateway.flush().await.unwrap();
}

#[tokio::test]
async fn there_is_one_client_for_each_provider() {
    let sim = sim().await;
    let again = client(&sim, Provider::OpenAi, CostTracker::new());
    let error = gateway(&sim).client(again).build().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("there is more than one client for openai"),
        "{error}"
    );
}
