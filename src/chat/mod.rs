//! Provider-neutral requests and replies.

mod event;
mod form;
mod media;
mod message;
mod part;
mod provider;
mod raw_json;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod tool;
mod usage;
mod validate;

pub use event::StreamEvent;
#[cfg(feature = "anthropic")]
pub(crate) use form::fields;
pub use media::{CacheTtl, MediaSource};
pub use message::{Message, Role};
pub use part::{Annotations, Part};
pub use provider::{DialectName, Provider};
pub use raw_json::RawJson;
pub use reply::{Reply, StopReason, Timing};
pub(crate) use request::ExtraFields;
pub use request::{Effort, Reasoning, Request, ResponseFormat};
pub use tool::{Tool, ToolCall, ToolChoice};
pub use usage::Usage;
