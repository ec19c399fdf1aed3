//! A server that echoes the key, in many encodings and places. A separate test program, because a subscriber is global to the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::log::Log;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use warmline::{Client, Provider, Request, RetryPolicy};

const KEY: &str = "sk-live-0a/B1c+2D3e4F5g6H7i8J9k0L1m2N3o4P5q6R7s8";

/// The encodings that are valid in a JSON string.
fn encodings() -> Vec<String> {
    let each = |format: fn(u8) -> String| KEY.bytes().map(format).collect::<String>();
    vec![
        KEY.to_owned(),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u{byte:04x}")),
        KEY.replace('/', "\\/"),
        STANDARD.encode(format!("Bearer {KEY}")),
        // Split over two fields.
        format!("{}\",\"and\":\"{}", &KEY[..24], &KEY[24..]),
    ]
}

/// The texts of which none may be seen: parts of 20 characters of the key, and of its encodings.
fn forbidden() -> Vec<String> {
    let texts = encodings().into_iter().chain([KEY.to_owned()]);
    let parts = texts.flat_map(|text| {
        let whole = text.as_bytes().to_vec();
        let part = |at: usize| String::from_utf8(whole[at..at + 20].to_vec()).unwrap();
        // The first characters of an encoded `Bearer sk-live` hold little of the key.
        (12..whole.len() - 24)
            .step_by(4)
            .map(part)
            .collect::<Vec<_>>()
    });
    parts.filter(|part| !part.contains('"')).collect()
}

/// The response of a server, sent in the given parts.
fn responses(echo: &str) -> Vec<Vec<String>> {
    let response = |status: &str, content_type: &str, id: &str, body: &str| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nx-request-id: req {id}\r\nx-other: {id}\r\nx-ratelimit-reset-requests: {id}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        );
        // Within the echo, if it is in the body.
        let cut = body.find(echo).map_or(0, |at| at + echo.len() / 2);
        vec![format!("{head}{}", &body[..cut]), body[cut..].to_owned()]
    };
    let id = match echo.contains('"') {
        true => KEY,
        false => echo,
    };
    let usage = r#""usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}"#;
    let error =
        format!(r#"{{"error":{{"message":"wrong key {echo}","type":"{id}","code":"{id}"}}}}"#);
    let reply = format!(
        r#"{{"id":"{id}","model":"{id}","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":"{echo}"}}}}],{usage}}}"#
    );
    let chunk = |text: &str| {
        format!(
            r#"data: {{"id":"{id}","model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
        )
    };
    let end = format!(
        r#"data: {{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],{usage}}}"#
    );
    let stream = format!("{}\n\n{end}\n\ndata: [DONE]\n\n", chunk(echo));
    let broken = format!("{}\n\ndata: {error}\n\n", chunk("Hi"));
    let (json, sse) = ("application/json", "text/event-stream");
    vec![
        response("401 Unauthorized", json, id, &error),
        response("429 Too Many Requests", json, id, &error),
        response(
            "502 Bad Gateway",
            "text/html",
            id,
            &format!("<p>{echo}</p>"),
        ),
        response("308 Permanent Redirect", json, id, ""),
        response("200 OK", json, id, &reply),
        response("200 OK", json, id, &error),
        response("200 OK", json, id, &format!("{echo} is no reply")),
        response("200 OK", sse, id, &stream),
        response("200 OK", sse, id, &broken),
        response("200 OK", sse, id, &format!("data: {echo} is no event\n\n")),
    ]
}

/// A server that answers every request with the current response.
async fn serve(response: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut bytes = [0; 4096];
                match socket.read(&mut bytes).await {
                    Ok(length @ 1..) => request.extend_from_slice(&bytes[..length]),
                    _ => break,
                }
            }
            let parts = response.lock().unwrap().clone();
            for part in &parts {
                // The client may have enough already.
                let _ = socket.write_all(part.as_bytes()).await;
                tokio::task::yield_now().await;
            }
        }
    });
    url
}

/// What a caller can see.
#[derive(Default)]
struct Seen(String);

impl Seen {
    fn add(&mut self, value: &(impl Debug + Serialize)) {
        writeln!(
            self.0,
            "{value:?} {}",
            serde_json::to_string(value).unwrap()
        )
        .unwrap();
    }

    fn error(&mut self, error: &warmline::Error) {
        self.add(error);
        writeln!(self.0, "{error} {:?} {:?}", error.body(), error.code()).unwrap();
    }
}

#[tokio::test]
async fn a_key_that_a_server_echoes_is_seen_nowhere() {
    let (log, _guard) = Log::start(tracing::Level::TRACE);
    let current = Arc::new(Mutex::new(Vec::new()));
    let url = serve(current.clone()).await;
    let retry = RetryPolicy {
        max_retries: 1,
        base: std::time::Duration::ZERO,
        ..RetryPolicy::default()
    };
    let client = Client::builder(Provider::OpenAi)
        .api_key(KEY)
        .base_url(url)
        .no_proxy()
        .retry(retry)
        .model("m")
        .build()
        .unwrap();
    let forbidden = forbidden();
    for echo in encodings() {
        for (index, response) in responses(&echo).into_iter().enumerate() {
            *current.lock().unwrap() = response;
            let mut raw = Request::from("Hi");
            raw.keep_raw = true;
            let mut seen = Seen::default();
            match client.chat(raw.clone()).await {
                Ok(reply) => {
                    writeln!(seen.0, "{:?} {:?}", reply.raw(), reply.headers).unwrap();
                    seen.add(&reply);
                }
                Err(error) => seen.error(&error),
            }
            seen.add(&client.rate_limits());
            let mut stream = client.stream(raw.clone());
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => seen.add(&event),
                    Err(error) => seen.error(&error),
                }
            }
            for stream in [false, true] {
                let body = format!(
                    r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
                );
                match client.passthrough(body, []).await {
                    Ok(mut response) => {
                        writeln!(seen.0, "{:?}", response.request_id()).unwrap();
                        while let Some(chunk) = response.chunk().await {
                            match chunk {
                                Ok(bytes) => seen.0 += str::from_utf8(&bytes).unwrap(),
                                Err(error) => seen.error(&error),
                            }
                        }
                    }
                    Err(error) => seen.error(&error),
                }
            }
            assert!(seen.0.contains("[redacted]"), "{index} {echo}: {}", seen.0);
            let log = log.take();
            assert!(log.contains("close"), "{log}");
            for text in [&seen.0, &log] {
                for forbidden in &forbidden {
                    assert!(
                        !text.contains(&**forbidden),
                        "{index} {echo} {forbidden}: {text}"
                    );
                }
            }
        }
    }
}
