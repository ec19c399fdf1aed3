//! What of a request its cost and its route depend on, read from the body that is sent.
//!
//! Servers read JSON in different ways: of two fields with one name some take the first and some the last, some match names
//! whatever their case, some take `"5"` for 5. What they could read differently is refused here, where it matters; where it
//! cannot be refused, the dearer reading counts.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Reader, Stopped, quote, whole_number};
use crate::{Error, Result};

/// The most bytes that a model's name may have. No provider has one that is half as long; statistics and spans keep it.
const MAX_MODEL_NAME: usize = 256;
/// The most fields that a request may have at its top level: no API knows a quarter of that.
const MAX_FIELDS: usize = 256;

/// Top-level fields that are read here. One whose name differs only in case is refused, since some servers would take it for
/// one of these.
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
    // Other servers' names of the limit: Hugging Face's TGI, the Responses API, Llama's API, Anthropic's old API, Ollama
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

/// See the module.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct RequestFacts {
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    /// What is to be written where in the body so that OpenAI's dialect tells a stream's usage. None where the body says itself
    /// whether it wants that.
    pub(crate) ask_usage: Option<(Range<usize>, &'static str)>,
    pub(super) max_tokens: Option<u64>,
    pub(super) max_completion_tokens: Option<u64>,
    /// The largest of the limits that only some servers know.
    pub(super) other_limit: u64,
    /// How many replies are asked for; 0 where nothing is said.
    pub(super) replies: u64,
    /// Bytes of predicted output, of which the rejected tokens are billed as output
    /// (<https://platform.openai.com/docs/guides/predicted-outputs>).
    pub(super) predicted: u64,
    pub(super) images: u64,
    /// And whatever else can stand for more tokens than it has bytes.
    pub(super) documents: u64,
    /// Something in it is marked for Anthropic's prompt cache.
    pub(super) cached: bool,
}

/// Where in a request a value stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// What the caller means by it is its own: schemas, what tools are given, metadata. Nothing is refused there.
    Opaque,
    /// A message's or a tool result's content.
    Content,
    Other,
}

