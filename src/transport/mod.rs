//! How bytes travel. One of two modules stands behind the same names; nothing else in `src` but
//! `runtime` knows the target.
//!
//! `Transport::send` posts a body and gives the head of the response and a [`Body`] that is read chunk by chunk;
//! `Transport::stats` and `Transport::warm_up` are about the connections.

mod endpoint;
mod headers;
mod proxy;
mod rate_limit;

use std::time::Duration;

pub(crate) use self::endpoint::{Endpoint, scheme, shown};
pub(crate) use self::headers::Headers;
pub(crate) use self::proxy::{Proxy, ProxyVariables, text};
pub use self::rate_limit::RateLimit;

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        mod fetch;
        pub(crate) use fetch::{Body, Transport};
        #[cfg(feature = "js")]
        pub(crate) use fetch::{Function, describe, settled, with_fetch};
    } else {
        mod connection;
        mod dial;
        mod gate;
        mod native;
        mod recorder;
        pub(crate) use native::{Body, Transport};
    }
}

/// The head of what came back, and the body still to be read.
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
}

/// How long each wait may take. Where the runtime owns the connections, only the last is waited for.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    pub(crate) pool: Duration,
    pub(crate) connect: Duration,
    pub(crate) head: Duration,
}

/// What a transport is made of. Where the runtime owns the connections, only `waits` and
/// `headers` have a meaning.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) limits: crate::Limits,
    pub(crate) alerts: Alerts,
    pub(crate) waits: Waits,
    pub(crate) http2: bool,
    pub(crate) http2_ping: Option<Duration>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) proxy: Proxy,
    /// Sent with every request, their names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// Of what about the connections is told whom.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone, Default)]
pub(crate) struct Alerts {
    pub(crate) thresholds: crate::AlertThresholds,
    pub(crate) tell: Option<std::sync::Arc<dyn OnPoolAlert>>,
}

/// What a caller wants done at an alert.
pub(crate) trait OnPoolAlert: Fn(&crate::PoolAlert) + crate::runtime::Shareable {}

impl<F: Fn(&crate::PoolAlert) + crate::runtime::Shareable> OnPoolAlert for F {}
