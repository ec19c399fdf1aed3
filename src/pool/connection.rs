/// A connection as the pool uses it.
pub(crate) trait Connection: Sized {
    /// Returns the number of calls that the connection can carry at the same time.
    fn capacity(&self) -> usize;
    /// Returns another handle to the connection, or `None` if it carries one call at a time.
    fn share(&self) -> Option<Self>;
    /// Returns `false` if the connection is known to be closed.
    fn is_open(&self) -> bool;
    /// Closes the connection, even in the middle of a reply.
    fn abort(&self);
}
