use ::base64::Engine;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

const KEY: &str = "sk-live-0a/B1c+2D3e4F5g6H7i8J9k0L1m2N3o4P5q6R7s8";

/// The key in each encoding.
fn encodings() -> Vec<(&'static str, String)> {
    let escaped = |format: fn(u8) -> String, only: fn(u8) -> bool| -> String {
        let each = KEY.bytes().map(|byte| match only(byte) {
            true => format(byte),
            false => char::from(byte).to_string(),
        });
        each.collect()
    };
    let all = |_: u8| true;
    let percent = |byte: u8| format!("%{byte:02X}");
    let unicode = |byte: u8| format!("\\u{byte:04x}");
    vec![
        ("as it is", KEY.to_owned()),
        ("as a bearer token", format!("Bearer {KEY}")),
        (
            "URL",
            escaped(percent, |byte| !byte.is_ascii_alphanumeric()),
        ),
        ("URL, all", escaped(|byte| format!("%{byte:02x}"), all)),
        ("URL, twice", escaped(percent, all).replace('%', "%25")),
        ("JSON, all", escaped(unicode, all)),
        ("JSON, first", format!("\\u0073{}", &KEY[1..])),
        ("JSON, slash", KEY.replace('/', "\\/")),
        (
            "JSON, upper case",
            escaped(|byte| format!("\\u{byte:04X}"), all),
        ),
        ("JSON in JSON", escaped(unicode, all).replace('\\', "\\\\")),
        ("base64", STANDARD.encode(KEY)),
        ("base64, URL", URL_SAFE_NO_PAD.encode(KEY)),
        ("base64 of Basic", STANDARD.encode(format!("user:{KEY}"))),
        ("base64 of Bearer", STANDARD.encode(format!("Bearer {KEY}"))),
        (
            "base64 of JSON",
            STANDARD.encode(format!("{{\"k\":\"{KEY}\"}}")),
        ),
        (
            "base64 in a URL",
            STANDARD.encode(KEY).replace('+', "%2B").replace('/', "%2F"),
        ),
        ("hexadecimal", escaped(|byte| format!("{byte:02x}"), all)),
        (
            "hexadecimal, upper case",
            escaped(|byte| format!("{byte:02X}"), all),
        ),
        (
            "hexadecimal escapes",
            escaped(|byte| format!("\\x{byte:02x}"), all),
        ),
        (
            "hexadecimal escapes in JSON",
            escaped(|byte| format!("\\\\x{byte:02X}"), all),
        ),
        (
            "HTML",
            escaped(
                |byte| format!("&#{byte};"),
                |byte| !byte.is_ascii_alphanumeric(),
            ),
        ),
        ("HTML, all", escaped(|byte| format!("&#x{byte:02X};"), all)),
        (
            "HTML, all, with zeros",
            escaped(|byte| format!("&#x00{byte:02x};"), all),
        ),
        (
            "HTML in a URL",
            escaped(|byte| format!("%26%23{byte}%3B"), all),
        ),
        ("the first half", KEY[..KEY.len() / 2].to_owned()),
        ("the second half", KEY[KEY.len() / 2..].to_owned()),
    ]
}

/// Asserts that no fragment of the key of 16 bytes, in any encoding, is left.
fn assert_hidden(text: &[u8], what: &str) {
    let shown = String::from_utf8_lossy(text);
    assert!(shown.contains("[redacted]"), "{what}: {shown}");
    for (_, encoded) in encodings() {
        for fragment in encoded.as_bytes().windows(encoded.len().min(60)) {
            assert!(
                memchr::memmem::find(text, fragment).is_none(),
                "{what}: {shown}"
            );
        }
    }
}

