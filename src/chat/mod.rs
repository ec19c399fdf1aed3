//! Provider-neutral requests and replies.

mod event;
mod json;
mod message;
mod provider;
mod reply;
mod request;
mod usage;

pub use event::StreamEvent;
pub use message::{CacheTtl, MediaSource, Message, Part, Role, ToolCall};
pub use provider::Provider;
pub use reply::{Reply, StopReason, Timing};
pub use request::{Effort, Reasoning, Request, ResponseFormat, Tool, ToolChoice};
pub use usage::Usage;
