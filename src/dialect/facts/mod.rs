//! Reads from the body of a request what its maximum cost and its route depend on.
//!
//! Servers read JSON in different ways. Of two fields with one name, some use the first and some the last. Some ignore the case
//! of names, and some accept `"5"` for 5. If that affects the cost, the request is refused. If it cannot be refused, the more
//! expensive reading counts.

#[cfg(test)]
mod tests;
mod values;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use self::values::{count, flag, model, must_be};
use super::wire::Word;
use crate::quote::quote;
use crate::{Error, Result};

/// The maximum number of top-level fields. No API has a quarter of that.
const MAX_FIELDS: usize = 256;

/// The top-level fields that are read. A name that differs from one of these only in case is refused, because some servers
/// accept it.
const READ: [&str; 19] = [
    "model",
    "messages",
    "system",
    "tools",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "prediction",
    // The limit's names on other servers: Hugging Face's TGI, the Responses API, Llama's API, Anthropic's old API, Ollama
    // and llama.cpp.
    "max_new_tokens",
    "max_output_tokens",
    "max_gen_len",
    "max_length",
    "max_tokens_to_sample",
    "num_predict",
    "n_predict",
    "cache_control",
];

/// What the maximum cost and the route of a request depend on. [`Dialect::facts`](super::Dialect::facts) reads it from the
/// body.
///
/// ```
/// use warmline::dialect::{Dialect, OpenAiChat};
///
/// let facts = OpenAiChat::default().facts(br#"{"model": "m", "stream": true, "n": 2}"#)?;
/// assert!(facts.stream && facts.replies == 2);
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The model, or `None` if the body names none.
    pub model: Option<String>,
    /// Whether a stream is requested.
    pub stream: bool,
    /// The range of the body to replace, and its replacement, so that OpenAI's dialect reports a stream's usage. `None` if the
    /// body sets `include_usage` itself.
    pub(crate) ask_usage: Option<(Range<usize>, &'static str)>,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`.
    pub max_completion_tokens: Option<u64>,
    /// The largest of the limits that only some servers know, such as `n_predict`, or 0.
    pub other_limit: u64,
    /// The number of requested replies, or 0 if the body does not set it.
    pub replies: u64,
    /// The number of bytes of predicted output. Its rejected tokens are billed as output
    /// (<https://platform.openai.com/docs/guides/predicted-outputs>).
    pub predicted: u64,
    /// The number of images.
    pub images: u64,
    /// The number of documents and other content that can have more tokens than bytes.
    pub documents: u64,
    /// Whether the request contains a `cache_control`.
    pub cached: bool,
}

/// The place of a value in a request.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Schemas, inputs of tools and metadata. Nothing in them is refused.
    Opaque,
    /// The content of a message or a tool result.
    Content,
    Other,
}

/// The facts read so far, and the reason if the request is refused.
struct Reading<'b> {
    facts: RequestFacts,
    body: &'b str,
    refusal: Option<String>,
}

impl RequestFacts {
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        let not_json = |why: &dyn fmt::Display| {
            Error::config(["the request is not JSON: ", &why.to_string()].concat())
        };
        let body = std::str::from_utf8(body).map_err(|e| not_json(&e))?;
        let mut reading = Reading {
            facts: Self::default(),
            body,
            refusal: None,
        };
        let mut json = serde_json::Deserializer::from_str(body);
        let read = json.deserialize_map(Top(&mut reading));
        match read.and_then(|()| json.end()) {
            Ok(()) => Ok(reading.facts),
            Err(error) => Err(match reading.refusal {
                Some(refusal) => Error::config(refusal),
                None => not_json(&error),
            }),
        }
    }
}

/// Stops reading and records the reason.
fn refuse<T, E: serde::de::Error>(reading: &mut Reading<'_>, why: String) -> Result<T, E> {
    reading.refusal = Some(why);
    Err(E::custom("refused"))
}

/// Refuses the request if the value is an error.
fn checked<T, E: serde::de::Error>(
    reading: &mut Reading<'_>,
    value: Result<T, String>,
) -> Result<T, E> {
    value.or_else(|why| refuse(reading, why))
}

/// The top level of a request.
struct Top<'r, 'b>(&'r mut Reading<'b>);

