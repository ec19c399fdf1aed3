use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::dialect_name::DialectName;
use super::form::{self, ByName, missing, take, unknown};
use super::media::{CacheTtl, MediaSource};
use super::raw_json::RawJson;
use super::tool::ToolCall;
use crate::{Error, Result};

/// A part of a message's content.
///
/// ```
/// use warmline::Part;
///
/// assert_eq!(Part::text("hi").as_text(), Some("hi"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What the text is for, in the dialect `openai-responses`: `commentary` before a tool call, or `final_answer`. Send it
        /// back unchanged in the next request.
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<String>,
        /// The sources that the model cites for the text.
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations>,
        /// Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically).
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// An image.
    Image {
        /// The source.
        source: MediaSource,
        /// Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically).
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// A document, such as a PDF.
    Document {
        /// The source.
        source: MediaSource,
        /// Its title, shown to the model.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically).
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// A tool call of the model.
    ToolUse(ToolCall),
    /// The result of a tool call.
    ToolResult {
        /// The [`ToolCall::id`] of the call.
        tool_use_id: String,
        /// The result: text and images.
        content: Vec<Part>,
        /// Whether the tool failed. `content` then describes the failure.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        /// Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically).
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// Reasoning of the model. Send it back unchanged in the next request.
    Reasoning {
        /// The text.
        text: String,
        /// The signature by which Anthropic verifies the reasoning, or the encrypted reasoning of the dialect `openai-responses`
        /// (`encrypted_content`).
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        /// The dialect in which the reasoning can be sent back, if that is not Anthropic's. It is left out of requests in any
        /// other dialect.
        #[serde(skip_serializing_if = "Option::is_none")]
        dialect: Option<DialectName>,
    },
    /// Encrypted reasoning (Anthropic's `redacted_thinking`). Send it back unchanged in the next request.
    RedactedReasoning {
        /// The encrypted reasoning.
        data: String,
    },
    /// A block that this crate does not model, such as a call of a server-side tool or its result. Send it back unchanged. A
    /// request with a block of another dialect fails.
    Other {
        /// The dialect that it is written in.
        dialect: DialectName,
        /// The block as the provider wrote it.
        json: RawJson,
    },
}

/// The sources of a text, as the provider reports them.
///
/// They are sent back only to Anthropic (`citations`), and only if they are from there.
///
/// ```
/// # fn demo(reply: warmline::Reply) {
/// use warmline::Part;
///
/// for part in &reply.content {
///     if let Part::Text { text, annotations: Some(annotations), .. } = part {
///         println!("{text}: {}", annotations.json);
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Annotations {
    /// The dialect that they are written in.
    pub dialect: DialectName,
    /// A list: Anthropic's [`citations`](https://docs.claude.com/en/docs/build-with-claude/citations), or OpenAI's
    /// [`annotations`](https://platform.openai.com/docs/api-reference/chat/object).
    pub json: RawJson,
}

impl Part {
    /// Creates a text part.
    ///
    /// ```
    /// assert_eq!(warmline::Part::text("hi").as_text(), Some("hi"));
    /// ```
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            phase: None,
            annotations: None,
            cache_control: None,
        }
    }

    /// Creates an image part.
    ///
    /// ```
    /// # use warmline::{Part, MediaSource};
    /// let cat = Part::image(MediaSource::url("https://example.com/cat.png"));
    /// ```
    pub fn image(source: MediaSource) -> Self {
        Self::Image {
            source,
            cache_control: None,
        }
    }

    /// Creates a document part.
    ///
    /// ```
    /// # use warmline::{Part, MediaSource};
    /// let paper = Part::document(MediaSource::url("https://example.com/paper.pdf"));
    /// ```
    pub fn document(source: MediaSource) -> Self {
        Self::Document {
            source,
            title: None,
            cache_control: None,
        }
    }

    /// Creates the result of a tool call, as text.
    ///
    /// ```
    /// let part = warmline::Part::tool_result("toolu_1", "21 °C");
    /// ```
    pub fn tool_result(tool_use_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ToolResult {
            tool_use_id: tool_use_id.into(),
            content: vec![Self::text(text)],
            is_error: false,
            cache_control: None,
        }
    }

    /// Creates the result of a failed tool call, as text.
    ///
    /// ```
    /// use warmline::Part;
    ///
    /// let part = Part::tool_error("toolu_1", "no such city");
    /// assert!(matches!(part, Part::ToolResult { is_error: true, .. }));
    /// ```
    pub fn tool_error(tool_use_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ToolResult {
            tool_use_id: tool_use_id.into(),
            content: vec![Self::text(text)],
            is_error: true,
            cache_control: None,
        }
    }

    /// Asks the provider to cache the prompt up to and including this part.
    ///
    /// Tool calls and reasoning cannot be marked, and are returned unchanged.
    ///
    /// ```
    /// # use warmline::{CacheTtl, Part};
    /// let long = Part::text("a long preamble").cache_control(CacheTtl::OneHour);
    /// ```
    #[must_use]
    pub fn cache_control(mut self, ttl: CacheTtl) -> Self {
        match &mut self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => *cache_control = Some(ttl),
            Self::ToolUse(_)
            | Self::Reasoning { .. }
            | Self::RedactedReasoning { .. }
            | Self::Other { .. } => {}
        }
        self
    }

    /// Returns the text of a text part, or `None` for other parts.
    ///
    /// ```
    /// assert_eq!(warmline::Part::tool_result("id", "x").as_text(), None);
    /// ```
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Document { .. } => "document",
            Self::ToolUse(_) => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::Reasoning { .. } => "reasoning",
            Self::RedactedReasoning { .. } => "redacted_reasoning",
            Self::Other { .. } => "other",
        }
    }

    /// Refuses a block of another dialect, in the part itself or in the result of a tool. `place` and `index` say where.
    pub(crate) fn ensure_of(&self, own: DialectName, place: &str, index: usize) -> Result<()> {
        match self {
            Self::ToolResult { content, .. } => content
                .iter()
                .try_for_each(|part| part.ensure_of(own, place, index)),
            Self::Other { dialect, json } if *dialect != own => {
                #[derive(Deserialize)]
                struct Kind {
                    r#type: String,
                }
                let kind = serde_json::from_str::<ByName<Kind>>(json.as_str());
                let kind = kind.map_or_else(|_| "unknown".to_owned(), |ByName(kind)| kind.r#type);
                Err(Error::config(format!(
                    "{place}[{index}] has a block of type {} of the dialect {dialect}, which {own} cannot express: leave it \
                     out, or send the conversation to {dialect}",
                    crate::quote::quote(&kind)
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Parts, or a string for one text part.
struct Content(Vec<Part>);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content(vec![Part::text(text)]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Content)
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

pub(super) fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Part>, D::Error> {
    Content::deserialize(deserializer).map(|Content(parts)| parts)
}

pub(super) fn content_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Part>, D::Error> {
    let content: Option<Content> = Option::deserialize(deserializer)?;
    Ok(content.map(|Content(parts)| parts).unwrap_or_default())
}

/// A part of any type. An enum tagged by `type` cannot contain raw JSON.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AnyPart {
    r#type: Option<String>,
    text: Option<String>,
    phase: Option<String>,
    annotations: Option<ByName<Annotations>>,
    source: Option<MediaSource>,
    title: Option<String>,
    id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    custom: Option<bool>,
    namespace: Option<String>,
    caller: Option<RawJson>,
    tool_use_id: Option<String>,
    content: Option<Content>,
    is_error: Option<bool>,
    signature: Option<String>,
    data: Option<String>,
    dialect: Option<DialectName>,
    json: Option<RawJson>,
    cache_control: Option<CacheTtl>,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        form::converted::<AnyPart, _, _>(deserializer)
    }
}

impl TryFrom<AnyPart> for Part {
    type Error = String;

    fn try_from(any: AnyPart) -> Result<Self, String> {
        let kind = any.r#type.as_deref().ok_or_else(|| missing("type"))?;
        let known: &[&str] = match kind {
            "text" => &["text", "phase", "annotations", "cache_control"],
            "image" => &["source", "cache_control"],
            "document" => &["source", "title", "cache_control"],
            "tool_use" => &["id", "name", "arguments", "custom", "namespace", "caller"],
            "tool_result" => &["tool_use_id", "content", "is_error", "cache_control"],
            "reasoning" => &["text", "signature", "dialect"],
            "redacted_reasoning" => &["data"],
            "other" => &["dialect", "json"],
            other => {
                return Err(unknown(
                    other,
                    "text, image, document, tool_use, tool_result, reasoning, redacted_reasoning, other",
                ));
            }
        };
        take!(any, kind, [
            text phase annotations source title id name arguments custom namespace caller tool_use_id content is_error signature data dialect json
            cache_control
        ], "part")(known)?;
        fn need<T>(name: &str, value: Option<T>) -> Result<T, String> {
            value.ok_or_else(|| missing(name))
        }
        let cache_control = any.cache_control;
        Ok(match kind {
            "text" => Self::Text {
                text: need("text", any.text)?,
                phase: any.phase,
                annotations: any.annotations.map(|ByName(annotations)| annotations),
                cache_control,
            },
            "image" => Self::Image {
                source: need("source", any.source)?,
                cache_control,
            },
            "document" => Self::Document {
                source: need("source", any.source)?,
                title: any.title,
                cache_control,
            },
            "tool_use" => Self::ToolUse(ToolCall {
                id: need("id", any.id)?,
                name: need("name", any.name)?,
                arguments: need("arguments", any.arguments)?,
                custom: any.custom.unwrap_or_default(),
                namespace: any.namespace,
                caller: any.caller,
            }),
            "tool_result" => Self::ToolResult {
                tool_use_id: need("tool_use_id", any.tool_use_id)?,
                content: need("content", any.content)?.0,
                is_error: any.is_error.unwrap_or_default(),
                cache_control,
            },
            "reasoning" => Self::Reasoning {
                text: need("text", any.text)?,
                signature: any.signature,
                dialect: any.dialect,
            },
            "redacted_reasoning" => Self::RedactedReasoning {
                data: need("data", any.data)?,
            },
            _ => Self::Other {
                dialect: need("dialect", any.dialect)?,
                json: need("json", any.json)?,
            },
        })
    }
}
