//! Streamed replies.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::active::ActiveStream;
use super::call::{Call, Outcome};
use super::handle::Client;
use crate::runtime::BoxFuture;
use crate::{Error, Part, Reply, Request, Result, StreamEvent};

/// A [`Stream`] of the [`StreamEvent`]s of a reply, returned by [`Client::stream`](crate::Client::stream).
///
/// Its last item is either [`StreamEvent::Done`] or an error.
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
    /// The remaining events of a reply that was not streamed although a stream was requested.
    Replay(VecDeque<StreamEvent>),
}

impl EventStream {
    pub(super) fn new(call: Result<Call>) -> Self {
        Self(match call {
            Ok(call) => Phase::Starting(call.run()),
            Err(error) => Phase::Failed(error),
        })
    }

    /// Returns the next event, or `None` after the last.
    ///
    /// # Errors
    /// Those of [`Client::chat`](crate::Client::chat).
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

    /// Waits for the end of the stream and returns the whole reply.
    ///
    /// # Errors
    /// The error of the stream, or `Stream` if the last event has been returned already.
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
        let ended = || Phase::Replay(VecDeque::new());
        loop {
            match &mut self.0 {
                Phase::Starting(starting) => {
                    self.0 = match ready!(starting.as_mut().poll(cx)) {
                        Ok(Outcome::Stream(stream)) => Phase::Active(stream),
                        Ok(Outcome::Reply(reply)) => Phase::Replay(replay_events(*reply)),
                        Err(error) => Phase::Failed(error),
                    }
                }
                Phase::Active(stream) => {
                    let event = ready!(stream.poll_event(cx));
                    if matches!(event, Err(_) | Ok(StreamEvent::Done { .. })) {
                        self.0 = ended();
                    }
                    return Poll::Ready(Some(event));
                }
                Phase::Replay(events) => return Poll::Ready(events.pop_front().map(Ok)),
                Phase::Failed(_) => {
                    if let Phase::Failed(error) = std::mem::replace(&mut self.0, ended()) {
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
            Phase::Active(_) => "active",
            Phase::Replay(_) => "ending",
        };
        f.debug_tuple("EventStream").field(&phase).finish()
    }
}

/// Returns the events of a reply that was not streamed.
fn replay_events(reply: Reply) -> VecDeque<StreamEvent> {
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
            Part::Other { dialect, json } => events.push_back(StreamEvent::Other {
                dialect: *dialect,
                json: json.clone(),
            }),
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

impl Client {
    /// Sends a request and returns a stream of the events of its reply.
    ///
    /// Nothing is sent until the stream is polled for the first time. Dropping it cancels the call and releases its connection.
    ///
    /// Every error, including an invalid request, is an item of the stream and ends it.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// use warmline::StreamEvent;
    ///
    /// let mut stream = client.stream("Tell me a story.");
    /// while let Some(event) = stream.next().await {
    ///     if let StreamEvent::Text { text } = event? {
    ///         print!("{text}");
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream(&self, request: impl Into<Request>) -> EventStream {
        EventStream::new(Call::new(self, &request.into(), true))
    }
}
