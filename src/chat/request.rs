use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call_options::CallOptions;
use super::form::{self, ByName};
use super::message::Message;
use super::part::{self, Part};
use super::raw_json::RawJson;
use super::reasoning::{Effort, Reasoning};
use super::tool::{Tool, ToolChoice};
use crate::{Error, Result};

/// A chat request, in a form that does not depend on the provider.
///
/// Only the fields that are set are sent. The others have the provider's defaults. The JSON form has the same field names;
/// the npm package uses it too.
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Request {
    /// The model. The default is the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The system prompt. In JSON, a string is short for one text part.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "part::content_or_none"
    )]
    pub system: Vec<Part>,
    /// The conversation so far. The last message is usually the user's.
    #[serde(deserialize_with = "form::objects")]
    pub messages: Vec<Message>,
    /// The maximum number of tokens to generate, at least 1. Anthropic requires one, and the default there is 4,096.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "form::whole_number"
    )]
    pub max_tokens: Option<u32>,
    /// The sampling temperature, from 0 to 2 (Anthropic: from 0 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The probability mass for nucleus sampling, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts that end the reply when the model generates one of them.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "form::or_default"
    )]
    pub stop_sequences: Vec<String>,
    /// The tools that the model may call.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "form::objects_or_none"
    )]
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may call several tools at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// A JSON schema that the reply's text must match.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "form::object_or_none"
    )]
    pub response_format: Option<ResponseFormat>,
    /// How much the model reasons before it replies.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "form::object_or_none"
    )]
    pub reasoning: Option<Reasoning>,
    /// Whether the provider keeps the reply, so that [`Request::previous_response_id`] can name it. In the dialect
    /// `openai-responses` the default is `false`, or the provider's own in a request that continues a stored reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// The [`Reply::id`](crate::Reply::id) of a stored reply that this request continues (only in the dialect `openai-responses`).
    /// `messages` are then only what is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_response_id: Option<String>,
    /// Additional fields of the request body, as the provider defines them. They replace fields of the same name. In JSON they
    /// are an object.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "form::as_object",
        deserialize_with = "form::fields_or_none"
    )]
    pub extra_body: Vec<(String, RawJson)>,
    /// Whether to keep the body of a streamed reply for [`Reply::raw`](crate::Reply::raw). The body of a unary reply is always
    /// kept.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "form::or_default"
    )]
    pub keep_raw: bool,
    /// The settings of this call in place of the client's, such as its timeouts. They are not part of the body.
    #[serde(
        default,
        skip_serializing_if = "CallOptions::is_default",
        deserialize_with = "form::or_default"
    )]
    pub options: CallOptions,
}

impl Request {
    /// Creates an empty request.
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

    /// Sets the system prompt to a text.
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

    /// Adds a user message with text.
    ///
    /// ```
    /// # use warmline::Request;
    /// assert_eq!(Request::new().user("hi").messages.len(), 1);
    /// ```
    #[must_use]
    pub fn user(self, text: impl Into<String>) -> Self {
        self.message(Message::user(text))
    }

    /// Adds a message.
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

    /// Adds a stop sequence, a text that ends the reply when the model generates it.
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
    /// The schema is made fit for the strict mode of the provider where that keeps its meaning: objects are closed, and constraints
    /// that the provider does not enforce become a part of the description. In OpenAI's dialect, all properties become required and optional ones
    /// nullable, so use an `Option` for them. A schema for which this is impossible, such as one of an object with any properties, is sent
    /// as it is, without `strict`.
    ///
    /// ```
    /// # use warmline::Request;
    /// # use serde_json::json;
    /// let request = Request::new().response_format("city", json!({
    ///     "type": "object",
    ///     "properties": {"name": {"type": "string"}},
    ///     "required": ["name"],
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

    /// Sets [`Request::reasoning`] to a maximum number of tokens; see [`Reasoning::budget_tokens`].
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

    /// Sets [`Request::store`].
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().user("Remember 7.").store(true);
    /// ```
    #[must_use]
    pub fn store(mut self, store: bool) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets [`Request::previous_response_id`].
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// use warmline::Request;
    ///
    /// let first = client.chat(Request::new().user("Remember 7.").store(true)).await?;
    /// let next = Request::new().user("Which number?").previous_response_id(first.id);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn previous_response_id(mut self, id: impl Into<String>) -> Self {
        self.previous_response_id = Some(id.into());
        self
    }

    /// Adds a field to [`Request::extra_body`], replacing one of the same name.
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

    /// Returns a field of [`Request::extra_body`].
    pub(crate) fn extra_body_field(&self, name: &str) -> Option<&RawJson> {
        let mut extra = self.extra_body.iter();
        extra.find_map(|(known, value)| (known == name).then_some(value))
    }
}

impl Request {
    /// Reads a request from its JSON form, the one that serde writes.
    ///
    /// # Errors
    /// `Config`, naming the place and what would be accepted.
    ///
    /// ```
    /// # use warmline::Request;
    /// let error = Request::from_json(r#"{"messages": [{"role": "usr"}]}"#).unwrap_err();
    /// assert!(error.message().starts_with("messages[0].role: unknown variant `usr`, expected `user` or `assistant`"));
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|e| {
            let (path, error) = (e.path().to_string(), e.into_inner());
            match path.as_str() {
                _ if !error.is_data() => format!("the request is not JSON: {error}"),
                "." => error.to_string(),
                _ => format!("{path}: {error}"),
            }
        });
        let whole = read.and_then(|ByName(request)| match json.end() {
            Ok(()) => Ok(request),
            Err(error) => Err(format!("the request is not JSON: {error}")),
        });
        whole.map_err(Error::config)
    }
}

/// [`Request::extra_body`], added to what a dialect writes and replacing what it names.
#[derive(Clone, Copy)]
pub(crate) struct ExtraFields<'a>(pub(crate) &'a Request);

impl ExtraFields<'_> {
    /// A field's value, unless it is replaced.
    pub(crate) fn unless<T>(self, name: &str, value: T) -> Option<T> {
        let replaced = self.0.extra_body_field(name).is_some();
        (!replaced).then_some(value)
    }

    pub(crate) fn unless_set<T>(self, name: &str, value: Option<T>) -> Option<T> {
        value.and_then(|value| self.unless(name, value))
    }
}

impl Serialize for ExtraFields<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        form::as_object(&self.0.extra_body, serializer)
    }
}

/// A JSON schema that the reply's text must match.
///
/// ```
/// use serde_json::json;
/// let request = warmline::Request::new().user("Where?").response_format("city", json!({"type": "object"}));
/// assert_eq!(request.response_format.unwrap().name, "city");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ResponseFormat {
    /// The name of the schema. OpenAI shows it to the model.
    pub name: String,
    /// The JSON schema.
    pub schema: RawJson,
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
