use serde::{Serialize, Serializer};
use serde_json::Value;

use super::message::{CacheTtl, Message, Part};
use crate::runtime;
use crate::{Error, RawJson, Result};

/// What is asked of a model, in words that every provider's dialect can carry.
///
/// Only the fields that are set are sent, and unset ones have the provider's defaults. The JSON
/// form (serde) has the same names and is what `tests/vectors/` and the npm package use.
///
/// ```
/// use warmline::{Message, Request};
///
/// let request = Request::new()
///     .system("Answer in one sentence.")
///     .user("Why is the sky blue?")
///     .max_tokens(256)
///     .temperature(0.2);
/// assert_eq!(request.messages, [Message::user("Why is the sky blue?")]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// The model; the client's own where unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The system prompt. In JSON a plain string stands for one text part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<Part>,
    /// The conversation so far; the last turn is usually the user's.
    pub messages: Vec<Message>,
    /// The most tokens the model may write. Anthropic demands one: 4,096 is sent where it is unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Randomness, 0 to 2 (Anthropic: to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts that end the reply where the model writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
    /// Tools that the model may ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Whether the model must, may or must not ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may ask for several tools at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// A JSON schema that the reply's text must fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// How much the model thinks before it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// Fields of the provider's that this type does not name, added to the body as they are. One
    /// that it does name is replaced. In JSON an object.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_object")]
    pub extra_body: Vec<(String, RawJson)>,
    /// Keep the bytes of a streamed reply for [`Reply::raw`](crate::Reply::raw); a unary reply's
    /// are always kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_raw: bool,
}

impl Request {
    /// An empty request.
    ///
    /// ```
    /// assert!(warmline::Request::new().messages.is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Request::model`].
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().model("gpt-4.1").model.as_deref(), Some("gpt-4.1"));
    /// ```
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the system prompt to one text.
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().system("Be brief.").system.len(), 1);
    /// ```
    #[must_use]
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system = vec![Part::text(text)];
        self
    }

    /// Adds a user's text.
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().user("hi").messages.len(), 1);
    /// ```
    #[must_use]
    pub fn user(self, text: impl Into<String>) -> Self {
        self.message(Message::user(text))
    }

    /// Adds a turn.
    ///
    /// ```
    /// # use warmline::{Message, Request};
    /// let request = Request::new().user("1 + 1?").message(Message::assistant("2")).user("Sure?");
    /// assert_eq!(request.messages.len(), 3);
    /// ```
    #[must_use]
    pub fn message(mut self, message: Message) -> Self {
        self.messages.push(message);
        self
    }

    /// Sets [`Request::max_tokens`].
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().max_tokens(9).max_tokens, Some(9));
    /// ```
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets [`Request::temperature`].
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().temperature(0.0).temperature, Some(0.0));
    /// ```
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets [`Request::top_p`].
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().top_p(0.9).top_p, Some(0.9));
    /// ```
    #[must_use]
    pub fn top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Adds a stop sequence: text that ends the reply when the model writes it.
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().stop("END").stop_sequences, ["END"]);
    /// ```
    #[must_use]
    pub fn stop(mut self, sequence: impl Into<String>) -> Self {
        self.stop_sequences.push(sequence.into());
        self
    }

    /// Adds a tool.
    ///
    /// ```
    /// # use warmline::{Request, Tool};
    /// # use serde_json::json;
    /// let tool = Tool::new("now", "The time.", json!({"type": "object"}));
    /// assert_eq!(Request::new().tool(tool).tools.len(), 1);
    /// ```
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Adds several tools.
    ///
    /// ```
    /// # use serde_json::json;
    /// # use warmline::{Request, Tool};
    /// let tools = ["now", "today"].map(|name| Tool::new(name, "", json!({"type": "object"})));
    /// assert_eq!(Request::new().tools(tools).tools.len(), 2);
    /// ```
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Sets [`Request::tool_choice`].
    ///
    /// ```
    /// # use warmline::{Request, ToolChoice};
    /// let request = Request::new().user("Weather in Bern?").tool_choice(ToolChoice::Any);
    /// ```
    #[must_use]
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// Sets [`Request::response_format`].
    ///
    /// ```
    /// # use warmline::Request;
    /// # use serde_json::json;
    /// let request = Request::new().response_format("city", json!({
    ///     "type": "object",
    ///     "properties": {"name": {"type": "string"}},
    ///     "required": ["name"],
    ///     "additionalProperties": false,
    /// }));
    /// ```
    #[must_use]
    pub fn response_format(mut self, name: impl Into<String>, schema: impl Into<RawJson>) -> Self {
        self.response_format = Some(ResponseFormat {
            name: name.into(),
            schema: schema.into(),
        });
        self
    }

    /// Sets [`Request::reasoning`] to an effort.
    ///
    /// ```
    /// # use warmline::{Effort, Request};
    /// let request = Request::new().effort(Effort::High);
    /// ```
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.reasoning = Some(Reasoning {
            effort: Some(effort),
            budget_tokens: None,
        });
        self
    }

    /// Limits how many tokens the model may think with; see [`Reasoning::budget_tokens`].
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().user("Prove it.").max_tokens(4096).reasoning_budget(2048);
    /// ```
    #[must_use]
    pub fn reasoning_budget(mut self, tokens: u32) -> Self {
        self.reasoning = Some(Reasoning {
            effort: None,
            budget_tokens: Some(tokens),
        });
        self
    }

    /// Adds a provider's own field; see [`Request::extra_body`].
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().extra_body("service_tier", "flex");
    /// assert_eq!(request.extra_body[0].1.as_str(), "\"flex\"");
    /// ```
    #[must_use]
    pub fn extra_body(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.extra_body.retain(|(known, _)| *known != name);
        self.extra_body.push((name, value.into().into()));
        self
    }

    /// A field of [`Request::extra_body`].
    pub(crate) fn extra_body_field(&self, name: &str) -> Option<&RawJson> {
        let mut extra = self.extra_body.iter();
        extra.find_map(|(known, value)| (known == name).then_some(value))
    }

    /// What no provider would take, found before anything is sent.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.messages.is_empty() {
            return Err(Error::config(
                "the request has no messages: add at least one",
            ));
        }
        for (i, message) in self.messages.iter().enumerate() {
            let empty = message
                .content
                .iter()
                .all(|p| p.as_text().is_some_and(|t| t.trim().is_empty()));
            if empty {
                return Err(Error::config(format!(
                    "messages[{i}] is empty: give it some content"
                )));
            }
        }
        if self.max_tokens == Some(0) {
            return Err(Error::config("max_tokens is 0: it must be at least 1"));
        }
        in_range("temperature", self.temperature, 2)?;
        in_range("top_p", self.top_p, 1)
    }
}

