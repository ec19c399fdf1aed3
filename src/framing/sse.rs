//! Server-sent events, cut out of a response as it arrives.
//!
//! The grammar is the WHATWG's (<https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.6), with one
//! addition that LLM servers need: an event whose blank line never came is given out by [`Framer::finish`].

use std::borrow::Cow;

use bytes::Bytes;

use crate::{Error, Result};

/// The most bytes that one event may have; a server that sends more is broken or hostile.
pub(crate) const MAX_EVENT_BYTES: usize = 16 << 20;

/// Cuts a stream into frames and changes no byte of them.
///
/// A comment line before an event is a frame of its own: one sent to keep a connection alive does not wait for the event. A
/// frame that lies within one chunk is borrowed from it; only one that is cut is copied.
#[derive(Default)]
pub(crate) struct Framer {
    /// The last chunk, until its last frame has been returned.
    chunk: Bytes,
    /// Where the rest of the chunk begins.
    start: usize,
    /// The frame that began in earlier chunks.
    begun: Vec<u8>,
    /// Whether that frame is complete and has been returned.
    begun_is_out: bool,
    line: Line,
    /// The lines of the frame that begun, without the one at hand.
    lines: usize,
    /// The bytes before ended in CR: a LF that comes first belongs to it.
    after_cr: bool,
    /// How many bytes were searched for the end of a line.
    #[cfg(test)]
    searched: usize,
}

/// An event with its blank line, or a comment line that stands before an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    /// The chunk that contains it.
    chunk: Option<&'a Bytes>,
    /// How many lines that are not empty it has, so that the end of the last, which is usually the longest, is not searched
    /// again.
    lines: usize,
}

impl<'a> Frame<'a> {
    /// Returns a frame of as many lines with these bytes.
    pub(crate) fn replaced(self, bytes: &'a Bytes) -> Self {
        Self {
            bytes,
            chunk: Some(bytes),
            lines: self.lines,
        }
    }

    /// Returns the frame as a slice of its chunk, or as a copy if it came in several chunks.
    pub(crate) fn to_bytes(self) -> Bytes {
        match self.chunk {
            Some(chunk) => chunk.slice_ref(self.bytes),
            None => Bytes::copy_from_slice(self.bytes),
        }
    }
}

/// What has come of the line at hand.
#[derive(Clone, Copy, Default, PartialEq)]
enum Line {
    #[default]
    Empty,
    /// A comment that is the first line of its frame.
    Comment,
    Other,
}

impl Framer {
    /// Adds the next bytes. The chunk before must have been used up by [`Framer::next`].
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.is_used_up());
        self.chunk = chunk;
        self.start = 0;
    }

    /// Returns whether nothing is left of the last chunk.
    pub(crate) fn is_used_up(&self) -> bool {
        self.start == self.chunk.len()
    }

    /// Returns the next frame that is complete.
    ///
    /// # Errors
    /// `Stream` where a frame is larger than any event may be.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>> {
        if self.is_used_up() {
            self.drop_chunk();
            return Ok(None);
        }
        self.next_in_chunk()
    }

    fn next_in_chunk(&mut self) -> Result<Option<Frame<'_>>> {
        if std::mem::take(&mut self.begun_is_out) {
            self.begun.clear();
        }
        let mut at = self.start;
        if std::mem::take(&mut self.after_cr) && self.chunk.get(at) == Some(&b'\n') {
            at += 1;
            // The frame that the CR ended is out already.
            if self.begun.is_empty() {
                return Ok(Some(self.cut(at)));
            }
        }
        while let Some(&first) = self.chunk.get(at) {
            let is_empty = self.line == Line::Empty && matches!(first, b'\n' | b'\r');
            if self.line == Line::Empty && !is_empty {
                let begins = at == self.start && self.begun.is_empty();
                self.line = match begins && first == b':' {
                    true => Line::Comment,
                    false => Line::Other,
                };
            }
            let rest = self.chunk.get(at..).unwrap_or_default();
            let end = match is_empty {
                true => Some(0),
                false => memchr::memchr2(b'\n', b'\r', rest),
            };
            #[cfg(test)]
            {
                self.searched += end.map_or(rest.len(), |end| end + 1);
            }
            let Some(end) = end else { break };
            self.lines += usize::from(!is_empty);
            let ends = std::mem::take(&mut self.line) != Line::Other;
            at += end + 1;
            if rest.get(end) == Some(&b'\r') {
                match self.chunk.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if ends {
                return Ok(Some(self.cut(at)));
            }
        }
        // The field names and line ends around the data may take as much again.
        let rest = self.chunk.get(self.start..).unwrap_or_default();
        if self.begun.len() + rest.len() > 2 * MAX_EVENT_BYTES {
            return Err(too_large());
        }
        self.begun.extend_from_slice(rest);
        self.drop_chunk();
        Ok(None)
    }

    /// Drops the chunk, so that the transport can reuse its buffer.
    fn drop_chunk(&mut self) {
        self.chunk = Bytes::new();
        self.start = 0;
    }

    /// Returns what was begun, since no more bytes will come.
    pub(crate) fn finish(&mut self) -> Option<Frame<'_>> {
        if std::mem::replace(&mut self.begun_is_out, true) {
            self.begun.clear();
        }
        let last = std::mem::take(&mut self.line) != Line::Empty;
        let lines = std::mem::take(&mut self.lines) + usize::from(last);
        (!self.begun.is_empty()).then_some(Frame {
            bytes: &self.begun,
            chunk: None,
            lines,
        })
    }

    /// Returns the frame that ends at `end` of the chunk.
    fn cut(&mut self, end: usize) -> Frame<'_> {
        let bytes = self.chunk.get(self.start..end).unwrap_or_default();
        self.start = end;
        let lines = std::mem::take(&mut self.lines);
        if self.begun.is_empty() {
            let chunk = Some(&self.chunk);
            return Frame {
                bytes,
                chunk,
                lines,
            };
        }
        self.begun.extend_from_slice(bytes);
        self.begun_is_out = true;
        Frame {
            bytes: &self.begun,
            chunk: None,
            lines,
        }
    }
}

