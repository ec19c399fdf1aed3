//! The provider-neutral vocabulary: what is asked, what comes back.

mod event;
pub(crate) mod json;
mod message;
mod reply;
mod request;
mod usage;

pub use event::Event;
pub use message::{CacheTtl, Message, Part, Role, Source, ToolCall};
pub use reply::{Reply, StopReason, Timing};
pub use request::{Effort, OutputSchema, Reasoning, Request, Tool, ToolChoice};
pub use usage::Usage;
