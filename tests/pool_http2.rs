//! The pool and an HTTP/2 server, whose frames the tests write themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{line, nobody_connects};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warmline::{Client, ErrorKind, HttpVersion, Provider, RetryPolicy, Usd};

const REPLY: &[u8] = br#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#;

/// The types of frames, their flags, a setting and error codes (RFC 9113, sections 6 and 7).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;

async fn listen() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder(Provider::OpenAi)
        .base_url(format!("http://{}/v1", listener.local_addr().unwrap()))
        .api_key("sk-test")
        .http_version(HttpVersion::Http2)
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    (listener, client)
}

/// The server's end of a connection.
struct Server(TcpStream);

impl Server {
    async fn accept(listener: &TcpListener) -> Self {
        let mut server = Self::accept_silently(listener).await;
        server.write(SETTINGS, 0, 0, &[]).await;
        server
    }

    /// Accepts a connection, without the frame that a server has to send first.
    async fn accept_silently(listener: &TcpListener) -> Self {
        let mut server = Self(listener.accept().await.unwrap().0);
        let mut preface = [0; 24];
        server.0.read_exact(&mut preface).await.unwrap();
        server
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// Reads a whole request, and returns its stream.
    async fn request(&mut self) -> u32 {
        self.read_until(END_STREAM).await
    }

    /// Reads until a frame of a request has a flag, and returns its stream.
    async fn read_until(&mut self, flag: u8) -> u32 {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.unwrap();
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload).await,
                HEADERS | DATA if flags & flag != 0 => return stream,
                _ => {}
            }
        }
    }

    async fn respond(&mut self, stream: u32) {
        // `:status: 200` is entry 8 of the static table (RFC 7541, appendix A).
        self.write(HEADERS, END_HEADERS, stream, &[0x88]).await;
        self.write(DATA, END_STREAM, stream, REPLY).await;
    }

    async fn set_max_streams(&mut self, limit: u32) {
        let setting = [
            &MAX_CONCURRENT_STREAMS.to_be_bytes()[..],
            &limit.to_be_bytes(),
        ]
        .concat();
        self.write(SETTINGS, 0, 0, &setting).await;
    }

    async fn reset(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    async fn go_away(&mut self, last_stream: u32, code: u32) {
        let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut server = Server::accept(&listener).await;
        let first = server.request().await;
        server.respond(first).await;
        let refused = server.request().await;
        server.reset(refused, REFUSED_STREAM).await;
        let again = server.request().await;
        server.respond(again).await;
        for _ in 0..2 {
            let refused = server.request().await;
            server.reset(refused, REFUSED_STREAM).await;
        }
        let last = server.request().await;
        server.respond(last).await;
    });
    for _ in 0..2 {
        assert_eq!(client.chat("Hello").await.unwrap().attempts().len(), 1);
    }
    let spent = client.cost_tracker().spend().await.unwrap().total;
    assert!(spent > Usd::ZERO);
    let error = client.chat("Hello").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    assert!(
        error.to_string().contains("refused the HTTP/2 stream"),
        "{error}"
    );
    // What the server has not processed costs nothing.
    assert_eq!(client.cost_tracker().spend().await.unwrap().total, spent);
    client.chat("Hello").await.unwrap();
    server.await.unwrap();
    assert_eq!(client.stats().opened, Some(1));
}

#[tokio::test]
async fn a_request_that_a_goaway_excludes_is_sent_again_on_another_connection() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut server = Server::accept(&listener).await;
        let first = server.request().await;
        server.respond(first).await;
        server.request().await;
        server.go_away(first, NO_ERROR).await;
        let mut other = Server::accept(&listener).await;
        let again = other.request().await;
        other.respond(again).await;
    });
    for _ in 0..2 {
        assert_eq!(client.chat("Hello").await.unwrap().attempts().len(), 1);
    }
    server.await.unwrap();
    assert_eq!(client.stats().opened, Some(2));
}

#[tokio::test]
async fn a_request_that_a_goaway_includes_is_not_sent_again() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut server = Server::accept(&listener).await;
        let first = server.request().await;
        server.respond(first).await;
        let second = server.request().await;
        server.go_away(second, NO_ERROR).await;
        drop(server);
        listener
    });
    client.chat("Hello").await.unwrap();
    let error = client.chat("Hello").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    nobody_connects(server.await.unwrap());
}

#[tokio::test]
async fn the_servers_limit_of_streams_holds_from_its_first_frame_on() {
    let (listener, client) = listen().await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat("Hello").await })
        })
        .collect();
    // Until the limit is known, one call goes out, and the others do not open connections of their own.
    let mut server = Server::accept_silently(&listener).await;
    let mut streams = vec![server.request().await];
    assert_eq!(
        line(&client),
        "Requests: 1 active, 3 queued | Connections: 1 active, 0 idle, 0 connecting"
    );
    server.set_max_streams(2).await;
    streams.push(server.request().await);
    let mut other = Server::accept(&listener).await;
    let others = [other.request().await, other.request().await];
    assert_eq!(
        line(&client),
        "Requests: 4 active, 0 queued | Connections: 2 active, 0 idle, 0 connecting"
    );
    for stream in streams {
        server.respond(stream).await;
    }
    for stream in others {
        other.respond(stream).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_response_that_precedes_the_end_of_the_request_is_delivered() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let mut server = Server::accept(&listener).await;
        let stream = server.read_until(END_HEADERS).await;
        // `:status: 413`, with an indexed name and a literal value (RFC 7541, section 6.2.2).
        server
            .write(HEADERS, END_HEADERS, stream, b"\x08\x03413")
            .await;
        server
            .write(DATA, END_STREAM, stream, b"{\"error\":\"too large\"}")
            .await;
        server.reset(stream, NO_ERROR).await;
        // The connection goes on, once the window that the first request has used up is open again.
        server
            .write(WINDOW_UPDATE, 0, 0, &65_535_u32.to_be_bytes())
            .await;
        let next = loop {
            let next = server.request().await;
            if next != stream {
                break next;
            }
        };
        server.respond(next).await;
    });
    let error = client.chat("x".repeat(1 << 20)).await.unwrap_err();
    assert_eq!(error.status(), Some(413), "{error}");
    assert!(error.to_string().contains("too large"), "{error}");
    client.chat("Hello").await.unwrap();
    server.await.unwrap();
    assert_eq!(client.stats().opened, Some(1));
}
