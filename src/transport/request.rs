use bytes::Bytes;
use http::Method;

use crate::provider::Endpoint;
use crate::timeouts::Timeouts;

/// A request to send.
#[derive(Clone, Copy)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: &'a Method,
    /// Where it goes, if not to the transport's endpoint: another one on the same server.
    pub(crate) to: Option<&'a Endpoint>,
    /// Without a body, the transport's `content-type` is not sent.
    pub(crate) body: &'a Bytes,
    /// Headers in addition to the transport's.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) timeouts: &'a Timeouts,
}
