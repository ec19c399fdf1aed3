use std::time::Duration;

use super::custom_fetch::Fetch;
use super::proxy::Proxy;
use crate::Limits;
use crate::pool::Alerts;
use crate::timeouts::Timeouts;

/// The settings of a transport. On WebAssembly only `headers` and `fetch` apply.
#[allow(dead_code, reason = "no target has a use for all of them")]
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) alerts: Alerts,
    /// The timeouts of connections that no call waits for.
    pub(crate) timeouts: Timeouts,
    pub(crate) http2: bool,
    pub(crate) http2_ping: Option<Duration>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) proxy: Proxy,
    /// The headers of every request, with lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    /// What is called in place of the runtime's `fetch`. Natively there is none.
    pub(crate) fetch: Option<Fetch>,
}
