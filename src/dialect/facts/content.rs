//! Counts the content of a request: images, documents and what else is no text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::reading::{Reading, folded, not_json};
use crate::dialect::wire::Word;
use crate::quote::quote;

/// The place of a value in a request.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Schemas, inputs of tools and metadata. Nothing in them is refused.
    Opaque,
    /// The content of a message or a tool result.
    Content,
    /// The items of a conversation in the Responses API.
    Items,
    Other,
}

const TYPE: &str = "type";
const SOURCE: &str = "source";
const DATA: &str = "data";
const CONTENT: &str = "content";
const CACHE_CONTROL: &str = "cache_control";
/// The names that tell what the content of a message or a block is. They may not be repeated, nor in another case.
const READ: [&str; 6] = [TYPE, SOURCE, DATA, "image_url", "url", CONTENT];

/// Returns the place of a field's value.
fn place_in(within: Place, key: &str) -> Place {
    match key {
        _ if within == Place::Opaque => Place::Opaque,
        "input" | "input_schema" | "parameters" | "schema" | "arguments" | "metadata" => {
            Place::Opaque
        }
        CONTENT => Place::Content,
        // Of a tool's result.
        "output" if within == Place::Items => Place::Content,
        _ => Place::Other,
    }
}

/// Counts the content of a field of the request, or of an object with options.
pub(super) fn read_content<'b>(
    reading: &mut Reading<'b>,
    key: &str,
    value: &'b RawValue,
) -> Result<(), String> {
    reading.facts.cached |= key == CACHE_CONTROL;
    let place = match key {
        "system" => Place::Content,
        key => place_in(Place::Other, key),
    };
    read_value(reading, value, place)
}

/// Counts the content of the items of a conversation.
pub(super) fn read_items<'b>(reading: &mut Reading<'b>, value: &'b RawValue) -> Result<(), String> {
    read_value(reading, value, Place::Items)
}

fn read_value<'b>(
    reading: &mut Reading<'b>,
    value: &'b RawValue,
    place: Place,
) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(value.get());
    let read = Value(reading, place).deserialize(&mut json);
    match read {
        Ok(_) => Ok(()),
        Err(error) => Err(reading.refusal.take().unwrap_or_else(|| not_json(&error))),
    }
}

