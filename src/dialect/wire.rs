//! Lenient types for the values that servers send.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::ByName;
use crate::quote::quote;
use crate::{Error, Result, headers};

/// Returns the provider's id of a request. Proxies and compatible servers use the header of either provider.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers::text(headers, &headers::REQUEST_ID);
    id.or_else(|| headers::text(headers, &headers::X_REQUEST_ID))
        .map(str::to_owned)
}

/// Parses one JSON object. The error shows the start of a text that does not fit.
pub(super) fn read<'a, T: Deserialize<'a>>(what: &str, json: &'a str) -> Result<T> {
    let read = serde_json::from_str(json).map(|ByName(value)| value);
    read.map_err(|error| unreadable(what, json).with_source(error))
}

/// Returns a body as text. Invalid UTF-8 becomes U+FFFD.
pub(super) fn text_of(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    // Validation alone is faster than `from_utf8_lossy`.
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}

#[cold]
pub(super) fn unreadable(what: &str, json: &str) -> Error {
    let shown = quote(json);
    Error::decode([what, " is not what the provider's dialect says: ", &shown].concat())
}

/// Text of a model: a string, null, or a list of strings and of objects with `text`.
///
/// Servers in JavaScript can split text between two UTF-16 units, so a JSON string can contain half of a surrogate pair as an
/// escape. A half at either end is stored separately, to be joined with the other half in the next piece. Any other becomes
/// U+FFFD.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text<'a> {
    /// A low surrogate before the text.
    pub(super) low: Option<u16>,
    pub(super) text: Cow<'a, str>,
    /// A high surrogate after it.
    pub(super) high: Option<u16>,
}

impl<'a> Text<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.low.is_none() && self.high.is_none()
    }

    /// Returns the text if no other piece follows.
    pub(super) fn into_cow(self) -> Cow<'a, str> {
        if self.low.is_none() && self.high.is_none() {
            return self.text;
        }
        let half = |half: Option<u16>| half.map_or("", |_| "\u{fffd}");
        Cow::Owned([half(self.low), &self.text, half(self.high)].concat())
    }

    /// Adds the next piece.
    pub(super) fn push(&mut self, more: Text<'a>) {
        if self.is_empty() {
            *self = more;
        } else if !more.is_empty() {
            let text = self.text.to_mut();
            match (self.high.take(), more.low) {
                (Some(high), Some(low)) => text.push(join(high, low)),
                (None, None) => {}
                _ => text.push('\u{fffd}'),
            }
            text.push_str(&more.text);
            self.high = more.high;
        }
    }

    pub(super) fn of_bytes(bytes: Cow<'a, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text).into(),
                Err(_) => Text::of_halves(bytes),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Cow::<'a, str>::Owned(text).into(),
                Err(error) => Text::of_halves(error.as_bytes()),
            },
        }
    }

    /// Reads a string as `serde_json` returns it in bytes: UTF-8 in which surrogates are encoded like characters (WTF-8). The
    /// input was valid UTF-8, so nothing else can be invalid.
    #[cold]
    fn of_halves(bytes: &[u8]) -> Text<'static> {
        let (mut text, mut low, mut high) = (String::new(), None, None);
        let mut rest = bytes;
        while !rest.is_empty() {
            let valid = match std::str::from_utf8(rest) {
                Ok(_) => rest.len(),
                Err(error) => error.valid_up_to(),
            };
            let (good, bad) = rest.split_at(valid);
            text.push_str(&String::from_utf8_lossy(good));
            let (half, after) = match bad {
                [0xed, a @ 0xa0..=0xbf, b @ 0x80..=0xbf, after @ ..] => {
                    let half = 0xd000 | (u16::from(*a & 0x3f) << 6) | u16::from(*b & 0x3f);
                    (Some(half), after)
                }
                bad => (None, bad.get(1..).unwrap_or_default()),
            };
            match half {
                _ if bad.is_empty() => {}
                Some(half @ 0xdc00..) if rest.len() == bytes.len() && good.is_empty() => {
                    low = Some(half);
                }
                Some(half @ ..=0xdbff) if after.is_empty() => high = Some(half),
                _ => text.push('\u{fffd}'),
            }
            rest = after;
        }
        Text {
            low,
            text: text.into(),
            high,
        }
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

/// Returns the character of a surrogate pair.
pub(super) fn join(high: u16, low: u16) -> char {
    let mut units = char::decode_utf16([high, low]);
    units.next().and_then(Result::ok).unwrap_or('\u{fffd}')
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    /// Deserializes bytes, because `serde_json` refuses an unpaired surrogate in a string.
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Text::of_bytes(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Text::of_bytes(Cow::Owned(bytes.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Part<'a> {
            #[serde(borrow)]
            text: Text<'a>,
        }
        let mut whole = Text::default();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            whole.push(match raw.get().starts_with('"') {
                true => serde_json::from_str(raw.get()).unwrap_or_default(),
                false => object(Some(raw)).unwrap_or_else(Part::default).text,
            });
        }
        Ok(whole)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(TextVisitor)
    }
}

