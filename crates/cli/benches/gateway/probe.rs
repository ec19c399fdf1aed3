//! Calls over one connection, with the times at which their bytes arrive.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::Failure;
use crate::upstream::Reply;

/// The key that all gateways of this benchmark accept, and send to the upstream. It is as long as a real one.
pub const KEY: &str = "sk-bench-4f1d9c0a7be84c6f9d2e5a3b1c8d7e60";

/// When the bytes of a reply arrived, since the call began.
pub struct Arrivals {
    /// The first bytes of the body that contain text of the model.
    pub first_text: Duration,
    /// The end of the reply.
    pub end: Duration,
    /// The times between two arrivals of text.
    pub gaps: Vec<Duration>,
}

/// The body of a request for a reply, with a prompt of so many bytes.
pub fn request_body(reply: Reply, prompt_bytes: usize) -> Bytes {
    let prompt = "warm ".repeat(prompt_bytes.div_ceil(5));
    let is_stream = reply != Reply::Unary;
    json!({"model": reply.model(), "stream": is_stream, "messages": [{"role": "user", "content": prompt}]})
        .to_string()
        .into()
}

/// A connection to a gateway, or to the upstream.
pub struct Probe {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Probe {
    pub async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        let host = address.to_string();
        Ok(Self { sender, host })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// If the status is not 200, or no text arrives.
    pub async fn call(&mut self, body: &Bytes) -> Result<Arrivals, Failure> {
        let request = Request::post("/v1/chat/completions")
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {KEY}"))
            .body(Full::new(body.clone()))?;
        self.sender.ready().await?;
        let begun = Instant::now();
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut first_text = None;
        let mut last = begun;
        let mut gaps = Vec::new();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame?.into_data() else {
                continue;
            };
            let now = Instant::now();
            if memchr::memmem::find(&bytes, b"\"content\"").is_some() {
                match first_text {
                    None => first_text = Some(now - begun),
                    Some(_) => gaps.push(now - last),
                }
                last = now;
            }
            if first_text.is_none() {
                seen.extend_from_slice(&bytes);
            }
        }
        let end = begun.elapsed();
        match first_text {
            Some(first_text) if status.is_success() => Ok(Arrivals {
                first_text,
                end,
                gaps,
            }),
            _ => Err(format!(
                "a reply of status {status}: {}",
                String::from_utf8_lossy(&seen)
            )
            .into()),
        }
    }
}
