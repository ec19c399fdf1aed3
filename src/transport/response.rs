use http::HeaderMap;

/// The status and headers of a response, and its unread body.
pub(crate) struct HttpResponse<B> {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: B,
}
