use http::HeaderMap;

/// The head of what came back, and the body still to be read.
pub(crate) struct HttpResponse<B> {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: B,
}
