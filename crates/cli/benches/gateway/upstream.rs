//! A provider with canned replies. It parses no request, so that almost all of its time is that of the sockets.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::interval;

use crate::Failure;

/// What the upstream replies, chosen by the model that a request names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply {
    /// A whole reply of about 700 bytes.
    Unary,
    /// [`EVENTS`] events, each in a write of its own, without a pause.
    Burst,
    /// [`PACED_EVENTS`] events, one every [`PACE`].
    Paced,
}

/// The events with text of a stream of [`Reply::Burst`].
pub const EVENTS: usize = 400;
/// The events with text of a stream of [`Reply::Paced`].
pub const PACED_EVENTS: usize = 40;
/// How many streams of [`Reply::Paced`] are open at once.
pub const PACED_STREAMS: usize = 500;
/// The time between two events of a stream of [`Reply::Paced`].
pub const PACE: Duration = Duration::from_millis(50);

impl Reply {
    pub const ALL: [Self; 3] = [Self::Unary, Self::Burst, Self::Paced];

    pub const fn model(self) -> &'static str {
        match self {
            Self::Unary => "bench-unary",
            Self::Burst => "bench-burst",
            Self::Paced => "bench-paced",
        }
    }

    /// Finds the model in the bytes of a request.
    fn of(body: &[u8]) -> Option<Self> {
        let is_named =
            |reply: &Self| memchr::memmem::find(body, reply.model().as_bytes()).is_some();
        Self::ALL.into_iter().find(is_named)
    }
}

/// A process of this program that serves something. It ends when this is dropped.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
}

impl Served {
    /// Starts this program once more.
    pub fn start(arguments: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse()?;
        Ok(Self { child, address })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the upstream.
pub fn start() -> Result<Served, Failure> {
    Served::start(&["--upstream"])
}

/// Runs the upstream until its standard input ends.
pub async fn serve() -> Result<(), Failure> {
    serve_each(answer).await
}

/// Prints the address, and serves until the standard input ends.
pub async fn serve_each<F, B>(
    handler: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<(), Failure>
where
    F: Future<Output = Result<Response<B>, Failure>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error: Into<Failure>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Without it, the kernel would hold an event back until the one before is acknowledged.
            let _ = socket.set_nodelay(true);
            let service = service_fn(handler.clone());
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            tokio::spawn(connection);
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await?;
    Ok(())
}

type Body =
    Either<Full<Bytes>, StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Failure> {
    let body = request.into_body().collect().await?.to_bytes();
    let reply = Reply::of(&body).ok_or("the request names no model of this benchmark")?;
    let (content_type, body) = match reply {
        Reply::Unary => (
            "application/json",
            Either::Left(Full::new(completion(reply).into())),
        ),
        Reply::Burst => (
            "text/event-stream",
            streamed(separately(events(reply, EVENTS)).boxed()),
        ),
        Reply::Paced => {
            let events = events(reply, PACED_EVENTS);
            let ticks = stream::unfold(interval(PACE), |mut interval| async move {
                interval.tick().await;
                Some(((), interval))
            });
            let paced = ticks.zip(stream::iter(events)).map(|((), event)| event);
            ("text/event-stream", streamed(paced.boxed()))
        }
    };
    Ok(Response::builder()
        .header("content-type", content_type)
        .body(body)?)
}

fn streamed(events: stream::BoxStream<'static, Bytes>) -> Body {
    let frames = events.map(|event| Ok(Frame::data(event)));
    Either::Right(StreamBody::new(frames.boxed()))
}

/// Yields between two events, so that hyper writes each by itself.
fn separately(events: Vec<Bytes>) -> impl Stream<Item = Bytes> {
    let mut events = events.into_iter();
    let mut is_ready = false;
    stream::poll_fn(move |cx| {
        is_ready = !is_ready;
        match is_ready {
            true => Poll::Ready(events.next()),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
}

fn completion(reply: Reply) -> String {
    let text = "A connection that is kept open needs no new handshake. ".repeat(6);
    json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": reply.model(),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80},
    })
    .to_string()
}

fn events(reply: Reply, texts: usize) -> Vec<Bytes> {
    let chunk = |choices, usage| {
        let chunk = json!({
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1_750_000_000,
            "model": reply.model(),
            "choices": choices,
            "usage": usage,
        });
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let text = json!([{"index": 0, "delta": {"content": " token"}, "finish_reason": null}]);
    let mut events = vec![chunk(text, json!(null)); texts];
    events.push(chunk(
        json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        json!(null),
    ));
    let usage =
        json!({"prompt_tokens": 20, "completion_tokens": texts, "total_tokens": texts + 20});
    events.push(chunk(json!([]), usage));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}
