use std::time::Duration;

use super::proxy::Proxy;
use crate::Limits;
use crate::pool::Alerts;

/// The timeout of each phase of an attempt. On WebAssembly only `response_headers` applies.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) pool: Duration,
    pub(crate) connect: Duration,
    pub(crate) response_headers: Duration,
}

/// The settings of a transport. On WebAssembly only `timeouts` and `headers` apply.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) alerts: Alerts,
    pub(crate) timeouts: Timeouts,
    pub(crate) http2: bool,
    pub(crate) http2_ping: Option<Duration>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) proxy: Proxy,
    /// The headers of every request, with lower-case names.
    pub(crate) headers: Vec<(String, String)>,
}