/// A name or an id: a string or a number. Empty for any other value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word<'a>(pub(super) Cow<'a, str>);

impl<'a> Word<'a> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn some(self) -> Option<Cow<'a, str>> {
        Some(self.0).filter(|word| !word.is_empty())
    }
}

struct WordVisitor;

impl<'de> Visitor<'de> for WordVisitor {
    type Value = Word<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Word(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Word(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Word(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Word(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Word::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Word::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Word::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Word::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Word::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

/// A count. A fraction is rounded up. A negative number, or another value, is no count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Count(pub(super) Option<u64>);

impl Count {
    pub(super) fn get(self) -> u64 {
        self.0.unwrap_or_default()
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(Some(count)))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(Count(count.try_into().ok()))
    }

    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        // The cast saturates.
        Ok(Count((count >= 0.0).then(|| count.ceil() as u64)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Count, A::Error> {
        WordVisitor.visit_map(map).map(|_| Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Count, A::Error> {
        WordVisitor.visit_seq(seq).map(|_| Count(None))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

/// The fields of an object in their order, with their values as raw JSON: for objects whose fields are rare, or differ between
/// servers.
#[derive(Default)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Pairs<'a> {
    /// Parses an object. `None` for any other value.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Option<Self> {
        serde_json::from_str(raw?.get()).ok()
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }

    pub(super) fn count(&self, name: &str) -> Count {
        let count = |raw: &RawValue| serde_json::from_str(raw.get()).ok();
        self.raw(name).and_then(count).unwrap_or_default()
    }

    /// Returns a string that is not empty, or a number as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let word: Word<'_> = serde_json::from_str(self.raw(name)?.get()).ok()?;
        word.some().map(Cow::into_owned)
    }
}

/// Returns who makes a tool call, if it is not the model itself.
#[cfg(any(feature = "anthropic", feature = "openai-responses"))]
pub(super) fn other_caller(caller: &RawValue) -> Option<crate::RawJson> {
    let kind = Pairs::read(Some(caller))?.text("type")?;
    (kind != "direct").then(|| crate::RawJson::of(caller))
}

/// Parses a list. `None` for any other value.
pub(super) fn list(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// Returns the fields of a JSON object, in their order. `None` for anything else.
pub(crate) fn fields_of(json: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let Pairs(fields) = serde_json::from_str(json).ok()?;
    Some(fields)
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Word(name)) = map.next_key()? {
            pairs.push((name, map.next_value()?));
        }
        Ok(Pairs(pairs))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// Parses an optional object. Any other value is `None`.
///
/// The types of a chunk contain such fields as raw JSON. They are rare, and a large struct would be moved for each delta.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    let raw = raw?.get();
    let is_object = raw.starts_with('{');
    let read = || serde_json::from_str(raw).map(|ByName(value)| value);
    is_object.then(|| read().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Text<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn halves_of_surrogate_pairs_are_joined_or_replaced() {
        assert_eq!(text(r#""plain""#).text, "plain");
        assert!(text("null").is_empty());
        assert_eq!(text(r#""a\n\ud83d\ude00""#).text, "a\n😀");
        for (pieces, whole) in [
            (&[r#""ok \ud83d""#, r#""\ude00!""#][..], "ok 😀!"),
            (&[r#""\ud83d""#, r#""\ude00""#], "😀"),
            (&[r#""a\ud83d""#, r#""b""#], "a\u{fffd}b"),
            (&[r#""a""#, r#""\ude00b""#], "a\u{fffd}b"),
            (&[r#""a\ud83dx\ude00b""#], "a\u{fffd}x\u{fffd}b"),
            (
                &[r#""\ude00\ude00""#, r#""é\ud83d""#],
                "\u{fffd}\u{fffd}é\u{fffd}",
            ),
        ] {
            let mut joined = Text::default();
            pieces.iter().for_each(|piece| joined.push(text(piece)));
            assert_eq!(joined.into_cow(), whole, "{pieces:?}");
        }
        let list = r#"["a\ud83d", {"type": "text", "text": "\ude00b"}, null, {"x": 1}]"#;
        assert_eq!(text(list).into_cow(), "a😀b");
        assert!(serde_json::from_str::<Text<'_>>("{}").is_err());
    }

    #[test]
    fn counts_and_words_are_read_loosely() {
        for (json, count) in [
            ("7", Some(7)),
            ("12.0", Some(12)),
            ("37.25", Some(38)),
            ("1e300", Some(u64::MAX)),
            ("-35", None),
            ("-0.5", None),
            ("null", None),
            ("\"7\"", None),
            ("[7]", None),
            ("{\"a\": 7}", None),
            ("true", None),
        ] {
            assert_eq!(
                serde_json::from_str::<Count>(json).unwrap().0,
                count,
                "{json}"
            );
        }
        for (json, word) in [
            ("\"a\\u0062\"", "ab"),
            ("400", "400"),
            ("null", ""),
            ("{}", ""),
        ] {
            assert_eq!(
                serde_json::from_str::<Word<'_>>(json).unwrap().0,
                word,
                "{json}"
            );
        }
    }
}
