//! Keys and tokens, and their removal from what a server sends: servers echo them in many encodings.

mod redactor;

use std::borrow::Cow;
use std::collections::BinaryHeap;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

pub(crate) use self::redactor::Redactor;

/// What is shown in place of a secret.
const REDACTED: &[u8] = b"[redacted]";

/// Shorter keys are placeholders for local servers, and could match by chance. They are not removed from errors.
const MIN_IN_ERRORS: usize = 8;

/// The same for replies, which hold more text and must not be changed by chance. No provider has a key of less than 32 bytes.
const MIN_IN_REPLIES: usize = 16;

/// Of a secret of this length, fragments are removed too. A shorter one is removed as a whole only.
const MIN_WITH_FRAGMENTS: usize = 32;

/// The number of bytes that are looked up at once.
const GRAM: usize = 8;

/// Escapes are decoded in parts of this size, so that the memory for it is bounded.
const PART: usize = 64 << 10;

/// How often escapes within escapes are decoded.
const MAX_DEPTH: usize = 3;

/// A key or token. It is empty if there is none.
#[derive(Clone, Default)]
pub(crate) struct Secret(Arc<Inner>);

#[derive(Default)]
struct Inner {
    text: Box<str>,
    patterns: OnceLock<Patterns>,
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Arc::new(Inner {
            text: text.into(),
            patterns: OnceLock::new(),
        }))
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Removes the secret from the text of an error.
    pub(crate) fn redact(&self, text: &mut String) {
        if self.len() >= MIN_IN_ERRORS
            && let Some(redacted) = self.patterns().redacted(text.as_bytes())
        {
            *text = match String::from_utf8(redacted) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            };
        }
    }

    /// Removes the secret from a part of a reply, such as a body or an event. Returns `None` if it is not in there.
    pub(crate) fn redacted(&self, bytes: &[u8]) -> Option<Bytes> {
        match self.len() >= MIN_IN_REPLIES {
            true => self.patterns().redacted(bytes).map(Bytes::from),
            false => None,
        }
    }

    /// Removes the secret from the body of an error. If the body was cut, what may be the start of the secret at its end is removed too.
    pub(crate) fn redacted_error(&self, body: &Bytes, is_whole: bool) -> Bytes {
        if self.len() < MIN_IN_ERRORS {
            return body.clone();
        }
        let kept = match is_whole {
            true => body.clone(),
            false => body.slice(..self.patterns().start_at_end(body)),
        };
        let redacted = self.patterns().redacted(&kept);
        redacted.map_or(kept, Bytes::from)
    }

    /// Removes the secret from the headers of a reply.
    pub(crate) fn redact_headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            if let Some(redacted) = self.redacted(value.as_bytes())
                && let Ok(redacted) = HeaderValue::from_maybe_shared(redacted)
            {
                *value = redacted;
            }
        }
    }

    fn patterns(&self) -> &Patterns {
        self.0
            .patterns
            .get_or_init(|| Patterns::new(self.as_bytes()))
    }
}

/// The forms of a secret that are searched for: as it is, in hexadecimal, and in base64, where it can begin at any of three places in a group.
/// Escapes are decoded before the search.
///
/// The search looks up every `step`-th sequence of [`GRAM`] bytes in a sorted list of all sequences in the forms. Its time does
/// not depend on the number of forms, and a long secret is found faster than a short one.
struct Patterns {
    forms: Vec<Form>,
    /// The sequences in the forms, each with the index of the form and the place in it.
    grams: Vec<(u64, usize, usize)>,
    /// A bit for each hash of a sequence.
    filter: [u64; 64],
    step: usize,
}

struct Form {
    bytes: Vec<u8>,
    /// The minimum length of a fragment that is removed.
    min: usize,
}

impl Form {
    fn new(bytes: Vec<u8>) -> Self {
        let min = match bytes.len() {
            length if length < MIN_WITH_FRAGMENTS => length,
            length => (length / 3).max(12),
        };
        Self { bytes, min }
    }
}

