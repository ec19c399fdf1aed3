//! A provider's own request and reply, passed on as they are: what a gateway needs.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::call::{Answer, Call};
use super::stream::Live;
use super::{Client, Result};
use crate::{Error, Event, Reply};

/// A reply in its provider's dialect, byte for byte as it comes. Dropped before its end, it is aborted.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let body = r#"{"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}], "stream": true}"#;
/// let mut reply = client.pass(body, []).await?;
/// while let Some(bytes) = reply.chunk().await {
///     print!("{}", String::from_utf8_lossy(&bytes?));
/// }
/// # Ok(()) }
/// ```
pub struct Passage {
    streams: bool,
    request_id: Option<String>,
    attempts: u32,
    /// What is to be given before more is read.
    ready: VecDeque<Bytes>,
    live: Option<Box<Live>>,
    failed: Option<Error>,
    reply: Option<Reply>,
    events: Events,
}

impl Client {
    /// Sends a request that is in the provider's own dialect already, with the pool, retries, timeouts, prices and budgets of every
    /// other call, and gives the reply as the provider writes it. A body that asks for a stream (`"stream": true`) is
    /// answered by one. `headers` go with it, such as `anthropic-beta`.
    ///
    /// A stream of OpenAI's dialect is asked for its usage, where the body does not say itself whether it wants it
    /// (`stream_options`), and the event that tells it is left out again.
    ///
    /// # Errors
    /// Those of [`Client::chat`]. [`Error::status`] and [`Error::body`] hold what the provider has answered.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let body = r#"{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let reply = client.pass(body, [("anthropic-beta".into(), "context-1m-2025-08-07".into())]).await?;
    /// assert!(!reply.streams());
    /// # Ok(()) }
    /// ```
    pub async fn pass(
        &self,
        body: impl Into<Bytes>,
        headers: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Passage> {
        let (call, hides) = Call::raw(self, body.into(), headers.into_iter().collect())?;
        let mut passage = Passage {
            streams: false,
            request_id: None,
            attempts: 0,
            ready: VecDeque::new(),
            live: None,
            failed: None,
            reply: None,
            events: Events {
                begun: Vec::new(),
                hides,
            },
        };
        match call.run().await? {
            Answer::Whole(reply) => {
                passage.ready.extend(reply.raw_bytes());
                passage.request_id.clone_from(&reply.request_id);
                passage.attempts = reply.attempts;
                passage.reply = Some(*reply);
            }
            Answer::Live(live) => {
                passage.streams = true;
                passage.request_id = live.request_id().map(str::to_owned);
                passage.attempts = live.attempts();
                passage.live = Some(live);
            }
        }
        Ok(passage)
    }
}

impl Passage {
    /// Whether server-sent events come, rather than one JSON object.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Passage) {
    /// let content_type = if reply.streams() { "text/event-stream" } else { "application/json" };
    /// # }
    /// ```
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// The provider's id of the request.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Passage) {
    /// println!("{:?}", reply.request_id());
    /// # }
    /// ```
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// How many attempts it took.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Passage) {
    /// println!("{} attempts", reply.attempts());
    /// # }
    /// ```
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What the bytes said, once the last is given.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Passage) {
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

    /// [`Passage::chunk`], for a body that is polled.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            let Some(live) = &mut self.live else {
                return Poll::Ready(None);
            };
            let event = live.poll_event(cx);
            let came = match &event {
                // What came last is with the reply.
                Poll::Ready(Ok(Event::Done { reply })) => reply.raw_bytes().unwrap_or_default(),
                _ => live.take_raw().into(),
            };
            let done = matches!(event, Poll::Ready(Ok(Event::Done { .. })));
            let ended = done || matches!(event, Poll::Ready(Err(_)));
            self.ready.extend(self.events.whole(&came, done));
            if ended {
                self.live = None;
            }
            match event {
                Poll::Ready(Ok(Event::Done { reply })) => self.reply = Some(*reply),
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if self.ready.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }
}

/// Lets whole events through, so that what comes after a stream that breaks off can be told from it.
struct Events {
    /// The beginning of an event whose end is yet to come.
    begun: Vec<u8>,
    /// Without the event of OpenAI's dialect that tells a stream's usage: the one that has no choices
    /// (<https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options>).
    hides: bool,
}

impl Events {
    fn whole(&mut self, came: &[u8], done: bool) -> Option<Bytes> {
        self.begun.extend_from_slice(came);
        let ends = [&b"\n\n"[..], b"\r\n\r\n"].map(|end| {
            let last = memchr::memmem::rfind(&self.begun, end);
            last.map_or(0, |at| at + end.len())
        });
        let whole = match done {
            true => self.begun.len(),
            false => ends.into_iter().max().unwrap_or_default(),
        };
        let rest = self.begun.split_off(whole);
        let mut events = std::mem::replace(&mut self.begun, rest);
        if self.hides && memchr::memmem::find(&events, b"\"choices\":[]").is_some() {
            events = without_usage(&events);
        }
        (!events.is_empty()).then(|| events.into())
    }
}

fn without_usage(events: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\n\n").map_or(rest.len(), |at| at + 2);
        let (event, after) = rest.split_at(end);
        let has = |what: &[u8]| memchr::memmem::find(event, what).is_some();
        if !(has(b"\"choices\":[]") && has(b"\"usage\":{")) {
            kept.extend_from_slice(event);
        }
        rest = after;
    }
    kept
}
