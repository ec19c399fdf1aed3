//! Writing.

use super::scan::unescaped_prefix_len;
use crate::runtime;

/// A JSON text in the making. Commas come of themselves: one is due wherever the last byte ends a value.
#[derive(Default)]
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn comma(&mut self) {
        if let Some(b'"' | b'}' | b']' | b'a'..=b'z' | b'0'..=b'9') = self.0.as_bytes().last() {
            self.0.push(',');
        }
    }

    /// An object, whose fields `fill` writes.
    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.comma();
        self.0.push('{');
        fill(self);
        self.0.push('}');
    }

    /// A list of what `each` writes.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.comma();
        self.0.push('[');
        for item in items {
            each(self, item);
        }
        self.0.push(']');
    }

    /// A field's name; its value is to be written next.
    pub(crate) fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.0.push(':');
        self
    }

    /// A field that is a string.
    pub(crate) fn field(&mut self, name: &str, text: &str) {
        self.key(name).text(text);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.comma();
        self.0.push('"');
        let mut rest = text;
        loop {
            let (as_it_is, tail) = rest
                .split_at_checked(unescaped_prefix_len(rest.as_bytes()))
                .unwrap_or((rest, ""));
            self.0.push_str(as_it_is);
            let Some(byte) = tail.bytes().next() else {
                break;
            };
            self.escape(byte);
            rest = tail.get(1..).unwrap_or_default();
        }
        self.0.push('"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'\n' => 'n',
            b'\r' => 'r',
            b'\t' => 't',
            0x08 => 'b',
            0x0c => 'f',
            _ => {
                self.0.push_str("\\u00");
                for digit in [byte >> 4, byte & 15] {
                    self.0
                        .push(char::from_digit(digit.into(), 16).unwrap_or('0'));
                }
                return;
            }
        };
        self.0.push('\\');
        self.0.push(short);
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.comma();
        self.0.push_str(json);
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.raw(if flag { "true" } else { "false" });
    }

    pub(crate) fn count(&mut self, count: u64) {
        self.raw(&count.to_string());
    }

    /// A float; null where JSON has no word for it.
    pub(crate) fn float(&mut self, number: f64) {
        match number.is_finite() {
            true => self.raw(&runtime::print_float(number)),
            false => self.raw("null"),
        }
    }
}

/// The number of bytes that messages, spans and statistics show of a text that someone else chose.
const SHOWN: usize = 256;

/// Returns the text as a JSON string, which shows unprintable characters. Only the start of a long text is kept.
pub(crate) fn quote(text: &str) -> String {
    let shown = shorten(text);
    let mut json = Writer::default();
    match shown.len() == text.len() {
        true => json.text(shown),
        false => json.text(&[shown, "…"].concat()),
    }
    json.into_text()
}

/// Returns the start of a text, at most 256 bytes.
pub(crate) fn shorten(text: &str) -> &str {
    let end = text.floor_char_boundary(SHOWN);
    text.get(..end).unwrap_or_default()
}