impl Patterns {
    fn new(secret: &[u8]) -> Self {
        let mut forms = vec![Form::new(secret.to_vec())];
        for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            let mut hex = Vec::with_capacity(2 * secret.len());
            for byte in secret {
                hex.extend([byte >> 4, byte & 15].map(|digit| digits[usize::from(digit)]));
            }
            forms.push(Form::new(hex));
        }
        for shift in 0..3 {
            let standard = base64(secret, shift);
            let url: Vec<u8> = standard
                .iter()
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    byte => *byte,
                })
                .collect();
            if url != standard {
                forms.push(Form::new(url));
            }
            forms.push(Form::new(standard));
        }
        forms.retain(|form| form.bytes.len() >= GRAM);
        let mut grams = Vec::new();
        let mut filter = [0; 64];
        for (index, form) in forms.iter().enumerate() {
            for at in 0..=form.bytes.len() - GRAM {
                if let Some(gram) = gram(&form.bytes, at) {
                    let (word, bit) = slot(gram);
                    filter[word] |= bit;
                    grams.push((gram, index, at));
                }
            }
        }
        // std's sort would be 3 KB of the WebAssembly module for each type.
        let grams = BinaryHeap::from(grams).into_sorted_vec();
        let shortest = forms.iter().map(|form| form.min).min().unwrap_or(GRAM);
        Self {
            forms,
            grams,
            filter,
            // A fragment of the minimum length holds a sequence at one of so many places in a row.
            step: shortest - GRAM + 1,
        }
    }

    fn redacted(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut found = self.find(text);
        self.find_escaped(text, &mut found);
        if found.is_empty() {
            return None;
        }
        let found: BinaryHeap<_> = found.iter().map(|range| (range.start, range.end)).collect();
        let mut redacted = Vec::with_capacity(text.len());
        let mut end = 0;
        for (start, until) in found.into_sorted_vec() {
            if start >= end {
                redacted.extend_from_slice(text.get(end..start).unwrap_or_default());
                redacted.extend_from_slice(REDACTED);
            }
            end = end.max(until);
        }
        redacted.extend_from_slice(text.get(end..).unwrap_or_default());
        Some(redacted)
    }

    /// Finds the forms and their fragments in a text.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(gram) = gram(text, at) {
            let (word, bit) = slot(gram);
            let hit = match self.filter[word] & bit {
                0 => None,
                _ => self.fragment(gram, text, at),
            };
            match hit {
                Some(range) => {
                    at = range.end;
                    found.push(range);
                }
                None => at += self.step,
            }
        }
        found
    }

    /// The maximum length of a form whose characters are escaped. Each takes up to 12 bytes, as in `%25255C%252575`.
    fn longest(&self) -> usize {
        let longest = self.forms.iter().map(|form| form.bytes.len()).max();
        12 * longest.unwrap_or_default()
    }

    /// Returns where, at the end of a text that was cut, the start of a form may be. It is the text's length if there is none.
    fn start_at_end(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest());
        let mut decoded = Decoded::new(text.get(from..).unwrap_or_default());
        let mut starts = text.len();
        for _ in 0..=MAX_DEPTH {
            // An escape can be cut, too.
            let end = without_cut_escape(&decoded.bytes).len();
            decoded.bytes.to_mut().truncate(end);
            let longest = self.forms.iter().map(|form| {
                let at_end = |length: &usize| decoded.bytes.ends_with(&form.bytes[..*length]);
                (1..form.bytes.len()).rev().find(at_end).unwrap_or_default()
            });
            let start = end - longest.max().unwrap_or_default();
            starts = starts.min(from + decoded.origin(start));
            let Some(next) = decoded.decode() else {
                break;
            };
            decoded = next;
        }
        starts
    }

    /// Finds the forms in which characters are written as `%73`, `\u0073` or `&#x73;`.
    fn find_escaped(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let overlap = self.longest();
        let mut from = 0;
        while from < text.len() {
            let end = text.len().min(from + PART + overlap);
            let mut decoded = Decoded::new(text.get(from..end).unwrap_or_default());
            for _ in 0..MAX_DEPTH {
                let Some(next) = decoded.decode() else {
                    break;
                };
                let source = |range: Range<usize>| {
                    from + next.origin(range.start)..from + next.origin(range.end)
                };
                found.extend(self.find(&next.bytes).into_iter().map(source));
                decoded = next;
            }
            from = if end == text.len() { end } else { from + PART };
        }
    }

    /// Returns the longest fragment of a form around a sequence, if it is long enough to be removed.
    fn fragment(&self, gram: u64, text: &[u8], at: usize) -> Option<Range<usize>> {
        let first = self.grams.partition_point(|(known, ..)| *known < gram);
        let same = self.grams.get(first..)?.iter();
        let same = same.take_while(|(known, ..)| *known == gram);
        let fragments = same.filter_map(|(_, form, place)| {
            let form = self.forms.get(*form)?;
            let (before, after) = (form.bytes.get(..*place)?, form.bytes.get(*place..)?);
            let left = text.get(..at)?.iter().rev().zip(before.iter().rev());
            let left = left.take_while(|(a, b)| a == b).count();
            let right = text.get(at..)?.iter().zip(after);
            let right = right.take_while(|(a, b)| a == b).count();
            (left + right >= form.min).then(|| at - left..at + right)
        });
        fragments.max_by_key(Range::len)
    }
}

