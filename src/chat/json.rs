//! The JSON form of what is asked, read by hand: the code that serde derives for these types would be a
//! quarter of the WebAssembly module, and its errors do not say where.

use std::fmt::Display;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Map, Value};

use super::message::{CacheTtl, Message, Part, Role, Source, ToolCall};
use super::request::{Effort, OutputSchema, Reasoning, Request, Tool, ToolChoice};

type Read<T> = Result<T, String>;

/// The fields of one object, taken out one by one; what is left in the end is unknown.
struct Fields {
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    fn of(value: Value, at: &str) -> Read<Self> {
        match value {
            Value::Object(map) => Ok(Self {
                at: at.to_owned(),
                map,
            }),
            _ => Err(wrong(at, "an object")),
        }
    }

    fn path(&self, name: &str) -> String {
        match self.at.as_str() {
            "" => name.to_owned(),
            at => [at, ".", name].concat(),
        }
    }

    /// A field that is null counts as one that is not there.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn need(&mut self, name: &str) -> Read<Value> {
        self.take(name)
            .ok_or_else(|| self.path(name) + " is missing")
    }

    fn text(&mut self, name: &str) -> Read<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&self.path(name), "a string")),
        }
    }

    fn need_text(&mut self, name: &str) -> Read<String> {
        self.text(name)?
            .ok_or_else(|| self.path(name) + " is missing")
    }

    fn flag(&mut self, name: &str) -> Read<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(&self.path(name), "true or false")),
        }
    }

    fn whole(&mut self, name: &str) -> Read<Option<u32>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number
            .map(Some)
            .ok_or_else(|| wrong(&self.path(name), "a whole number up to 4294967295"))
    }

    fn number(&mut self, name: &str) -> Read<Option<f64>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        value
            .as_f64()
            .map(Some)
            .ok_or_else(|| wrong(&self.path(name), "a number"))
    }

    fn list<T>(&mut self, name: &str, each: impl Fn(Value, &str) -> Read<T>) -> Read<Vec<T>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(value) => list(value, &self.path(name), each),
        }
    }

    /// One of a few words.
    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Read<Option<T>> {
        match self.text(name)? {
            None => Ok(None),
            Some(word) => pick(&word, words, &self.path(name)).map(Some),
        }
    }

    fn cache(&mut self) -> Read<Option<CacheTtl>> {
        let words = [("5m", CacheTtl::FiveMinutes), ("1h", CacheTtl::OneHour)];
        self.word("cache", &words)
    }

    /// Text, or a list of parts.
    fn content(&mut self, name: &str) -> Read<Vec<Part>> {
        let path = self.path(name);
        match self.need(name)? {
            Value::String(text) => Ok(vec![Part::text(text)]),
            value => list(value, &path, part),
        }
    }

    /// Nothing may be left: a misspelt field would be lost without a word.
    fn end<T>(self, value: T) -> Read<T> {
        match self.map.keys().next() {
            None => Ok(value),
            Some(name) => Err(["unknown field ", &self.path(name)].concat()),
        }
    }
}

fn wrong(at: &str, expected: &str) -> String {
    [at, " must be ", expected].concat()
}

fn list<T>(value: Value, at: &str, each: impl Fn(Value, &str) -> Read<T>) -> Read<Vec<T>> {
    let Value::Array(values) = value else {
        return Err(wrong(at, "a list"));
    };
    let values = values.into_iter().enumerate();
    values
        .map(|(i, value)| each(value, &[at, "[", &i.to_string(), "]"].concat()))
        .collect()
}

fn pick<T: Copy>(word: &str, words: &[(&str, T)], at: &str) -> Read<T> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        [
            at,
            " is \"",
            word,
            "\": it must be one of ",
            &known.join(", "),
        ]
        .concat()
    })
}

fn string(value: Value, at: &str) -> Read<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong(at, "a string")),
    }
}