fn as_object<S: Serializer>(extra: &[(String, RawJson)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(extra.iter().map(|(name, value)| (name, value)))
}

fn in_range(name: &str, value: Option<f64>, max: u8) -> Result<()> {
    match value {
        Some(v) if !(0.0..=f64::from(max)).contains(&v) => Err(Error::config(format!(
            "{name} is {}: it must be from 0 to {max}",
            runtime::print_float(v)
        ))),
        _ => Ok(()),
    }
}

/// A tool that the model may ask for.
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tool {
    /// Its name, by which the model asks.
    pub name: String,
    /// What it does, for the model to read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The JSON schema of its arguments.
    pub input_schema: RawJson,
    /// Hold the model to the schema exactly, where the provider can.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// As for [`Part::Text`]: caches the tools up to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheTtl>,
}

impl Tool {
    /// A tool with its arguments' JSON schema.
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

/// Whether the model asks for a tool.
///
/// ```
/// use warmline::{Request, ToolChoice};
///
/// let request = Request::new().user("Weather in Bern?").tool_choice(ToolChoice::Tool("weather".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// It must ask for at least one.
    Any,
    /// It must not ask for any.
    None,
    /// It must ask for this one.
    Tool(String),
}

/// The shape that the reply's text must have.
///
/// ```
/// use serde_json::json;
/// let request = warmline::Request::new().user("Where?").response_format("city", json!({"type": "object"}));
/// assert_eq!(request.response_format.unwrap().name, "city");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ResponseFormat {
    /// A name for the shape; OpenAI shows it to the model.
    pub name: String,
    /// The JSON schema.
    pub schema: RawJson,
}

/// How much the model thinks before it answers. Set one of the two.
///
/// ```
/// use warmline::{Effort, Request};
///
/// let request = Request::new().user("Prove it.").effort(Effort::High);
/// assert_eq!(request.reasoning.unwrap().effort, Some(Effort::High));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reasoning {
    /// In words, for models that decide themselves how long to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// In tokens (Anthropic's `thinking.budget_tokens`, at least 1,024 and less than `max_tokens`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u32>,
}

/// How hard to think. Which of these a model takes is for its provider to say.
///
/// ```
/// assert!(serde_json::to_string(&warmline::Effort::High).unwrap().contains("high"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Effort {
    /// Not at all (OpenAI).
    None,
    /// As little as there is (OpenAI).
    Minimal,
    /// Little.
    Low,
    /// Somewhat.
    Medium,
    /// Much.
    High,
    /// Very much.
    XHigh,
    /// As much as there is (Anthropic).
    Max,
}

impl Effort {
    /// The word in JSON.
    ///
    /// ```
    /// assert_eq!(warmline::Effort::XHigh.name(), "xhigh");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl From<&str> for Request {
    fn from(text: &str) -> Self {
        Self::new().user(text)
    }
}

impl From<String> for Request {
    fn from(text: String) -> Self {
        Self::new().user(text)
    }
}
