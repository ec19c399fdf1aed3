//! A provider that attacks, and counts exactly what it bills.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::Result;

/// The prices of `claude-haiku-4-5`, in pico-dollars a token: $1 and $5 for a million.
const INPUT_PRICE: u64 = 1_000_000;
const OUTPUT_PRICE: u64 = 5_000_000;

/// The length of an ordinary reply.
pub const REPLY_TOKENS: u64 = 8;

/// The longest time that an attack on one connection lasts, and the most bytes that it sends.
const ATTACK_TIME: Duration = Duration::from_secs(20);
const ATTACK_BYTES: usize = 256 << 20;

/// What becomes of a request. It is named by the text of the request's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Reply,
    /// 103 Early Hints for ever.
    Informational,
    /// A head that comes byte by byte and does not end.
    SlowHead,
    /// A head with 100,000 lines.
    ManyHeaders,
    /// A frame that comes byte by byte and does not end.
    SlowFrame,
    /// Comments for ever, as fast as they are read.
    Comments,
    /// Text for ever, at a speed that a model has.
    Text,
    /// Text for ever, as fast as it is read. A model would not write it, so only what `max_tokens` allows is billed.
    FastText,
    /// A JSON string without an end, as fast as it is read.
    Json,
    /// A line of a stream without an end, as fast as it is read.
    Frame,
    /// Half a body, after which the provider sends no more, but keeps reading.
    HalfClosed,
    /// A reset within a frame.
    ResetFrame,
    /// A reset in place of a head, though the reply is billed.
    ResetHead,
}

impl Fate {
    const ALL: [Self; 13] = [
        Self::Reply,
        Self::Informational,
        Self::SlowHead,
        Self::ManyHeaders,
        Self::SlowFrame,
        Self::Comments,
        Self::Text,
        Self::FastText,
        Self::Json,
        Self::Frame,
        Self::HalfClosed,
        Self::ResetFrame,
        Self::ResetHead,
    ];

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.name() == name)
    }
}

pub struct Provider {
    pub address: SocketAddr,
    books: Arc<Books>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Books {
    /// In pico-dollars.
    billed: AtomicU64,
    requests: AtomicU64,
    connections: AtomicUsize,
}

impl Provider {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let books = Arc::<Books>::default();
        let accepting = tokio::spawn(accept(listener, books.clone()));
        Ok(Self {
            address,
            books,
            accepting,
        })
    }

