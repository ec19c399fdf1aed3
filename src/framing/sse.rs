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
/// frame that lies within one chunk is a slice of it; only one that is cut is copied.
#[derive(Default)]
pub(crate) struct Framer {
    /// What is left of the last chunk.
    chunk: Bytes,
    /// The frame that began in earlier chunks.
    begun: Vec<u8>,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// How many lines that are not empty it has, so that the end of the last, which is usually the longest, is not searched
    /// again.
    lines: usize,
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
        debug_assert!(self.chunk.is_empty());
        self.chunk = chunk;
    }

    /// Returns the next frame that is complete.
    ///
    /// # Errors
    /// `Stream` where a frame is larger than any event may be.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        if self.chunk.is_empty() {
            return Ok(None);
        }
        let mut at = 0;
        if std::mem::take(&mut self.after_cr) && self.chunk.first() == Some(&b'\n') {
            at = 1;
            // The frame that the CR ended is out already.
            if self.begun.is_empty() {
                return Ok(Some(self.cut(at)));
            }
        }
        while let Some(&first) = self.chunk.get(at) {
            let is_empty = self.line == Line::Empty && matches!(first, b'\n' | b'\r');
            if self.line == Line::Empty && !is_empty {
                let begins = at == 0 && self.begun.is_empty();
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
        if self.begun.len() + self.chunk.len() > 2 * MAX_EVENT_BYTES {
            return Err(too_large());
        }
        self.begun
            .extend_from_slice(&std::mem::take(&mut self.chunk));
        Ok(None)
    }

    /// Returns what was begun, since no more bytes will come.
    pub(crate) fn finish(&mut self) -> Option<Frame> {
        let Self {
            begun, lines, line, ..
        } = std::mem::take(self);
        let lines = lines + usize::from(line != Line::Empty);
        let bytes = Bytes::from(begun);
        (!bytes.is_empty()).then_some(Frame { bytes, lines })
    }

    fn cut(&mut self, at: usize) -> Frame {
        let end = self.chunk.split_to(at);
        let lines = std::mem::take(&mut self.lines);
        if self.begun.is_empty() {
            return Frame { bytes: end, lines };
        }
        let mut frame = std::mem::take(&mut self.begun);
        frame.extend_from_slice(&end);
        let bytes = frame.into();
        Frame { bytes, lines }
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
    pub(crate) fn read(frame: &'a Frame) -> Result<Option<Self>> {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let mut event = Self::default();
        let mut rest = &*frame.bytes;
        rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        let mut has_data = false;
        for left in (0..frame.lines).rev() {
            let begin = rest.iter().position(|byte| !is_end(byte));
            rest = rest.get(begin.unwrap_or_default()..).unwrap_or_default();
            let end = match left {
                0 => rest
                    .iter()
                    .rposition(|byte| !is_end(byte))
                    .map(|last| last + 1),
                _ => memchr::memchr2(b'\n', b'\r', rest),
            };
            let (line, tail) = rest.split_at(end.unwrap_or(rest.len()));
            rest = tail;
            if let Some(value) = value_of(line, b"data") {
                if has_data {
                    let data = event.data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                } else {
                    has_data = true;
                    event.data = Cow::Borrowed(value);
                }
            } else if let Some(value) = value_of(line, b"event") {
                event.name = value;
            }
            // Comments, `id` and `retry` mean nothing to a reply.
        }
        if event.data.len() > MAX_EVENT_BYTES {
            return Err(too_large());
        }
        Ok((!event.data.trim_ascii().is_empty()).then_some(event))
    }
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
impl From<&str> for Frame {
    fn from(frame: &str) -> Self {
        let lines = frame.split(['\r', '\n']).filter(|line| !line.is_empty());
        Self {
            lines: lines.count(),
            bytes: Bytes::copy_from_slice(frame.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for chunk in chunks {
            framer.feed(Bytes::copy_from_slice(chunk));
            while let Some(frame) = framer.next().unwrap() {
                frames.push(frame);
            }
        }
        frames.extend(framer.finish());
        frames
    }

    fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let frames = frames(chunks);
        let events = frames
            .iter()
            .filter_map(|frame| Event::read(frame).unwrap());
        events
            .map(|event| (text(event.name), text(&event.data)))
            .collect()
    }

    fn events(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(n, d)| ((*n).to_owned(), (*d).to_owned()))
            .collect()
    }

    #[test]
    fn the_grammar_as_a_table() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("data: a\n\n", &[("", "a")]),
            ("data:a\n\n", &[("", "a")]),
            ("data:  a\n\n", &[("", " a")]),
            ("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]),
            ("data: a\nevent: x\n\n", &[("x", "a")]),
            ("data: a\ndata: b\ndata:\ndata: c\n\n", &[("", "a\nb\n\nc")]),
            // An event without data says nothing.
            ("data\n\ndata:\n\ndata: \n\n", &[]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
            ("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]),
            ("data: a\r\n\rdata: b\n\r", &[("", "a"), ("", "b")]),
            (": a comment\n\n:\ndata: a\n: another\n\n", &[("", "a")]),
            ("event: ping\n\ndata: a\n\n", &[("", "a")]),
            ("id: 7\nretry: 10\nunknown: z\ndata: a\n\n", &[("", "a")]),
            ("\u{feff}data: a\n\n", &[("", "a")]),
            ("data: \u{feff}a\n\n", &[("", "\u{feff}a")]),
            ("\n\n\ndata: a\n\n\n\n", &[("", "a")]),
            ("data: grüße 🦀\n\n", &[("", "grüße 🦀")]),
            (
                "data: a\n\ndata: no blank line",
                &[("", "a"), ("", "no blank line")],
            ),
            ("data: no blank line\n", &[("", "no blank line")]),
            ("event: x\n", &[]),
            ("", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(parse([text.as_bytes()]), events(expected), "{text:?}");
            let bytes = text.as_bytes().chunks(1);
            assert_eq!(parse(bytes), events(expected), "{text:?} byte by byte");
        }
    }

    #[test]
    fn a_stream_is_cut_after_blank_lines_and_leading_comments() {
        let table: &[(&str, &[&str])] = &[
            ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\n\r\ndata: b", &["data: a\r\n\r\n", "data: b"]),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
            (
                "data: a\n\r\ndata: b\r\n\n",
                &["data: a\n\r\n", "data: b\r\n\n"],
            ),
            (
                "data: a\r\n\rdata: b\n\r",
                &["data: a\r\n\r", "data: b\n\r"],
            ),
            ("event: x\ndata: a\n", &["event: x\ndata: a\n"]),
            (
                ": ping\n: ping\r\ndata: a\n: b\n\n",
                &[": ping\n", ": ping\r\n", "data: a\n: b\n\n"],
            ),
            ("\n\r\n\rdata: a\n\n", &["\n", "\r\n", "\r", "data: a\n\n"]),
            ("", &[]),
        ];
        for (text, expected) in table {
            let expected: Vec<Frame> = expected.iter().map(|frame| Frame::from(*frame)).collect();
            assert_eq!(frames([text.as_bytes()]), expected, "{text:?}");
            let bytes = text.as_bytes().chunks(1);
            let joined: Vec<Bytes> = frames(bytes).into_iter().map(|frame| frame.bytes).collect();
            assert_eq!(joined.concat(), text.as_bytes(), "{text:?} byte by byte");
        }
    }

    #[test]
    fn a_frame_within_a_chunk_is_a_slice_of_it() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\ndata: c");
        let mut framer = Framer::default();
        framer.feed(chunk.clone());
        for start in [0, 9] {
            let frame = framer.next().unwrap().unwrap();
            assert_eq!(frame.bytes.as_ptr(), chunk[start..].as_ptr());
        }
        assert_eq!(framer.next().unwrap(), None);
    }

    #[test]
    fn each_byte_is_searched_once_however_a_stream_is_cut() {
        let text = "data: a line\ndata: another\r\n\r\n: ping\rdata: x\r\r".repeat(20);
        for size in [1, 2, 7, 100, text.len()] {
            let mut framer = Framer::default();
            for chunk in text.as_bytes().chunks(size) {
                framer.feed(Bytes::copy_from_slice(chunk));
                while framer.next().unwrap().is_some() {}
            }
            assert!(framer.searched <= text.len(), "{size}: {}", framer.searched);
        }
    }

    #[test]
    fn an_event_of_megabytes_passes_and_one_over_the_limit_is_an_error() {
        let large = format!("data: {}\n\n", "x".repeat(8 << 20));
        assert_eq!(parse(large.as_bytes().chunks(16 << 10))[0].1.len(), 8 << 20);
        let over = format!("data: {}\n\n", "x".repeat(MAX_EVENT_BYTES + 1));
        let error = Event::read(&Frame::from(&*over)).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");

        let mut framer = Framer::default();
        let endless = Bytes::from(vec![b'x'; 1 << 20]);
        let failed_at = (0..64).find(|_| {
            framer.feed(endless.clone());
            framer.next().is_err()
        });
        assert_eq!(failed_at, Some(32));
    }

    #[test]
    fn a_body_is_known_by_its_beginning() {
        for (body, expected) in [
            ("data: x", Some(true)),
            ("\n\nevent:x", Some(true)),
            ("\u{feff}id: 1", Some(true)),
            (": ping", Some(true)),
            ("", None),
            ("\u{feff}", None),
            ("  \n", None),
            ("da", None),
            ("data", None),
            ("{\"data\":", Some(false)),
            ("[]", Some(false)),
            ("<html>", Some(false)),
            ("database", Some(false)),
        ] {
            assert_eq!(is_event_stream(body.as_bytes()), expected, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_same_events_are_found_however_a_stream_is_cut(
            lines in prop::collection::vec(
                ("(data|event|id|)(:| ?: ?)?", "[a-z :äö🦀]{0,6}", "(\n|\r|\r\n|\n\n|\r\r|\r\n\r\n)"),
                0..24,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let text: String = lines.into_iter().map(|(f, v, e)| f + &v + &e).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks = || cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let joined: Vec<Bytes> = frames(chunks()).into_iter().map(|frame| frame.bytes).collect();
            prop_assert_eq!(joined.concat(), bytes);
            prop_assert_eq!(parse(chunks()), parse([bytes]));
        }
    }
}
