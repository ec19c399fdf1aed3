//! Requests to any endpoint below the base URL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use warmline::{Budget, CallOptions, Client, CostTracker, ErrorKind, Provider, RetryPolicy};
use warmline_sim::{ScriptedServer, Step};

const KEY: &str = "sk-0123456789abcdef";

fn write(text: impl Into<String>) -> Step {
    Step::Write(text.into())
}

fn reply(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![write(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))]
}

fn builder(server: &ScriptedServer) -> warmline::ClientBuilder {
    let retry = RetryPolicy {
        base: Duration::ZERO,
        ..RetryPolicy::default()
    };
    Client::builder(Provider::OpenAi)
        .api_key(KEY)
        .base_url(format!("{}/v1?tenant=7", server.url()))
        .no_proxy()
        .retry(retry)
}

async fn fixture(replies: Vec<Vec<Step>>) -> (ScriptedServer, Client) {
    let server = ScriptedServer::start(replies).await.unwrap();
    let client = builder(&server).build().unwrap();
    (server, client)
}

fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

fn post(path: &str, body: &'static str) -> Request<Bytes> {
    Request::post(path).body(body.into()).unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_but_for_the_headers_that_are_the_clients() {
    let (server, client) = fixture(vec![reply(201, "x-request-id: r1\r\n", "{}")]).await;
    let request = Request::put("/files/a%2Fb?limit=9&tenant=8")
        .header("content-type", "multipart/form-data; boundary=x")
        .header("authorization", "Bearer mine")
        .header("x-api-key", "mine")
        .header("cookie", "mine")
        .header("host", "elsewhere")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "mine")
        .header("accept-encoding", "gzip")
        .header("x-http-method-override", "DELETE")
        .header("openai-beta", "a")
        .header("openai-beta", "b")
        .body("--x\r\n".into())
        .unwrap();
    let response = client.forward(request, []).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-request-id"], "r1");
    assert_eq!(response.bytes(9).await.unwrap(), "{}");
    let arrived = &server.requests()[0];
    let head = arrived.head.to_lowercase();
    assert!(
        head.starts_with("put /v1/files/a%2fb?tenant=7&limit=9 http/1.1"),
        "{head}"
    );
    for line in [
        "content-type: multipart/form-data; boundary=x",
        "openai-beta: a, b",
        "authorization: bearer sk-0123456789abcdef",
        "content-length: 5",
    ] {
        assert!(head.lines().any(|l| l == line), "{line} is not in {head}");
    }
    for absent in ["mine", "cookie", "elsewhere", "gzip", "override", "x-hop"] {
        assert!(!head.contains(absent), "{absent} is in {head}");
    }
    assert_eq!(arrived.body, "--x\r\n");
}

#[tokio::test]
async fn a_request_without_a_body_has_no_content_type() {
    let (server, client) = fixture(vec![reply(200, "", "{}"); 2]).await;
    client.forward(get("/files"), []).await.unwrap();
    client.forward(post("/x/cancel", ""), []).await.unwrap();
    let heads: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.head.to_lowercase())
        .collect();
    assert!(!heads[0].contains("content-"), "{heads:?}");
    assert!(!heads[1].contains("content-type"), "{heads:?}");
    assert!(heads[1].contains("content-length: 0"), "{heads:?}");
}

#[tokio::test]
async fn a_head_request_has_the_headers_and_no_body() {
    let head = write("HTTP/1.1 200 OK\r\ncontent-length: 123\r\n\r\n");
    let (server, client) = fixture(vec![vec![head]]).await;
    for _ in 0..2 {
        let request = Request::head("/files/a").body(Bytes::new()).unwrap();
        let response = client.forward(request, []).await.unwrap();
        assert_eq!(response.headers()["content-length"], "123");
        assert_eq!(response.bytes(0).await.unwrap(), "");
    }
    assert_eq!(server.requests().len(), 2);
    assert_eq!(client.stats().idle, Some(1));
}

#[tokio::test]
async fn a_body_arrives_piece_by_piece_without_the_key() {
    let (server, client) = fixture(vec![vec![
        write("HTTP/1.1 200 OK\r\nconnection: close\r\nx-echo: Bearer sk-0123456789abcdef\r\n\r\n"),
        write("first: sk-0123"),
        Step::Wait,
        write("456789abcdef, last"),
        Step::Close,
    ]])
    .await;
    let mut response = client
        .forward(post("/audio/speech", "{}"), [])
        .await
        .unwrap();
    assert_eq!(response.headers()["x-echo"], "Bearer [redacted]");
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first: ");
    server.release();
    assert_eq!(response.bytes(99).await.unwrap(), "[redacted], last");
}

#[tokio::test]
async fn reads_are_retried_and_others_only_if_they_were_not_sent() {
    let busy = || reply(503, "", "busy");
    let (server, client) = fixture(vec![busy(), busy(), reply(200, "", "{}"), busy()]).await;
    let response = client.forward(get("/files"), []).await.unwrap();
    assert_eq!(response.attempts(), 3);
    let error = client.forward(post("/files", "{}"), []).await;
    let error = error.err().unwrap();
    assert_eq!(error.status(), Some(503));
    assert_eq!(error.attempts().len(), 1);
    assert_eq!(server.requests().len(), 4);

    // Nothing listens here, so nothing was sent.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", nowhere.local_addr().unwrap());
    drop(nowhere);
    let client = builder(&server).base_url(url).build().unwrap();
    let error = client
        .forward(post("/files", "{}"), [])
        .await
        .err()
        .unwrap();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    assert_eq!(error.attempts().len(), 4);
}

