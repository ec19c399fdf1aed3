use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::context::CallContext;
use crate::provider::StreamDecoder;
use crate::runtime::{self, Instant};
use crate::transport::Body;
use crate::{Error, Reply, Result, StreamEvent, TimeoutKind};

/// A response whose body is being decoded.
pub(super) struct ActiveStream {
    context: CallContext,
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
    pub(super) fn new(context: CallContext, decoder: StreamDecoder, body: Body) -> Self {
        let timer = Box::pin(runtime::sleep(context.client.timeout));
        Self {
            context,
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
        self.context.attempts
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
        self.poll_raw(cx).map_err(|error| self.context.fail(error))
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamEvent>> {
        loop {
            if let Some(event) = self.decoder.next() {
                if event.is_content() {
                    self.waiting_since = None;
                    self.context.record_first_token();
                }
                return Poll::Ready(Ok(event));
            }
            if self.decoder.ended() {
                ready!(self.poll_end(cx));
                let mut reply = self.decoder.take_reply();
                self.context.complete(&mut reply);
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
