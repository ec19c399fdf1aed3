use proptest::prelude::*;

use super::*;

/// Returns the frames, each with the number of its lines.
fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Bytes, usize)> {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    let owned = |frame: Frame<'_>| (frame.to_bytes(), frame.lines);
    for chunk in chunks {
        framer.feed(Bytes::copy_from_slice(chunk));
        while let Some(frame) = framer.next().unwrap() {
            frames.push(owned(frame));
        }
    }
    frames.extend(framer.finish().map(owned));
    frames
}

fn joined<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let frames: Vec<Bytes> = frames(chunks).into_iter().map(|(bytes, _)| bytes).collect();
    frames.concat()
}

fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let event = |(bytes, lines): &(Bytes, usize)| {
        let chunk = None;
        let (bytes, lines) = (&**bytes, *lines);
        let event = Event::read(Frame {
            bytes,
            chunk,
            lines,
        });
        let event = event.unwrap()?;
        Some((text(event.name), text(&event.data)))
    };
    frames(chunks).iter().filter_map(event).collect()
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
        let expected = expected.iter().map(|frame| Frame::from(*frame));
        let expected: Vec<(Bytes, usize)> = expected
            .map(|frame| (frame.to_bytes(), frame.lines))
            .collect();
        assert_eq!(frames([text.as_bytes()]), expected, "{text:?}");
        let bytes = text.as_bytes().chunks(1);
        assert_eq!(joined(bytes), text.as_bytes(), "{text:?} byte by byte");
    }
}

#[test]
fn a_frame_within_a_chunk_is_a_slice_of_it() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\ndata: c");
    let mut framer = Framer::default();
    framer.feed(chunk.clone());
    for start in [0, 9] {
        let frame = framer.next().unwrap().unwrap();
        assert_eq!(frame.to_bytes().as_ptr(), chunk[start..].as_ptr());
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
    let error = Event::read(Frame::from(&*over)).unwrap_err();
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
        prop_assert_eq!(joined(chunks()), bytes);
        prop_assert_eq!(parse(chunks()), parse([bytes]));
    }
}