#[tokio::test]
async fn an_error_has_what_the_provider_answered_without_the_key() {
    let body = r#"{"error":{"message":"no key sk-0123456789abcdef","code":"c"}}"#;
    let (_server, client) = fixture(vec![reply(403, "x-request-id: r1\r\n", body)]).await;
    let error = client.forward(get("/files"), []).await.err().unwrap();
    assert_eq!(
        (error.status(), error.request_id(), error.code()),
        (Some(403), Some("r1"), Some("c"))
    );
    let expected = r#"{"error":{"message":"no key [redacted]","code":"c"}}"#;
    assert_eq!(error.body(), Some(expected));
    assert!(!format!("{error} {error:?}").contains("0123456789"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let to = "location: http://elsewhere.example/\r\n";
    let (_server, client) = fixture(vec![reply(302, to, "")]).await;
    let error = client.forward(get("/files"), []).await.err().unwrap();
    assert_eq!(error.status(), Some(302));
    assert!(error.to_string().contains("elsewhere.example"), "{error}");
}

#[tokio::test]
async fn silences_and_the_whole_call_are_limited() {
    let stalled = || vec![write("HTTP/1.1 200 OK\r\n\r\nx"), Step::Stall];
    let (_server, client) = fixture(vec![stalled(), stalled(), vec![Step::Stall]]).await;
    let with = |options: fn(&mut CallOptions)| {
        let mut set = CallOptions::default();
        options(&mut set);
        set
    };
    let reply_timeout = |set: &mut CallOptions| set.reply_timeout = Some(Duration::from_millis(30));
    let deadline = |set: &mut CallOptions| set.deadline = Some(Duration::from_millis(30));
    for (options, says) in [
        (reply_timeout as fn(&mut CallOptions), "silent"),
        (deadline, "did not finish"),
    ] {
        let response = client.forward(get("/files"), with(options)).await.unwrap();
        let error = response.bytes(9).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = client
        .forward(get("/files"), with(deadline))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("did not finish"), "{error}");
    assert_eq!(error.attempts().len(), 1);
}

#[tokio::test]
async fn what_could_lead_elsewhere_is_refused() {
    let (server, client) = fixture(vec![reply(200, "", "")]).await;
    for (request, says) in [
        (get("http://elsewhere.example/files"), "has a host"),
        (get("//elsewhere.example/files"), "two slashes"),
        (get("/../admin"), "dots"),
        (get("/%2e%2e/admin"), "dots"),
        (get(&format!("/%{}2e./admin", "25".repeat(30_000))), "dots"),
        (get("*"), "begin with a slash"),
        (
            Request::connect("/x").body(Bytes::new()).unwrap(),
            "must be GET",
        ),
        (
            Request::trace("/x").body(Bytes::new()).unwrap(),
            "must be GET",
        ),
        (Request::get("/x").body("a".into()).unwrap(), "have a body"),
        (
            Request::get("/x")
                .header("x", "é")
                .body(Bytes::new())
                .unwrap(),
            "not ASCII",
        ),
    ] {
        let error = client.forward(request, []).await.err().unwrap();
        assert_eq!(*error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn within_a_budget_only_what_costs_nothing_is_sent() {
    let server = ScriptedServer::start(vec![reply(200, "", "{}")]).await;
    let server = server.unwrap();
    let budget = Budget::monthly("b", "1".parse().unwrap()).unwrap();
    let tracker = CostTracker::new().budget(budget);
    let client = builder(&server).cost_tracker(tracker.clone());
    let client = client.build().unwrap();
    for (method, path) in [
        (Method::GET, "/files"),
        (Method::HEAD, "/files"),
        (Method::DELETE, "/files/a"),
        (Method::POST, "/messages/count_tokens"),
        (Method::POST, "/responses/input_tokens"),
    ] {
        let request = Request::builder().method(method).uri(path);
        client
            .forward(request.body(Bytes::new()).unwrap(), [])
            .await
            .unwrap();
    }
    let sent = server.requests().len();
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let request = Request::builder().method(method).uri("/embeddings");
        let error = client.forward(request.body("{}".into()).unwrap(), []).await;
        let error = error.err().unwrap();
        assert_eq!(*error.kind(), ErrorKind::Config);
        assert!(
            error
                .to_string()
                .contains("there is a budget, and no price is known for"),
            "{error}"
        );
    }
    assert_eq!(server.requests().len(), sent);
    // A local server charges nothing.
    let local = Client::builder(Provider::Ollama)
        .base_url(format!("{}/v1", server.url()))
        .no_proxy()
        .cost_tracker(tracker);
    let local = local.build().unwrap();
    local.forward(post("/embeddings", "{}"), []).await.unwrap();
}
