//! A provider's own request and reply, passed on as they are: what a gateway needs.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::call::Call;
use super::handle::Client;
use super::polled::Polled;
use crate::runtime::{self, Timer};
use crate::{CallOptions, Error, Reply, Result, StreamEvent};

/// The maximum time for which the head of a stream is held back for its first content, so that a failure before that can have a status of
/// its own.
const HOLD: Duration = Duration::from_secs(1);

/// The maximum size of what is held back with it, in bytes.
const MAX_HELD: usize = 64 << 10;

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
    call: Box<dyn Polled>,
    is_stream: bool,
    request_id: Option<String>,
    attempts: usize,
    /// Bytes and an error to return before more is read.
    ready: Bytes,
    failed: Option<Error>,
    reply: Option<Reply>,
}

impl Client {
    /// Sends a request that is in the provider's own dialect already, with the pool, retries, timeouts, prices and budgets of every
    /// other call, and gives the reply as the provider writes it. A body that asks for a stream (`"stream": true`) is
    /// answered by one. `options` are headers, such as `anthropic-beta`, or any [`CallOptions`].
    ///
    /// A stream of Chat Completions is asked for its usage unless the body says itself whether it wants it
    /// (`stream_options.include_usage`). The event that only tells this usage is then left out, and so is the `"usage": null` that
    /// asking adds to the others. Apart from that, events are passed on as they came. A server that refuses to be asked is not asked
    /// again.
    ///
    /// The response of a stream is returned with its first content, or one second after the head of the provider's response arrived, or
    /// when 64 KiB have come without content. A
    /// failure before that is an error of this function, and later one of the response. The attempts before the first content are
    /// retried in both cases, unless events have been passed on.
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
        options: impl Into<CallOptions>,
    ) -> Result<PassthroughResponse> {
        let body = body.into();
        let facts = self.inner.dialect.facts(&body)?;
        PassthroughResponse::begin(Call::raw(self, body, &facts, &options.into())?).await
    }
}

impl PassthroughResponse {
    /// Starts a call. See [`Client::passthrough`] for when this returns.
    pub(crate) async fn begin(mut call: Box<dyn Polled>) -> Result<Self> {
        let mut timer = None;
        let first = runtime::within(async {
            let first = poll_fn(|cx| {
                if let Poll::Ready(event) = call.poll_event(cx) {
                    return Poll::Ready(event);
                }
                // Whoever waits for the head gives up sooner than the model does.
                let Some(arrived) = call.head_arrived() else {
                    return Poll::Pending;
                };
                if call.held_bytes() <= MAX_HELD {
                    let timer = timer.get_or_insert_with(|| Timer::new(HOLD));
                    ready!(timer.poll_until(cx, arrived + HOLD));
                }
                call.release_head();
                Poll::Ready(None)
            });
            first.await.transpose()
        });
        let first = first.await?;
        let mut response = Self {
            is_stream: true,
            request_id: call.request_id().map(str::to_owned),
            attempts: call.attempt_count(),
            ready: call.take_frames(),
            failed: None,
            reply: None,
            call,
        };
        if let Some(StreamEvent::Done { reply }) = first {
            response.complete(*reply);
        }
        Ok(response)
    }

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
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// Returns the name of the target that serves the call of a [`Router`](crate::Router). Before the first content, another one can take its
    /// place. `None` in a call of a client.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{:?}", reply.target());
    /// # }
    /// ```
    pub fn target(&self) -> Option<&str> {
        self.call.target()
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

    /// Returns whether the error that [`chunk`](Self::chunk) returned was an event of the provider's, which is among the bytes that came
    /// before it. Any other error must be reported to whoever reads the bytes.
    ///
    /// ```no_run
    /// # async fn demo(mut reply: warmline::PassthroughResponse) {
    /// while let Some(bytes) = reply.chunk().await {
    ///     match bytes {
    ///         Ok(bytes) => print!("{}", String::from_utf8_lossy(&bytes)),
    ///         Err(error) if !reply.error_is_forwarded() => println!("data: {{\"error\": \"{error}\"}}\n"),
    ///         Err(_) => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn error_is_forwarded(&self) -> bool {
        self.call.error_is_forwarded()
    }

    /// [`PassthroughResponse::chunk`], for a body that is polled.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.ready))));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            let event = self.call.poll_event(cx);
            self.ready = self.call.take_frames();
            match event {
                Poll::Ready(None) if self.ready.is_empty() => return Poll::Ready(None),
                Poll::Ready(Some(Ok(StreamEvent::Done { reply }))) => self.complete(*reply),
                Poll::Ready(Some(Err(error))) => self.failed = Some(error),
                Poll::Pending if self.ready.is_empty() => return Poll::Pending,
                Poll::Ready(_) | Poll::Pending => {}
            }
        }
    }

    /// Takes the reply at the end. Only one that was not streamed holds its bytes.
    fn complete(&mut self, reply: Reply) {
        if let Some(whole) = reply.raw_bytes() {
            self.is_stream = false;
            self.ready = whole;
        }
        self.attempts = reply.attempts().len();
        self.request_id.clone_from(&reply.request_id);
        self.reply = Some(reply);
    }
}