/// The kind of a value.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A string that names the type of a content block.
    Text,
    Image,
    /// An image that a URL may name.
    ImageUrl,
    Document,
    /// Content whose text is in the body, or whose blocks are counted themselves.
    OfText,
    /// The string `reasoning`.
    Reasoning,
    /// An object of the type `text`.
    TextBlock,
    /// The string `base64`.
    Base64,
    /// Another string, and its length.
    String(u64),
    /// An image, encoded in this many bytes: a data URL, an object with only that, or an object of the type `base64`.
    Encoded(u64),
    Null,
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
        let mut counts = [0u32; READ.len()];
        let (mut texts, mut text_sources, mut document) = (0, 0, false);
        let (mut has_role, mut has_id) = (false, false);
        let (mut reasoning, mut encrypted) = (false, false);
        let (mut known, mut image, mut by_url) = (false, false, false);
        let (mut base64, mut data, mut encoded) = (false, None, None);
        // Whether a server that distinguishes upper case from lower case reads the same.
        let mut exact = true;
        while let Some(Word(key)) = map.next_key()? {
            let name = folded(&key);
            let Some(at) = READ.iter().position(|read| *read == name) else {
                reading.facts.cached |= key == CACHE_CONTROL;
                has_role |= key == "role";
                has_id |= key == "id";
                let inner = place_in(place, &key);
                let kind = map.next_value_seed(Value(reading, inner))?;
                encrypted |= key == "encrypted_content" && kind != Kind::Null;
                // An earlier reply's audio, by its id.
                if key == "audio" && place == Place::Other && kind != Kind::Null {
                    reading.facts.documents += 1;
                }
                continue;
            };
            counts[at] += 1;
            exact &= key == name;
            if counts[at] > 1 && place != Place::Opaque {
                let name = quote(&name);
                let why = [
                    "a message or a content block has ",
                    &name,
                    " twice: give it once",
                ];
                reading.refusal = Some(why.concat());
                return Err(A::Error::custom("refused"));
            }
            let place = match place {
                Place::Opaque => Place::Opaque,
                _ if READ[at] == CONTENT => Place::Content,
                Place::Content | Place::Items if READ[at] != TYPE => Place::Other,
                place => place,
            };
            let value = map.next_value_seed(Value(reading, place))?;
            match (READ[at], value) {
                (TYPE, Kind::Text) => texts += 1,
                (TYPE, Kind::Image) => image = true,
                (TYPE, Kind::ImageUrl) => by_url = true,
                (TYPE, Kind::Document) => document = true,
                (TYPE, Kind::OfText) => known = true,
                (TYPE, Kind::Reasoning) => reasoning = true,
                (TYPE, Kind::Base64) => base64 = true,
                (SOURCE, Kind::TextBlock) => text_sources += 1,
                (DATA, Kind::String(length)) => data = Some(length),
                (SOURCE | "image_url" | "url", Kind::Encoded(length)) => encoded = Some(length),
                _ => {}
            }
        }
        let [types, sources, datas, image_urls, urls, _] = counts;
        let encoded = encoded.filter(|_| exact && sources + image_urls + urls == 1);
        known |= texts > 0 || image || by_url || document || reasoning;
        // The provider may have stored it, and reads it by its id.
        document |= reasoning && place == Place::Items && has_id && !encrypted;
        // A message needs no type.
        known |= place == Place::Items && types == 0 && has_role;
        // Some servers take videos and documents by such a URL.
        document |= by_url && encoded.is_none();
        image |= by_url && encoded.is_some();
        // A block of an unknown type can have any number of tokens.
        document |= matches!(place, Place::Content | Place::Items) && !known;
        let of_text = sources > 0 && sources == text_sources;
        reading.facts.images += u64::from(image);
        reading.facts.documents += u64::from(document && !of_text);
        if let Some(length) = encoded
            && image
            && types == 1
            && place == Place::Content
        {
            reading.facts.image_bytes += length;
        }
        Ok(match (texts > 0 && texts == types, data, encoded) {
            (true, ..) => Kind::TextBlock,
            (_, Some(length), None) if exact && base64 && (types, datas) == (1, 1) => {
                Kind::Encoded(length)
            }
            (_, None, Some(length)) if types == 0 => Kind::Encoded(length),
            _ => Kind::Other,
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(match text {
            "text" => Kind::Text,
            "image" => Kind::Image,
            "image_url" | "input_image" => Kind::ImageUrl,
            "document" | "file" | "input_file" | "input_audio" | "audio_url" | "video_url"
            | "container_upload" => Kind::Document,
            "base64" => Kind::Base64,
            "reasoning" => Kind::Reasoning,
            kind if is_of_text(kind) => Kind::OfText,
            url if url.starts_with("data:image/") && url.contains(";base64,") => {
                Kind::Encoded(url.len() as u64)
            }
            other => Kind::String(other.len() as u64),
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
        Ok(Kind::Null)
    }
}

/// Whether content blocks of this type consist of text, or of blocks that are counted themselves.
fn is_of_text(kind: &str) -> bool {
    matches!(
        kind,
        "refusal"
            | "input_text"
            | "output_text"
            | "thinking"
            | "redacted_thinking"
            | "compaction"
            | "fallback"
            | "tool_reference"
            // Items and parts of the Responses API. Others, such as a search, can stand for content that the provider has stored.
            | "message"
            | "function_call"
            | "function_call_output"
            | "custom_tool_call"
            | "custom_tool_call_output"
            | "local_shell_call"
            | "local_shell_call_output"
            | "shell_call"
            | "shell_call_output"
            | "apply_patch_call"
            | "apply_patch_call_output"
            | "mcp_list_tools"
            | "mcp_approval_request"
            | "mcp_approval_response"
            | "mcp_call"
            | "summary_text"
            | "reasoning_text"
    ) || ["tool_use", "_result", "_error"]
        .iter()
        .any(|end| kind.ends_with(end))
}