    /// What it has billed, in pico-dollars.
    pub fn billed(&self) -> u64 {
        self.books.billed.load(Relaxed)
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.books.connections.load(Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, books: Arc<Books>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                let books = books.clone();
                connections.spawn(async move {
                    books.connections.fetch_add(1, Relaxed);
                    // The gateway may close a connection at any time.
                    let _ = serve(socket, &books).await;
                    books.connections.fetch_sub(1, Relaxed);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A request, and the account of what it costs.
struct Asked<'a> {
    fate: Fate,
    stream: bool,
    /// One token for each byte of the body, more than any tokenizer makes of it.
    input: u64,
    max_tokens: u64,
    billed_output: u64,
    books: &'a Books,
}

impl<'a> Asked<'a> {
    /// Reads a request's body, and bills its input.
    fn new(body: &[u8], books: &'a Books) -> Result<Self> {
        let request: Value = serde_json::from_slice(body)?;
        let name = request["messages"][0]["content"].as_str();
        let asked = Self {
            fate: name
                .and_then(Fate::named)
                .ok_or("the request names no fate")?,
            stream: request["stream"] == true,
            input: body.len() as u64,
            max_tokens: request["max_tokens"].as_u64().unwrap_or_default(),
            billed_output: 0,
            books,
        };
        books.requests.fetch_add(1, Relaxed);
        books.billed.fetch_add(asked.input * INPUT_PRICE, Relaxed);
        Ok(asked)
    }

    /// Bills output before it is sent, up to what the request allows.
    fn bill(&mut self, tokens: u64) {
        let tokens = tokens.min(self.max_tokens - self.billed_output);
        self.billed_output += tokens;
        self.books.billed.fetch_add(tokens * OUTPUT_PRICE, Relaxed);
    }

    fn usage(&self) -> Value {
        json!({"input_tokens": self.input, "output_tokens": self.billed_output})
    }

    fn message(&self, text: &str, stop_reason: Option<&str>) -> Value {
        let content: Vec<Value> = match stop_reason {
            Some(_) => vec![json!({"type": "text", "text": text})],
            None => Vec::new(),
        };
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": content,
            "stop_reason": stop_reason, "usage": self.usage(),
        })
    }

    fn start(&self) -> String {
        let block = json!({"type": "text", "text": ""});
        frame(json!({"type": "message_start", "message": self.message("", None)}))
            + &frame(json!({"type": "content_block_start", "index": 0, "content_block": block}))
    }
}

fn frame(data: Value) -> String {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

fn delta(text: &str) -> String {
    let delta = json!({"type": "text_delta", "text": text});
    frame(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
}

async fn serve(mut socket: TcpStream, books: &Books) -> Result {
    socket.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.ok_or("no content-length")?.trim().parse()?;
        while bytes.len() < end + length {
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let asked = Asked::new(&bytes[end..end + length], books)?;
        bytes.drain(..end + length);
        if asked.fate != Fate::Reply {
            // It ends by itself if the gateway does not end it.
            return tokio::time::timeout(ATTACK_TIME, attack(socket, asked)).await?;
        }
        reply(&mut socket, asked).await?;
    }
}

async fn reply(socket: &mut TcpStream, mut asked: Asked<'_>) -> Result {
    asked.bill(REPLY_TOKENS);
    let words = "word ".repeat(REPLY_TOKENS as usize);
    let (content_type, body) = match asked.stream {
        false => (
            "application/json",
            asked.message(&words, Some("end_turn")).to_string(),
        ),
        true => {
            let deltas = delta("word ").repeat(REPLY_TOKENS as usize);
            let ends = [
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": asked.usage()}),
                json!({"type": "message_stop"}),
            ];
            let ends: String = ends.map(frame).concat();
            ("text/event-stream", asked.start() + &deltas + &ends)
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    socket.write_all((head + &body).as_bytes()).await?;
    Ok(())
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

async fn attack(mut socket: TcpStream, mut asked: Asked<'_>) -> Result {
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    match asked.fate {
        Fate::Reply => {}
        Fate::Informational => {
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
            flood(&mut socket, hints).await?;
        }
        Fate::SlowHead => {
            socket.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await?;
            loop {
                socket.write_all(b"a").await?;
                pause(50).await;
            }
        }
        Fate::ManyHeaders => {
            let lines: String = (0..100_000).map(|i| format!("x-{i}: a\r\n")).collect();
            let head = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n");
            socket.write_all(head.as_bytes()).await?;
        }
        Fate::SlowFrame => {
            let start = STREAM_HEAD.to_owned() + &asked.start();
            socket.write_all(start.as_bytes()).await?;
            for byte in b"data: ".iter().chain(std::iter::repeat(&b'a')) {
                socket.write_all(&[*byte]).await?;
                pause(50).await;
            }
        }
        Fate::Comments => {
            let start = STREAM_HEAD.to_owned() + &asked.start();
            socket.write_all(start.as_bytes()).await?;
            flood(&mut socket, ": working\n\n").await?;
        }
        Fate::Text => {
            let start = STREAM_HEAD.to_owned() + &asked.start();
            socket.write_all(start.as_bytes()).await?;
            loop {
                // 200 tokens a second.
                asked.bill(10);
                let deltas = delta("word ").repeat(10);
                socket.write_all(deltas.as_bytes()).await?;
                pause(50).await;
            }
        }
        Fate::FastText => {
            asked.bill(asked.max_tokens);
            let start = STREAM_HEAD.to_owned() + &asked.start();
            socket.write_all(start.as_bytes()).await?;
            flood(&mut socket, &delta("word ")).await?;
        }
        Fate::Json => {
            asked.bill(asked.max_tokens);
            let start = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\": \"";
            socket.write_all(start.as_bytes()).await?;
            flood(&mut socket, "word ").await?;
        }
        Fate::Frame => {
            let start = STREAM_HEAD.to_owned() + &asked.start() + "data: ";
            socket.write_all(start.as_bytes()).await?;
            flood(&mut socket, "word ").await?;
        }
        Fate::HalfClosed => {
            asked.bill(REPLY_TOKENS);
            let start = STREAM_HEAD.replace("\r\n\r\n", "\r\ncontent-length: 100000\r\n\r\n");
            let half = start + &asked.start() + &delta("word");
            socket.write_all(half.as_bytes()).await?;
            socket.shutdown().await?;
            while socket.read(&mut [0; 1024]).await? > 0 {}
        }
        Fate::ResetFrame => {
            asked.bill(REPLY_TOKENS);
            let half = &delta("word")[..40];
            let half = STREAM_HEAD.to_owned() + &asked.start() + half;
            socket.write_all(half.as_bytes()).await?;
            socket.set_zero_linger()?;
        }
        Fate::ResetHead => {
            asked.bill(asked.max_tokens);
            socket.set_zero_linger()?;
        }
    }
    Ok(())
}

/// Sends a text again and again, as fast as it is read.
async fn flood(socket: &mut TcpStream, text: &str) -> Result {
    let block = text.repeat((64 << 10) / text.len());
    for _ in 0..ATTACK_BYTES / block.len() {
        socket.write_all(block.as_bytes()).await?;
    }
    Ok(())
}
