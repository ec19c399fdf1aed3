/// What the pool needs to know about a connection.
pub(crate) trait Connection: Sized {
    /// The number of calls that it can carry at the same time.
    fn capacity(&self) -> usize;
    /// Returns another handle to it, or `None` if it carries one call at a time.
    fn share(&self) -> Option<Self>;
    /// Whether it can still carry a call, as far as this side knows.
    fn is_open(&self) -> bool;
    /// Closes it, even in the middle of a reply.
    fn abort(&self);
}
