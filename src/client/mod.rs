//! Clients: their settings, their calls, and the streams of events that calls return.

mod access;
mod attempt;
mod body;
mod builder;
mod call;
mod clock;
mod exchange;
mod fetch;
mod forward;
mod handle;
mod live;
mod models;
mod opening;
mod passthrough;
mod plan;
mod polled;
mod replay;
mod stream;
mod timeouts;

pub use self::builder::{ClientBuilder, HttpVersion};
pub(crate) use self::call::Call;
pub use self::forward::ForwardResponse;
pub use self::handle::Client;
pub use self::passthrough::PassthroughResponse;
pub(crate) use self::polled::{Polled, whole_reply};
pub use self::stream::EventStream;
