use serde::Serialize;

use super::raw_json::RawJson;

/// The number of input tokens of a request, as [`Client::count_tokens`](crate::Client::count_tokens) returns it.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let count = client.count_tokens("Hello").await?;
/// let at_most = if count.is_upper_bound { "at most " } else { "" };
/// println!("{at_most}{} tokens", count.input_tokens);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenCount {
    /// The number of tokens.
    pub input_tokens: u64,
    /// Whether it is an upper bound of this crate's, which budgets reserve. `false` for the provider's own count.
    pub is_upper_bound: bool,
    /// The provider's reply, if it counted.
    pub raw: Option<RawJson>,
}
