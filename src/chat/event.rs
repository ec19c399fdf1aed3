use serde::{Deserialize, Serialize};

use super::dialect_name::DialectName;
use super::raw_json::RawJson;
use super::reply::Reply;
use super::tool::ToolCall;

/// An event of a streamed reply.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// use warmline::{StreamEvent, Request};
///
/// let mut stream = client.stream(Request::new().user("Hello"));
/// while let Some(event) = stream.next().await {
///     match event? {
///         StreamEvent::Text { text } => print!("{text}"),
///         StreamEvent::Done { reply } => println!("\n{} tokens", reply.usage.output_tokens),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", try_from = "AnyEvent")]
#[non_exhaustive]
pub enum StreamEvent {
    /// The reply has started.
    Start {
        /// The provider's id of the reply.
        id: String,
        /// The model that replies, as the provider names it.
        model: String,
    },
    /// A piece of text.
    Text {
        /// The text.
        text: String,
    },
    /// A piece of reasoning.
    Reasoning {
        /// The text.
        text: String,
    },
    /// A tool call has started. Its arguments follow in pieces.
    ToolCallStart {
        /// The index of the call in this reply, from 0.
        index: usize,
        /// The provider's id of the call.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A piece of a tool call's arguments.
    ToolCallDelta {
        /// The index of the call in this reply, from 0.
        index: usize,
        /// A piece of the arguments' JSON text.
        arguments: String,
    },
    /// A complete tool call.
    ToolCall {
        /// The index of the call in this reply, from 0.
        index: usize,
        /// The tool call.
        #[serde(flatten)]
        call: Box<ToolCall>,
    },
    /// A complete block of the provider's own; see [`Part::Other`](crate::Part::Other).
    Other {
        /// The dialect that the block is written in.
        dialect: DialectName,
        /// The block as the provider wrote it.
        json: RawJson,
    },
    /// The end of a complete reply. It is the last event; a stream that fails ends with an error instead.
    Done {
        /// The complete reply.
        reply: Box<Reply>,
    },
}

impl StreamEvent {
    /// Returns whether the event holds content, after which the call can no longer be retried.
    pub(crate) fn is_content(&self) -> bool {
        !matches!(self, Self::Start { .. })
    }
}

/// An event of any type: an enum tagged by `type` could not hold raw JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AnyEvent {
    r#type: String,
    id: Option<String>,
    model: Option<String>,
    text: Option<String>,
    index: Option<usize>,
    name: Option<String>,
    arguments: Option<String>,
    custom: Option<bool>,
    namespace: Option<String>,
    caller: Option<RawJson>,
    dialect: Option<DialectName>,
    json: Option<RawJson>,
    reply: Option<Box<Reply>>,
}

impl TryFrom<AnyEvent> for StreamEvent {
    type Error = String;

    fn try_from(any: AnyEvent) -> Result<Self, String> {
        fn need<T>(name: &str, value: Option<T>) -> Result<T, String> {
            value.ok_or_else(|| format!("missing field `{name}`"))
        }
        Ok(match any.r#type.as_str() {
            "start" => Self::Start {
                id: need("id", any.id)?,
                model: need("model", any.model)?,
            },
            "text" => Self::Text {
                text: need("text", any.text)?,
            },
            "reasoning" => Self::Reasoning {
                text: need("text", any.text)?,
            },
            "tool_call_start" => Self::ToolCallStart {
                index: need("index", any.index)?,
                id: need("id", any.id)?,
                name: need("name", any.name)?,
            },
            "tool_call_delta" => Self::ToolCallDelta {
                index: need("index", any.index)?,
                arguments: need("arguments", any.arguments)?,
            },
            "tool_call" => Self::ToolCall {
                index: need("index", any.index)?,
                call: Box::new(ToolCall {
                    id: need("id", any.id)?,
                    name: need("name", any.name)?,
                    arguments: need("arguments", any.arguments)?,
                    custom: any.custom.unwrap_or_default(),
                    namespace: any.namespace,
                    caller: any.caller,
                }),
            },
            "other" => Self::Other {
                dialect: need("dialect", any.dialect)?,
                json: need("json", any.json)?,
            },
            "done" => Self::Done {
                reply: need("reply", any.reply)?,
            },
            other => return Err(format!("unknown event type {}", crate::quote::quote(other))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Part, Provider};

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let call = ToolCall::new("1", "n", "{}");
        let json: RawJson = "{\"b\":1,\"a\":2}".parse().unwrap();
        let dialect = DialectName::Anthropic;
        let mut reply = Reply::new(Provider::Anthropic);
        reply.content.push(Part::Other {
            dialect,
            json: json.clone(),
        });
        let (id, name) = (String::from("1"), String::from("n"));
        let (text, arguments) = (String::from("t"), String::from("{"));
        for event in [
            StreamEvent::Start {
                id: id.clone(),
                model: name.clone(),
            },
            StreamEvent::Text { text: text.clone() },
            StreamEvent::Reasoning { text },
            StreamEvent::ToolCallStart { index: 0, id, name },
            StreamEvent::ToolCallDelta {
                index: 0,
                arguments,
            },
            StreamEvent::ToolCall {
                index: 0,
                call: Box::new(call),
            },
            StreamEvent::Other { dialect, json },
            StreamEvent::Done {
                reply: Box::new(reply),
            },
        ] {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<StreamEvent>(&text).unwrap(), event);
        }
        let unknown = serde_json::from_str::<StreamEvent>(r#"{"type":"odd"}"#).unwrap_err();
        assert!(unknown.to_string().contains("\"odd\""), "{unknown}");
    }
}
