use serde::{Deserialize, Serialize};

/// How a [`Router`](crate::Router) chooses among targets of the same priority.
///
/// ```
/// assert_eq!(warmline::Balancing::default(), warmline::Balancing::Sticky);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Balancing {
    /// A conversation stays on one target, so that its prompts are in the cache there. Conversations are spread according to the weights.
    #[default]
    Sticky,
    /// Each call goes to the target with the fewest calls in flight for its weight.
    LeastBusy,
    /// Each call goes to a random target, according to the weights.
    Weighted,
}
