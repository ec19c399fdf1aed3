//! The JSON form of what is asked, read by hand: the code that serde derives for these types would be a
//! quarter of the WebAssembly module, and its errors do not say where.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;

use super::message::{CacheTtl, MediaSource, Message, Part, Role, ToolCall};
use super::request::{Effort, Reasoning, Request, ResponseFormat, Tool, ToolChoice};
use crate::json::{RawJson, Reader, Stopped, whole_number as whole_number_of};
use crate::runtime;

/// What is wrong is told to the reader, with its place.
type Read<T> = Result<T, Stopped>;

/// A place in the request, which becomes text only where something is wrong there.
#[derive(Clone, Copy)]
enum At<'a> {
    Top,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    fn path(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Field(Self::Top, name) => (*name).to_owned(),
            Self::Field(outer, name) => [&outer.path(), ".", name].concat(),
            Self::Item(outer, i) => [&outer.path(), "[", &i.to_string(), "]"].concat(),
        }
    }

    fn must_be<T>(&self, json: &mut Reader<'_>, what: &str) -> Read<T> {
        json.refuse([&self.path(), " must be ", what].concat())
    }

    fn need<T>(&self, json: &mut Reader<'_>, name: &str, value: Option<T>) -> Read<T> {
        match value {
            Some(value) => Ok(value),
            None => json.refuse(At::Field(self, name).path() + " is missing"),
        }
    }
}

/// The start of an object.
fn enter(json: &mut Reader<'_>, at: &At<'_>) -> Read<()> {
    if json.peek() != Some(b'{') {
        return at.must_be(json, "an object");
    }
    json.object()?;
    Ok(())
}

/// Reads an object by its fields, of which `field` says whether it knows them: a misspelt one would be lost
/// without a word. One that is null counts as one that is not there.
fn object<'a>(
    json: &mut Reader<'a>,
    at: &At<'_>,
    field: &mut dyn FnMut(&str, &mut Reader<'a>, &At<'_>) -> Read<bool>,
) -> Read<()> {
    enter(json, at)?;
    while let Some(key) = json.key()? {
        let at = At::Field(at, &key);
        if !json.null()? && !field(&key, json, &at)? {
            return json.refuse(["unknown field ", &at.path()].concat());
        }
    }
    Ok(())
}

fn list<'a, T>(
    json: &mut Reader<'a>,
    at: &At<'_>,
    each: fn(&mut Reader<'a>, &At<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    if json.peek() != Some(b'[') {
        return at.must_be(json, "a list");
    }
    let mut items = Vec::new();
    json.list()?;
    while json.item()? {
        items.push(each(json, &At::Item(at, items.len()))?);
    }
    Ok(items)
}

fn string(json: &mut Reader<'_>, at: &At<'_>) -> Read<String> {
    match json.peek() {
        Some(b'"') => Ok(json.text()?.unwrap_or_default().into_owned()),
        _ => at.must_be(json, "a string"),
    }
}

fn flag(json: &mut Reader<'_>, at: &At<'_>) -> Read<bool> {
    match json.skip()? {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => at.must_be(json, "true or false"),
    }
}

fn whole_number(json: &mut Reader<'_>, at: &At<'_>) -> Read<u32> {
    match whole_number_of(json.skip()?).map(u32::try_from) {
        Some(Ok(number)) => Ok(number),
        _ => at.must_be(json, "a whole number up to 4294967295"),
    }
}

fn number(json: &mut Reader<'_>, at: &At<'_>) -> Read<f64> {
    let number = match json.peek() {
        Some(b'-' | b'0'..=b'9') => runtime::parse_float(json.skip()?),
        _ => None,
    };
    number.map_or_else(|| at.must_be(json, "a number"), Ok)
}

/// Which of the known words it is.
fn pick(json: &mut Reader<'_>, at: &At<'_>, known: &[&str]) -> Read<usize> {
    let word = string(json, at)?;
    match known.iter().position(|known| **known == *word) {
        Some(which) => Ok(which),
        None => {
            let known = known.join(", ");
            let path = at.path();
            json.refuse([&path, " is \"", &word, "\": it must be one of ", &known].concat())
        }
    }
}

