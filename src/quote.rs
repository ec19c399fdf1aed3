//! Shows text from outside in messages and statistics.

use std::fmt;

/// The maximum number of bytes of a text from outside in messages, spans and statistics.
const SHOWN: usize = 256;

/// The beginnings of keys and tokens that are widely known.
const KEY_PREFIXES: [&str; 16] = [
    "sk-", "sk_", "pk-", "gsk_", "xai-", "pplx-", "nvapi-", "fw_", "csk-", "hf_", "r8_", "ghp_",
    "AIza", "AKIA", "eyJ", "Bearer ",
];

/// The minimum length of a run of letters and digits that is random rather than a word.
const RANDOM_RUN: usize = 16;

/// Returns whether a text may be a key or token: it begins as known ones do, or contains a long run of mixed letters and digits. Texts with
/// spaces, URLs and absolute paths are none.
#[doc(hidden)] // For the crates of this project.
pub fn may_be_secret(text: &str) -> bool {
    let text = text.trim();
    if KEY_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return true;
    }
    if text.starts_with('/')
        || text.contains("://")
        || text.contains(|c: char| c.is_whitespace() || "{}[]\"".contains(c))
    {
        return false;
    }
    let is_random = |run: &str| {
        let has = |is: fn(&u8) -> bool| run.bytes().any(|b| is(&b));
        let kinds = [
            has(u8::is_ascii_digit),
            has(u8::is_ascii_lowercase),
            has(u8::is_ascii_uppercase),
        ];
        run.len() >= RANDOM_RUN && kinds.into_iter().filter(|has| *has).count() > 1
    };
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(is_random)
}

/// Returns the text as a JSON string, which escapes unprintable characters. A long text is truncated, and one that may be a key is not shown.
#[doc(hidden)] // For the crates of this project.
pub fn quote(text: &str) -> String {
    if may_be_secret(text) {
        return "\"…\" (not shown, because it may be a key)".to_owned();
    }
    let shown = shorten(text);
    let quoted = match shown.len() == text.len() {
        true => serde_json::to_string(shown),
        false => serde_json::to_string(&[shown, "…"].concat()),
    };
    // Writing a string into memory cannot fail.
    quoted.unwrap_or_default()
}

/// Returns the start of a text, at most 256 bytes.
pub(crate) fn shorten(text: &str) -> &str {
    let end = text.floor_char_boundary(SHOWN);
    text.get(..end).unwrap_or_default()
}

/// Shows a text with control characters, and the marks that change the direction of text, escaped as in Rust.
pub(crate) fn escaped(text: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        for part in text.split_inclusive(is_unprintable) {
            let last = part.chars().next_back().filter(|c| is_unprintable(*c));
            f.write_str(part.strip_suffix(is_unprintable).unwrap_or(part))?;
            if let Some(last) = last {
                write!(f, "{}", last.escape_default())?;
            }
        }
        Ok(())
    })
}

pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_key_is_not_shown() {
        for secret in [
            "sk-secret",
            " sk-ant-api03-x",
            "AIzaSyA",
            "Bearer x",
            "0123456789abcdef0123456789abcdef",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ] {
            let shown = quote(secret);
            assert_eq!(shown, "\"…\" (not shown, because it may be a key)");
        }
        for name in [
            "opnai",
            "claude-sonnet-4-5-20250929",
            "ft:gpt-4.1-nano-2025-04-14:openai::BTz2REMH",
            "accounts/fireworks/models/gpt-oss-120b",
            "{\"id\": \"msg_01XFDUDYJgAACzvnptVVoYEL\"}",
            "/files/file01XFDUDYJgAACzvnptVV",
            "https://01XFDUDYJgAACzvnptVV.example.com",
            "AZURE_OPENAI_API_KEY",
        ] {
            assert_eq!(quote(name), serde_json::to_string(name).unwrap());
        }
    }

    #[test]
    fn of_a_long_text_the_start_is_quoted() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        let long = "é".repeat(1 << 20);
        assert_eq!(quote(&long), format!("\"{}…\"", "é".repeat(128)));
        let whole = "x".repeat(256);
        assert_eq!(quote(&whole), format!("\"{whole}\""));
    }
}
