//! The one place where the parts meet: a provider's dialect, the transport, retries.

mod builder;
mod call;
mod passthrough;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::{ClientBuilder, HttpVersion};
use self::call::{Call, Outcome};
pub use self::passthrough::PassthroughResponse;
pub use self::stream::EventStream;
use crate::provider::Endpoint;
use crate::retry::RetryBudget;
use crate::transport::Transport;
use crate::{
    CostTracker, PoolStats, Provider, RateLimit, Reply, Request, Result, RetryPolicy, runtime,
};

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
    inner: Arc<Inner>,
    cost: CostTracker,
}

struct Inner {
    provider: Provider,
    model: String,
    key: String,
    endpoint: Endpoint,
    transport: Transport,
    timeout: Duration,
    deadline: Option<Duration>,
    retry: RetryPolicy,
    retry_budget: RetryBudget,
}

impl Client {
    /// A client to be set up.
    ///
    /// ```
    /// use warmline::{Client, Provider};
    ///
    /// let client = Client::builder(Provider::OpenAi)
    ///     .base_url("http://127.0.0.1:11434/v1")
    ///     .model("llama3.2")
    ///     .build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn builder(provider: Provider) -> ClientBuilder {
        ClientBuilder::new(provider)
    }

    /// A client as the environment says; see [`ClientBuilder::from_env`].
    ///
    /// # Errors
    /// `Config`, naming the variable, where one cannot be read or the key is missing.
    ///
    /// ```no_run
    /// let client = warmline::Client::from_env()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn from_env() -> Result<Self> {
        ClientBuilder::from_env()?.build()
    }

    /// Asks, and waits for the whole reply. Dropping the future cancels the call and frees its place.
    ///
    /// # Errors
    /// Of every kind but `Cancelled`; see [`ErrorKind`](crate::ErrorKind).
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// println!("{}", client.chat("Hello").await?.text());
    /// # Ok(()) }
    /// ```
    pub async fn chat(&self, request: impl Into<Request>) -> Result<Reply> {
        let call = Call::new(self, &request.into(), false)?;
        match call.run().await? {
            Outcome::Reply(reply) => Ok(*reply),
            Outcome::Stream(live) => live.into_reply().await,
        }
    }

    /// Asks, and gives the reply out piece by piece. Nothing is sent until the stream is first polled;
    /// dropping it cancels the call and frees its place.
    ///
    /// Failures, those of the request's own included, come as an item of the stream and end it.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// use warmline::StreamEvent;
    ///
    /// let mut stream = client.stream("Tell me a story.");
    /// while let Some(event) = stream.next().await {
    ///     if let StreamEvent::Text { text } = event? {
    ///         print!("{text}");
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream(&self, request: impl Into<Request>) -> EventStream {
        EventStream::new(Call::new(self, &request.into(), true))
    }

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