impl RequestFacts {
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        let mut facts = Self::default();
        let malformed = match Reader::of_bytes(body) {
            Ok(mut json) => {
                let read = facts.top(&mut json).and_then(|()| json.end());
                if read.is_ok() {
                    return Ok(facts);
                }
                let refusal = json.refusal();
                if !refusal.is_empty() {
                    return Err(Error::config(refusal));
                }
                json.malformed()
            }
            Err(malformed) => malformed,
        };
        let why = malformed.to_string();
        Err(Error::config(["the request is not JSON: ", &why].concat()))
    }

    fn top(&mut self, json: &mut Reader<'_>) -> Result<(), Stopped> {
        json.object()?;
        let start = json.place().0;
        // A body that asks for a stream has at least that field.
        let usage = r#""stream_options":{"include_usage":true},"#;
        self.ask_usage = Some((start..start, usage));
        let mut seen = Vec::new();
        while let Some(key) = json.key()? {
            check_name(json, &seen, &key)?;
            match &*key {
                "model" => self.model = model(json)?,
                "stream" => self.stream = flag(json, &key)?.unwrap_or_default(),
                "stream_options" => self.stream_options(json)?,
                "max_tokens" => self.max_tokens = count(json, &key)?,
                "max_completion_tokens" => self.max_completion_tokens = count(json, &key)?,
                "max_new_tokens"
                | "max_output_tokens"
                | "max_gen_len"
                | "max_length"
                | "max_tokens_to_sample"
                | "num_predict"
                | "n_predict" => {
                    self.other_limit = self.other_limit.max(count(json, &key)?.unwrap_or(0));
                }
                "n" | "best_of" => {
                    self.replies = self.replies.max(count(json, &key)?.unwrap_or(0));
                }
                "prediction" => {
                    let start = json.place().0;
                    if !json.null()? {
                        self.value(json, Place::Other)?;
                        self.predicted = (json.place().0 - start) as u64;
                    }
                }
                "system" => self.value(json, Place::Content).map(|_| ())?,
                key => self.field(key, json, Place::Other)?,
            }
            seen.push(key);
        }
        Ok(())
    }

    fn stream_options(&mut self, json: &mut Reader<'_>) -> Result<(), Stopped> {
        json.peek();
        let start = json.place().0;
        if json.null()? {
            let whole = r#"{"include_usage":true}"#;
            self.ask_usage = Some((start..json.place().0, whole));
            return Ok(());
        }
        if json.peek() != Some(b'{') {
            return must_be(json, "stream_options", "an object or null");
        }
        json.object()?;
        let inside = json.place().0;
        let (mut fields, mut said) = (0, None);
        while let Some(key) = json.key()? {
            fields += 1;
            if key != "include_usage" {
                json.pass()?;
                continue;
            }
            if said.is_some() {
                return json.refuse("stream_options has include_usage twice: give it once".into());
            }
            json.peek();
            let start = json.place().0;
            let wanted = flag(json, "stream_options.include_usage")?;
            said = Some((wanted, start..json.place().0));
        }
        self.ask_usage = match said {
            Some((Some(_), _)) => None,
            Some((None, null)) => Some((null, "true")),
            None if fields == 0 => Some((inside..inside, r#""include_usage":true"#)),
            None => Some((inside..inside, r#""include_usage":true,"#)),
        };
        Ok(())
    }

    fn field(&mut self, key: &str, json: &mut Reader<'_>, within: Place) -> Result<(), Stopped> {
        let place = match key {
            _ if within == Place::Opaque => Place::Opaque,
            "input" | "input_schema" | "parameters" | "schema" | "arguments" | "metadata" => {
                Place::Opaque
            }
            "content" => Place::Content,
            _ => Place::Other,
        };
        self.cached |= key == "cache_control";
        self.value(json, place).map(|_| ())
    }

    /// Counts what is in a value, and says whether it is something of the type `text`.
    fn value(&mut self, json: &mut Reader<'_>, place: Place) -> Result<bool, Stopped> {
        match json.peek() {
            Some(b'{') => self.object(json, place),
            Some(b'[') => {
                json.list()?;
                while json.item()? {
                    self.value(json, place)?;
                }
                Ok(false)
            }
            _ => json.pass().map(|()| false),
        }
    }

    /// Where a type is given twice, which only opaque values may do, the dearer one counts.
    fn object(&mut self, json: &mut Reader<'_>, place: Place) -> Result<bool, Stopped> {
        let (mut types, mut texts, mut sources, mut text_sources) = (0, 0, 0, 0);
        let (mut known, mut image, mut document) = (false, false, false);
        json.object()?;
        while let Some(key) = json.key()? {
            let name = folded(&key);
            let count = match &*name {
                "type" => &mut types,
                "source" => &mut sources,
                _ => {
                    self.field(&key, json, place)?;
                    continue;
                }
            };
            *count += 1;
            if *count > 1 && place != Place::Opaque {
                let why = [
                    "a content block has ",
                    &quote(&name),
                    " twice: give it once",
                ];
                return json.refuse(why.concat());
            }
            match json.peek() {
                _ if name == "source" => {
                    let inner = if place == Place::Opaque {
                        place
                    } else {
                        Place::Other
                    };
                    text_sources += u32::from(self.value(json, inner)?);
                }
                Some(b'"') => match &*json.value_text()? {
                    "text" => texts += 1,
                    "image" | "image_url" | "input_image" => image = true,
                    "document" | "file" | "input_file" | "input_audio" | "audio_url"
                    | "video_url" | "container_upload" => document = true,
                    kind => known |= is_of_text(kind),
                },
                _ => self.field(&name, json, place)?,
            }
        }
        known |= texts > 0 || image || document;
        // A block of a kind that nobody knows may stand for anything.
        document |= place == Place::Content && !known;
        let of_text = sources > 0 && sources == text_sources;
        self.images += u64::from(image);
        self.documents += u64::from(document && !of_text);
        Ok(texts > 0 && texts == types)
    }
}

/// Whether content blocks of this type are of text that stands in them, or hold other blocks that tell for themselves.
fn is_of_text(kind: &str) -> bool {
    matches!(
        kind,
        "refusal" | "input_text" | "output_text" | "thinking" | "redacted_thinking" | "reasoning"
    ) || ["tool_use", "_result", "_error"]
        .iter()
        .any(|end| kind.ends_with(end))
}

/// Top-level names are given once, and not in another spelling.
fn check_name(json: &mut Reader<'_>, seen: &[Cow<'_, str>], key: &str) -> Result<(), Stopped> {
    if seen.len() == MAX_FIELDS {
        let most = MAX_FIELDS.to_string();
        return json.refuse(["the request has more than ", &most, " fields"].concat());
    }
    if seen.iter().any(|known| known == key) {
        return json.refuse(["the request has ", &quote(key), " twice: give it once"].concat());
    }
    let folded = folded(key);
    if folded != key
        && let Some(meant) = READ.iter().find(|name| **name == folded)
    {
        return json.refuse([&quote(key), " is not a field: it is spelled ", meant].concat());
    }
    Ok(())
}

/// A name as Go's JSON reader compares it, which ignores case; two letters outside ASCII fold into it.
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

fn must_be<T>(json: &mut Reader<'_>, name: &str, what: &str) -> Result<T, Stopped> {
    let given = quote_value(json.skip()?);
    json.refuse([name, " is ", &given, ": it must be ", what].concat())
}

/// A value as it stands, its start where it is long.
fn quote_value(value: &str) -> Cow<'_, str> {
    match crate::json::shorten(value) {
        whole if whole.len() == value.len() => Cow::Borrowed(value),
        start => Cow::Owned([start, "…"].concat()),
    }
}

fn model(json: &mut Reader<'_>) -> Result<Option<String>, Stopped> {
    match json.peek() {
        Some(b'"' | b'n') => {}
        _ => return must_be(json, "model", "a string"),
    }
    let Some(model) = json.text()? else {
        return Ok(None);
    };
    if model.len() > MAX_MODEL_NAME {
        let (start, bytes) = (quote(&model), model.len().to_string());
        let most = MAX_MODEL_NAME.to_string();
        return json.refuse(
            [
                "the model's name ",
                &start,
                " has ",
                &bytes,
                " bytes: at most ",
                &most,
                " are accepted",
            ]
            .concat(),
        );
    }
    Ok(Some(model.into_owned()))
}

fn flag(json: &mut Reader<'_>, name: &str) -> Result<Option<bool>, Stopped> {
    match json.peek() {
        Some(b't') => json.pass().map(|()| Some(true)),
        Some(b'f') => json.pass().map(|()| Some(false)),
        Some(b'n') => json.pass().map(|()| None),
        _ => must_be(json, name, "true, false or null"),
    }
}

/// A whole number; none for null.
fn count(json: &mut Reader<'_>, name: &str) -> Result<Option<u64>, Stopped> {
    if json.null()? {
        return Ok(None);
    }
    let place = json.place();
    match whole_number(json.skip()?) {
        Some(count) => Ok(Some(count)),
        None => {
            json.go_back(place);
            must_be(json, name, "a whole number that is not negative")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> RequestFacts {
        RequestFacts::read(body.as_bytes()).unwrap()
    }

    fn message(content: &str) -> RequestFacts {
        read(&format!(
            r#"{{"messages": [{{"role": "user", "content": {content}}}]}}"#
        ))
    }

    #[test]
    fn what_a_request_holds_is_seen_wherever_it_stands() {
        let facts = read(
            r#"{"model": "m", "stream": true, "max_tokens": 5, "max_completion_tokens": 7, "n": 2, "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "a \"type\": \"image\""},
                    {"type": "image_url", "image_url": {"url": "data:"}},
                    {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64"}, "cache_control": {}}]},
                    {"type": "document", "source": {"type": "text", "data": "x"}},
                    {"source": {"type": "url", "url": "u"}, "type": "document"}]}]}"#,
        );
        let expected = RequestFacts {
            model: Some("m".into()),
            stream: true,
            ask_usage: Some((1..1, r#""stream_options":{"include_usage":true},"#)),
            max_tokens: Some(5),
            max_completion_tokens: Some(7),
            replies: 2,
            images: 2,
            documents: 1,
            cached: true,
            ..RequestFacts::default()
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn what_is_no_request_is_refused_with_what_would_be_accepted() {
        let whole = "it must be a whole number that is not negative";
        let long = "x".repeat(300);
        for (body, says) in [
            ("", "the request is not JSON: an object expected at byte 0"),
            (
                "[]",
                "the request is not JSON: an object expected at byte 0",
            ),
            (
                "null",
                "the request is not JSON: an object expected at byte 0",
            ),
            (
                "null}",
                "the request is not JSON: an object expected at byte 0",
            ),
            (
                r#"null,"model":"m"}"#,
                "the request is not JSON: an object expected at byte 0",
            ),
            ("{}x", "the request is not JSON: the end expected at byte 2"),
            (
                "{} {}",
                "the request is not JSON: the end expected at byte 3",
            ),
            (r#"{"model": 5}"#, "model is 5: it must be a string"),
            (
                r#"{"stream": "true"}"#,
                "stream is \"true\": it must be true, false or null",
            ),
            (
                r#"{"stream": 1}"#,
                "stream is 1: it must be true, false or null",
            ),
            (
                r#"{"stream_options": true}"#,
                "stream_options is true: it must be an object or null",
            ),
            (
                r#"{"max_tokens": "60000"}"#,
                &format!("max_tokens is \"60000\": {whole}"),
            ),
            (
                r#"{"max_tokens": -1}"#,
                &format!("max_tokens is -1: {whole}"),
            ),
            (
                r#"{"max_tokens": 1.5}"#,
                &format!("max_tokens is 1.5: {whole}"),
            ),
            (
                r#"{"max_completion_tokens": [9]}"#,
                &format!("max_completion_tokens is [9]: {whole}"),
            ),
            (r#"{"n": true}"#, &format!("n is true: {whole}")),
            (
                r#"{"n_predict": "9"}"#,
                &format!("n_predict is \"9\": {whole}"),
            ),
            (r#"{"best_of": -2}"#, &format!("best_of is -2: {whole}")),
            (
                &format!(r#"{{"n": "{long}"}}"#),
                &format!("n is \"{}…: {whole}", &long[..255]),
            ),
            (
                r#"{"max_tokens": 1, "max_tokens": 9}"#,
                "the request has \"max_tokens\" twice: give it once",
            ),
            (
                r#"{"max_tokens": 1, "max\u005ftokens": 9}"#,
                "the request has \"max_tokens\" twice: give it once",
            ),
            (
                r#"{"messages": [], "messages": []}"#,
                "the request has \"messages\" twice: give it once",
            ),
            (
                r#"{"unknown": 1, "unknown": 1}"#,
                "the request has \"unknown\" twice: give it once",
            ),
            (
                r#"{"Max_Tokens": 9}"#,
                "\"Max_Tokens\" is not a field: it is spelled max_tokens",
            ),
            (
                "{\"max_to\u{212a}en\u{17f}\": 9}",
                "\"max_to\u{212a}en\u{17f}\" is not a field: it is spelled max_tokens",
            ),
            (
                r#"{"messages": [{"content": [{"type": "text", "type": "image"}]}]}"#,
                "a content block has \"type\" twice: give it once",
            ),
            (
                r#"{"messages": [{"content": [{"type": "text", "\u0074ype": "image"}]}]}"#,
                "a content block has \"type\" twice: give it once",
            ),
            (
                r#"{"messages": [{"content": [{"type": "document", "source": {"type": "text"}, "source": {}}]}]}"#,
                "a content block has \"source\" twice: give it once",
            ),
            (
                r#"{"stream_options": {"include_usage": false, "include_usage": true}}"#,
                "stream_options has include_usage twice: give it once",
            ),
        ] {
            let error = RequestFacts::read(body.as_bytes()).unwrap_err();
            assert_eq!(error.message(), says, "{body}");
        }
        let fields: Vec<String> = (0..257).map(|i| format!("\"f{i}\":0")).collect();
        let of = |n: usize| format!("{{{}}}", fields[..n].join(","));
        let error = RequestFacts::read(of(257).as_bytes()).unwrap_err();
        assert_eq!(error.message(), "the request has more than 256 fields");
        read(&of(256));
    }

    #[test]
    fn a_models_name_has_a_most_and_the_error_does_not_repeat_all_of_it() {
        let named = |bytes: usize| format!(r#"{{"model": "{}"}}"#, "m".repeat(bytes));
        assert_eq!(read(&named(256)).model.unwrap().len(), 256);
        for bytes in [257, 5_000_000] {
            let error = RequestFacts::read(named(bytes).as_bytes()).unwrap_err();
            let says = format!("…\" has {bytes} bytes: at most 256 are accepted");
            assert!(error.message().ends_with(&says), "{error}");
            assert!(error.message().len() < 400);
        }
    }

    #[test]
    fn numbers_equal_to_whole_ones_are_those_and_null_is_absence() {
        for number in ["60000", "6e4", "60000.0", "600000E-1"] {
            let facts = read(&format!(r#"{{"max_tokens": {number}, "n": {number}}}"#));
            assert_eq!((facts.max_tokens, facts.replies), (Some(60_000), 60_000));
        }
        let nulls = read(
            r#"{"model": null, "stream": null, "max_tokens": null, "max_completion_tokens": null, "n": null, "n_predict": null, "prediction": null}"#,
        );
        let nothing = RequestFacts {
            ask_usage: nulls.ask_usage.clone(),
            ..RequestFacts::default()
        };
        assert_eq!(nulls, nothing);
    }

    #[test]
    fn other_names_of_limits_and_of_replies_count_by_the_most() {
        for name in READ
            .iter()
            .filter(|n| n.contains("max_") || n.ends_with("predict"))
        {
            let facts = read(&format!(r#"{{"{name}": 9, "max_tokens ": 1}}"#));
            let limits = [
                facts.max_tokens.unwrap_or(0),
                facts.max_completion_tokens.unwrap_or(0),
                facts.other_limit,
            ];
            assert_eq!(limits.iter().max(), Some(&9), "{name}");
        }
        assert_eq!(
            read(r#"{"n_predict": 9, "max_new_tokens": 7}"#).other_limit,
            9
        );
        assert_eq!(read(r#"{"n": 2, "best_of": 5}"#).replies, 5);
        let predicted = r#"{"type": "content", "content": "x"}"#;
        let facts = read(&format!(r#"{{"prediction":{predicted}}}"#));
        assert_eq!(facts.predicted, predicted.len() as u64);
    }

    #[test]
    fn what_could_be_a_picture_or_a_document_counts_as_one() {
        for (content, images, documents) in [
            (r#""text""#, 0, 0),
            (r#"[{"type": "text", "text": "x"}, "x"]"#, 0, 0),
            (r#"[{"type": "im\u0061ge", "source": {}}]"#, 1, 0),
            (r#"{"type": "image"}"#, 1, 0),
            (r#"[{"Type": "image"}]"#, 1, 0),
            (r#"[{"type": "Image"}]"#, 0, 1),
            (r#"[{"type": "hologram"}]"#, 0, 1),
            (r#"[{"image_url": "u"}]"#, 0, 1),
            (r#"[{"type": "video_url"}]"#, 0, 1),
            (
                r#"[{"type": "tool_use", "input": {"type": "object"}}]"#,
                0,
                0,
            ),
            // What a tool was given is the caller's own, but an image there may be one.
            (
                r#"[{"type": "tool_use", "input": {"type": "x", "type": "image", "source": 1, "source": 2}}]"#,
                1,
                0,
            ),
            (
                r#"[{"type": "tool_use", "input": {"type": "document", "source": {"type": "text", "type": "url"}}}]"#,
                0,
                1,
            ),
            (
                r#"[{"type": "tool_use", "input": {"type": "document", "source": {"type": "text"}, "source": {}}}]"#,
                0,
                1,
            ),
            (
                r#"[{"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}]"#,
                1,
                1,
            ),
            (
                r#"[{"type": "web_search_tool_result", "content": [{"type": "web_search_result"}]}]"#,
                0,
                0,
            ),
            (
                r#"[{"type": "text", "text": "x", "unknown": [{"type": "image"}]}]"#,
                1,
                0,
            ),
        ] {
            let facts = message(content);
            assert_eq!(
                (facts.images, facts.documents),
                (images, documents),
                "{content}"
            );
        }
        let schema =
            r#"{"properties": {"type": {"type": "string", "type": "string"}, "source": {}}}"#;
        let facts = read(&format!(
            r#"{{"tools": [{{"type": "custom", "input_schema": {schema}}}, {{"type": "function", "function": {{"parameters": {schema}}}}}],
                "metadata": {{"type": "a", "type": "b"}}, "response_format": {{"type": "json_schema", "json_schema": {{"schema": {schema}}}}}}}"#
        ));
        assert_eq!((facts.images, facts.documents), (0, 0));
    }

    #[test]
    fn usage_is_asked_for_where_the_body_does_not_say() {
        for (body, asked) in [
            (
                r#"{"stream":true}"#,
                Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#),
            ),
            (
                r#" { "stream": true, "stream_options": null }"#,
                Some(r#" { "stream": true, "stream_options": {"include_usage":true} }"#),
            ),
            (
                r#"{"stream_options":{}}"#,
                Some(r#"{"stream_options":{"include_usage":true}}"#),
            ),
            (
                r#"{"stream_options":{"a":1}}"#,
                Some(r#"{"stream_options":{"include_usage":true,"a":1}}"#),
            ),
            (
                r#"{"stream_options":{"include_usage": null}}"#,
                Some(r#"{"stream_options":{"include_usage": true}}"#),
            ),
            (r#"{"stream_options":{"include_usage":true}}"#, None),
            (r#"{"stream_options":{"include_usage":false}}"#, None),
        ] {
            let asks = read(body)
                .ask_usage
                .map(|(place, usage)| [&body[..place.start], usage, &body[place.end..]].concat());
            assert_eq!(asks.as_deref(), asked, "{body}");
        }
    }
}
