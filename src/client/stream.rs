//! A reply that is being streamed.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use super::call::{Call, Outcome};
use crate::provider::StreamDecoder;
use crate::runtime::{self, BoxFuture, Instant};
use crate::transport::Body;
use crate::{Error, Part, Reply, Result, StreamEvent, TimeoutKind};

/// The [`StreamEvent`]s of a reply as they arrive: a [`Stream`], made by [`Client::stream`](crate::Client::stream).
///
/// It ends after [`StreamEvent::Done`] or after an error, and only so: one that just stops has been dropped.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let reply = client.stream("Hello").into_reply().await?;
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct EventStream(Phase);

enum Phase {
    Failed(Error),
    Starting(BoxFuture<'static, Result<Outcome>>),
    Active(Box<ActiveStream>),
    /// What is left of a reply that came whole although a stream was asked for.
    Replay(VecDeque<StreamEvent>),
}

impl EventStream {
    pub(super) fn new(call: Result<Call>) -> Self {
        Self(match call {
            Ok(call) => Phase::Starting(Box::pin(call.run())),
            Err(error) => Phase::Failed(error),
        })
    }

    /// The next event; none after the last.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let mut stream = client.stream("Hello");
    /// while let Some(event) = stream.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Result<StreamEvent>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The whole reply, once it is there.
    ///
    /// # Errors
    /// Those of the stream.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// println!("{}", client.stream("Hello").into_reply().await?.text());
    /// # Ok(()) }
    /// ```
    pub async fn into_reply(mut self) -> Result<Reply> {
        while let Some(event) = self.next().await {
            if let StreamEvent::Done { reply } = event? {
                return Ok(*reply);
            }
        }
        Err(Error::stream("the stream had already ended"))
    }
}

impl Stream for EventStream {
    type Item = Result<StreamEvent>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<StreamEvent>>> {
        let end = || Phase::Replay(VecDeque::new());
        loop {
            match &mut self.0 {
                Phase::Starting(starting) => {
                    self.0 = match ready!(starting.as_mut().poll(cx)) {
                        Ok(Outcome::Stream(live)) => Phase::Active(live),
                        Ok(Outcome::Reply(reply)) => Phase::Replay(events_of(*reply)),
                        Err(error) => Phase::Failed(error),
                    }
                }
                Phase::Active(live) => {
                    let event = ready!(live.poll_event(cx));
                    if matches!(event, Err(_) | Ok(StreamEvent::Done { .. })) {
                        self.0 = end();
                    }
                    return Poll::Ready(Some(event));
                }
                Phase::Replay(events) => return Poll::Ready(events.pop_front().map(Ok)),
                Phase::Failed(_) => {
                    if let Phase::Failed(error) = std::mem::replace(&mut self.0, end()) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.0 {
            Phase::Failed(_) => "failed",
            Phase::Starting(_) => "starting",
            Phase::Active(_) => "live",
            Phase::Replay(_) => "ending",
        };
        f.debug_tuple("EventStream").field(&phase).finish()
    }
}

/// The events of a reply that came whole.
fn events_of(reply: Reply) -> VecDeque<StreamEvent> {
    let mut events = VecDeque::from([StreamEvent::Start {
        id: reply.id.clone(),
        model: reply.model.clone(),
    }]);
    let mut index = 0;
    for part in &reply.content {
        match part {
            Part::Text { text, .. } => events.push_back(StreamEvent::Text { text: text.clone() }),
            Part::Reasoning { text, .. } => {
                events.push_back(StreamEvent::Reasoning { text: text.clone() })
            }
            Part::ToolUse(call) => {
                let (id, name) = (call.id.clone(), call.name.clone());
                events.push_back(StreamEvent::ToolCallStart { index, id, name });
                events.push_back(StreamEvent::ToolCallDelta {
                    index,
                    arguments: call.arguments.clone(),
                });
                events.push_back(StreamEvent::ToolCall {
                    index,
                    call: Box::new(call.clone()),
                });
                index += 1;
            }
            _ => {}
        }
    }
    events.push_back(StreamEvent::Done {
        reply: Box::new(reply),
    });
    events
}

/// A response whose body is being decoded.
pub(super) struct ActiveStream {
    call: Call,
    decoder: StreamDecoder,
    body: Option<Body>,
    /// Events that were seen before the stream was handed out.
    buffered: VecDeque<StreamEvent>,
    /// What ends the stream once the events before it are given out.
    failed: Option<Error>,
    /// Since when the caller has been waiting for content: its own pauses do not count.
    waiting_since: Option<Instant>,
    ending: bool,
    timer: Pin<Box<runtime::Sleep>>,
}

impl ActiveStream {
    pub(super) fn new(call: Call, decoder: StreamDecoder, body: Body) -> Self {
        let timer = Box::pin(runtime::sleep(call.client.timeout));
        Self {
            call,
            decoder,
            body: Some(body),
            buffered: VecDeque::new(),
            failed: None,
            waiting_since: None,
            ending: false,
            timer,
        }
    }

    /// The bytes that have come since they were last asked for, where they are kept.
    pub(super) fn take_raw(&mut self) -> Vec<u8> {
        self.decoder.take_raw()
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.decoder.request_id()
    }

    pub(super) fn attempts(&self) -> u32 {
        self.call.attempts_made()
    }

    /// Reads up to the first content, so that a failure before it can still be retried.
    pub(super) async fn read_until_first_content(&mut self) -> Result<()> {
        loop {
            let event = poll_fn(|cx| self.poll_raw(cx)).await?;
            let content = event.is_content();
            self.buffered.push_back(event);
            if content {
                return Ok(());
            }
        }
    }

    pub(super) async fn into_reply(mut self) -> Result<Reply> {
        loop {
            if let StreamEvent::Done { reply } = poll_fn(|cx| self.poll_event(cx)).await? {
                return Ok(*reply);
            }
        }
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamEvent>> {
        if let Some(event) = self.buffered.pop_front() {
            return Poll::Ready(Ok(event));
        }
        self.poll_raw(cx).map_err(|error| self.call.fail(error))
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamEvent>> {
        loop {
            if let Some(event) = self.decoder.next() {
                if event.is_content() {
                    self.waiting_since = None;
                    self.call.record_first_token();
                }
                return Poll::Ready(Ok(event));
            }
            if self.decoder.ended() {
                ready!(self.poll_end(cx));
                let mut reply = self.decoder.take_reply();
                self.call.complete(&mut reply);
                return Poll::Ready(Ok(StreamEvent::Done {
                    reply: Box::new(reply),
                }));
            }
            if let Some(error) = self.failed.take() {
                self.body = None;
                return Poll::Ready(Err(error.with_request_id(self.decoder.request_id())));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Err(Error::stream("the stream had already ended")));
            };
            let fed = match body.poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => chunk.and_then(|chunk| self.decoder.feed(&chunk)),
                Poll::Ready(None) => self.decoder.finish(),
                Poll::Pending => {
                    let (which, after) = ready!(self.poll_timers(cx));
                    Err(Error::timeout(which, after))
                }
            };
            // The events before a failure are still good, and come first.
            self.failed = fed.err();
        }
    }

    /// The reply is whole; the end of its body comes with it, or close behind. It is waited for, so that
    /// the connection is free when the caller makes the next call, but not for long: some servers never
    /// end it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        const AT_MOST: Duration = Duration::from_millis(100);
        let Some(body) = &mut self.body else {
            return Poll::Ready(());
        };
        while let Poll::Ready(rest) = body.poll_chunk(cx) {
            let Some(Ok(rest)) = rest else {
                self.body = None;
                return Poll::Ready(());
            };
            // Nothing is read from it, but it belongs to what is kept.
            let _ = self.decoder.feed(&rest);
        }
        if !std::mem::replace(&mut self.ending, true) {
            self.timer.as_mut().reset(Instant::now() + AT_MOST);
        }
        ready!(self.timer.as_mut().poll(cx));
        if let Some(body) = self.body.take() {
            body.finish();
        }
        Poll::Ready(())
    }

    /// Ready once the caller has waited too long. The timer is set anew only when it fires, rather
    /// than at every piece of content.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<(TimeoutKind, Duration)> {
        let now = Instant::now();
        let timeout = self.call.client.timeout;
        let since = *self.waiting_since.get_or_insert(now);
        let mut due = (since + timeout, TimeoutKind::Read, timeout);
        if let Some(deadline) = self.call.client.deadline
            && self.call.start + deadline < due.0
        {
            due = (self.call.start + deadline, TimeoutKind::Deadline, deadline);
        }
        if due.0 <= now {
            return Poll::Ready((due.1, due.2));
        }
        // Fires early where content has come since it was set, and is then set anew.
        if self.timer.deadline() > due.0 {
            self.timer.as_mut().reset(due.0);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= due.0 {
                return Poll::Ready((due.1, due.2));
            }
            self.timer.as_mut().reset(due.0);
        }
        Poll::Pending
    }
}