fn gram(text: &[u8], at: usize) -> Option<u64> {
    let bytes = text.get(at..at + GRAM)?.try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// Returns the place of a sequence in the filter.
fn slot(gram: u64) -> (usize, u64) {
    let hash = gram.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// Returns the base64 of a secret that begins `shift` bytes into a group, without the digits that its neighbours decide.
fn base64(secret: &[u8], shift: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let first = (8 * shift).div_ceil(6);
    let end = 8 * (shift + secret.len()) / 6;
    let bit = |at: usize| {
        let byte = secret.get(at / 8).copied().unwrap_or_default();
        usize::from(byte >> (7 - at % 8) & 1)
    };
    let digit = |at: usize| {
        let from = 6 * at - 8 * shift;
        let value = (from..from + 6).fold(0, |value, at| value << 1 | bit(at));
        DIGITS[value & 63]
    };
    (first..end).map(digit).collect()
}

/// A text without its escapes.
struct Decoded<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where each byte comes from in the original text, and its end. Empty for the original text itself.
    origins: Vec<usize>,
}

impl<'a> Decoded<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            bytes: text.into(),
            origins: Vec::new(),
        }
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or(at)
    }

    /// Decodes the escapes once. Returns `None` if there are none.
    fn decode(&self) -> Option<Decoded<'static>> {
        let text = &*self.bytes;
        let mut decoded: Option<(Vec<u8>, Vec<usize>)> = None;
        // The end of what has been copied.
        let mut copied = 0;
        let mut at = 0;
        // The next `&`, or the end. memchr3 would find all at once, but nothing else needs its code.
        let mut entity = None;
        loop {
            let next = match entity {
                Some(next) if next >= at => next,
                _ => at + memchr::memchr(b'&', text.get(at..)?).unwrap_or(text.len() - at),
            };
            entity = Some(next);
            at += memchr::memchr2(b'%', b'\\', text.get(at..next)?).unwrap_or(next - at);
            if at == text.len() {
                break;
            }
            let Some((byte, length)) = escape(text.get(at..)?) else {
                at += 1;
                continue;
            };
            let (bytes, origins) = decoded.get_or_insert_default();
            bytes.extend_from_slice(text.get(copied..at)?);
            origins.extend((copied..at).map(|at| self.origin(at)));
            bytes.push(byte);
            origins.push(self.origin(at));
            at += length;
            copied = at;
        }
        let (mut bytes, mut origins) = decoded?;
        bytes.extend_from_slice(text.get(copied..)?);
        origins.extend((copied..=text.len()).map(|at| self.origin(at)));
        Some(Decoded {
            bytes: bytes.into(),
            origins,
        })
    }
}

/// Returns the ASCII character that an escape at the start of a text stands for, and the length of the escape: `%73`, `\u0073`,
/// `\x73`, `\/`, `&#115;` and `&#x73;`. A backslash that is itself escaped, as in JSON within JSON, counts as one.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let hex = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
    if text.first() == Some(&b'%') {
        let digits = text.get(1..3)?;
        return match digits.iter().all(u8::is_ascii_hexdigit) {
            true => Some((hex(digits)?, 3)),
            false => None,
        };
    }
    if text.first() == Some(&b'&') {
        return entity(text);
    }
    let slashes = text.iter().take_while(|byte| **byte == b'\\').count();
    let rest = text.get(slashes..)?;
    match rest {
        [b'/', ..] => Some((b'/', slashes + 1)),
        [b'u', b'0', b'0', digits @ ..] => {
            let digits = digits.get(..2)?;
            let byte = hex(digits).filter(|byte| byte.is_ascii() && *byte > b' ')?;
            Some((byte, slashes + 5))
        }
        [b'x', digits @ ..] => {
            let digits = digits.get(..2)?;
            let byte = hex(digits).filter(|byte| byte.is_ascii() && *byte > b' ')?;
            Some((byte, slashes + 3))
        }
        _ => None,
    }
}

/// Removes an escape that is not complete from the end of a text.
fn without_cut_escape(text: &[u8]) -> &[u8] {
    let is_start = |byte: &u8| b"%\\&".contains(byte);
    let near_end = text.len().saturating_sub(12);
    let last = text
        .get(near_end..)
        .and_then(|end| end.iter().rposition(is_start));
    let Some(last) = last.map(|at| near_end + at) else {
        return text;
    };
    if text.get(last..).and_then(escape).is_some() {
        return text;
    }
    let mut kept = text.get(..last).unwrap_or_default();
    while let [before @ .., b'\\'] = kept {
        kept = before;
    }
    kept
}

/// Returns the ASCII character of a numeric entity of HTML, and the entity's length. Keys have no characters with named ones.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let end = text.iter().take(12).position(|byte| *byte == b';')?;
    let (digits, radix) = match text.get(1..end)? {
        [b'#', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'#', digits @ ..] => (digits, 10),
        _ => return None,
    };
    let byte = u8::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()?;
    if !byte.is_ascii() || byte <= b' ' {
        return None;
    }
    Some((byte, end + 1))
}

#[cfg(test)]
mod tests;
