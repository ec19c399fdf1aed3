//! Provider-neutral requests and replies.

mod billing;
mod call_options;
mod dialect_name;
mod event;
mod form;
mod media;
mod message;
mod model_info;
mod part;
mod raw_json;
mod reasoning;
mod reply;
mod request;
mod request_options;
#[cfg(test)]
mod tests;
mod token_count;
mod tool;
mod usage;
mod validate;

pub(crate) use billing::{Billing, ServiceTier};
pub use call_options::CallOptions;
pub use dialect_name::DialectName;
pub use event::StreamEvent;
pub use form::ByName;
pub(crate) use form::fields;
pub use media::{CacheTtl, MediaSource};
pub use message::{Message, Role};
pub use model_info::ModelInfo;
pub use part::{Annotations, Part};
pub use raw_json::RawJson;
pub use reasoning::{Effort, Reasoning};
pub use reply::{Reply, StopReason, Timing};
pub(crate) use request::ExtraFields;
pub use request::{Request, ResponseFormat};
pub use token_count::TokenCount;
pub use tool::{Tool, ToolCall, ToolChoice};
pub use usage::Usage;
