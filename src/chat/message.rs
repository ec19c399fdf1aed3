use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The author of a [`Message`].
///
/// ```
/// use warmline::{Message, Role};
///
/// assert_eq!(Message::user("hi").role, Role::User);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The user. Tool results have this role too.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Returns the role's name in JSON.
    ///
    /// ```
    /// assert_eq!(warmline::Role::Assistant.name(), "assistant");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A message of a conversation.
///
/// ```
/// use warmline::{Message, Part, MediaSource};
///
/// let turn = Message::user("What is on this picture?")
///     .with(Part::image(MediaSource::url("https://example.com/cat.png")));
/// assert_eq!(turn.content.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The content. In JSON, a string is short for one text part.
    pub content: Vec<Part>,
}

impl Message {
    /// Creates a user message with text.
    ///
    /// ```
    /// assert_eq!(warmline::Message::user("hi").text(), "hi");
    /// ```
    pub fn user(text: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            content: vec![Part::text(text)],
        }
    }

    /// Creates an assistant message with text, for the history of a conversation.
    ///
    /// ```
    /// assert_eq!(warmline::Message::assistant("hi").text(), "hi");
    /// ```
    pub fn assistant(text: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            content: vec![Part::text(text)],
        }
    }

    /// Creates a user message with the result of a tool call.
    ///
    /// ```
    /// let turn = warmline::Message::tool_result("toolu_1", "21 °C");
    /// assert_eq!(turn.role, warmline::Role::User);
    /// ```
    pub fn tool_result(tool_use_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            content: vec![Part::tool_result(tool_use_id, text)],
        }
    }

    /// Creates a user message with the results of several tool calls.
    ///
    /// ```
    /// use warmline::{Message, Part};
    ///
    /// let turn = Message::tool_results([
    ///     Part::tool_result("toolu_1", "21 °C"),
    ///     Part::tool_error("toolu_2", "no such city"),
    /// ]);
    /// assert_eq!(turn.content.len(), 2);
    /// ```
    pub fn tool_results(results: impl IntoIterator<Item = Part>) -> Self {
        Self {
            role: Role::User,
            content: results.into_iter().collect(),
        }
    }

    /// Adds a part.
    ///
    /// ```
    /// # use warmline::{Message, Part};
    /// assert_eq!(Message::user("a").with(Part::text("b")).text(), "ab");
    /// ```
    #[must_use]
    pub fn with(mut self, part: Part) -> Self {
        self.content.push(part);
        self
    }

    /// Returns the text parts, concatenated.
    ///
    /// ```
    /// assert_eq!(warmline::Message::user("hi").text(), "hi");
    /// ```
    pub fn text(&self) -> String {
        join_text(&self.content)
    }
}

pub(crate) fn join_text(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect()
}

/// The lifetime of a cached prompt prefix, which is the `ttl` of Anthropic's `cache_control`
/// (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>).
///
/// ```
/// use std::time::Duration;
/// assert_eq!(warmline::CacheTtl::FiveMinutes.duration(), Duration::from_secs(300));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheTtl {
    /// Five minutes, the provider's default.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour. Cache writes cost more than for five minutes.
    #[serde(rename = "1h")]
    OneHour,
}

impl CacheTtl {
    /// Returns the lifetime as Anthropic names it, `5m` or `1h`.
    ///
    /// ```
    /// assert_eq!(warmline::CacheTtl::OneHour.name(), "1h");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }

    /// Returns the lifetime as a duration.
    ///
    /// ```
    /// assert_eq!(warmline::CacheTtl::OneHour.duration().as_secs(), 3600);
    /// ```
    pub fn duration(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_secs(300),
            Self::OneHour => Duration::from_secs(3600),
        }
    }
}

/// The source of an image or a document.
///
/// ```
/// use warmline::MediaSource;
///
/// let png = MediaSource::base64("image/png", "iVBORw0KGgo=");
/// assert!(matches!(png, MediaSource::Base64 { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaSource {
    /// Base64-encoded bytes (RFC 4648, section 4, with padding).
    Base64 {
        /// The media type, such as `image/png` or `application/pdf`.
        media_type: String,
        /// The encoded bytes.
        data: String,
    },
    /// A URL that the provider fetches.
    Url {
        /// The URL.
        url: String,
    },
    /// Plain text, for documents.
    Text {
        /// The text.
        text: String,
    },
}

impl MediaSource {
    /// Creates a source from base64-encoded bytes.
    ///
    /// ```
    /// let png = warmline::MediaSource::base64("image/png", "iVBORw0KGgo=");
    /// ```
    pub fn base64(media_type: impl Into<String>, data: impl Into<String>) -> Self {
        Self::Base64 {
            media_type: media_type.into(),
            data: data.into(),
        }
    }

    /// Creates a source from a URL that the provider fetches.
    ///
    /// ```
    /// let cat = warmline::MediaSource::url("https://example.com/cat.png");
    /// ```
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url { url: url.into() }
    }
}

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
        /// Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically).
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// An image.
    Image {
        /// The source.
        source: MediaSource,
        /// As for [`Part::Text`].
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
        /// As for [`Part::Text`].
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
        /// As for [`Part::Text`].
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// Reasoning of the model. Send it back unchanged in the next request.
    Reasoning {
        /// The reasoning, or the provider's summary of it.
        text: String,
        /// The signature by which Anthropic verifies the reasoning.
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// Encrypted reasoning (Anthropic's `redacted_thinking`). Send it back unchanged in the next request.
    RedactedReasoning {
        /// The encrypted reasoning.
        data: String,
    },
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
            Self::ToolUse(_) | Self::Reasoning { .. } | Self::RedactedReasoning { .. } => {}
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
        }
    }
}

/// A tool call of the model.
///
/// ```
/// use warmline::ToolCall;
///
/// let call = ToolCall::new("toolu_1", "weather", r#"{"city":"Bern"}"#);
/// let arguments: serde_json::Value = call.parse()?;
/// assert_eq!(arguments["city"], "Bern");
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call, which the result refers to.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as JSON text, exactly as the model generated them. They can be invalid JSON.
    pub arguments: String,
}

impl ToolCall {
    /// Creates a tool call, for the history of a conversation.
    ///
    /// ```
    /// let call = warmline::ToolCall::new("toolu_1", "now", "{}");
    /// assert_eq!(call.name, "now");
    /// ```
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    /// Parses the arguments as JSON.
    ///
    /// # Errors
    /// `Decode` if the text is not JSON or does not match `T`. The message names the tool.
    ///
    /// ```
    /// # use warmline::ToolCall;
    /// let wrong = ToolCall::new("toolu_1", "weather", r#"{"city":"#);
    /// assert!(wrong.parse::<serde_json::Value>().is_err());
    /// ```
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.arguments).map_err(|e| {
            Error::decode(format!(
                "the arguments of the call of tool {:?} do not fit: {:?}",
                self.name, self.arguments
            ))
            .with_source(e)
        })
    }
}
