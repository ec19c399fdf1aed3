//! Clients: their settings, their calls, and the streams of events that calls return.

mod access;
mod active;
mod body;
mod builder;
mod call;
mod context;
mod early;
mod handle;
mod passthrough;
mod stream;

pub use self::builder::{ClientBuilder, HttpVersion};
pub use self::handle::Client;
pub use self::passthrough::PassthroughResponse;
pub use self::stream::EventStream;
