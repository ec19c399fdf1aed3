use serde::{Deserialize, Serialize};

use super::message::ToolCall;
use super::reply::Reply;

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
#[serde(tag = "type", rename_all = "snake_case")]
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
