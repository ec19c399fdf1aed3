//! An incremental parser of server-sent events.
//!
//! The grammar is that of the HTML standard, section 9.2.6
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), with one extension that LLM servers need:
//! [`Parser::finish`] returns an event that lacks its final blank line.
//!
//! An event that lies within one chunk is borrowed from it. Only an event that spans chunks is copied.

use crate::{Error, Result};

/// The maximum size of an event's data, in bytes. A server that sends more is broken or hostile.
pub(crate) const MAX_EVENT_BYTES: usize = 16 << 20;

/// An event: its `event` field, empty by default, and its `data` lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) data: &'a [u8],
}

/// A parser, with the incomplete event of the chunks so far.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The incomplete last line.
    line: Vec<u8>,
    /// The complete lines of the event in earlier chunks.
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// Whether the previous chunk ended in CR. A LF at the start of the next chunk belongs to it.
    after_cr: bool,
    /// Whether the first line, which can start with a byte order mark, is complete.
    begun: bool,
}

/// The part of an event in the current chunk. A single data line is borrowed, not copied.
#[derive(Default)]
struct Lent<'c> {
    name: Option<&'c [u8]>,
    data: Option<&'c [u8]>,
}

impl Parser {
    /// Parses the next bytes, and calls `each` for each event that they complete.
    pub(crate) fn feed(
        &mut self,
        mut chunk: &[u8],
        mut each: impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        let mut lent = Lent::default();
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end..]);
            chunk = if let Some(rest) = rest.strip_prefix(b"\r\n") {
                rest
            } else {
                self.after_cr = rest == b"\r";
                &rest[1..]
            };
            if self.line.is_empty() {
                self.take_line(line, &mut lent, &mut each)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                self.check_size(whole.len() + line.len())?;
                whole.extend_from_slice(line);
                // The joined line does not live as long as the chunk, so its fields are copied now.
                let mut own = Lent {
                    name: lent.name.take(),
                    data: lent.data.take(),
                };
                self.take_line(&whole, &mut own, &mut each)?;
                self.keep(own);
                whole.clear();
                self.line = whole;
            }
        }
        self.keep(lent);
        self.check_size(self.line.len() + chunk.len())?;
        self.line.extend_from_slice(chunk);
        Ok(())
    }

    /// Ends the stream, and calls `each` for an event that lacks its final blank line.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let line = std::mem::take(&mut self.line);
        let mut lent = Lent::default();
        if !line.is_empty() {
            self.take_line(&line, &mut lent, &mut each)?;
        }
        self.take_line(b"", &mut lent, &mut each)
    }

    fn take_line<'c>(
        &mut self,
        mut line: &'c [u8],
        lent: &mut Lent<'c>,
        each: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(lent, each);
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                self.check_size(value.len())?;
                if self.has_data || lent.data.is_some() {
                    if let Some(first) = lent.data.take() {
                        self.keep_data(first);
                    }
                    self.keep_data(value);
                } else {
                    lent.data = Some(value);
                }
            }
            b"event" => {
                self.name.clear();
                lent.name = Some(value);
            }
            // Comments (an empty field name), `id` and `retry` are ignored.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        lent: &mut Lent<'_>,
        each: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let (name, data) = (lent.name.take(), lent.data.take());
        let has_data = self.has_data || data.is_some();
        let result = if has_data {
            each(Event {
                name: name.unwrap_or(&self.name),
                data: data.unwrap_or(&self.data),
            })
        } else {
            Ok(())
        };
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        result
    }

    /// Copies the borrowed fields, because they do not outlive the chunk.
    fn keep(&mut self, lent: Lent<'_>) {
        if let Some(name) = lent.name {
            self.name.clear();
            self.name.extend_from_slice(name);
        }
        if let Some(data) = lent.data {
            self.keep_data(data);
        }
    }

    fn keep_data(&mut self, line: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(line);
    }

    fn check_size(&self, more: usize) -> Result<()> {
        if self.data.len() + more > MAX_EVENT_BYTES {
            return Err(too_large());
        }
        Ok(())
    }
}

/// Splits a stream into events without changing a byte, for passthrough.
///
/// An event ends with its blank line. A comment before an event is returned on its own, so that a comment that keeps the
/// connection alive is passed on at once.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The bytes of the incomplete event.
    begun: Vec<u8>,
    /// The offset of the last line in `begun`.
    line: usize,
    /// Whether the previous bytes ended in CR. A LF at the start of the next ones belongs to it.
    after_cr: bool,
}

impl Splitter {
    /// Takes the next bytes, and calls `each` for each event that they complete, including its blank line.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut at = self.begun.len();
        self.begun.extend_from_slice(bytes);
        let (begun, mut event, mut line) = (&self.begun[..], 0, self.line);
        while at < begun.len() {
            if std::mem::take(&mut self.after_cr) && begun[at] == b'\n' {
                at += 1;
                line = at;
                // The event that the CR ended has been returned already.
                if event + 1 == at {
                    each(&begun[event..at]);
                    event = at;
                }
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', &begun[at..]) else {
                break;
            };
            let end = at + end;
            let ends = line == end || (line == event && begun[line] == b':');
            at = end + 1;
            if begun[end] == b'\r' {
                match begun.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            line = at;
            if ends {
                each(&begun[event..at]);
                event = at;
            }
        }
        self.begun.drain(..event);
        self.line = line - event;
        // Field names and line ends may take as much space as the data.
        if self.begun.len() > 2 * MAX_EVENT_BYTES {
            return Err(too_large());
        }
        Ok(())
    }

