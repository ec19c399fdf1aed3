use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::clock::{Clock, Silence};
use crate::cost::Seen;
use crate::dialect::StreamDecoder;
use crate::runtime::Instant;
use crate::transport::Body;
use crate::{Error, ErrorKind, Result, StreamEvent};

/// How many chunks are read in a row before other tasks have their turn. A provider can send comments faster than they are read.
const MAX_READS: usize = 8;

/// A streamed response that is being read. Its decoder holds the events that have arrived.
pub(super) struct Live {
    pub(super) decoder: StreamDecoder,
    body: Option<Body>,
    /// The error that ends the stream, after the events that came before it.
    error: Option<Error>,
    silence: Silence,
    /// When the reply was complete, while the end of the body is awaited.
    complete_since: Option<Instant>,
}

impl Live {
    /// Starts with the bytes that have been read. The request was sent at `sent_at`, when the silence began.
    pub(super) fn new(
        decoder: StreamDecoder,
        body: Body,
        first: Bytes,
        sent_at: Option<Instant>,
    ) -> Self {
        let mut live = Self {
            decoder,
            body: Some(body),
            error: None,
            silence: Silence {
                since: sent_at,
                read_until: sent_at,
            },
            complete_since: None,
        };
        live.decoder.feed(first);
        live
    }

    /// Returns what was received so far.
    pub(super) fn seen(&self) -> Seen<'_> {
        Seen {
            reply: self.decoder.reply(),
            read_until: self.silence.read_until,
        }
    }

    /// Waits for the first content. The events before it, and it, stay in the decoder.
    pub(super) fn poll_content(
        &mut self,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        while !self.decoder.has_content() {
            let failed = self.decoder.take_error().map_or(Ok(()), Err);
            self.keep_error(failed);
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_read(clock, cx));
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the next event, or `None` at the end of the reply.
    pub(super) fn poll_event(
        &mut self,
        clock: &mut Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<StreamEvent>>> {
        for _ in 0..MAX_READS {
            match self.decoder.next_event() {
                Some(Ok(event)) => {
                    if event.is_content() {
                        self.silence.since = None;
                    }
                    return Poll::Ready(Ok(Some(event)));
                }
                Some(Err(error)) => self.keep_error(Err(error)),
                None => {}
            }
            if self.decoder.is_done() {
                ready!(self.poll_end(clock, cx));
                return Poll::Ready(Ok(None));
            }
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_read(clock, cx));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads the next chunk into the decoder.
    fn poll_read(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Poll<()> {
        let decoded = match &mut self.body {
            None => Err(Error::stream("the stream had already ended")),
            Some(body) => match body.poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => chunk.map(|chunk| self.decoder.feed(chunk)),
                Poll::Ready(None) => self.decoder.finish(),
                Poll::Pending => {
                    let is_writing_text = self.decoder.is_writing_text();
                    let silence = &mut self.silence;
                    Err(ready!(clock.poll_silence(silence, is_writing_text, cx)))
                }
            },
        };
        self.keep_error(decoded);
        Poll::Ready(())
    }

    fn keep_error(&mut self, decoded: Result<()>) {
        if let Err(error) = decoded {
            self.body = None;
            self.error = Some(error.with_request_id(self.decoder.request_id()));
        }
    }

    /// Waits a short time for the end of the body after the reply is complete, so that the connection is idle before the caller
    /// makes the next call. Some servers never end the body.
    fn poll_end(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Poll<()> {
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
            self.decoder.feed(rest);
        }
        let since = *self.complete_since.get_or_insert_with(Instant::now);
        ready!(clock.poll_elapsed(since, END_TIMEOUT, cx));
        if let Some(body) = self.body.take() {
            body.finish();
        }
        Poll::Ready(())
    }
}

/// How far frames have been forwarded.
#[derive(Default)]
pub(super) struct Forwarded {
    /// Whether the head, or any frames, have been handed out before the first content.
    pub(super) any: bool,
    /// Whether they hold more than comments, so that another attempt would repeat something.
    pub(super) events: bool,
    /// The last frames of a stream that has ended.
    pub(super) rest: Bytes,
    /// Whether they hold the provider's own event of the error that ended it.
    pub(super) error: bool,
}

/// Whether a stream has ended with an error event of the provider's. The other errors of streams are found here.
pub(super) fn is_of_provider(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Status { .. } | ErrorKind::RateLimited { .. } | ErrorKind::Overloaded
    )
}
