//! Which requests are sent again on another connection, and which are not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{ask, builder, nobody_connects, sim, stats_become};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warmline::{Client, ClientBuilder, ErrorKind, Provider, Request, RetryPolicy};

const REPLY: &str = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

async fn listen() -> (TcpListener, ClientBuilder) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let builder = Client::builder(Provider::OpenAi)
        .base_url(url)
        .api_key("sk-test")
        .retry(RetryPolicy::never());
    (listener, builder)
}

/// Reads the head of a request. Returns it with the part of the body that came with it.
async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(socket.read_buf(&mut head).await.unwrap() > 0, "no request");
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn respond(socket: &mut TcpStream, status: &str, body: &str) {
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(response.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_repeated() {
    let sim = sim().await;
    let client = builder(&sim).retry(RetryPolicy::never()).build().unwrap();
    client.warm_up(5).await.unwrap();
    // The server resets a reused connection after it has read the request.
    let error = client.chat(ask("fault=reset")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    assert_eq!(sim.stats().requests, 1);
}

#[tokio::test]
async fn a_request_is_sent_again_if_all_idle_connections_turn_out_to_be_closed() {
    let (listener, builder) = listen().await;
    let client = builder.build().unwrap();
    let server = tokio::spawn(async move {
        let mut idle = Vec::new();
        for _ in 0..5 {
            idle.push(listener.accept().await.unwrap().0);
        }
        // The client sees the end of these connections when it wants to use them, or sooner.
        let call = listener.accept();
        drop(idle);
        let mut socket = call.await.unwrap().0;
        read_head(&mut socket).await;
        respond(&mut socket, "200 OK", REPLY).await;
        socket
    });
    client.warm_up(5).await.unwrap();
    let reply = client.chat("Hello").await.unwrap();
    assert_eq!((reply.text().as_ref(), reply.attempts().len()), ("Hi", 1));
    server.await.unwrap();
}

#[tokio::test]
async fn a_new_connection_that_the_server_closes_at_once_is_an_error_of_the_attempt() {
    let (listener, builder) = listen().await;
    let client = builder.build().unwrap();
    let server = tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        listener
    });
    let error = client.chat("Hello").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    nobody_connects(server.await.unwrap());
}

#[tokio::test]
async fn a_response_that_precedes_the_end_of_the_request_is_delivered() {
    // Larger than what the client reads at once, so that a write fails before all of it is read.
    let text = "the body is larger than 1 MB. ".repeat(2000);
    let sent = format!(r#"{{"error":{{"message":"{text}"}}}}"#);
    let expected = sent.clone();
    let (listener, builder) = listen().await;
    let client = builder.build().unwrap();
    let server = tokio::spawn(async move {
        for _ in 0..3 {
            let mut socket = listener.accept().await.unwrap().0;
            read_head(&mut socket).await;
            respond(&mut socket, "413 Content Too Large", &sent).await;
            // Unread data remains, so the kernel resets the connection.
            drop(socket);
        }
    });
    let prompt = "x".repeat(8 << 20);
    for _ in 0..3 {
        let request = Request::from(prompt.as_str()).max_tokens(1);
        let error = client.chat(request).await.unwrap_err();
        assert_eq!(error.status(), Some(413), "{error}");
        assert_eq!(error.body(), Some(&*expected));
    }
    server.await.unwrap();
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 0 idle, 0 connecting",
    )
    .await;
}