/// A request from its JSON form. What is wrong is named with its place.
pub(crate) fn request(value: Value) -> Read<Request> {
    let mut fields = Fields::of(value, "")?;
    let request = Request {
        model: fields.text("model")?,
        system: match fields.map.contains_key("system") {
            true => fields.content("system")?,
            false => Vec::new(),
        },
        messages: fields.list("messages", message)?,
        max_tokens: fields.whole("max_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        stop_sequences: fields.list("stop_sequences", string)?,
        tools: fields.list("tools", tool)?,
        tool_choice: fields.take("tool_choice").map(tool_choice).transpose()?,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        output_schema: fields
            .take("output_schema")
            .map(output_schema)
            .transpose()?,
        reasoning: fields.take("reasoning").map(reasoning).transpose()?,
        extra: match fields.take("extra") {
            None => Map::new(),
            Some(value) => Fields::of(value, "extra")?.map,
        },
        keep_raw: fields.flag("keep_raw")?.unwrap_or_default(),
    };
    fields.end(request)
}

fn message(value: Value, at: &str) -> Read<Message> {
    let mut fields = Fields::of(value, at)?;
    let roles = [("user", Role::User), ("assistant", Role::Assistant)];
    let role = fields.word("role", &roles)?;
    let message = Message {
        role: role.ok_or_else(|| fields.path("role") + " is missing")?,
        content: fields.content("content")?,
    };
    fields.end(message)
}

fn part(value: Value, at: &str) -> Read<Part> {
    let mut fields = Fields::of(value, at)?;
    let kind = fields.need_text("type")?;
    let part = match kind.as_str() {
        "text" => Part::Text {
            text: fields.need_text("text")?,
            cache: fields.cache()?,
        },
        "image" => Part::Image {
            source: source(fields.need("source")?, &fields.path("source"))?,
            cache: fields.cache()?,
        },
        "document" => Part::Document {
            source: source(fields.need("source")?, &fields.path("source"))?,
            title: fields.text("title")?,
            cache: fields.cache()?,
        },
        "tool_use" => Part::ToolUse(ToolCall {
            id: fields.need_text("id")?,
            name: fields.need_text("name")?,
            arguments: fields.need_text("arguments")?,
        }),
        "tool_result" => Part::ToolResult {
            tool_use_id: fields.need_text("tool_use_id")?,
            content: fields.content("content")?,
            is_error: fields.flag("is_error")?.unwrap_or_default(),
            cache: fields.cache()?,
        },
        "reasoning" => Part::Reasoning {
            text: fields.need_text("text")?,
            signature: fields.text("signature")?,
        },
        "redacted_reasoning" => Part::RedactedReasoning {
            data: fields.need_text("data")?,
        },
        _ => {
            let known =
                "text, image, document, tool_use, tool_result, reasoning, redacted_reasoning";
            let at = fields.path("type");
            return Err([&at, " is \"", &kind, "\": it must be one of ", known].concat());
        }
    };
    fields.end(part)
}

fn source(value: Value, at: &str) -> Read<Source> {
    let mut fields = Fields::of(value, at)?;
    let kind = fields.need_text("type")?;
    let source = match kind.as_str() {
        "base64" => Source::Base64 {
            media_type: fields.need_text("media_type")?,
            data: fields.need_text("data")?,
        },
        "url" => Source::Url {
            url: fields.need_text("url")?,
        },
        "text" => Source::Text {
            text: fields.need_text("text")?,
        },
        _ => {
            let at = fields.path("type");
            return Err([
                &at,
                " is \"",
                &kind,
                "\": it must be one of base64, url, text",
            ]
            .concat());
        }
    };
    fields.end(source)
}

fn tool(value: Value, at: &str) -> Read<Tool> {
    let mut fields = Fields::of(value, at)?;
    let tool = Tool {
        name: fields.need_text("name")?,
        description: fields.text("description")?.unwrap_or_default(),
        input_schema: fields.need("input_schema")?,
        strict: fields.flag("strict")?.unwrap_or_default(),
        cache: fields.cache()?,
    };
    fields.end(tool)
}

/// `"auto"`, `"any"`, `"none"`, or `{"tool": NAME}`.
fn tool_choice(value: Value) -> Read<ToolChoice> {
    match value {
        Value::String(word) => {
            let words = [("auto", 0), ("any", 1), ("none", 2)];
            Ok(match pick(&word, &words, "tool_choice")? {
                0 => ToolChoice::Auto,
                1 => ToolChoice::Any,
                _ => ToolChoice::None,
            })
        }
        value => {
            let mut fields = Fields::of(value, "tool_choice")?;
            let choice = ToolChoice::Tool(fields.need_text("tool")?);
            fields.end(choice)
        }
    }
}

fn output_schema(value: Value) -> Read<OutputSchema> {
    let mut fields = Fields::of(value, "output_schema")?;
    let shape = OutputSchema {
        name: fields.need_text("name")?,
        schema: fields.need("schema")?,
    };
    fields.end(shape)
}

fn reasoning(value: Value) -> Read<Reasoning> {
    let mut fields = Fields::of(value, "reasoning")?;
    let efforts = [
        ("none", Effort::None),
        ("minimal", Effort::Minimal),
        ("low", Effort::Low),
        ("medium", Effort::Medium),
        ("high", Effort::High),
        ("xhigh", Effort::XHigh),
        ("max", Effort::Max),
    ];
    let reasoning = Reasoning {
        effort: fields.word("effort", &efforts)?,
        budget_tokens: fields.whole("budget_tokens")?,
    };
    fields.end(reasoning)
}

fn deserialize<'de, T, E: Display, D: Deserializer<'de>>(
    deserializer: D,
    read: impl FnOnce(Value) -> Result<T, E>,
) -> Result<T, D::Error> {
    read(Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, request)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, |value| message(value, "message"))
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, |value| part(value, "part"))
    }
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, |value| tool(value, "tool"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let whole = json!({
            "model": "m", "system": [{"type": "text", "text": "s", "cache": "1h"}],
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
            "tools": [{"name": "n", "description": "d", "input_schema": {}, "strict": true, "cache": "5m"}],
            "tool_choice": {"tool": "n"}, "parallel_tool_calls": false,
            "output_schema": {"name": "o", "schema": {}}, "reasoning": {"effort": "xhigh"},
            "extra": {"a": 1}, "keep_raw": true,
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
