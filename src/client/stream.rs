//! Replies, whole and streamed.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::call::Call;
use super::handle::Client;
use super::polled::{Polled, whole_reply};
use crate::{Error, Reply, Request, Result, StreamEvent};

/// A [`Stream`] of the [`StreamEvent`]s of a reply, returned by [`Client::stream`](crate::Client::stream) and
/// [`Router::stream`](crate::Router::stream).
///
/// Its last item is either [`StreamEvent::Done`] or an error.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let reply = client.stream("Hello").into_reply().await?;
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct EventStream(Result<Box<dyn Polled>, Option<Error>>);

impl EventStream {
    pub(crate) fn new<C: Polled + 'static>(call: Result<Box<C>>) -> Self {
        match call {
            Ok(call) => Self(Ok(call)),
            Err(error) => Self(Err(Some(error))),
        }
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
    pub async fn into_reply(self) -> Result<Reply> {
        match self.0 {
            Ok(mut call) => whole_reply(&mut *call).await,
            Err(error) => {
                Err(error.unwrap_or_else(|| Error::stream("the stream had already ended")))
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<StreamEvent>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<StreamEvent>>> {
        match &mut self.0 {
            Ok(call) => call.poll_event(cx),
            Err(error) => Poll::Ready(error.take().map(Err)),
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            Ok(call) => call.state_name(),
            Err(_) => "failed",
        };
        f.debug_tuple("EventStream").field(&state).finish()
    }
}

impl Client {
    /// Sends a request and waits for the whole reply.
    ///
    /// Dropping the future cancels the call and releases its connection.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) except `Cancelled`.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// println!("{}", client.chat("Hello").await?.text());
    /// # Ok(()) }
    /// ```
    pub async fn chat(&self, request: impl Into<Request>) -> Result<Reply> {
        whole_reply(&mut *Call::new(self, &request.into(), false)?).await
    }

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
        self.events(&request.into(), true)
    }

    /// Returns the events of a call. If the reply is not to be streamed, there is only the last one.
    pub(crate) fn events(&self, request: &Request, stream: bool) -> EventStream {
        EventStream::new(Call::new(self, request, stream))
    }
}
