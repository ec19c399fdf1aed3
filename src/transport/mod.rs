//! HTTP. Two modules implement the same items, one for native targets and one for WebAssembly. Apart from `runtime`, no
//! other module depends on the target.
//!
//! `Transport::acquire` takes a turn in the pool: an idle connection, or the right to open one. `Transport::send` uses it to
//! send a body, and returns the status and headers of the response, and a [`Body`] that is read chunk by chunk. `Transport::stats` and `Transport::warm_up` concern the connections.

mod custom_fetch;
mod options;
mod proxy;
mod rate_limit;
mod request;
mod response;

pub(crate) use self::custom_fetch::Fetch;
pub(crate) use self::options::Options;
pub(crate) use self::proxy::{Proxy, ProxyVariables, env_text};
pub use self::rate_limit::RateLimit;
pub(crate) use self::rate_limit::fields as rate_limit_fields;
pub(crate) use self::request::HttpRequest;
pub(crate) use self::response::HttpResponse;

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        mod fetch;
        mod fetched;
        pub(crate) use fetch::{Body, Transport, Turn};
    } else {
        mod connection;
        mod connector;
        mod native;
        mod relay;
        mod socket;
        mod stream_limit;
        pub(crate) mod pem;
        #[cfg(test)]
        pub(crate) use connector::BoxIo;
        pub(crate) use native::{Body, Transport, Turn};
    }
}