impl<'de> Visitor<'de> for Top<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(reading) = self;
        // A body that requests a stream has at least one field, so a comma can follow.
        let start = reading.body.find('{').map_or(0, |brace| brace + 1);
        let usage = r#""stream_options":{"include_usage":true},"#;
        reading.facts.ask_usage = Some((start..start, usage));
        let mut seen: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Word(key)) = map.next_key()? {
            checked(reading, check_name(&seen, &key))?;
            match &*key {
                "model" => {
                    let read = model(map.next_value()?);
                    reading.facts.model = checked(reading, read)?;
                }
                "stream" => {
                    let read = flag(map.next_value()?, &key);
                    reading.facts.stream = checked(reading, read)?.unwrap_or_default();
                }
                "stream_options" => {
                    let read = stream_options(reading.body, map.next_value()?);
                    reading.facts.ask_usage = checked(reading, read)?;
                }
                "max_tokens"
                | "max_completion_tokens"
                | "max_new_tokens"
                | "max_output_tokens"
                | "max_gen_len"
                | "max_length"
                | "max_tokens_to_sample"
                | "num_predict"
                | "n_predict"
                | "n"
                | "best_of" => {
                    let read = count(map.next_value()?, &key);
                    let count: Option<u64> = checked(reading, read)?;
                    let facts = &mut reading.facts;
                    match &*key {
                        "max_tokens" => facts.max_tokens = count,
                        "max_completion_tokens" => facts.max_completion_tokens = count,
                        "n" | "best_of" => facts.replies = facts.replies.max(count.unwrap_or(0)),
                        _ => facts.other_limit = facts.other_limit.max(count.unwrap_or(0)),
                    }
                }
                "prediction" => {
                    let prediction: &RawValue = map.next_value()?;
                    if prediction.get() != "null" {
                        reading.facts.predicted = prediction.get().len() as u64;
                        let value = Value(reading, Place::Other);
                        let mut json = serde_json::Deserializer::from_str(prediction.get());
                        value.deserialize(&mut json).map_err(A::Error::custom)?;
                    }
                }
                "system" => {
                    map.next_value_seed(Value(reading, Place::Content))?;
                }
                key => {
                    field(key, &mut map, reading, Place::Other)?;
                }
            }
            seen.push(key);
        }
        Ok(())
    }
}

/// Reads a field that can contain content blocks.
fn field<'de, A: MapAccess<'de>>(
    key: &str,
    map: &mut A,
    reading: &mut Reading<'_>,
    within: Place,
) -> Result<Kind, A::Error> {
    let place = match key {
        _ if within == Place::Opaque => Place::Opaque,
        "input" | "input_schema" | "parameters" | "schema" | "arguments" | "metadata" => {
            Place::Opaque
        }
        "content" => Place::Content,
        _ => Place::Other,
    };
    reading.facts.cached |= key == "cache_control";
    map.next_value_seed(Value(reading, place))
}

/// The kind of a value.
#[derive(PartialEq)]
enum Kind {
    /// A string that names the type of a content block.
    Text,
    Image,
    Document,
    /// Content whose text is in the body, or whose blocks are counted themselves.
    OfText,
    /// An object of the type `text`.
    TextBlock,
    Other,
}

