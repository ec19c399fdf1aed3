//! Decodes a streamed reply.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::accumulator::Accumulator;
use super::codec::StreamState;
use super::usage::doubt_usage;
use super::wire::{request_id, text_of};
use crate::framing::sse::{Event, Framer};
use crate::{DialectName, Error, ErrorKind, Part, Provider, Reply, Result, StreamEvent};

/// Decodes the bytes of a streamed reply as events. [`Dialect::decode_stream`](super::Dialect::decode_stream) creates one.
///
/// ```
/// use warmline::StreamEvent;
/// use warmline::dialect::{Dialect, OpenAiChat};
///
/// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
/// for bytes in ["data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\n", "\ndata: [DONE]\n\n"] {
///     decoder.feed(bytes.into())?;
///     while let Some(event) = decoder.next_event() {
///         println!("{event:?}");
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(decoder.take_reply().text(), "Hi");
/// # Ok::<(), warmline::Error>(())
/// ```
pub struct StreamDecoder {
    framer: Framer,
    state: Box<dyn StreamState>,
    accumulator: Accumulator,
    raw: Option<Vec<u8>>,
    forward: Option<Forward>,
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StreamDecoder");
        debug.field("is_done", &self.is_done());
        debug.finish_non_exhaustive()
    }
}

/// The frames as they were received, to be forwarded.
struct Forward {
    /// Whether the usage is left out because the caller did not request it.
    hide_usage: bool,
    frames: Vec<Bytes>,
}

/// Returns the first provider with a dialect.
fn provider_of(dialect: DialectName) -> Provider {
    let mut providers = Provider::all();
    let first = providers.find(|provider| provider.dialect_name() == dialect);
    first.unwrap_or(Provider::OpenAi)
}

impl StreamDecoder {
    pub(super) fn new(
        dialect: DialectName,
        state: Box<dyn StreamState>,
        headers: HeaderMap,
    ) -> Self {
        let mut accumulator = Accumulator::new(provider_of(dialect));
        accumulator.reply.request_id = request_id(&headers);
        accumulator.reply.headers = headers;
        Self {
            framer: Framer::default(),
            state,
            accumulator,
            raw: None,
            forward: None,
        }
    }

    /// Reads the first of several replies.
    pub(crate) fn expect_several(&mut self) {
        self.state.expect_several();
    }

    /// Keeps the bytes for the reply.
    pub(crate) fn keep_raw(&mut self) {
        self.raw = Some(Vec::new());
    }

    /// Keeps the frames for [`StreamDecoder::take_frames`].
    pub(crate) fn keep_frames(&mut self, hide_usage: bool) {
        self.forward = Some(Forward {
            hide_usage,
            frames: Vec::new(),
        });
    }

    /// Decodes the next bytes. [`StreamDecoder::next_event`] then returns the events that they complete.
    ///
    /// # Errors
    /// The provider's error if the stream reports one, and `Decode` if an event does not follow the dialect. Events before it
    /// remain available.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// decoder.feed("data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\n\n".into())?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn feed(&mut self, chunk: Bytes) -> Result<()> {
        if let Some(raw) = &mut self.raw {
            raw.extend_from_slice(&chunk);
        }
        self.framer.feed(chunk);
        while let Some(frame) = self.framer.next()? {
            self.take(&frame)?;
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// `Stream` if the reply is incomplete.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(decoder.finish().is_err());
    /// ```
    pub fn finish(&mut self) -> Result<()> {
        let whole = self.forward.as_ref().map_or(0, |f| f.frames.len());
        let last = match self.framer.finish() {
            Some(frame) => self.take(&frame),
            None => Ok(()),
        };
        match last {
            _ if self.is_done() => Ok(()),
            // Some servers omit the last event. The finish reason is enough.
            Ok(()) if self.accumulator.reply.stop_reason.is_some() => {
                self.accumulator.end();
                Ok(())
            }
            Err(error) if *error.kind() != ErrorKind::Decode => Err(error),
            _ => {
                // The forwarded bytes must end with a complete frame, because an error event may follow.
                if let Some(forward) = &mut self.forward {
                    forward.frames.truncate(whole);
                }
                Err(Error::stream(
                    "the stream was cut off before the reply was whole",
                ))
            }
        }
    }

    fn take(&mut self, frame: &Bytes) -> Result<()> {
        let event = Event::read(frame)?;
        if let Some(Forward { hide_usage, frames }) = &mut self.forward {
            match &event {
                Some(event) if *hide_usage => {
                    frames.extend(self.state.without_usage(frame, &event.data));
                }
                _ => frames.push(frame.clone()),
            }
        }
        let Some(event) = event.filter(|_| !self.accumulator.ended()) else {
            return Ok(());
        };
        if event.data.trim_ascii() == b"[DONE]" {
            return self.done();
        }
        let is_error = event.name == b"error";
        let data = text_of(&event.data);
        self.state.take(&mut self.accumulator, &data, is_error)
    }

    fn done(&mut self) -> Result<()> {
        let own = self.state.ends_with_done();
        if self.accumulator.reply.stop_reason.is_some() || (own && self.accumulator.started()) {
            self.accumulator.end();
        } else if own {
            return Err(Error::stream("the stream ended without a reply in it"));
        }
        Ok(())
    }

    /// Returns the next event. It is never [`StreamEvent::Done`]; [`StreamDecoder::take_reply`] returns the reply.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(decoder.next_event().is_none());
    /// ```
    pub fn next_event(&mut self) -> Option<StreamEvent> {
        self.accumulator.next()
    }

    /// Returns whether the reply is complete.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(!decoder.is_done());
    /// ```
    pub fn is_done(&self) -> bool {
        self.accumulator.ended()
    }

    /// Returns the reply received so far, and leaves an empty one.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(decoder.take_reply().content.is_empty());
    /// ```
    pub fn take_reply(&mut self) -> Reply {
        let empty = Reply::new(self.accumulator.reply.provider);
        let mut reply = std::mem::replace(&mut self.accumulator.reply, empty);
        reply.raw = self.raw.take().map(Into::into);
        if self.is_done() {
            doubt_usage(&mut reply);
        }
        reply
    }

    /// Returns whether an event with content, or the end of the reply, waits in [`StreamDecoder::next_event`].
    pub(crate) fn has_content(&self) -> bool {
        self.is_done() || self.accumulator.has_content()
    }

    /// Returns whether any event waits in [`StreamDecoder::next_event`].
    pub(crate) fn has_events(&self) -> bool {
        self.accumulator.has_events()
    }

    /// Returns whether the model was last writing text, rather than reasoning, calling a tool or running one.
    pub(crate) fn is_writing_text(&self) -> bool {
        match self.accumulator.reply.content.last() {
            Some(Part::Text { text, .. }) => !text.is_empty(),
            _ => false,
        }
    }

    /// Returns whether frames wait in [`StreamDecoder::take_frames`].
    pub(crate) fn has_frames(&self) -> bool {
        self.forward.as_ref().is_some_and(|f| !f.frames.is_empty())
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.accumulator.reply.request_id.as_deref()
    }

    /// Returns the frames received since the last call, as one buffer.
    pub(crate) fn take_frames(&mut self) -> Bytes {
        let frames = self.forward.as_mut().map(|f| std::mem::take(&mut f.frames));
        let mut frames = frames.unwrap_or_default();
        match frames.len() {
            0 | 1 => frames.pop().unwrap_or_default(),
            _ => frames.concat().into(),
        }
    }
}
