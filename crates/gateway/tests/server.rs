//! What callers can hold of a gateway, checked with plain sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use warmline::{Client, CostTracker, Provider};
use warmline_gateway::{Gateway, GatewayBuilder, Server, Stopped, not_found};
use warmline_sim::{ScriptedServer, Step};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const REPLY: &str = r#"{"id":"c1","choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Long enough never to pass in a test.
const LONG: Duration = Duration::from_secs(600);
/// For what is to time out.
const SHORT: Duration = Duration::from_millis(100);

fn whole() -> Vec<Step> {
    let length = REPLY.len();
    vec![Step::Write(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{REPLY}"
    ))]
}

/// A gateway that serves, before a provider that replies so.
struct Fixture {
    provider: ScriptedServer,
    gateway: Gateway,
    address: std::net::SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    abort: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Stopped>,
}

impl Fixture {
    async fn new(
        replies: Vec<Vec<Step>>,
        limits: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
        server: impl FnOnce(Server) -> Server,
    ) -> Self {
        let provider = ScriptedServer::start(replies).await.unwrap();
        let client = Client::builder(Provider::OpenAi)
            .api_key("test-key")
            .base_url(format!("{}/v1", provider.url()))
            .no_proxy()
            .cost_tracker(CostTracker::new());
        let builder = Gateway::builder().client(client.build().unwrap());
        let gateway = limits(builder.body_timeout(LONG)).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, shut_down) = oneshot::channel::<()>();
        let (abort, aborted) = oneshot::channel::<()>();
        let signal = {
            let gateway = gateway.clone();
            async move {
                if shut_down.await.is_err() {
                    std::future::pending::<()>().await;
                }
                gateway.shutdown();
            }
        };
        let abortion = async move {
            if aborted.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let patient = Server::new(listener)
            .header_timeout(LONG)
            .write_timeout(LONG)
            .shutdown_timeout(LONG);
        let server = server(patient).shutdown_on(signal).abort_on(abortion);
        let app = gateway.router_with_fallback(axum::Router::new().fallback(not_found));
        Self {
            provider,
            gateway,
            address,
            shutdown: Some(shutdown),
            abort: Some(abort),
            serving: tokio::spawn(server.serve(app)),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut socket = self.connect().await;
        socket.write_all(text.as_bytes()).await.unwrap();
        socket
    }

    async fn stats(&self) -> Value {
        let request = "GET /v1/llm/stats HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let answer = rest(self.send(request).await).await;
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    async fn until(&self, expected: impl Fn(&Value) -> bool) {
        while !expected(&self.stats().await) {
            tokio::task::yield_now().await;
        }
    }

    fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    async fn stopped(self) -> Stopped {
        self.serving.await.unwrap()
    }
}

/// A request whose head declares `length` bytes, of which `body` are sent.
fn request(length: usize, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn ask(stream: bool) -> String {
    let body = json!({"model": "gpt-4.1", "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    request(body.len(), &body)
}

/// Reads until the gateway closes the connection.
async fn rest(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is closed before all was read from it is reset.
    let _ = socket.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until the answer has this text.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&bytes).into_owned();
        if so_far.contains(text) {
            return so_far;
        }
        let read = socket.read_buf(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "no {text:?} in {so_far}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_closes_the_connection() {
    let fixture = Fixture::new(
        vec![whole()],
        |builder| builder,
        |it| it.header_timeout(SHORT),
    )
    .await;
    for sent in [
        "",
        "P",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: loc",
        // The preface of HTTP/2, in part and whole.
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        // An idle connection.
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /hea",
    ] {
        let answer = rest(fixture.send(sent).await).await;
        assert_eq!(
            answer.contains("200 OK"),
            sent.starts_with("GET"),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_408() {
    let fixture = Fixture::new(
        vec![whole()],
        |builder| builder.body_timeout(SHORT),
        |it| it,
    )
    .await;
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let text =
            format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n");
        let mut socket = fixture.send(&text).await;
        let answer = read_until(&mut socket, "--body-timeout").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn a_declared_length_that_is_too_large_is_refused_before_a_byte_is_sent() {
    let fixture = Fixture::new(vec![whole()], |builder| builder.max_body(1000), |it| it).await;
    let more = "x".repeat(2000);
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{more}\r\n"
    );
    for text in [request(1001, ""), request(usize::MAX >> 1, ""), chunked] {
        let mut socket = fixture.send(&text).await;
        let answer = read_until(&mut socket, "--max-body").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    assert!(fixture.provider.requests().is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_http_is_400_and_says_why() {
    let fixture = Fixture::new(vec![whole()], |builder| builder, |it| it).await;
    let text = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let mut socket = fixture.send(text).await;
    let answer = read_until(&mut socket, "the request body cannot be read").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("chunk size"), "{answer}");
}

#[tokio::test]
async fn a_caller_that_still_sends_reads_why_it_is_refused() {
    let fixture = Fixture::new(vec![whole()], |builder| builder.max_body(1000), |it| it).await;
    // More than the buffers of the system hold.
    let body = "x".repeat(16 << 20);
    let mut socket = fixture.send(&request(body.len(), &body)).await;
    let answer = read_until(&mut socket, "--max-body").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn all_bodies_together_are_limited_from_their_heads_on_until_their_calls_end() {
    let wait = [
        vec![Step::Write(STREAM.into()), Step::Wait],
        vec![Step::Close],
    ]
    .concat();
    let fixture = Fixture::new(
        vec![wait, whole()],
        |builder| builder.max_body(1000).max_body_total(1000),
        |it| it,
    )
    .await;
    let half_sent = fixture.send(&request(600, "{")).await;
    let refused = async |length| {
        loop {
            let mut socket = fixture.send(&request(length, "")).await;
            // Nothing more arrives for one that is accepted, since its body does not.
            let answer = tokio::time::timeout(SHORT, read_until(&mut socket, "--max-body-total"));
            if let Ok(answer) = answer.await {
                assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
                assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
                return;
            }
        }
    };
    refused(401).await;
    let fits = ask(false);
    let mut socket = fixture.send(&ask(true)).await;
    fixture.provider.wait_for_requests(1).await;
    // The body of a call counts until it has ended, which is when its caller has left or has the reply.
    refused(400).await;
    drop(half_sent);
    refused(1000 - 2).await;
    fixture.provider.release();
    read_until(&mut socket, "\r\n\r\n").await;
    let mut socket = fixture.send(&fits).await;
    read_until(&mut socket, "Hello").await;
}

#[tokio::test]
async fn further_connections_wait_while_as_many_as_may_be_are_in_use() {
    let held = vec![Step::Write(STREAM.into()), Step::Wait];
    let fixture = Fixture::new(vec![held], |builder| builder, |it| it.max_connections(2)).await;
    let mut first = fixture.send(&ask(true)).await;
    read_until(&mut first, "\r\n\r\n").await;
    let second = fixture.send("GET").await;
    let mut third = fixture.send(HEALTH).await;
    let waited = tokio::time::timeout(SHORT, read_until(&mut third, "ok\n")).await;
    assert!(waited.is_err());
    drop(second);
    read_until(&mut third, "ok\n").await;
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_another() {
    let fixture = Fixture::new(vec![], |builder| builder, |it| it.max_connections(2)).await;
    let mut first = fixture.send(HEALTH).await;
    read_until(&mut first, "ok\n").await;
    let mut second = fixture.send(HEALTH).await;
    read_until(&mut second, "ok\n").await;
    // Nobody waits, so both stay.
    for socket in [&mut first, &mut second] {
        socket.write_all(HEALTH.as_bytes()).await.unwrap();
        read_until(socket, "ok\n").await;
    }
    let mut third = fixture.send(HEALTH).await;
    read_until(&mut third, "ok\n").await;
    // One of them was closed, and the other one was not.
    let closed = async |mut socket: TcpStream| {
        // This fails if it is closed.
        let _ = socket.write_all(HEALTH.as_bytes()).await;
        let mut bytes = [0; 1];
        !matches!(socket.read(&mut bytes).await, Ok(1))
    };
    assert!(closed(first).await != closed(second).await);
}

#[tokio::test]
async fn a_connection_makes_room_as_soon_as_its_response_has_ended() {
    let mut held = whole();
    held.insert(0, Step::Wait);
    let fixture = Fixture::new(vec![held], |builder| builder, |it| it.max_connections(1)).await;
    let mut first = fixture.send(&ask(false)).await;
    let mut second = fixture.send(HEALTH).await;
    let waited = tokio::time::timeout(SHORT, read_until(&mut second, "ok\n")).await;
    assert!(waited.is_err());
    fixture.provider.release();
    read_until(&mut first, "Hello").await;
    read_until(&mut second, "ok\n").await;
}

#[tokio::test]
async fn a_caller_that_does_not_read_loses_its_call() {
    let text = "x".repeat(1 << 20);
    let event =
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let endless = vec![Step::Write(STREAM.into()), Step::Repeat(event)];
    let fixture = Fixture::new(
        vec![endless],
        |builder| builder,
        |it| it.write_timeout(SHORT),
    )
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(fixture.address).await.unwrap();
    socket.write_all(ask(true).as_bytes()).await.unwrap();
    fixture
        .until(|stats| stats["providers"]["openai"]["calls"]["abandoned"] == 1)
        .await;
    let stats = fixture.stats().await;
    assert_eq!(
        stats["providers"]["openai"]["pool"]["now"]["open"], 0,
        "{stats}"
    );
    drop(socket);
}

#[tokio::test]
async fn a_shutdown_ends_whatever_callers_do_and_says_what_it_cut() {
    let comments = vec![
        Step::Write(STREAM.into()),
        Step::Repeat(": working\n\n".into()),
    ];
    let mut fixture = Fixture::new(
        vec![comments],
        |builder| builder,
        |it| it.shutdown_timeout(2 * SHORT),
    )
    .await;
    let idle = fixture.connect().await;
    let half_head = fixture.send("POST /v1/chat").await;
    let half_body = fixture.send(&request(100, "{")).await;
    let mut comments = fixture.send(&ask(true)).await;
    read_until(&mut comments, ": working").await;
    fixture.shut_down();
    let answer = rest(half_body).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("shutting down"),
        "{answer}"
    );
    assert_eq!([rest(idle).await, rest(half_head).await], ["", ""]);
    // Its end is missing, so that its caller knows that it was cut.
    assert!(!rest(comments).await.ends_with("0\r\n\r\n"));
    let gateway = fixture.gateway.clone();
    assert_eq!(fixture.stopped().await.cut_requests, 1);
    gateway.flush().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_lets_replies_end_and_an_abort_does_not() {
    let slow = || vec![Step::Write(STREAM.into()), Step::Wait, Step::Close];
    for abort in [false, true] {
        let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let mut reply = slow();
        reply.insert(
            1,
            Step::Write(
                event
                    .replace("\"finish_reason\":\"stop\"", "\"finish_reason\":null")
                    .replace("data: [DONE]\n\n", ""),
            ),
        );
        reply.insert(3, Step::Write(event.into()));
        let mut fixture = Fixture::new(vec![reply], |builder| builder, |it| it).await;
        let mut socket = fixture.send(&ask(true)).await;
        read_until(&mut socket, "Hello").await;
        fixture.shut_down();
        if abort {
            fixture.abort.take().unwrap().send(()).unwrap();
            assert_eq!(fixture.stopped().await.cut_requests, 1);
        } else {
            fixture.provider.release();
            assert!(rest(socket).await.ends_with("0\r\n\r\n"));
            assert_eq!(fixture.stopped().await.cut_requests, 0);
        }
    }
}
