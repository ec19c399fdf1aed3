/// A place in a pool's queue. The waiter with the lowest ticket is served first.
///
/// A call draws one ticket for each attempt, and can give its connection back and return to its old place with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(super) u64);
