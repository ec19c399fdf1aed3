//! Callers over plain sockets.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::Result;
use crate::provider::Fate;

/// The longest time that anything may take. All limits of the gateway are far below.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// The most of a response that is kept.
const MAX_KEPT: usize = 256 << 10;

/// A request whose reply has this fate, as JSON.
pub fn body(fate: Fate, stream: bool, max_tokens: u64) -> String {
    serde_json::json!({
        "model": "claude-haiku-4-5", "max_tokens": max_tokens, "stream": stream,
        "messages": [{"role": "user", "content": fate.name()}],
    })
    .to_string()
}

/// The head of a request with a body of so many bytes.
pub fn head(length: usize) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n"
    )
}

/// A whole request.
pub fn request(fate: Fate, stream: bool, max_tokens: u64) -> String {
    let body = body(fate, stream, max_tokens);
    format!("{}\r\n{body}", head(body.len()))
}

pub struct Caller(TcpStream);

/// How a connection ended, and what was read.
pub struct Answer {
    /// The start of what was read.
    pub text: String,
    /// Whether the gateway closed the connection, in whatever way, within [`PATIENCE`].
    pub ended: bool,
}

impl Answer {
    pub fn status(&self) -> Option<u16> {
        self.text.split(' ').nth(1)?.parse().ok()
    }
}

impl Caller {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self(timeout(PATIENCE, TcpStream::connect(address)).await??))
    }

    /// Connects with a small buffer for what is received.
    pub async fn with_small_buffer(address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        Ok(Self(timeout(PATIENCE, socket.connect(address)).await??))
    }

    /// Connects and sends a text.
    pub async fn sending(address: SocketAddr, text: &str) -> Result<Self> {
        let mut caller = Self::connect(address).await?;
        caller.send(text).await;
        Ok(caller)
    }

    /// Sends a text. Returns whether the gateway took it: it may close the connection at any time.
    pub async fn send(&mut self, text: &str) -> bool {
        matches!(
            timeout(PATIENCE, self.0.write_all(text.as_bytes())).await,
            Ok(Ok(()))
        )
    }

    /// Sends a text byte by byte, until the gateway closes the connection.
    pub async fn dribble(&mut self, text: &str) {
        for byte in text.as_bytes() {
            if self.0.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Reads until so many bytes have come, or the end. Returns their text.
    pub async fn read(&mut self, bytes: usize) -> String {
        let mut read = Vec::new();
        let reading = async {
            while read.len() < bytes && matches!(self.0.read_buf(&mut read).await, Ok(1..)) {}
        };
        let _ = timeout(PATIENCE, reading).await;
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads one response that has a content-length.
    pub async fn response(&mut self) -> Result<String> {
        let mut read = String::new();
        let reading = async {
            while !is_whole(&read) {
                let mut bytes = vec![0; 4096];
                let n = self.0.read(&mut bytes).await?;
                if n == 0 {
                    return Err(format!("the connection was closed after {read:?}").into());
                }
                read.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
            Ok(read)
        };
        timeout(PATIENCE, reading).await?
    }

    /// Reads to the end of the connection.
    pub async fn rest(mut self) -> Answer {
        let mut kept = Vec::new();
        let mut bytes = vec![0; 64 << 10];
        let reading = async {
            while let Ok(n @ 1..) = self.0.read(&mut bytes).await {
                if kept.len() < MAX_KEPT {
                    kept.extend_from_slice(&bytes[..n]);
                }
            }
        };
        let ended = timeout(PATIENCE, reading).await.is_ok();
        Answer {
            text: String::from_utf8_lossy(&kept).into_owned(),
            ended,
        }
    }

    /// Says that nothing more will be sent.
    pub async fn half_close(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Resets the connection.
    pub fn reset(self) {
        // Fails if it has been reset already.
        let _ = self.0.set_zero_linger();
    }
}

fn is_whole(response: &str) -> bool {
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap_or(0))
}

/// Runs `n` attackers, of whom at most `at_once` are there at any time, and returns what each has seen.
pub async fn crowd<T>(
    n: usize,
    at_once: usize,
    attacker: impl AsyncFn(usize) -> Result<T>,
) -> Result<Vec<T>> {
    let attackers = futures_util::stream::iter(0..n).map(|i| attacker(i));
    let seen: Vec<Result<T>> = attackers.buffer_unordered(at_once).collect().await;
    seen.into_iter().collect()
}
