/// A connection as the pool uses it.
pub(crate) trait Connection: Sized {
    /// Returns whether the connection can carry several calls at the same time.
    fn is_multiplexed(&self) -> bool;
    /// Returns the number of calls that the connection can carry at the same time, or `None` if the server has not said it yet.
    fn capacity(&self) -> Option<usize>;
    /// Returns another handle to the connection, or `None` if it is not multiplexed.
    fn share(&self) -> Option<Self>;
    /// Returns `false` if the connection is known to be closed, or takes no more calls.
    fn is_open(&self) -> bool;
    /// Closes the connection, even in the middle of a reply.
    fn abort(&self);
}
