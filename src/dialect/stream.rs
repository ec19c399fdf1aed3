//! Decodes a streamed reply.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::accumulator::Accumulator;
use super::codec::StreamState;
use super::usage::doubt_usage;
use super::wire::{request_id, text_of};
use crate::framing::sse::{Event, Frame, Framer};
use crate::secret::Secret;
use crate::{DialectName, Error, ErrorKind, Part, Provider, Reply, Result, StreamEvent};

/// Decodes the bytes of a streamed reply as events. [`Dialect::decode_stream`](super::Dialect::decode_stream) creates one.
///
/// ```
/// use warmline::StreamEvent;
/// use warmline::dialect::{Dialect, OpenAiChat};
///
/// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
/// for bytes in ["data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\n", "\ndata: [DONE]\n\n"] {
///     decoder.feed(bytes.into());
///     while let Some(event) = decoder.next_event() {
///         println!("{:?}", event?);
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(decoder.take_reply().text(), "Hi");
/// # Ok::<(), warmline::Error>(())
/// ```
pub struct StreamDecoder {
    framer: Framer,
    frames: FrameDecoder,
    /// The error that follows the events before it.
    failed: Option<Error>,
    received: usize,
    max_bytes: usize,
}

/// The default of the maximum size of a reply, in bytes.
pub(crate) const MAX_REPLY_BYTES: usize = 64 << 20;

/// What can be done about a reply that is larger than allowed.
pub(crate) const RAISE_MAX_REPLY: &str =
    "raise `max_reply_bytes` (`--max-reply` of `warmline serve`) if that is right";

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StreamDecoder");
        debug.field("is_done", &self.is_done());
        debug.finish_non_exhaustive()
    }
}

/// Decodes one frame after another. It is separate from the framer, because it borrows the frames from that.
struct FrameDecoder {
    state: Box<dyn StreamState>,
    accumulator: Accumulator,
    raw: Option<Vec<u8>>,
    forward: Option<Forward>,
    secret: Secret,
}

