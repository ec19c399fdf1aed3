use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::message::{Message, Part, Role, ToolCall, join_text};
use super::usage::Usage;
use crate::{Cost, Error, Provider, Result};

/// What came back: the same whether it was streamed or not.
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
    /// The provider's id of the reply.
    pub id: String,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Who answered.
    pub provider: Provider,
    /// Thoughts, text and tool calls, in the order in which the model made them.
    pub content: Vec<Part>,
    /// Why the model stopped; none where the provider did not say.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that ended the reply, where one did and the provider says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    /// The tokens used. All zero, with [`Reply::usage_reported`] false, where the provider said nothing.
    pub usage: Usage,
    /// Whether the provider reported its usage.
    pub usage_reported: bool,
    /// The provider's id of the HTTP request; quote it to the provider's support.
    pub request_id: Option<String>,
    /// How many requests were sent for this reply, retries included.
    #[serde(skip, default = "one")]
    pub attempts: u32,
    /// Where the time went.
    #[serde(skip)]
    pub timing: Timing,
    /// What it cost; see [`CostTracker`](crate::CostTracker).
    #[serde(skip)]
    pub cost: Option<Cost>,
    /// The response's headers. On WebAssembly only those that the client reads: `content-type`, `request-id` and
    /// `x-request-id`. Not part of the JSON form.
    #[serde(skip)]
    pub headers: HeaderMap,
    #[serde(skip)]
    pub(crate) raw: Option<Bytes>,
}

impl Reply {
    /// An empty reply of one attempt, to fill in: for tests, and for code that stands in for a client.
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
            usage: Usage::default(),
            usage_reported: false,
            request_id: None,
            attempts: 1,
            timing: Timing::default(),
            cost: None,
            headers: HeaderMap::new(),
            raw: None,
        }
    }

    /// The text parts, put together.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) {
    /// println!("{}", reply.text());
    /// # }
    /// ```
    pub fn text(&self) -> String {
        join_text(&self.content)
    }

    /// What the model thought, put together; empty where it did not think or does not show it.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::Reply) {
    /// println!("{}", reply.reasoning());
    /// # }
    /// ```
    pub fn reasoning(&self) -> String {
        let thoughts = self.content.iter().filter_map(|part| match part {
            Part::Reasoning { text, .. } => Some(text.as_str()),
            _ => None,
        });
        thoughts.collect()
    }

    /// The tools that the model asks for.
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

    /// The reply as the turn that the next request carries, thoughts and signatures included.
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

    /// The text as a value of the caller's type, for a request with an
    /// [`response_format`](crate::Request::response_format).
    ///
    /// # Errors
    /// `Decode` where the text does not fit `T`; it says why the model stopped, since a text cut at
    /// `max_tokens` is the usual cause.
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
                "the reply's text does not fit the type asked for (stop_reason {stop})"
            ))
            .with_source(e)
        })
    }

    /// The provider's body as it came: JSON for a unary reply; for a streamed one, and only where
    /// [`Request::keep_raw`](crate::Request::keep_raw) asked for it, the server-sent events.
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

/// The attempts of a reply that does not say.
fn one() -> u32 {
    1
}

/// Why a model stopped, in Anthropic's words
/// (<https://docs.claude.com/en/api/handling-stop-reasons>); OpenAI's are mapped to them.
///
/// ```
/// assert_eq!(warmline::StopReason::EndTurn.as_str(), "end_turn");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum StopReason {
    /// It was done (OpenAI: `stop`).
    EndTurn,
    /// It reached `max_tokens` (OpenAI: `length`).
    MaxTokens,
    /// It wrote one of the stop sequences (OpenAI does not tell this from `end_turn`).
    StopSequence,
    /// It asks for tools (OpenAI: `tool_calls`).
    ToolUse,
    /// It paused a long turn; send its message back to let it go on.
    PauseTurn,
    /// It, or a filter, declined (OpenAI: `content_filter`).
    Refusal,
    /// Any other, in the provider's own word.
    Other(String),
}

impl StopReason {
    /// The reason in Anthropic's word, or the provider's own for [`StopReason::Other`].
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
            Self::Other(word) => word,
        }
    }
}

impl From<String> for StopReason {
    fn from(word: String) -> Self {
        match word.as_str() {
            "end_turn" | "stop" => Self::EndTurn,
            "max_tokens" | "length" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "tool_use" | "tool_calls" | "function_call" => Self::ToolUse,
            "pause_turn" => Self::PauseTurn,
            "refusal" | "content_filter" => Self::Refusal,
            _ => Self::Other(word),
        }
    }
}

impl From<StopReason> for String {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Other(word) => word,
            known => known.as_str().to_owned(),
        }
    }
}

/// Where the time of a call went. The parts are those of the last attempt; `total` counts them all.
///
/// ```no_run
/// # fn demo(reply: warmline::Reply) {
/// println!("{:?} to the first event", reply.timing.time_to_first_token);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// Waiting for a place in the pool.
    pub queued: Duration,
    /// Making a connection; none where a warm one was used, or where the runtime does not say.
    pub connect: Option<Duration>,
    /// From the start of the call to the first content of the reply (unary: to its head).
    pub time_to_first_token: Duration,
    /// From the start of the call to its end.
    pub total: Duration,
}
