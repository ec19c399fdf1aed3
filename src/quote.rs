//! Shows text from outside in messages and statistics.

use std::fmt;

/// The maximum number of bytes of a text from outside in messages, spans and statistics.
const SHOWN: usize = 256;

/// Returns the text as a JSON string, which escapes unprintable characters. A long text is truncated.
pub(crate) fn quote(text: &str) -> String {
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

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_the_start_is_quoted() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        let long = "é".repeat(1 << 20);
        assert_eq!(quote(&long), format!("\"{}…\"", "é".repeat(128)));
        let whole = "x".repeat(256);
        assert_eq!(quote(&whole), format!("\"{whole}\""));
    }
}
