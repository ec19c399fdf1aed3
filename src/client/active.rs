use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::context::CallContext;
use crate::dialect::StreamDecoder;
use crate::runtime::{self, Instant};
use crate::transport::Body;
use crate::{Error, Reply, Result, StreamEvent, TimeoutKind};

/// A streamed response whose body is being decoded.
pub(super) struct ActiveStream {
    context: CallContext,
    decoder: StreamDecoder,
    body: Option<Body>,
    /// The events up to the first content, which were read before the stream was returned.
    buffered: VecDeque<StreamEvent>,
    /// The error that ends the stream after the events before it.
    error: Option<Error>,
    /// The start of the current wait for content, or `None` between waits: pauses of the caller do not count.
    waiting_since: Option<Instant>,
    /// The reply is complete, and the timer is that of the end of the body.
    awaiting_end: bool,
    timer: Pin<Box<runtime::Sleep>>,
}

impl ActiveStream {
    pub(super) fn new(context: CallContext, decoder: StreamDecoder, body: Body) -> Self {
        let timer = Box::pin(runtime::sleep(context.client.timeout));
        Self {
            context,
            decoder,
            body: Some(body),
            buffered: VecDeque::new(),
            error: None,
            waiting_since: None,
            awaiting_end: false,
            timer,
        }
    }

    /// Returns the frames that have arrived since the last call, if frames are forwarded.
    pub(super) fn take_frames(&mut self) -> Bytes {
        self.decoder.take_frames()
    }

    /// Takes bytes that were read before.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        self.error = self.decoder.feed(chunk).err();
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.decoder.request_id()
    }

    pub(super) fn attempts(&self) -> u32 {
        self.context.attempts
    }

    /// Reads up to the first content, because a failure before it can still be retried.
    pub(super) async fn read_until_first_content(&mut self) -> Result<()> {
        loop {
            let event = poll_fn(|cx| {
                let polled = self.poll_raw(cx);
                if polled.is_pending()
                    && let Some(early) = &self.context.forward
                {
                    early.push(self.decoder.take_frames(), !self.buffered.is_empty());
                }
                polled
            })
            .await?;
            let is_content = event.is_content();
            self.buffered.push_back(event);
            if is_content {
                return Ok(());
            }
        }
    }

    pub(super) async fn into_reply(mut self: Box<Self>) -> Result<Reply> {
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
        self.poll_raw(cx).map_err(|error| self.context.fail(error))
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamEvent>> {
        loop {
            if let Some(event) = self.decoder.next_event() {
                if event.is_content() {
                    self.waiting_since = None;
                    self.context.record_first_token();
                }
                return Poll::Ready(Ok(event));
            }
            if self.decoder.is_done() {
                ready!(self.poll_end(cx));
                let mut reply = self.decoder.take_reply();
                self.context.complete(&mut reply);
                return Poll::Ready(Ok(StreamEvent::Done {
                    reply: Box::new(reply),
                }));
            }
            if let Some(error) = self.error.take() {
                self.body = None;
                return Poll::Ready(Err(error.with_request_id(self.decoder.request_id())));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Err(Error::stream("the stream had already ended")));
            };
            let decoded = match body.poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => chunk.and_then(|chunk| self.decoder.feed(chunk)),
                Poll::Ready(None) => self.decoder.finish(),
                Poll::Pending => {
                    let (which, after) = ready!(self.poll_timers(cx));
                    Err(Error::timeout(which, after))
                }
            };
            // The events before a failure are valid and come first.
            self.error = decoded.err();
        }
    }

    /// Waits a short time for the end of the body after the reply is complete, so that the connection is idle before the caller
    /// makes the next call. Some servers never end the body.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        const END_TIMEOUT: Duration = Duration::from_millis(100);
        let Some(body) = &mut self.body else {
            return Poll::Ready(());
        };
        while let Poll::Ready(rest) = body.poll_chunk(cx) {
            let Some(Ok(rest)) = rest else {
                self.body = None;
                return Poll::Ready(());
            };
            // The decoder only keeps these bytes.
            let _ = self.decoder.feed(rest);
        }
        if !std::mem::replace(&mut self.awaiting_end, true) {
            self.timer.as_mut().reset(Instant::now() + END_TIMEOUT);
        }
        ready!(self.timer.as_mut().poll(cx));
        if let Some(body) = self.body.take() {
            body.finish();
        }
        Poll::Ready(())
    }

    /// Polls the timeout and the deadline. The timer is reset only when it fires, because resetting it at every event would be
    /// slow.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<(TimeoutKind, Duration)> {
        let now = Instant::now();
        let timeout = self.context.client.timeout;
        let since = *self.waiting_since.get_or_insert(now);
        let mut due = (since + timeout, TimeoutKind::Read, timeout);
        if let Some(deadline) = self.context.client.deadline
            && self.context.start + deadline < due.0
        {
            due = (
                self.context.start + deadline,
                TimeoutKind::Deadline,
                deadline,
            );
        }
        if due.0 <= now {
            return Poll::Ready((due.1, due.2));
        }
        if self.timer.deadline() > due.0 {
            self.timer.as_mut().reset(due.0);
        }
        // The timer fires early if content has arrived since it was set.
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= due.0 {
                return Poll::Ready((due.1, due.2));
            }
            self.timer.as_mut().reset(due.0);
        }
        Poll::Pending
    }
}
