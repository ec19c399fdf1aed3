use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::billing::Billing;
use super::message::{Message, Role, join_text};
use super::part::Part;
use super::raw_json::RawJson;
use super::tool::ToolCall;
use super::usage::Usage;
use crate::{Attempt, Cost, Error, Provider, Result};

/// A complete reply. A streamed reply and a unary one have the same form.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// use warmline::Request;
///
/// let reply = client.chat(Request::new().user("Hello")).await?;
/// println!("{} ({} tokens)", reply.text(), reply.usage.output_tokens);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reply {
    /// The provider's id of the reply. Empty if the provider reported none.
    pub id: String,
    /// The model that replied, as the provider names it.
    pub model: String,
    /// The provider.
    pub provider: Provider,
    /// Reasoning, text and tool calls, in the order in which the model generated them.
    pub content: Vec<Part>,
    /// Why the model stopped, if the provider reported it.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that ended the reply, if one did and the provider reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    /// The log probabilities of the text's tokens as the provider writes them, if
    /// [`Request::extra_body`](crate::Request::extra_body) requested them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<RawJson>,
    /// Anthropic's `container` as the provider writes it: the id and the expiry of the container in which a server tool ran
    /// code. To use it in the next request, set its `container` to the id with
    /// [`Request::extra_body`](crate::Request::extra_body).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<RawJson>,
    /// The tokens used. If [`Reply::usage_reported`] is `false`, these are only the counts that are known, or 0.
    pub usage: Usage,
    /// Whether the provider reported the usage.
    pub usage_reported: bool,
    /// The provider's id of the HTTP request. Quote it to the provider's support.
    pub request_id: Option<String>,
    #[serde(skip, default = "one_attempt")]
    pub(crate) attempts: Vec<Attempt>,
    /// The time that each phase of the call took. Not part of the JSON form.
    #[serde(skip)]
    pub timing: Timing,
    /// The cost; see [`CostTracker`](crate::CostTracker). `None` for a reply that was not made by a client. Not part of the
    /// JSON form.
    #[serde(skip)]
    pub cost: Option<Cost>,
    /// The response headers. On WebAssembly these are only `content-type`, `request-id` and `x-request-id`. Not part of the
    /// JSON form.
    #[serde(skip)]
    pub headers: HeaderMap,
    #[serde(skip)]
    pub(crate) raw: Option<Bytes>,
    #[serde(skip)]
    pub(crate) billing: Billing,
}

impl Reply {
    /// Creates an empty reply with one attempt, for tests and mock clients.
    ///
    /// ```
    /// use warmline::{Part, Provider, Reply};
    ///
    /// let mut reply = Reply::new(Provider::Anthropic);
    /// reply.content.push(Part::text("Hello"));
    /// assert_eq!(reply.text(), "Hello");
    /// ```
    pub fn new(provider: Provider) -> Self {
        Self {
            id: String::new(),
            model: String::new(),
            provider,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            logprobs: Vec::new(),
            container: None,
            usage: Usage::default(),
            usage_reported: false,
            request_id: None,
            attempts: one_attempt(),
            timing: Timing::default(),
            cost: None,
            headers: HeaderMap::new(),
            raw: None,
            billing: Billing::default(),
        }
    }

