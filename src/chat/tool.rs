use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::form;
use super::media::CacheTtl;
use super::raw_json::RawJson;
use crate::{Error, Result};

/// A tool that the model may call.
///
/// ```
/// use serde_json::json;
/// use warmline::Tool;
///
/// let weather = Tool::new("weather", "The weather in a city, now.", json!({
///     "type": "object",
///     "properties": {"city": {"type": "string"}},
///     "required": ["city"],
/// }));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tool {
    /// The name by which the model calls the tool.
    pub name: String,
    /// The description that the model reads.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "form::or_default"
    )]
    pub description: String,
    /// The JSON schema of the arguments.
    pub input_schema: RawJson,
    /// Whether the provider, if it can, enforces the schema. It is made fit for that as by [`Request::response_format`](crate::Request::response_format()).
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "form::or_default"
    )]
    pub strict: bool,
    /// Asks the provider to cache the tools up to and including this one, as for [`Part::Text`](crate::Part::Text).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheTtl>,
}

impl Tool {
    /// Creates a tool. `input_schema` is the JSON schema of its arguments.
    ///
    /// ```
    /// # use serde_json::json;
    /// let tool = warmline::Tool::new("now", "The time.", json!({"type": "object"}));
    /// assert_eq!(tool.name, "now");
    /// ```
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: impl Into<RawJson>,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema: input_schema.into(),
            strict: false,
            cache_control: None,
        }
    }
}

/// Whether the model may, must or must not call tools.
///
/// ```
/// use warmline::{Request, ToolChoice};
///
/// let request = Request::new().user("Weather in Bern?").tool_choice(ToolChoice::Tool("weather".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// The model must call at least one tool.
    Any,
    /// The model must not call tools.
    None,
    /// The model must call the tool of this name.
    Tool(String),
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
    /// The arguments as JSON text, exactly as the model generated them. They can be invalid JSON. Those of a custom tool are a string.
    pub arguments: String,
    /// Whether the tool is a [custom tool](https://platform.openai.com/docs/guides/function-calling#custom-tools) of OpenAI, which takes
    /// text rather than an object: `call.parse::<String>()` returns the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub custom: bool,
    /// The namespace that the tool belongs to (OpenAI's tools of the type `namespace`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The provider's program that makes the call, if the model does not make it itself. The call and its result name it when they go back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<RawJson>,
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
            custom: false,
            namespace: None,
            caller: None,
        }
    }

    /// Returns the text that a custom tool takes.
    pub(crate) fn input_text(&self) -> Cow<'_, str> {
        match serde_json::from_str(&self.arguments) {
            Ok(text) => Cow::Owned(text),
            Err(_) => Cow::Borrowed(&self.arguments),
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
