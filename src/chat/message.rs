use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Who says a [`Message`].
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
    /// The person or program that asks, and the results of tools.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name in JSON.
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

/// One turn of a conversation.
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
    /// Who says it.
    pub role: Role,
    /// What is said. In JSON a plain string stands for one text part.
    pub content: Vec<Part>,
}

impl Message {
    /// A user's text.
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

    /// A model's text, as a turn that has already been.
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

    /// The result of one tool call, as the user turn that carries it back.
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

    /// The results of several tool calls, as the one user turn that carries them back.
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

    /// The same turn with one part more.
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

    /// The text parts, put together.
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

/// How long a provider keeps a prompt prefix; Anthropic's `cache_control`
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
    /// One hour, at a higher price to write.
    #[serde(rename = "1h")]
    OneHour,
}

impl CacheTtl {
    /// The lifetime in the provider's word, `5m` or `1h`.
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

    /// The lifetime as a duration.
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

/// Where an image or a document comes from.
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
    /// The bytes themselves, base64-encoded (RFC 4648 section 4, with padding).
    Base64 {
        /// The media type, such as `image/png` or `application/pdf`.
        media_type: String,
        /// The encoded bytes.
        data: String,
    },
    /// An address that the provider fetches.
    Url {
        /// The address.
        url: String,
    },
    /// Plain text, for documents.
    Text {
        /// The text.
        text: String,
    },
}

impl MediaSource {
    /// Bytes that are already base64-encoded.
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

    /// An address that the provider fetches.
    ///
    /// ```
    /// let cat = warmline::MediaSource::url("https://example.com/cat.png");
    /// ```
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url { url: url.into() }
    }
}

/// One piece of a message.
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
        /// Asks the provider to keep the prompt up to here (Anthropic; others cache by themselves).
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// An image.
    Image {
        /// Where it comes from.
        source: MediaSource,
        /// As for text.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// A document, such as a PDF.
    Document {
        /// Where it comes from.
        source: MediaSource,
        /// Its title, shown to the model.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// As for text.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// The model asks for a tool to be run.
    ToolUse(ToolCall),
    /// What a tool answered.
    ToolResult {
        /// The [`ToolCall::id`] this answers.
        tool_use_id: String,
        /// Text and images.
        content: Vec<Part>,
        /// The tool failed, and `content` says how.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        /// As for text.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheTtl>,
    },
    /// What the model thought before it answered. Send it back unchanged in the next turn.
    Reasoning {
        /// The thought, or the provider's summary of it.
        text: String,
        /// The provider's proof that the thought is its own (Anthropic).
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// A thought that the provider keeps sealed (Anthropic's `redacted_thinking`).
    RedactedReasoning {
        /// The sealed thought.
        data: String,
    },
}

impl Part {
    /// A text part.
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

    /// An image part.
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

    /// A document part.
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

    /// A tool's answer in text.
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

    /// The failure of a tool call, in text.
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

    /// The same part with a mark that asks the provider to cache the prompt up to and including it.
    /// Parts that cannot carry one come back as they were.
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

    /// The text of a text part.
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

/// A model's wish to have a tool run.
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
    /// The provider's id of this call; the result names it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, which a model can get wrong.
    pub arguments: String,
}

impl ToolCall {
    /// A tool call, for a turn that has already been.
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

    /// The arguments as a value of the caller's type.
    ///
    /// # Errors
    /// `Decode`, naming the tool, where the text is not JSON or does not fit `T`.
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
