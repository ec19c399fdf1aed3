use serde::{Deserialize, Serialize};

use super::message::ToolCall;
use super::reply::Reply;

/// One piece of a streamed reply.
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
    /// The provider has begun to answer.
    Start {
        /// The provider's id of the reply.
        id: String,
        /// The model that answers.
        model: String,
    },
    /// More text.
    Text {
        /// The piece.
        text: String,
    },
    /// More of what the model thinks.
    Reasoning {
        /// The piece.
        text: String,
    },
    /// The model begins to ask for a tool; the arguments follow in pieces.
    ToolCallStart {
        /// Which call of this reply, from 0.
        index: usize,
        /// The provider's id of the call.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// More of a tool call's arguments.
    ToolCallDelta {
        /// Which call of this reply.
        index: usize,
        /// The piece of JSON text.
        arguments: String,
    },
    /// A tool call, complete.
    ToolCall {
        /// Which call of this reply.
        index: usize,
        /// The call.
        #[serde(flatten)]
        call: Box<ToolCall>,
    },
    /// The end, with everything put together. Always the last, and only where the reply is whole.
    Done {
        /// The whole reply.
        reply: Box<Reply>,
    },
}

impl StreamEvent {
    /// Whether this holds something that the model said, so that the call can no longer be retried.
    pub(crate) fn is_content(&self) -> bool {
        !matches!(self, Self::Start { .. })
    }
}