/// The frames as they were received, to be forwarded.
struct Forward {
    /// Whether the usage is left out because the caller did not request it.
    hide_usage: bool,
    frames: Vec<Bytes>,
    /// Whether the last frame was left out and ended in a CR. A LF that comes in the next chunk is then left out, too.
    hid_cr: bool,
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
            frames: FrameDecoder {
                state,
                accumulator,
                raw: None,
                forward: None,
                secret: Secret::default(),
            },
            failed: None,
            received: 0,
            max_bytes: MAX_REPLY_BYTES,
        }
    }

    /// Removes a secret from the frames before they are decoded, kept or forwarded.
    pub(crate) fn redact(&mut self, secret: Secret) {
        self.frames.secret = secret;
    }

    /// Sets the maximum number of bytes of the stream, comments included. The default is [`MAX_REPLY_BYTES`].
    pub(crate) fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Reads the first of several replies.
    pub(crate) fn expect_several(&mut self) {
        self.frames.state.expect_several();
    }

    /// Keeps the bytes for the reply.
    pub(crate) fn keep_raw(&mut self) {
        self.frames.raw = Some(Vec::new());
    }

    /// Keeps the frames for [`StreamDecoder::take_frames`].
    pub(crate) fn keep_frames(&mut self, hide_usage: bool) {
        self.frames.forward = Some(Forward {
            hide_usage,
            frames: Vec::new(),
            hid_cr: false,
        });
    }

    /// Takes the next bytes. [`StreamDecoder::next_event`] then returns the events that they complete.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// decoder.feed("data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\n\n".into());
    /// ```
    pub fn feed(&mut self, chunk: Bytes) {
        if !self.framer.is_used_up() {
            self.decode_rest();
        }
        self.received = self.received.saturating_add(chunk.len());
        if self.received > self.max_bytes {
            self.failed.get_or_insert_with(|| too_large(self.max_bytes));
        }
        if self.failed.is_none() {
            self.framer.feed(chunk);
        }
    }

    /// Decodes the frames that were received, up to the first that fails.
    fn decode_rest(&mut self) {
        while self.failed.is_none() && self.decode_frame() {}
    }

    /// Decodes the next frame. Returns `false` if more bytes are needed.
    fn decode_frame(&mut self) -> bool {
        let decoded = match self.framer.next() {
            Ok(None) => return false,
            Ok(Some(frame)) => self.frames.take(frame),
            Err(error) => Err(error),
        };
        if let Err(error) = decoded {
            // Nothing is decoded or forwarded after a failure.
            self.framer = Framer::default();
            self.failed = Some(error);
        }
        true
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
        self.decode_rest();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let whole = self.frames.forward.as_ref().map_or(0, |f| f.frames.len());
        let last = match self.framer.finish() {
            Some(frame) => self.frames.take(frame),
            None => Ok(()),
        };
        match last {
            _ if self.is_done() => Ok(()),
            // Some servers omit the last event. The finish reason is enough.
            Ok(()) if self.frames.accumulator.reply.stop_reason.is_some() => {
                self.frames.accumulator.end();
                Ok(())
            }
            Err(error) if *error.kind() != ErrorKind::Decode => Err(error),
            _ => {
                // The forwarded bytes must end with a complete frame, because an error event may follow.
                if let Some(forward) = &mut self.frames.forward {
                    forward.frames.truncate(whole);
                }
                Err(Error::stream(
                    "the stream was cut off before the reply was whole",
                ))
            }
        }
    }

    /// Decodes the next event, or returns `None` if more bytes are needed. It is never [`StreamEvent::Done`];
    /// [`StreamDecoder::take_reply`] returns the reply.
    ///
    /// # Errors
    /// The provider's error if the stream reports one, and `Decode` if an event does not follow the dialect, or the stream is
    /// too large.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(decoder.next_event().is_none());
    /// ```
    pub fn next_event(&mut self) -> Option<Result<StreamEvent>> {
        loop {
            if let Some(event) = self.frames.accumulator.next() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            if !self.decode_frame() {
                return None;
            }
        }
    }

    /// Returns whether the reply is complete.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(!decoder.is_done());
    /// ```
    pub fn is_done(&self) -> bool {
        self.frames.accumulator.ended()
    }

    /// Returns the reply received so far, and leaves an empty one.
    ///
    /// ```
    /// # use warmline::dialect::{Dialect, OpenAiChat};
    /// let mut decoder = OpenAiChat::default().decode_stream(http::HeaderMap::new());
    /// assert!(decoder.take_reply().content.is_empty());
    /// ```
    pub fn take_reply(&mut self) -> Reply {
        let mut reply = self.frames.accumulator.take_reply();
        reply.raw = self.frames.raw.take().map(Into::into);
        if self.is_done() {
            doubt_usage(&mut reply);
        }
        reply
    }

    /// Returns the reply received so far.
    pub(crate) fn reply(&self) -> &Reply {
        &self.frames.accumulator.reply
    }

    /// Returns whether an event with content, or the end of the reply, waits in [`StreamDecoder::next_event`].
    pub(crate) fn has_content(&mut self) -> bool {
        loop {
            if self.is_done() || self.frames.accumulator.has_content() {
                return true;
            }
            if self.failed.is_some() || !self.decode_frame() {
                return false;
            }
        }
    }

    /// Returns the error that follows the events before it.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// Returns whether any event waits in [`StreamDecoder::next_event`].
    pub(crate) fn has_events(&self) -> bool {
        self.frames.accumulator.has_events()
    }

    /// Returns whether the model was last writing text, rather than reasoning, calling a tool or running one.
    pub(crate) fn is_writing_text(&self) -> bool {
        match self.frames.accumulator.reply.content.last() {
            Some(Part::Text { text, .. }) => !text.is_empty(),
            _ => false,
        }
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.frames.accumulator.reply.request_id.as_deref()
    }

    /// Returns the size of the frames that [`take_frames`](Self::take_frames) would return, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let forward = self.frames.forward.as_ref();
        forward.map_or(0, |f| f.frames.iter().map(Bytes::len).sum())
    }

    /// Returns the frames received since the last call, as one buffer.
    pub(crate) fn take_frames(&mut self) -> Bytes {
        self.decode_rest();
        let frames = self
            .frames
            .forward
            .as_mut()
            .map(|f| std::mem::take(&mut f.frames));
        let mut frames = frames.unwrap_or_default();
        match frames.len() {
            0 | 1 => frames.pop().unwrap_or_default(),
            _ => frames.concat().into(),
        }
    }
}

