//! A server that plays raw replies, whatever HTTP says about them.

use std::io::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

/// How often [`Step::Repeat`] writes.
const REPEAT_INTERVAL: Duration = Duration::from_millis(20);

/// The largest request that is read.
const MAX_REQUEST: usize = 32 << 20;

/// A step of a reply on a connection. After the last step, the connection waits for its next request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Replies before the body of the request has been read. Only the first step can be this one.
    Early,
    /// Writes text, and lets it be sent before the next step.
    Write(String),
    /// Writes bytes, given in Base64.
    WriteBase64(String),
    /// Waits for [`ScriptedServer::release`].
    Wait,
    /// Writes a text every 20 ms until the client closes the connection.
    Repeat(String),
    /// Sends nothing more, and keeps the connection open until the client closes it.
    Stall,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// A request that a [`ScriptedServer`] has read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScriptedRequest {
    /// The request line and the header lines.
    pub head: String,
    /// The body, as far as it was read.
    pub body: String,
}

/// A server on loopback that answers the nth request with the nth reply, and every further request with the last one. It
/// stops when this is dropped.
///
/// It answers preflight requests of browsers by itself. The replies must contain the header `access-control-allow-origin`
/// if a page is to read them.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use warmline_sim::{ScriptedServer, Step};
///
/// let reply = vec![Step::Write("HTTP/1.1 204 X\r\n\r\n".into()), Step::Close];
/// let server = ScriptedServer::start(vec![reply]).await?;
/// assert!(server.requests().is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ScriptedServer {
    url: String,
    script: Arc<Script>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Script {
    replies: Vec<Vec<Step>>,
    requests: Mutex<Vec<ScriptedRequest>>,
    arrived: Notify,
    /// A permit lets one [`Step::Wait`] go on.
    released: Semaphore,
}

impl ScriptedServer {
    /// Starts listening.
    ///
    /// # Errors
    /// If no address can be bound.
    pub async fn start(replies: Vec<Vec<Step>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let script = Arc::new(Script {
            replies,
            requests: Mutex::default(),
            arrived: Notify::new(),
            released: Semaphore::new(0),
        });
        let accepting = tokio::spawn(accept(listener, script.clone()));
        Ok(Self {
            url,
            script,
            accepting,
        })
    }

    /// The address: scheme, host and port.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<ScriptedRequest> {
        self.script.requests().clone()
    }

    /// Waits until `n` requests have arrived.
    pub async fn wait_for_requests(&self, n: usize) {
        loop {
            let arrived = self.script.arrived.notified();
            if self.script.requests().len() >= n {
                return;
            }
            arrived.await;
        }
    }

    /// Lets one [`Step::Wait`] go on.
    pub fn release(&self) {
        self.script.released.add_permits(1);
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Script {
    fn requests(&self) -> MutexGuard<'_, Vec<ScriptedRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and returns its number.
    fn count(&self, head: &str) -> usize {
        let mut requests = self.requests();
        requests.push(ScriptedRequest {
            head: head.to_owned(),
            body: String::new(),
        });
        requests.len() - 1
    }

    fn reply(&self, request: usize) -> &[Step] {
        let last = self.replies.len().saturating_sub(1);
        self.replies
            .get(request.min(last))
            .map_or(&[], Vec::as_slice)
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let script = script.clone();
        connections.spawn(async move { serve(socket, &script).await });
    }
}

/// Serves a connection until a step or the client closes it.
async fn serve(mut socket: TcpStream, script: &Script) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut bytes = Vec::new();
    while let Some(head) = read_head(&mut socket, &mut bytes).await? {
        if head.starts_with("OPTIONS ") {
            // The request itself comes on another connection. Browsers repeat a request if one that was used before breaks.
            return socket.write_all(PREFLIGHT).await;
        }
        let request = script.count(&head);
        let reply = script.reply(request);
        if reply.first() != Some(&Step::Early) {
            let body = read_body(&mut socket, &mut bytes, length(&head)).await?;
            script.requests()[request].body = body;
        }
        script.arrived.notify_waiters();
        for step in reply {
            if !play(step, &mut socket, script).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Plays a step. Returns whether the connection stays open.
async fn play(step: &Step, socket: &mut TcpStream, script: &Script) -> Result<bool> {
    match step {
        Step::Early => {}
        Step::Write(text) => socket.write_all(text.as_bytes()).await?,
        Step::WriteBase64(text) => {
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(std::io::Error::other)?;
            socket.write_all(&bytes).await?;
        }
        Step::Wait => {
            if let Ok(permit) = script.released.acquire().await {
                permit.forget();
            }
        }
        Step::Repeat(text) => loop {
            socket.write_all(text.as_bytes()).await?;
            tokio::time::sleep(REPEAT_INTERVAL).await;
        },
        Step::Stall => {
            while socket.read(&mut [0; 1024]).await? > 0 {}
            return Ok(false);
        }
        Step::Close => return Ok(false),
        Step::Reset => {
            socket2::SockRef::from(&*socket).set_linger(Some(Duration::ZERO))?;
            return Ok(false);
        }
    }
    Ok(true)
}

const PREFLIGHT: &[u8] = b"HTTP/1.1 204 No Content\r\naccess-control-allow-origin: *\r\n\
    access-control-allow-methods: POST\r\naccess-control-allow-headers: content-type, authorization, x-api-key, \
    anthropic-version, anthropic-dangerous-direct-browser-access\r\naccess-control-max-age: 600\r\nconnection: close\r\n\r\n";

/// Reads a request up to its body. `bytes` has what was read beyond. Returns `None` if the client has closed the connection.
async fn read_head(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<Option<String>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes.drain(..end + 4);
            return Ok(Some(head));
        }
        if bytes.len() > MAX_REQUEST || socket.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The length of the body.
fn length(head: &str) -> usize {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut length = length.filter_map(|(_, value)| value.trim().parse().ok());
    length.next().unwrap_or(0).min(MAX_REQUEST)
}

async fn read_body(socket: &mut TcpStream, bytes: &mut Vec<u8>, length: usize) -> Result<String> {
    while bytes.len() < length {
        if socket.read_buf(bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body = bytes.drain(..length).collect::<Vec<u8>>();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