/// What one frame says: its `event` field (empty where it has none) and its `data` lines, joined.
#[derive(Debug, Default)]
pub(crate) struct Event<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) data: Cow<'a, [u8]>,
}

impl<'a> Event<'a> {
    /// Reads a frame. None for a comment, and for an event without data or with nothing but spaces in it: proxies send such
    /// to keep a connection alive.
    ///
    /// # Errors
    /// `Stream` where the data is larger than any event may be.
    pub(crate) fn read(frame: Frame<'a>) -> Result<Option<Self>> {
        let mut event = Self::default();
        match frame.bytes.strip_prefix(b"data: ") {
            // The usual frame.
            Some(value) if frame.lines == 1 => event.data = Cow::Borrowed(without_line_end(value)),
            _ => event.read_lines(frame),
        }
        if event.data.len() > MAX_EVENT_BYTES {
            return Err(too_large());
        }
        Ok((!event.data.trim_ascii().is_empty()).then_some(event))
    }

    fn read_lines(&mut self, frame: Frame<'a>) {
        let mut rest = frame.bytes;
        rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        let mut has_data = false;
        for left in (0..frame.lines).rev() {
            let begin = rest.iter().position(|byte| !is_line_end(byte));
            rest = rest.get(begin.unwrap_or_default()..).unwrap_or_default();
            let end = match left {
                0 => without_line_end(rest).len(),
                _ => memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            };
            let (line, tail) = rest.split_at(end);
            rest = tail;
            if let Some(value) = value_of(line, b"data") {
                if has_data {
                    let data = self.data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                } else {
                    has_data = true;
                    self.data = Cow::Borrowed(value);
                }
            } else if let Some(value) = value_of(line, b"event") {
                self.name = value;
            }
            // Comments, `id` and `retry` mean nothing to a reply.
        }
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Returns the bytes without the ends of lines after them.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| !is_line_end(byte));
    bytes.split_at(last.map_or(0, |last| last + 1)).0
}

/// Returns the value of a line with this field.
fn value_of<'a>(line: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(field)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// Whether a body that begins so is an event stream, whatever its content type says. None where too little has come to tell.
pub(crate) fn is_event_stream(body: &[u8]) -> Option<bool> {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if MARK.starts_with(body) {
        return None;
    }
    let body = body.strip_prefix(MARK).unwrap_or(body).trim_ascii_start();
    if body.first() == Some(&b':') {
        return Some(true);
    }
    let mut fields = ["data:", "event:", "id:", "retry:"].into_iter();
    if fields
        .clone()
        .any(|field| body.starts_with(field.as_bytes()))
    {
        return Some(true);
    }
    (!fields.any(|field| field.as_bytes().starts_with(body))).then_some(false)
}

#[cold]
fn too_large() -> Error {
    Error::stream(format!(
        "one server-sent event is larger than {MAX_EVENT_BYTES} bytes"
    ))
}

#[cfg(test)]
impl<'a> From<&'a str> for Frame<'a> {
    fn from(frame: &'a str) -> Self {
        let lines = frame.split(['\r', '\n']).filter(|line| !line.is_empty());
        Self {
            lines: lines.count(),
            bytes: frame.as_bytes(),
            chunk: None,
        }
    }
}

#[cfg(test)]
mod tests;