impl FrameDecoder {
    fn take(&mut self, frame: Frame<'_>) -> Result<()> {
        let redacted = self.secret.redacted(frame.bytes);
        let frame = match &redacted {
            Some(redacted) => frame.replaced(redacted),
            None => frame,
        };
        if let Some(raw) = &mut self.raw {
            raw.extend_from_slice(frame.bytes);
        }
        let event = Event::read(frame)?;
        if let Some(Forward {
            hide_usage,
            frames,
            hid_cr,
        }) = &mut self.forward
        {
            let hid_cr_before = std::mem::take(hid_cr);
            match &event {
                Some(event) if *hide_usage => {
                    match self.state.without_usage(frame.bytes, &event.data) {
                        Some(Cow::Borrowed(_)) => frames.push(frame.to_bytes()),
                        Some(Cow::Owned(changed)) => frames.push(changed.into()),
                        None => *hid_cr = frame.bytes.ends_with(b"\r"),
                    }
                }
                None if hid_cr_before && frame.bytes == b"\n" => {}
                _ => frames.push(frame.to_bytes()),
            }
        }
        let Some(event) = event else {
            return Ok(());
        };
        if self.accumulator.ended() {
            return Ok(());
        }
        if event.data.first() != Some(&b'{') && event.data.trim_ascii() == b"[DONE]" {
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
}

#[cold]
fn too_large(max_bytes: usize) -> Error {
    Error::decode(format!("the stream is larger than {max_bytes} bytes")).with_hint(RAISE_MAX_REPLY)
}

#[cfg(all(test, feature = "openai-chat"))]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, OpenAiChat};

    fn decoder() -> StreamDecoder {
        OpenAiChat::default().decode_stream(HeaderMap::new())
    }

    fn said(text: &str) -> Bytes {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into()
    }

    fn texts(decoder: &mut StreamDecoder) -> Vec<String> {
        let events = std::iter::from_fn(|| decoder.next_event());
        let texts = events.filter_map(|event| match event {
            Ok(StreamEvent::Text { text }) => Some(text),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        });
        texts.collect()
    }

    #[test]
    fn a_flood_of_comments_ends_with_an_error_after_the_events_before_it() {
        let mut decoder = decoder();
        decoder.set_max_bytes(1000);
        decoder.feed(said("a"));
        for _ in 0..100 {
            decoder.feed(Bytes::from_static(b": a comment\n\n"));
        }
        let error = format!("the stream is larger than 1000 bytes; {RAISE_MAX_REPLY}");
        assert_eq!(texts(&mut decoder), ["a", &error]);
    }

    #[test]
    fn chunks_that_were_fed_without_reading_are_decoded_in_their_order() {
        let mut decoder = decoder();
        decoder.feed(said("a"));
        decoder.feed(said("b"));
        decoder.feed(Bytes::from_static(b"data: {\n\n"));
        decoder.feed(said("c"));
        let found = texts(&mut decoder);
        assert_eq!(found[..2], ["a", "b"]);
        assert!(found[2].contains("an event of the stream"), "{found:?}");
    }
}