    /// Ends the stream, and returns the bytes of the incomplete event.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(self).begun
    }
}

#[cold]
fn too_large() -> Error {
    Error::stream(format!(
        "one server-sent event is larger than {MAX_EVENT_BYTES} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut events = Vec::new();
        let mut parser = Parser::default();
        let mut each = |event: Event<'_>| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            events.push((text(event.name), text(event.data)));
            Ok(())
        };
        for chunk in chunks {
            parser.feed(chunk, &mut each).unwrap();
        }
        parser.finish(&mut each).unwrap();
        events
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
            ("data\n\n", &[("", "")]),
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
    fn an_event_of_megabytes_passes_and_one_over_the_limit_is_an_error() {
        let large = format!("data: {}\n\n", "x".repeat(8 << 20));
        let parsed = parse(large.as_bytes().chunks(16 << 10));
        assert_eq!(parsed[0].1.len(), 8 << 20);

        let mut parser = Parser::default();
        let endless = [b'x'; 64 << 10];
        let mut fed = 0;
        let error = loop {
            match parser.feed(&endless, |_| Ok(())) {
                Ok(()) => fed += endless.len(),
                Err(error) => break error,
            }
        };
        assert!(
            fed <= MAX_EVENT_BYTES && error.to_string().contains("larger than"),
            "{error}"
        );
    }

    #[test]
    fn many_data_lines_count_together_towards_the_limit() {
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 20));
        let failed_at = (0..32).find(|_| parser.feed(line.as_bytes(), |_| Ok(())).is_err());
        // Fifteen lines and their newlines leave no room for a sixteenth.
        assert_eq!(failed_at, Some(15));
    }

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut splitter, mut events) = (Splitter::default(), Vec::new());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for chunk in chunks {
            splitter
                .feed(chunk, |event| events.push(text(event)))
                .unwrap();
        }
        events.push(text(&splitter.finish()));
        events
    }

    #[test]
    fn a_stream_is_cut_after_blank_lines_and_leading_comments() {
        let table: &[(&str, &[&str])] = &[
            (
                "data: a\n\ndata: b\n\n",
                &["data: a\n\n", "data: b\n\n", ""],
            ),
            ("data: a\r\n\r\ndata: b", &["data: a\r\n\r\n", "data: b"]),
            (
                "data: a\r\rdata: b\r\r",
                &["data: a\r\r", "data: b\r\r", ""],
            ),
            (
                "data: a\n\r\ndata: b\r\n\n",
                &["data: a\n\r\n", "data: b\r\n\n", ""],
            ),
            (
                "data: a\r\n\rdata: b\n\r",
                &["data: a\r\n\r", "data: b\n\r", ""],
            ),
            ("event: x\ndata: a\n", &["event: x\ndata: a\n"]),
            (
                ": ping\n: ping\r\ndata: a\n: b\n\n",
                &[": ping\n", ": ping\r\n", "data: a\n: b\n\n", ""],
            ),
            (
                "\n\r\n\rdata: a\n\n",
                &["\n", "\r\n", "\r", "data: a\n\n", ""],
            ),
            ("", &[""]),
        ];
        for (text, expected) in table {
            assert_eq!(split([text.as_bytes()]), *expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_an_error_to_the_splitter_too() {
        let mut splitter = Splitter::default();
        let line = format!("{}\n", "x".repeat(1 << 20));
        let failed_at = (0..64).find(|_| splitter.feed(line.as_bytes(), |_| {}).is_err());
        assert_eq!(failed_at, Some(31));
    }

    proptest! {
        #[test]
        fn the_splitter_loses_nothing_and_finds_the_parsers_events_however_it_is_cut(
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
            let (mut splitter, mut pieces) = (Splitter::default(), Vec::new());
            for pair in cuts.windows(2) {
                splitter.feed(&bytes[pair[0]..pair[1]], |event| pieces.push(event.to_vec())).unwrap();
            }
            pieces.push(splitter.finish());
            prop_assert_eq!(pieces.concat(), bytes);
            // Each piece holds at most one event, whole.
            let mut events = Vec::new();
            for piece in &pieces {
                let found = parse([piece.as_slice()]);
                prop_assert!(found.len() <= 1, "{:?}", String::from_utf8_lossy(piece));
                events.extend(found);
            }
            prop_assert_eq!(events, parse([bytes]));
        }

        #[test]
        fn any_chunking_gives_the_same_events(
            lines in prop::collection::vec(
                ("(data|event|id|)(:| ?: ?)?", "[a-z :äö🦀\u{feff}]{0,12}", "(\n|\r|\r\n|\n\n|\r\r|\r\n\r\n)"),
                0..24,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let text: String = lines.into_iter().map(|(f, v, e)| f + &v + &e).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(parse(chunks), parse([bytes]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(chunks in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            parse(chunks.iter().map(Vec::as_slice));
        }
    }
}