fn word<T: Copy, const N: usize>(
    json: &mut Reader<'_>,
    at: &At<'_>,
    values: [T; N],
    name: fn(T) -> &'static str,
) -> Read<T> {
    pick(json, at, &values.map(name)).map(|which| values[which])
}

fn cache_control(json: &mut Reader<'_>, at: &At<'_>) -> Read<CacheTtl> {
    let lifetimes = [CacheTtl::FiveMinutes, CacheTtl::OneHour];
    word(json, at, lifetimes, CacheTtl::name)
}

/// Text, or a list of parts.
fn content(json: &mut Reader<'_>, at: &At<'_>) -> Read<Vec<Part>> {
    match json.peek() {
        Some(b'"') => Ok(vec![Part::text(string(json, at)?)]),
        _ => list(json, at, part),
    }
}

impl Request {
    /// A request from its JSON form, the one that serde writes.
    ///
    /// # Errors
    /// `Config`, naming the place and what would be accepted.
    ///
    /// ```
    /// # use warmline::Request;
    /// let error = Request::from_json(r#"{"messages": [{"role": "usr"}]}"#).unwrap_err();
    /// assert!(error.to_string().starts_with("messages[0].role is \"usr\""));
    /// ```
    pub fn from_json(text: &str) -> crate::Result<Self> {
        request(text).map_err(crate::Error::config)
    }
}

/// A request from its JSON form. What is wrong is named with its place.
fn request(text: &str) -> Result<Request, String> {
    whole(text, read_request)
}

/// All of a text.
fn whole<T>(text: &str, read: fn(&mut Reader<'_>, &At<'_>) -> Read<T>) -> Result<T, String> {
    let mut json = Reader::new(text);
    let value = read(&mut json, &At::Top);
    let value = value.and_then(|value| json.end().map(|()| value));
    value.map_err(|Stopped| match json.refusal() {
        empty if empty.is_empty() => {
            let malformed = json.malformed().to_string();
            ["the request is not JSON: ", &malformed].concat()
        }
        refusal => refusal,
    })
}

