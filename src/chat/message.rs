use serde::{Deserialize, Serialize};

use super::part::{self, Part};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The content. In JSON, a string is short for one text part.
    #[serde(deserialize_with = "part::content")]
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
