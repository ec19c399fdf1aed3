//! A provider's own request and reply, passed on as they are: what a gateway needs.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::active::ActiveStream;
use super::call::{Call, Outcome};
use super::early::Early;
use super::handle::Client;
use crate::runtime::{self, BoxFuture};
use crate::{Error, Reply, Result, StreamEvent};

/// How long a stream's head is held back for its first content, so that a failure before it can have a status of its own.
const HOLD: Duration = Duration::from_secs(1);

/// A reply in its provider's dialect, byte for byte as it comes. Dropped before its end, it is aborted.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let body = r#"{"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}], "stream": true}"#;
/// let mut reply = client.passthrough(body, []).await?;
/// while let Some(bytes) = reply.chunk().await {
///     print!("{}", String::from_utf8_lossy(&bytes?));
/// }
/// # Ok(()) }
/// ```
pub struct PassthroughResponse {
    is_stream: bool,
    request_id: Option<String>,
    attempts: u32,
    /// What is to be given before more is read.
    ready: VecDeque<Bytes>,
    source: Source,
    failed: Option<Error>,
    reply: Option<Reply>,
}

/// Where more comes from.
enum Source {
    /// The call has no content yet, but what came before it is passed on.
    Starting(BoxFuture<'static, Result<Outcome>>, Early),
    Live(Box<ActiveStream>),
    Ended,
}

impl Client {
    /// Sends a request that is in the provider's own dialect already, with the pool, retries, timeouts, prices and budgets of every
    /// other call, and gives the reply as the provider writes it. A body that asks for a stream (`"stream": true`) is
    /// answered by one. `headers` go with it, such as `anthropic-beta`.
    ///
    /// A stream of OpenAI's dialect is asked for its usage unless the body says itself whether it wants it
    /// (`stream_options.include_usage`). The event that only tells this usage is then left out, and so is the `"usage": null` that
    /// asking adds to the others. Apart from that, events are passed on as they came. A server that refuses to be asked is not asked
    /// again.
    ///
    /// The response is there once content is, or after a second in which the provider has said in comments that it is at
    /// work.
    ///
    /// # Errors
    /// Those of [`Client::chat`]. [`Error::status`] and [`Error::body`] hold what the provider has answered.
    ///
    /// `Config` for a body that is not one JSON object, or that a server could read differently than this crate does where it
    /// matters to cost: a top-level field, or the `type` or `source` of a content block, that is given twice; a limit that is
    /// not a whole number (`60000.0` and `6e4` are); a model's name of more than 256 bytes.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let body = r#"{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let reply = client.passthrough(body, [("anthropic-beta".into(), "context-1m-2025-08-07".into())]).await?;
    /// assert!(!reply.is_stream());
    /// # Ok(()) }
    /// ```
    pub async fn passthrough(
        &self,
        body: impl Into<Bytes>,
        headers: impl IntoIterator<Item = (String, String)>,
    ) -> Result<PassthroughResponse> {
        let call = Call::raw(self, body.into(), headers.into_iter().collect())?;
        let early = call.forward().unwrap_or_default();
        let mut response = PassthroughResponse {
            is_stream: true,
            request_id: None,
            attempts: 0,
            ready: VecDeque::new(),
            source: Source::Ended,
            failed: None,
            reply: None,
        };
        let mut starting = call.run();
        match started(&mut starting, &early).await {
            Some(Ok(Outcome::Reply(reply))) => {
                response.is_stream = false;
                response.ready.extend(reply.raw_bytes());
                response.request_id.clone_from(&reply.request_id);
                response.attempts = reply.attempts;
                response.reply = Some(*reply);
            }
            Some(Ok(Outcome::Stream(live))) => response.begin(live, &early),
            Some(Err(error)) => return Err(error),
            None => response.source = Source::Starting(starting, early),
        }
        Ok(response)
    }
}

/// Waits for the first content. None where it takes long and the provider says meanwhile that it is at work, in comments or
/// events without content: whoever waits for the head gives up sooner than the model does.
async fn started(
    starting: &mut BoxFuture<'static, Result<Outcome>>,
    early: &Early,
) -> Option<Result<Outcome>> {
    let first = poll_fn(|cx| match starting.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => Poll::Ready(None),
    });
    if let Some(outcome) = first.await {
        return Some(outcome);
    }
    let mut hold = pin!(runtime::sleep(HOLD));
    let mut held = false;
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = starting.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if !held {
            ready!(hold.as_mut().poll(cx));
            held = true;
        }
        match early.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(None),
        }
    })
    .await
}

impl PassthroughResponse {
    /// Whether server-sent events come, rather than one JSON object.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// let content_type = if reply.is_stream() { "text/event-stream" } else { "application/json" };
    /// # }
    /// ```
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The provider's id of the request.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{:?}", reply.request_id());
    /// # }
    /// ```
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// How many attempts it took.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{} attempts", reply.attempts());
    /// # }
    /// ```
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What the bytes said, once the last is given. Of a stream it does not hold the bytes.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{:?}", reply.reply().and_then(|reply| reply.cost));
    /// # }
    /// ```
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    /// The next bytes; none after the last. An error comes after all bytes that came before it.
    ///
    /// # Errors
    /// As for an event of [`Client::stream`].
    pub async fn chunk(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// [`PassthroughResponse::chunk`], for a body that is polled.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            match &mut self.source {
                Source::Ended => return Poll::Ready(None),
                Source::Starting(starting, early) => {
                    let early = early.clone();
                    let outcome = starting.as_mut().poll(cx);
                    match outcome {
                        Poll::Ready(Ok(Outcome::Stream(live))) => self.begin(live, &early),
                        Poll::Ready(Ok(Outcome::Reply(_))) => {
                            let why = "the provider answered with a whole reply after it had begun a stream";
                            self.fail(Error::stream(why));
                        }
                        Poll::Ready(Err(error)) => self.fail(error),
                        Poll::Pending if early.is_empty() => return Poll::Pending,
                        Poll::Pending => self.ready.extend(early.take()),
                    }
                }
                Source::Live(live) => {
                    let event = live.poll_event(cx);
                    let frames = live.take_frames();
                    if !frames.is_empty() {
                        self.ready.push_back(frames);
                    }
                    match event {
                        Poll::Ready(Ok(StreamEvent::Done { reply })) => {
                            self.reply = Some(*reply);
                            self.source = Source::Ended;
                        }
                        Poll::Ready(Err(error)) => self.fail(error),
                        Poll::Ready(Ok(_)) => {}
                        Poll::Pending if self.ready.is_empty() => return Poll::Pending,
                        Poll::Pending => {}
                    }
                }
            }
        }
    }

    fn begin(&mut self, live: Box<ActiveStream>, early: &Early) {
        self.ready.extend(early.take());
        self.request_id = live.request_id().map(str::to_owned);
        self.attempts = live.attempts();
        self.source = Source::Live(live);
    }

    fn fail(&mut self, error: Error) {
        self.failed = Some(error);
        self.source = Source::Ended;
    }
}
