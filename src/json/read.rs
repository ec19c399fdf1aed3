//! Reading: the caller pulls names and values in the order in which they stand and says for each what it expects.

use std::borrow::Cow;
use std::fmt;

use super::scan::unescaped_prefix_len;

/// As many as `serde_json` allows.
const MAX_DEPTH: u8 = 127;

type Result<T> = std::result::Result<T, Stopped>;

/// Reading cannot go on. The reader knows why, so that each of its many results stays small.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Where a text is not what was expected.
#[derive(Clone, Copy)]
pub(crate) struct Malformed {
    expected: &'static str,
    at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expected at byte {}", self.expected, self.at)
    }
}

/// Not derived: what std needs to show a `str` in `Debug` would go into the WebAssembly module for this alone.
impl fmt::Debug for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Malformed {}

/// A place in a JSON text.
///
/// An object is read by `object`, then `key` until there is none, and after each key exactly one value; a list
/// by `list`, then `item` while it says that there is one more, and after each exactly one value. Where null may stand
/// instead, `object_or_null` and `list_or_null` say whether there is something to be read.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
    malformed: Malformed,
    refusal: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            malformed: Malformed {
                expected: "nothing",
                at: 0,
            },
            refusal: String::new(),
        }
    }

    /// Why it stopped.
    pub(crate) fn malformed(&self) -> Malformed {
        self.malformed
    }

    /// Stops because of what was read rather than how it is written.
    pub(crate) fn refuse<T>(&mut self, why: String) -> Result<T> {
        self.refusal = why;
        Err(Stopped)
    }

    /// What [`Reader::refuse`] was told; empty where the text is malformed.
    pub(crate) fn refusal(&mut self) -> String {
        std::mem::take(&mut self.refusal)
    }

    /// A place to go back to.
    pub(crate) fn place(&self) -> (usize, u8) {
        (self.at, self.depth)
    }

    pub(crate) fn go_back(&mut self, place: (usize, u8)) {
        (self.at, self.depth) = place;
    }

    /// Checked once as a whole, which is faster than string by string.
    pub(crate) fn of_bytes(bytes: &'a [u8]) -> std::result::Result<Self, Malformed> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(text)),
            Err(e) => Err(Malformed {
                expected: "UTF-8",
                at: e.valid_up_to(),
            }),
        }
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    #[inline(always)]
    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte with which what comes next begins.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.here() {
            self.at += 1;
        }
        self.here()
    }

    fn expected<T>(&mut self, expected: &'static str) -> Result<T> {
        self.malformed = Malformed {
            expected,
            at: self.at,
        };
        Err(Stopped)
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        if !self.rest().starts_with(word.as_bytes()) {
            return self.expected(word);
        }
        self.at += word.len();
        Ok(())
    }

    pub(crate) fn null(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b'n') => self.word("null").map(|()| true),
            _ => Ok(false),
        }
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<()> {
        if self.peek() != Some(bracket) {
            return self.expected(expected);
        }
        if self.depth == MAX_DEPTH {
            return self.expected("less nesting");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether another element follows: a bracket right before tells the first, which has no comma.
    fn more(&mut self, bracket: u8, close: u8, expected: &'static str) -> Result<bool> {
        let before = self.text.as_bytes().get(self.at.wrapping_sub(1));
        let first = before == Some(&bracket);
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => self.expected(expected),
        }
    }

    /// Goes into an object.
    pub(crate) fn object(&mut self) -> Result<()> {
        self.open(b'{', "an object")
    }

    /// Goes into an object; false for null, which is passed over.
    pub(crate) fn object_or_null(&mut self) -> Result<bool> {
        if self.null()? {
            return Ok(false);
        }
        self.open(b'{', "an object or null").map(|()| true)
    }

    /// The next name in an object, or none at its end.
    pub(crate) fn key(&mut self) -> Result<Option<Cow<'a, str>>> {
        if !self.more(b'{', b'}', "',' or '}'")? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return self.expected("a name in quotes");
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return self.expected("':'");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Goes into a list.
    pub(crate) fn list(&mut self) -> Result<()> {
        self.open(b'[', "a list")
    }

    /// Goes into a list; false for null, which is passed over.
    pub(crate) fn list_or_null(&mut self) -> Result<bool> {
        if self.null()? {
            return Ok(false);
        }
        self.open(b'[', "a list or null").map(|()| true)
    }

    /// Whether a list has one more item, which is then to be read.
    pub(crate) fn item(&mut self) -> Result<bool> {
        self.more(b'[', b']', "',' or ']'")
    }

    /// A string, or none for null.
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, str>>> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'n') => self.null().map(|_| None),
            _ => self.expected("a string or null"),
        }
    }

    /// A string's text, or any other value as it stands.
    pub(crate) fn value_text(&mut self) -> Result<Cow<'a, str>> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ => self.skip().map(Cow::Borrowed),
        }
    }

    /// A count of something; none for whatever is no whole number.
    pub(crate) fn count(&mut self) -> Result<Option<u64>> {
        self.skip().map(|value| value.parse().ok())
    }

    /// A count in an object; none where it is not there.
    pub(crate) fn count_in(&mut self, name: &str) -> Result<Option<u64>> {
        let mut count = None;
        if self.peek() != Some(b'{') {
            return self.pass().map(|()| None);
        }
        self.object()?;
        while let Some(key) = self.key()? {
            match &*key == name {
                true => count = self.count()?,
                false => self.pass()?,
            }
        }
        Ok(count)
    }

    /// Passes over any value, checking it.
    pub(crate) fn pass(&mut self) -> Result<()> {
        self.skip().map(|_| ())
    }

    /// Any value as it stands, checked.
    pub(crate) fn skip(&mut self) -> Result<&'a str> {
        let from = match self.peek() {
            Some(_) => self.at,
            None => return self.expected("a value"),
        };
        match self.here() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => {
                self.object()?;
                while self.key()?.is_some() {
                    self.skip()?;
                }
            }
            Some(b'[') => {
                self.list()?;
                while self.item()? {
                    self.skip()?;
                }
            }
            Some(b'n') => self.word("null")?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return self.expected("a value"),
        }
        Ok(self.slice(from))
    }

    /// Nothing more may come.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.expected("the end"),
        }
    }

    /// A string, at its opening quote. Borrowed where it has no escapes, which is the rule.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let from = self.at;
        self.at += unescaped_prefix_len(self.rest());
        if self.here() == Some(b'"') {
            let text = self.slice(from);
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.slice(from).to_owned();
        loop {
            match self.here() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(_) => return self.expected("no control character"),
                None => return self.expected("the end of a string"),
            }
            let from = self.at;
            self.at += unescaped_prefix_len(self.rest());
            text.push_str(self.slice(from));
        }
    }

    fn escape(&mut self) -> Result<char> {
        let character = match self.here() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.expected("an escape that JSON knows"),
        };
        self.at += 1;
        Ok(character)
    }

    /// `\u`, and where it is the first half of a surrogate pair (RFC 8259 section 7), the second too.
    fn unicode(&mut self) -> Result<char> {
        let mut code = self.hex()?;
        if (0xd800..0xdc00).contains(&code) && self.rest().starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex()?;
            code = match low {
                0xdc00..0xe000 => 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                _ => code,
            };
        }
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.expected("a pair of surrogates"),
        }
    }

    fn hex(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.here().and_then(|byte| char::from(byte).to_digit(16));
            match digit {
                Some(digit) => code = code * 16 + digit,
                None => return self.expected("a hexadecimal digit"),
            }
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<()> {
        if self.here() == Some(b'-') {
            self.at += 1;
        }
        match self.here() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.here() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.here() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit());
        match digits.count() {
            0 => self.expected("a digit"),
            n => {
                self.at += n;
                Ok(())
            }
        }
    }
}

/// A JSON number as the whole number that it equals, such as 60000 for `6e4` and `60000.0`. None for a fraction, one below
/// zero or above `u64::MAX`, and whatever is no number.
pub(crate) fn whole_number(number: &str) -> Option<u64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let magnitude = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() && !digits.is_empty() {
        return Some(0);
    }
    if magnitude.len() < mantissa.len() {
        return None;
    }
    let dropped = (digits.len() - significant.len()) as i64;
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent.checked_add(dropped - fraction.len() as i64)?;
    let power = 10u64.checked_pow(zeros.try_into().ok()?)?;
    let significant: u64 = significant.trim_start_matches('0').parse().ok()?;
    significant.checked_mul(power)
}

/// Whether a text is one JSON object and nothing else.
pub(crate) fn is_object(text: &str) -> bool {
    let mut json = Reader::new(text);
    json.peek() == Some(b'{') && json.pass().and_then(|()| json.end()).is_ok()
}