fn read_request(json: &mut Reader<'_>, at: &At<'_>) -> Read<Request> {
    let mut request = Request::default();
    object(json, at, &mut |key, json, at| {
        match key {
            "model" => request.model = Some(string(json, at)?),
            "system" => request.system = content(json, at)?,
            "messages" => request.messages = list(json, at, message)?,
            "max_tokens" => request.max_tokens = Some(whole_number(json, at)?),
            "temperature" => request.temperature = Some(number(json, at)?),
            "top_p" => request.top_p = Some(number(json, at)?),
            "stop_sequences" => request.stop_sequences = list(json, at, string)?,
            "tools" => request.tools = list(json, at, tool)?,
            "tool_choice" => request.tool_choice = Some(tool_choice(json, at)?),
            "parallel_tool_calls" => request.parallel_tool_calls = Some(flag(json, at)?),
            "response_format" => request.response_format = Some(response_format(json, at)?),
            "reasoning" => request.reasoning = Some(reasoning(json, at)?),
            "extra_body" => request.extra_body = extra(json, at)?,
            "keep_raw" => request.keep_raw = flag(json, at)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(request)
}

/// A null in it is sent: it may be one that the provider knows.
fn extra(json: &mut Reader<'_>, at: &At<'_>) -> Read<Vec<(String, RawJson)>> {
    let mut extra = Vec::new();
    enter(json, at)?;
    while let Some(name) = json.key()? {
        extra.push((name.into_owned(), RawJson::read(json)?));
    }
    Ok(extra)
}

fn message(json: &mut Reader<'_>, at: &At<'_>) -> Read<Message> {
    let (mut role, mut said) = (None, None);
    object(json, at, &mut |key, json, at| {
        match key {
            "role" => role = Some(word(json, at, [Role::User, Role::Assistant], Role::name)?),
            "content" => said = Some(content(json, at)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Message {
        role: at.need(json, "role", role)?,
        content: at.need(json, "content", said)?,
    })
}

/// The `type` of an object, which need not be its first field.
fn kind(json: &mut Reader<'_>, at: &At<'_>, known: &[&'static str]) -> Read<&'static str> {
    let start = json.place();
    let mut kind = None;
    enter(json, at)?;
    while let (None, Some(key)) = (&kind, json.key()?) {
        match &*key {
            "type" => kind = Some(known[pick(json, &At::Field(at, "type"), known)?]),
            _ => json.pass()?,
        }
    }
    json.go_back(start);
    at.need(json, "type", kind)
}

/// The fields of an object that are strings.
#[derive(Default)]
struct Texts(Vec<(String, String)>);

impl Texts {
    fn add(&mut self, key: &str, json: &mut Reader<'_>, at: &At<'_>) -> Read<()> {
        self.0.push((key.to_owned(), string(json, at)?));
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

fn part(json: &mut Reader<'_>, at: &At<'_>) -> Read<Part> {
    let known = [
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "reasoning",
        "redacted_reasoning",
    ];
    let kind = kind(json, at, &known)?;
    let mut texts = Texts::default();
    let (mut mark, mut from, mut said, mut is_error) = (None, None, None, false);
    object(json, at, &mut |key, json, at| {
        match (kind, key) {
            (_, "type") => json.pass()?,
            ("text" | "reasoning", "text")
            | ("document", "title")
            | ("tool_use", "id" | "name" | "arguments")
            | ("tool_result", "tool_use_id")
            | ("reasoning", "signature")
            | ("redacted_reasoning", "data") => texts.add(key, json, at)?,
            ("image" | "document", "source") => from = Some(source(json, at)?),
            ("text" | "image" | "document" | "tool_result", "cache_control") => {
                mark = Some(cache_control(json, at)?);
            }
            ("tool_result", "content") => said = Some(content(json, at)?),
            ("tool_result", "is_error") => is_error = flag(json, at)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let mut need = |name: &str| at.need(json, name, texts.take(name));
    Ok(match kind {
        "text" => Part::Text {
            text: need("text")?,
            cache_control: mark,
        },
        "image" => Part::Image {
            source: at.need(json, "source", from)?,
            cache_control: mark,
        },
        "document" => Part::Document {
            source: at.need(json, "source", from)?,
            title: texts.take("title"),
            cache_control: mark,
        },
        "tool_use" => Part::ToolUse(ToolCall {
            id: need("id")?,
            name: need("name")?,
            arguments: need("arguments")?,
        }),
        "tool_result" => Part::ToolResult {
            tool_use_id: need("tool_use_id")?,
            content: at.need(json, "content", said)?,
            is_error,
            cache_control: mark,
        },
        "reasoning" => Part::Reasoning {
            text: need("text")?,
            signature: texts.take("signature"),
        },
        _ => Part::RedactedReasoning {
            data: need("data")?,
        },
    })
}

fn source(json: &mut Reader<'_>, at: &At<'_>) -> Read<MediaSource> {
    let known = ["base64", "url", "text"];
    let kind = kind(json, at, &known)?;
    let mut texts = Texts::default();
    object(json, at, &mut |key, json, at| {
        match (kind, key) {
            (_, "type") => json.pass()?,
            ("base64", "media_type" | "data") | ("url", "url") | ("text", "text") => {
                texts.add(key, json, at)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let mut need = |name: &str| at.need(json, name, texts.take(name));
    Ok(match kind {
        "base64" => MediaSource::Base64 {
            media_type: need("media_type")?,
            data: need("data")?,
        },
        "url" => MediaSource::Url { url: need("url")? },
        _ => MediaSource::Text {
            text: need("text")?,
        },
    })
}

fn tool(json: &mut Reader<'_>, at: &At<'_>) -> Read<Tool> {
    let mut texts = Texts::default();
    let (mut schema, mut strict, mut mark) = (None, false, None);
    object(json, at, &mut |key, json, at| {
        match key {
            "name" | "description" => texts.add(key, json, at)?,
            "input_schema" => schema = Some(RawJson::read(json)?),
            "strict" => strict = flag(json, at)?,
            "cache_control" => mark = Some(cache_control(json, at)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Tool {
        name: at.need(json, "name", texts.take("name"))?,
        description: texts.take("description").unwrap_or_default(),
        input_schema: at.need(json, "input_schema", schema)?,
        strict,
        cache_control: mark,
    })
}

/// `"auto"`, `"any"`, `"none"`, or `{"tool": NAME}`.
fn tool_choice(json: &mut Reader<'_>, at: &At<'_>) -> Read<ToolChoice> {
    if json.peek() == Some(b'"') {
        return Ok(match pick(json, at, &["auto", "any", "none"])? {
            0 => ToolChoice::Auto,
            1 => ToolChoice::Any,
            _ => ToolChoice::None,
        });
    }
    let mut name = None;
    object(json, at, &mut |key, json, at| {
        match key {
            "tool" => name = Some(string(json, at)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    at.need(json, "tool", name).map(ToolChoice::Tool)
}

fn response_format(json: &mut Reader<'_>, at: &At<'_>) -> Read<ResponseFormat> {
    let (mut name, mut schema) = (None, None);
    object(json, at, &mut |key, json, at| {
        match key {
            "name" => name = Some(string(json, at)?),
            "schema" => schema = Some(RawJson::read(json)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(ResponseFormat {
        name: at.need(json, "name", name)?,
        schema: at.need(json, "schema", schema)?,
    })
}

fn reasoning(json: &mut Reader<'_>, at: &At<'_>) -> Read<Reasoning> {
    let efforts = [
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::XHigh,
        Effort::Max,
    ];
    let mut reasoning = Reasoning::default();
    object(json, at, &mut |key, json, at| {
        match key {
            "effort" => reasoning.effort = Some(word(json, at, efforts, Effort::name)?),
            "budget_tokens" => reasoning.budget_tokens = Some(whole_number(json, at)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(reasoning)
}

/// By way of text, which is what is read here.
fn deserialize<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    read: fn(&mut Reader<'_>, &At<'_>) -> Read<T>,
) -> Result<T, D::Error> {
    let text = Value::deserialize(deserializer)?.to_string();
    whole(&text, read).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, read_request)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, message)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, part)
    }
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, tool)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let whole = json!({
            "model": "m", "system": [{"type": "text", "text": "s", "cache_control": "1h"}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                    {"type": "document", "source": {"type": "url", "url": "u"}, "title": "x"},
                    {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "r"}], "is_error": true},
                ]},
                {"role": "assistant", "content": [
                    {"type": "reasoning", "text": "hm", "signature": "s"},
                    {"type": "redacted_reasoning", "data": "d"},
                    {"type": "tool_use", "id": "1", "name": "n", "arguments": "{}"},
                ]},
            ],
            "max_tokens": 5, "temperature": 0.5, "top_p": 1.0, "stop_sequences": ["x"],
            "tools": [{"name": "n", "description": "d", "input_schema": {}, "strict": true, "cache_control": "5m"}],
            "tool_choice": {"tool": "n"}, "parallel_tool_calls": false,
            "response_format": {"name": "o", "schema": {}}, "reasoning": {"effort": "xhigh"},
            "extra_body": {"a": 1}, "keep_raw": true,
        });
        let request: Request = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), whole);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let message = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
        for (value, says) in [
            (json!([]), "must be an object"),
            (json!({"mesages": []}), "unknown field mesages"),
            (json!({"messages": 1}), "messages must be a list"),
            (
                json!({"messages": [{"content": "x"}]}),
                "messages[0].role is missing",
            ),
            (
                json!({"messages": [{"role": "system", "content": "x"}]}),
                "messages[0].role is \"system\"",
            ),
            (
                json!({"messages": [{"role": "user"}]}),
                "messages[0].content is missing",
            ),
            (
                message(json!([{"type": "vidoe"}])),
                "messages[0].content[0].type is \"vidoe\"",
            ),
            (
                message(json!([{"type": "text"}])),
                "messages[0].content[0].text is missing",
            ),
            (
                message(json!([{"type": "text", "text": "x", "y": 1}])),
                "unknown field messages[0].content[0].y",
            ),
            (
                message(json!([{"type": "image", "source": {"type": "file"}}])),
                "source.type is \"file\"",
            ),
            (
                json!({"max_tokens": -1}),
                "max_tokens must be a whole number",
            ),
            (
                json!({"temperature": "hot"}),
                "temperature must be a number",
            ),
            (
                json!({"tool_choice": "some"}),
                "tool_choice is \"some\": it must be one of auto, any, none",
            ),
            (
                json!({"reasoning": {"effort": "huge"}}),
                "reasoning.effort is \"huge\"",
            ),
        ] {
            let error = serde_json::from_value::<Request>(value.clone())
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{value}: {error}");
        }
    }
}
