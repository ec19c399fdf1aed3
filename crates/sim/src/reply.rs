//! What the dialects put on the wire: the pieces of a streamed reply, and errors.

/// A piece of a streamed reply.
pub(crate) struct Piece {
    /// Whether it holds content, before which a scenario can break the stream.
    pub(crate) content: bool,
    pub(crate) tokens: u64,
    /// The server-sent event.
    pub(crate) text: String,
}

/// Why a request is not answered.
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            code: None,
            message: message.into(),
        }
    }
}
