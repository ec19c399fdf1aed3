//! Which web pages may call `warmline serve`, and under which hosts, checked with raw requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::gateway::{Gateway, refused};
use serde_json::Value;
use warmline_sim::{Config, Sim};

const BODY: &str =
    r#"{"model": "m?tokens=1", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}"#;

/// Sends a request line and headers, and a body if it is a POST. Returns the status, the head in lower case and the body.
async fn send(gateway: &Gateway, request: &str, headers: &[&str]) -> (u16, String, String) {
    let address = gateway
        .process
        .url
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let body = if request.starts_with("POST") {
        BODY
    } else {
        ""
    };
    let mut lines = vec![request.to_owned()];
    lines.extend(headers.iter().map(|header| (*header).to_owned()));
    lines.push(format!("content-length: {}", body.len()));
    lines.push("connection: close".to_owned());
    let text = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    let exchange = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = exchange.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

const POST: &str = "POST /v1/chat/completions HTTP/1.1";

#[tokio::test]
async fn requests_of_other_origins_and_hosts_are_refused() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    let simple = "content-type: text/plain";
    let own = format!(
        "host: {}",
        gateway.process.url.strip_prefix("http://").unwrap()
    );
    let absolute = "POST http://evil.com/v1/chat/completions HTTP/1.1";
    for (request, headers) in [
        // Requests that a page may send without a preflight.
        (POST, &[&*own, "origin: https://evil.com", simple][..]),
        (POST, &[&own, "origin: null", simple]),
        (POST, &[&own, "origin: http://localhost:3000", simple]),
        (
            POST,
            &[
                &own,
                "origin: http://localhost",
                "origin: http://localhost",
                simple,
            ],
        ),
        // Requests to a name of the page's own that resolves to this machine.
        (
            POST,
            &["host: evil.com:8787", "origin: http://evil.com:8787"],
        ),
        (POST, &["host: evil.com:8787"]),
        (POST, &["host: 192.168.1.5:8787"]),
        (POST, &["host: localhost", "host: evil.com"]),
        (POST, &["host: localhost, evil.com"]),
        (POST, &["host:"]),
        (absolute, &[&own]),
        (
            "POST /v1/messages HTTP/1.1",
            &[&own, "origin: https://evil.com", simple],
        ),
        ("GET /v1/llm/stats HTTP/1.1", &["host: evil.com"]),
        ("GET /metrics HTTP/1.1", &["host: evil.com"]),
        ("GET / HTTP/1.1", &["host: evil.com"]),
        ("GET //healthz HTTP/1.1", &["host: evil.com"]),
    ] {
        let (status, head, body) = send(&gateway, request, headers).await;
        assert_eq!(status, 403, "{request} {headers:?}: {head} {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let anthropic = request.contains("/v1/messages");
        assert_eq!(body["error"]["type"], "permission_error", "{body}");
        assert_eq!(body["type"] == "error", anthropic, "{body}");
        assert!(!head.contains("access-control-allow-origin"), "{head}");
    }
    for (headers, says) in [
        (
            &[&*own, "origin: https://evil.com"][..],
            "--allow-origin https://evil.com",
        ),
        (&["host: a.example.com:80"], "--allow-host a.example.com"),
    ] {
        let (_, _, body) = send(&gateway, POST, headers).await;
        assert!(body.contains(says), "{body}");
    }
    assert_eq!(sim.stats().requests, 0);
    for path in ["/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1");
        let headers = ["host: evil.com", "origin: https://evil.com"];
        assert_eq!(send(&gateway, &request, &headers).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn allowed_programs_and_pages_get_replies() {
    let sim = sim().await;
    let arguments = [
        "--allow-origin",
        "https://example.com",
        "--allow-host",
        "gateway.example.com",
    ];
    let gateway = Gateway::start(&sim, &arguments, &[]).await;
    let absolute = "POST http://localhost/v1/chat/completions HTTP/1.1";
    for (request, headers) in [
        (POST, &["host: localhost:8787"][..]),
        (POST, &["host: [::1]"]),
        (POST, &["host: Gateway.example.com."]),
        (
            POST,
            &["host: app.localhost", "origin: http://app.localhost"],
        ),
        (
            POST,
            &[
                "host: gateway.example.com",
                "origin: https://gateway.example.com",
            ],
        ),
        (POST, &["host: localhost", "origin: https://example.com"]),
        (absolute, &["host: evil.com"]),
        ("POST /v1/chat/completions HTTP/1.0", &[]),
    ] {
        let (status, head, body) = send(&gateway, request, headers).await;
        assert_eq!(status, 200, "{request} {headers:?}: {head} {body}");
        let cors = headers.contains(&"origin: https://example.com");
        let allowed = "access-control-allow-origin: https://example.com";
        assert_eq!(head.contains(allowed), cors, "{head}");
    }
}

#[tokio::test]
async fn http_2_requests_are_checked_by_their_authority() {
    let sim = sim().await;
    let gateway = Gateway::start(&sim, &[], &[]).await;
    let port = gateway.process.url.rsplit(':').next().unwrap();
    let http2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .resolve("evil.com", ([127, 0, 0, 1], 0).into())
        .resolve("localhost", ([127, 0, 0, 1], 0).into());
    let http2 = http2.build().unwrap();
    for (host, status) in [("evil.com", 403), ("localhost", 200)] {
        let url = format!("http://{host}:{port}/v1/llm/stats");
        let response = http2.get(url).send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.status(), status, "{host}");
    }
}

#[tokio::test]
async fn the_gateways_own_pages_may_call() {
    let sim = sim().await;
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("index.html"), "the page").unwrap();
    let path = site.path().to_str().unwrap();
    let gateway = Gateway::start(&sim, &["--site", path], &[]).await;
    let page = send(&gateway, "GET / HTTP/1.1", &["host: localhost:8787"]).await;
    assert_eq!((page.0, &*page.2), (200, "the page"));
    let rebound = send(&gateway, "GET / HTTP/1.1", &["host: evil.com"]).await;
    assert_eq!(rebound.0, 403);
    let headers = ["host: localhost:8787", "origin: http://localhost:8787"];
    assert_eq!(send(&gateway, POST, &headers).await.0, 200);
}

#[tokio::test]
async fn with_keys_neither_host_nor_origin_is_checked() {
    let sim = sim().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, r#"[{"name": "a", "key": "0123456789abcdef"}]"#).unwrap();
    let path = file.path().to_str().unwrap();
    let gateway = Gateway::start(&sim, &["--keys", path], &[]).await;
    let key = "x-api-key: 0123456789abcdef";
    let headers = ["host: gateway.example.com", "origin: https://evil.com"];
    let [host, origin] = headers;
    assert_eq!(send(&gateway, POST, &[host, origin, key]).await.0, 200);
    assert_eq!(send(&gateway, POST, &headers).await.0, 401);
}

#[tokio::test]
async fn a_gateway_on_all_addresses_accepts_every_address_as_host() {
    let sim = sim().await;
    let gateway =
        Gateway::start(&sim, &["--host", "0.0.0.0", "--allow-host", "gateway"], &[]).await;
    for (host, status) in [
        ("192.168.1.5:8787", 200),
        ("[fd00::1]", 200),
        ("gateway", 200),
        ("evil.com", 403),
    ] {
        let host = format!("host: {host}");
        assert_eq!(send(&gateway, POST, &[&host]).await.0, status, "{host}");
    }
}

#[test]
fn a_site_that_is_not_a_folder_is_named() {
    let (code, stderr) = refused(&["--port", "0", "--simulate", "--site", "/nowhere/site"]);
    let named = stderr.contains("--site is \"/nowhere/site\", which is not a folder");
    assert!(code == 2 && named, "{stderr}");
}

#[test]
fn an_invalid_allowed_host_is_named() {
    for value in ["http://gateway", "gateway:8787", "*.example.com", ""] {
        let (code, stderr) = refused(&["--port", "0", "--allow-host", value]);
        let named = stderr.contains(&format!("{value:?}")) && stderr.contains("--allow-host");
        assert!(code == 2 && named, "{stderr}");
    }
}