/// Counts the content of a value.
struct Value<'r, 'b>(&'r mut Reading<'b>, Place);

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let Self(reading, place) = self;
        while seq.next_element_seed(Value(reading, place))?.is_some() {}
        Ok(Kind::Other)
    }

    /// Of two types, which only opaque values may have, the more expensive one counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let Self(reading, place) = self;
        let (mut types, mut texts, mut sources, mut text_sources) = (0, 0, 0, 0);
        let (mut known, mut image, mut document) = (false, false, false);
        while let Some(Word(key)) = map.next_key()? {
            let name = folded(&key);
            let count = match &*name {
                "type" => &mut types,
                "source" => &mut sources,
                _ => {
                    field(&key, &mut map, reading, place)?;
                    continue;
                }
            };
            *count += 1;
            if *count > 1 && place != Place::Opaque {
                let name = quote(&name);
                let why = ["a content block has ", &name, " twice: give it once"];
                return refuse(reading, why.concat());
            }
            if name == "source" {
                let inner = match place {
                    Place::Opaque => place,
                    _ => Place::Other,
                };
                let source = map.next_value_seed(Value(reading, inner))?;
                text_sources += u32::from(source == Kind::TextBlock);
                continue;
            }
            match field(&name, &mut map, reading, place)? {
                Kind::Text => texts += 1,
                Kind::Image => image = true,
                Kind::Document => document = true,
                Kind::OfText => known = true,
                Kind::TextBlock | Kind::Other => {}
            }
        }
        known |= texts > 0 || image || document;
        // A block of an unknown type can have any number of tokens.
        document |= place == Place::Content && !known;
        let of_text = sources > 0 && sources == text_sources;
        reading.facts.images += u64::from(image);
        reading.facts.documents += u64::from(document && !of_text);
        Ok(match texts > 0 && texts == types {
            true => Kind::TextBlock,
            false => Kind::Other,
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(match text {
            "text" => Kind::Text,
            "image" | "image_url" | "input_image" => Kind::Image,
            "document" | "file" | "input_file" | "input_audio" | "audio_url" | "video_url"
            | "container_upload" => Kind::Document,
            kind if is_of_text(kind) => Kind::OfText,
            _ => Kind::Other,
        })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Other)
    }
}

/// Returns the range to replace, and its replacement, so that a stream reports its usage.
fn stream_options(body: &str, options: &RawValue) -> Result<Asking, String> {
    let place = |value: &RawValue| {
        let start = value.get().as_ptr() as usize - body.as_ptr() as usize;
        start..start + value.get().len()
    };
    if options.get() == "null" {
        return Ok(Some((place(options), r#"{"include_usage":true}"#)));
    }
    if !options.get().starts_with('{') {
        return must_be(options, "stream_options", "an object or null");
    }
    let inside = place(options).start + 1;
    let Options { fields, asked } =
        serde_json::from_str(options.get()).map_err(|e| e.to_string())?;
    Ok(match asked.as_slice() {
        [] if fields == 0 => Some((inside..inside, r#""include_usage":true"#)),
        [] => Some((inside..inside, r#""include_usage":true,"#)),
        [asked] => match flag(asked, "stream_options.include_usage")? {
            Some(_) => None,
            None => Some((place(asked), "true")),
        },
        _ => return Err("stream_options has include_usage twice: give it once".into()),
    })
}

type Asking = Option<(Range<usize>, &'static str)>;

/// The fields of `stream_options`.
#[derive(Default)]
struct Options<'a> {
    fields: usize,
    asked: Vec<&'a RawValue>,
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Options<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionsVisitor;
        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = Options<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut options = Options::default();
                while let Some((Word(key), value)) = map.next_entry()? {
                    options.fields += 1;
                    if key == "include_usage" {
                        options.asked.push(value);
                    }
                }
                Ok(options)
            }
        }
        deserializer.deserialize_map(OptionsVisitor)
    }
}

/// Whether content blocks of this type consist of text, or of blocks that are counted themselves.
fn is_of_text(kind: &str) -> bool {
    matches!(
        kind,
        "refusal" | "input_text" | "output_text" | "thinking" | "redacted_thinking" | "reasoning"
    ) || ["tool_use", "_result", "_error"]
        .iter()
        .any(|end| kind.ends_with(end))
}

/// Refuses a top-level name that is repeated, or that differs only in case from one that is read.
fn check_name(seen: &[Cow<'_, str>], key: &str) -> Result<(), String> {
    if seen.len() == MAX_FIELDS {
        return Err(format!("the request has more than {MAX_FIELDS} fields"));
    }
    if seen.iter().any(|known| known == key) {
        return Err(["the request has ", &quote(key), " twice: give it once"].concat());
    }
    let folded = folded(key);
    if folded != key
        && let Some(meant) = READ.iter().find(|name| **name == folded)
    {
        return Err([&quote(key), " is not a field: it is spelled ", meant].concat());
    }
    Ok(())
}

/// Folds a name as Go's JSON decoder does. It ignores case, and two characters outside ASCII fold to ASCII letters.
fn folded(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let fold = |c| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    Cow::Owned(key.chars().map(fold).collect())
}
