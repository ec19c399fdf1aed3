use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::provider::Endpoint;
use crate::retry::RetryBudget;
use crate::transport::Transport;
use crate::{CostTracker, PoolStats, Provider, RateLimit, Result, RetryPolicy, runtime};

/// Calls one provider's models over connections that stay warm.
///
/// It is cheap to clone, and clones share the pool: make one per provider and keep it.
///
/// # Runtime
/// A client is built, cloned and dropped anywhere. Its calls run on [Tokio](https://docs.rs/tokio), except in WebAssembly, whose host has an
/// event loop: polled outside a Tokio runtime, a call fails with an error of kind `Config` and sends nothing.
///
/// The runtime must have its IO and time drivers, as one by `#[tokio::main]` or `Builder::enable_all` has. Tokio has no way to ask whether
/// it has them, and panics where one is missing.
///
/// ```no_run
/// # async fn demo() -> warmline::Result<()> {
/// use warmline::{Client, Request};
///
/// let client = Client::from_env()?;
/// let reply = client.chat(Request::new().user("Why is the sky blue?")).await?;
/// println!("{}", reply.text());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
    pub(super) cost: CostTracker,
}

/// What the clones of a client share.
pub(super) struct Inner {
    pub(super) provider: Provider,
    pub(super) model: String,
    pub(super) key: String,
    pub(super) endpoint: Endpoint,
    pub(super) transport: Transport,
    pub(super) timeout: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) retry: RetryPolicy,
    pub(super) retry_budget: RetryBudget,
}

impl Client {
    /// What the connections are doing now. It takes no lock.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// println!("{}", client.stats());
    /// # }
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.inner.transport.stats()
    }

    /// What is left of the provider's own rate limits, as it said with its last response; nothing before the first, or where it does
    /// not say. Nothing either where the runtime owns the connections (WebAssembly).
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// let requests = client.rate_limits().into_iter().find(|limit| limit.resource == "requests");
    /// # }
    /// ```
    pub fn rate_limits(&self) -> Vec<RateLimit> {
        self.inner.transport.rate_limits()
    }

    /// What its calls cost, and the budgets to which they are buffered.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// println!("${} this month", client.cost_tracker().spend().await?.total);
    /// # Ok(()) }
    /// ```
    pub fn cost_tracker(&self) -> &CostTracker {
        &self.cost
    }

    /// The same client, its pool and its retry budget, whose calls another tracker follows: for budgets by tag or by caller.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// use warmline::Budget;
    ///
    /// // Held to the client's budgets, and to the team's own besides, in the same ledger.
    /// let team = client.cost_tracker().clone().budget(Budget::monthly("team-a", "20".parse()?)?);
    /// let client = client.with_cost_tracker(team);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_cost_tracker(&self, tracker: CostTracker) -> Self {
        Self {
            inner: self.inner.clone(),
            cost: tracker,
        }
    }

    /// Opens `n` connections before the first call needs them, at most as many as may be kept idle,
    /// and says how many were opened.
    ///
    /// # Errors
    /// `Connect` or `Timeout` where one could not be opened.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// client.warm_up(3).await?;
    /// assert_eq!(client.stats().idle, Some(3));
    /// # Ok(()) }
    /// ```
    pub async fn warm_up(&self, n: usize) -> Result<usize> {
        let warming = async {
            let warmed = self.inner.transport.warm_up(n).await;
            warmed.map_err(|e| e.with_provider(self.inner.provider).with_attempts(1))
        };
        runtime::within(warming).await
    }

    /// Whose dialect it speaks.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// assert_eq!(client.provider(), warmline::Provider::Anthropic);
    /// # }
    /// ```
    pub fn provider(&self) -> Provider {
        self.inner.provider
    }

    /// The model of requests that name none.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// println!("{}", client.model());
    /// # }
    /// ```
    pub fn model(&self) -> &str {
        &self.inner.model
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("provider", &self.inner.provider)
            .field("model", &self.inner.model)
            .field("endpoint", &self.inner.endpoint.url)
            .field("pool", &format_args!("{}", self.stats()))
            .finish_non_exhaustive()
    }
}