#[test]
fn a_body_that_was_cut_shows_no_start_of_the_key() {
    let secret = Secret::from(KEY);
    // Those that begin with the key.
    let begins =
        |what: &str| !what.contains(" of ") && !what.contains("bearer") && !what.contains("second");
    for (what, encoded) in encodings().into_iter().filter(|(what, _)| begins(what)) {
        let text = format!("{{\"error\": \"your key is {encoded}");
        let start = text.len() - encoded.len();
        for end in start..text.len() {
            let body = Bytes::copy_from_slice(&text.as_bytes()[..end]);
            let shown = secret.redacted_error(&body, false);
            let shown = String::from_utf8_lossy(&shown).replace("[redacted]", "");
            // "s" can begin the key.
            let expected = text[..start].trim_end_matches(&encoded[..1]);
            assert!(
                shown.len() <= start && shown.starts_with(expected),
                "{what}: {shown}"
            );
        }
    }
    let whole = Bytes::from("your key is sk-l");
    assert_eq!(secret.redacted_error(&whole, true), whole);
    // A key that is short is removed from errors, too.
    let short = Secret::from("sk-12345678");
    let cut = Bytes::from("key sk-12345678, key sk-1234");
    assert_eq!(short.redacted_error(&cut, false), "key [redacted], key ");
}

#[test]
fn every_encoding_is_hidden_at_every_place() {
    let secret = Secret::from(KEY);
    for (what, encoded) in encodings() {
        for before in 0..12 {
            let before = "é".repeat(before);
            let text = format!("{before}x\"{encoded}\"}}é {encoded}");
            let redacted = secret.redacted(text.as_bytes()).expect(what);
            assert_hidden(&redacted, what);
            let start = format!("{before}x\"");
            assert!(redacted.starts_with(start.as_bytes()), "{what}");
            let mut error = text.clone();
            secret.redact(&mut error);
            assert_eq!(error.as_bytes(), redacted, "{what}");
        }
    }
}

#[test]
fn a_json_string_stays_valid() {
    let secret = Secret::from(KEY);
    for (what, encoded) in encodings() {
        let json = format!("{{\"message\": \"your key {encoded} is wrong\", \"n\": 1}}");
        let redacted = secret.redacted(json.as_bytes()).expect(what);
        let value: serde_json::Value = serde_json::from_slice(&redacted).expect(what);
        let message = value["message"].as_str().unwrap();
        assert!(
            message.ends_with("[redacted] is wrong") || what.starts_with("base64"),
            "{message}"
        );
        assert_eq!(value["n"], 1);
    }
}

#[test]
fn headers_are_hidden() {
    let secret = Secret::from(KEY);
    for (what, encoded) in encodings() {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", format!("req_{encoded}").parse().unwrap());
        headers.insert("server", "sim".parse().unwrap());
        secret.redact_headers(&mut headers);
        assert_hidden(headers["request-id"].as_bytes(), what);
        assert_eq!(headers["server"], "sim");
    }
}

#[test]
fn the_place_in_a_long_text_does_not_matter() {
    let secret = Secret::from(KEY);
    let (_, escaped) = encodings().swap_remove(5);
    // Around the limits of the parts in which escapes are decoded.
    for at in [0, PART - 100, PART - 1, PART, 2 * PART - 150, 3 * PART] {
        for encoded in [KEY, &escaped] {
            let text = ["x".repeat(at), encoded.to_owned(), "%41".repeat(PART / 3)].concat();
            let redacted = secret.redacted(text.as_bytes()).unwrap();
            let expected = ["x".repeat(at), "[redacted]".into(), "%41".repeat(PART / 3)];
            assert!(redacted == expected.concat(), "{at}");
        }
    }
}

#[test]
fn other_text_is_unchanged() {
    let secret = Secret::from(KEY);
    for text in [
        "",
        "short",
        "sk-live-0a is how keys begin",
        r#"{"text": "100 % \u00e9\u0041\/ \\ %41%zz %", "\u12": 1}"#,
        "%",
        "\\",
        "\\u00",
        "\\u0041",
    ] {
        assert_eq!(secret.redacted(text.as_bytes()), None, "{text}");
    }
    // A placeholder is a word that replies can contain.
    let placeholder = Secret::from("not-needed");
    assert_eq!(placeholder.redacted(b"a key is not-needed"), None);
    let mut error = "the key not-needed is wrong".to_owned();
    placeholder.redact(&mut error);
    assert_eq!(error, "the key [redacted] is wrong");
    let mut error = "sk-1234".to_owned();
    Secret::from("sk-1234").redact(&mut error);
    assert_eq!(error, "sk-1234");
    assert_eq!(format!("{:?}", Secret::from(KEY)), "Secret(…)");
}
