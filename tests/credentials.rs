//! Credentials, as a server sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use warmline::{
    AccessToken, Client, ClientBuilder, Credentials, Error, ErrorKind, Provider, Request,
    RetryPolicy,
};

/// A server that accepts a token, and the heads of the requests that it has had. What it refuses it repeats.
struct Guarded {
    url: String,
    /// How many of the requests that it accepts are answered 503 first.
    unavailable: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Guarded {
    async fn accepting(token: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let unavailable = Arc::new(AtomicUsize::new(0));
        let left = unavailable.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"}") {
                    let mut buffer = [0; 4096];
                    match socket.read(&mut buffer).await {
                        Ok(n @ 1..) => bytes.extend_from_slice(&buffer[..n]),
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let head = text.split("\r\n\r\n").next().unwrap().to_owned();
                let sent = head
                    .lines()
                    .find_map(|l| l.strip_prefix("authorization: Bearer "));
                let (status, body) = match sent {
                    Some(sent) if sent == token && left.load(Ordering::SeqCst) > 0 => {
                        left.fetch_sub(1, Ordering::SeqCst);
                        ("503 Busy\r\nretry-after-ms: 0", "{}".to_owned())
                    }
                    Some(sent) if sent == token => (
                        "200 OK",
                        r#"{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}"#
                            .to_owned(),
                    ),
                    sent => (
                        "401 Unauthorized",
                        format!(
                            r#"{{"error": {{"message": "not {}"}}}}"#,
                            sent.unwrap_or("")
                        ),
                    ),
                };
                seen.lock().unwrap().push(head);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            url,
            unavailable,
            heads,
        }
    }

    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder(Provider::OpenAi).model("m");
        builder
            .base_url(&self.url)
            .no_proxy()
            .retry(RetryPolicy::never())
    }

    fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

/// The tokens `token-000001`, `token-000002`, … and how many were given.
fn tokens() -> (Credentials, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let credentials = Credentials::token_source(move || {
        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(AccessToken::new(format!("token-{n:06}"))) }
    });
    (credentials, given)
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_then_kept() {
    let server = Guarded::accepting("token-000002").await;
    let (credentials, given) = tokens();
    let client = server.builder().credentials(credentials).build().unwrap();
    let reply = client.chat("Hi").await.unwrap();
    assert_eq!((reply.text().as_str(), reply.attempts().len()), ("Hi", 2));
    assert_eq!(client.chat("Hi").await.unwrap().attempts().len(), 1);
    assert_eq!((server.requests(), given.load(Ordering::SeqCst)), (3, 2));
}

#[tokio::test]
async fn a_renewal_takes_none_of_the_retries() {
    let server = Guarded::accepting("token-000002").await;
    server.unavailable.store(1, Ordering::SeqCst);
    let (credentials, _) = tokens();
    let retry = RetryPolicy {
        max_retries: 1,
        ..RetryPolicy::default()
    };
    let builder = server.builder().retry(retry).credentials(credentials);
    let reply = builder.build().unwrap().chat("Hi").await.unwrap();
    // 401, 503 and 200.
    assert_eq!((reply.attempts().len(), server.requests()), (3, 3));
}

#[tokio::test]
async fn the_second_refusal_is_the_answer_and_shows_no_token() {
    let server = Guarded::accepting("another").await;
    let (credentials, given) = tokens();
    let client = server.builder().credentials(credentials).build().unwrap();
    let error = client.chat("Hi").await.unwrap_err();
    assert_eq!((error.status(), error.attempts().len()), (Some(401), 2));
    let shown = format!("{error} {error:?} {client:?}");
    assert!(
        shown.contains("not [redacted]") && !shown.contains("token-0"),
        "{shown}"
    );
    assert_eq!((server.requests(), given.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_tried_again() {
    let server = Guarded::accepting("another").await;
    let client = server
        .builder()
        .api_key("sk-secret-000001")
        .build()
        .unwrap();
    let error = client.chat("Hi").await.unwrap_err();
    assert_eq!((error.status(), server.requests()), (Some(401), 1));
    assert!(!format!("{error:?}").contains("sk-secret"), "{error:?}");
}

#[tokio::test]
async fn nothing_is_sent_without_a_token() {
    let server = Guarded::accepting("x").await;
    let failing = || async { Err(Error::new(ErrorKind::Config, "the vault is closed")) };
    let credentials = Credentials::token_source(failing);
    let client = server.builder().credentials(credentials).build().unwrap();
    let error = client.chat("Hi").await.unwrap_err();
    assert!(error.to_string().contains("the vault is closed"), "{error}");
    assert_eq!(server.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_source_has_as_long_as_a_connection_has() {
    let never = || std::future::pending::<warmline::Result<AccessToken>>();
    let client = Client::builder(Provider::OpenAi)
        .base_url("http://127.0.0.1:1")
        .no_proxy()
        .retry(RetryPolicy::never())
        .timeout(Duration::from_secs(7))
        .credentials(Credentials::token_source(never))
        .build()
        .unwrap();
    let error = client.chat("Hi").await.unwrap_err();
    assert!(
        error.to_string().contains("returned no token within 7s"),
        "{error}"
    );
}

#[tokio::test]
async fn a_header_of_the_callers_own_is_sent_in_place_of_the_credentials() {
    let server = Guarded::accepting("mine").await;
    // Of the client …
    let builder = server.builder().api_key("sk-secret-000001");
    let client = builder
        .header("Authorization", "Bearer mine")
        .build()
        .unwrap();
    client.chat("Hi").await.unwrap();
    // … and of the request.
    let client = server
        .builder()
        .api_key("sk-secret-000001")
        .build()
        .unwrap();
    let request = Request::new().user("Hi");
    client
        .chat(request.header("authorization", "Bearer mine"))
        .await
        .unwrap();
    for head in server.heads.lock().unwrap().iter() {
        assert_eq!(head.matches("authorization").count(), 1, "{head}");
    }
    // Where the server repeats it, no error does.
    let server = Guarded::accepting("another").await;
    let request = Request::new()
        .user("Hi")
        .header("Authorization", "Bearer hunter2-hunter2");
    let own = server
        .builder()
        .header("authorization", "Bearer hunter2-hunter2");
    let errors = [
        own.build().unwrap().chat("Hi").await.unwrap_err(),
        server
            .builder()
            .build()
            .unwrap()
            .chat(request)
            .await
            .unwrap_err(),
    ];
    for error in errors {
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("not [redacted]") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
    // No key is needed where a header has it.
    let builder = Client::builder(Provider::Groq).header("authorization", "Bearer mine");
    builder.build().unwrap();
    let builder = Client::builder(Provider::Azure).resource("r");
    builder.header("api-key", "mine").build().unwrap();
    let error = Client::builder(Provider::Groq).build().unwrap_err();
    assert!(error.to_string().contains("set GROQ_API_KEY"), "{error}");
}

#[test]
fn credentials_are_not_shown() {
    let builder = Client::builder(Provider::Azure).resource("r");
    for credentials in [
        Credentials::api_key("hunter2-hunter2"),
        Credentials::bearer_token("hunter2-hunter2"),
        Credentials::token_source(|| async { Ok(AccessToken::new("hunter2-hunter2")) }),
    ] {
        let builder = builder.clone().credentials(credentials.clone());
        let client = builder.clone().build().unwrap();
        let shown = format!("{credentials:?} {builder:?} {client:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let client = Client::builder(Provider::OpenAi)
        .api_key("k")
        .base_url("https://host/v1?token=hunter2")
        .build()
        .unwrap();
    let request = Request::new().base_url("https://host/v1?token=hunter2");
    let shown = format!("{client:?} {request:?}");
    assert!(
        shown.contains("https://host/v1") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn each_request_of_a_tenant_brings_its_own_key() {
    let sim = warmline_sim::Sim::start(warmline_sim::Config::default())
        .await
        .unwrap();
    let client = warmline::Client::builder(warmline::Provider::Anthropic)
        .credentials(warmline::Credentials::per_request())
        .base_url(sim.anthropic_url())
        .no_proxy()
        .build()
        .unwrap();
    let ask = || warmline::Request::new().user("Hi").model("m");
    let with = |key: &str| ask().credentials(warmline::Credentials::api_key(key));
    let error = client.chat(ask()).await.unwrap_err();
    assert_eq!(error.kind().name(), "config");
    assert_eq!(sim.stats().requests, 0);
    // The simulator refuses this key, and echoes it.
    let refused = "sk-ant-invalid-0123456789";
    let error = client.chat(with(refused)).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    let shown = format!("{error} {error:?} {:?}", error.attempts());
    assert!(!shown.contains(refused), "{shown}");
    client.chat(with("sk-ant-of-a-tenant")).await.unwrap();
    // Both have used one connection.
    assert_eq!(sim.stats().total, 1);
    assert!(!format!("{:?}", with(refused)).contains(refused));
    assert!(
        !serde_json::to_string(&with(refused))
            .unwrap()
            .contains(refused)
    );
}