    /// Returns the attempts that the call made, in their order. The last one succeeded. They are not part of the JSON form.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) {
    /// println!("{} attempts", reply.attempts().len());
    /// # }
    /// ```
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Returns the text parts, concatenated.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) {
    /// println!("{}", reply.text());
    /// # }
    /// ```
    pub fn text(&self) -> String {
        join_text(&self.content)
    }

    /// Returns the reasoning parts, concatenated. Empty if the model did not reason or the provider does not show it.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) {
    /// println!("{}", reply.reasoning());
    /// # }
    /// ```
    pub fn reasoning(&self) -> String {
        let reasoning = self.content.iter().filter_map(|part| match part {
            Part::Reasoning { text, .. } => Some(text.as_str()),
            _ => None,
        });
        reasoning.collect()
    }

    /// Returns the tool calls.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) {
    /// for call in reply.tool_calls() {
    ///     println!("{}({})", call.name, call.arguments);
    /// }
    /// # }
    /// ```
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|part| match part {
            Part::ToolUse(call) => Some(call),
            _ => None,
        })
    }

    /// Converts the reply into the assistant message for the next request, including reasoning and its signatures.
    ///
    /// ```no_run
    /// # fn demo(request: warmline::Request, reply: warmline::Reply) {
    /// let next = request.message(reply.into_message()).user("Go on.");
    /// # }
    /// ```
    pub fn into_message(self) -> Message {
        Message {
            role: Role::Assistant,
            content: self.content,
        }
    }

    /// Parses the text as JSON, for a request with a [`response_format`](crate::Request::response_format).
    ///
    /// # Errors
    /// `Decode` if the text does not match `T`. The message includes the stop reason, because the usual cause is a text that
    /// was cut off at `max_tokens`.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) -> warmline::Result<()> {
    /// #[derive(serde::Deserialize)]
    /// struct City { name: String }
    /// let city: City = reply.parse()?;
    /// # Ok(()) }
    /// ```
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.text()).map_err(|e| {
            let stop = self
                .stop_reason
                .as_ref()
                .map_or("unknown", StopReason::as_str);
            Error::decode(format!(
                "the reply's text does not match the requested type (stop_reason {stop})"
            ))
            .with_source(e)
        })
    }

    /// Returns the response body.
    ///
    /// For a unary reply it is JSON. For a streamed reply it is the server-sent events if
    /// [`Request::keep_raw`](crate::Request::keep_raw) was set, otherwise `None`.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(serde::Deserialize)]
    /// struct Fields { system_fingerprint: Option<String> }
    /// let fields: Fields = serde_json::from_slice(reply.raw().unwrap_or_default())?;
    /// # Ok(()) }
    /// ```
    pub fn raw(&self) -> Option<&[u8]> {
        self.raw.as_deref()
    }

    pub(crate) fn raw_bytes(&self) -> Option<Bytes> {
        self.raw.clone()
    }
}

/// The attempts of a reply that was not made by a client, or was read from its JSON form.
fn one_attempt() -> Vec<Attempt> {
    vec![Attempt::default()]
}

/// The reason why a model stopped.
///
/// The names are Anthropic's (<https://docs.claude.com/en/api/handling-stop-reasons>). OpenAI's `finish_reason`
/// (<https://platform.openai.com/docs/api-reference/chat/object>) is mapped to them.
///
/// ```
/// assert_eq!(warmline::StopReason::EndTurn.as_str(), "end_turn");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum StopReason {
    /// The model completed its turn (OpenAI: `stop`).
    EndTurn,
    /// The reply reached `max_tokens` (OpenAI: `length`).
    MaxTokens,
    /// The model generated a stop sequence. OpenAI reports this as `stop`, so it becomes [`StopReason::EndTurn`].
    StopSequence,
    /// The model calls tools (OpenAI: `tool_calls`).
    ToolUse,
    /// The model paused a long turn. Send its message back to continue.
    PauseTurn,
    /// The model or a filter refused (OpenAI: `content_filter`).
    Refusal,
    /// Any other reason, as the provider names it. In the dialect `openai-responses`, it can be the type of an item that waits for an answer
    /// and is no tool call, such as `mcp_approval_request`; the item is a [`Part::Other`].
    Other(String),
}

impl StopReason {
    /// Returns Anthropic's name for the reason, or the provider's own for [`StopReason::Other`].
    ///
    /// ```
    /// assert_eq!(warmline::StopReason::from("length".to_owned()).as_str(), "max_tokens");
    /// ```
    pub fn as_str(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::MaxTokens => "max_tokens",
            Self::StopSequence => "stop_sequence",
            Self::ToolUse => "tool_use",
            Self::PauseTurn => "pause_turn",
            Self::Refusal => "refusal",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for StopReason {
    fn from(name: String) -> Self {
        // Some servers write Gemini's names, such as `STOP`.
        match name.to_ascii_lowercase().as_str() {
            "end_turn" | "stop" => Self::EndTurn,
            "max_tokens" | "length" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "tool_use" | "tool_calls" | "function_call" => Self::ToolUse,
            "pause_turn" => Self::PauseTurn,
            "refusal" | "content_filter" => Self::Refusal,
            _ => Self::Other(name),
        }
    }
}

impl From<StopReason> for String {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Other(name) => name,
            known => known.as_str().to_owned(),
        }
    }
}

/// The duration of a call and its phases. `queued` and `connect` are those of the last attempt. The other fields span all
/// attempts.
///
/// ```no_run
/// # fn demo(reply: warmline::Reply) {
/// println!("{:?} to the first token", reply.timing.time_to_first_token);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The time spent waiting for a connection.
    pub queued: Duration,
    /// The time to open a connection. `None` if an open one was reused, and on WebAssembly.
    pub connect: Option<Duration>,
    /// The time from the start of the call to the first content of the reply. For a unary reply, to the response headers.
    pub time_to_first_token: Duration,
    /// The time from the start of the call to its end.
    pub total: Duration,
}
