use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::cost::CostEstimate;
use crate::credentials::Credentials;
use crate::dialect::{Dialect, RequestFacts};
use crate::provider::{Endpoint, Row, Settings};
use crate::quote::quote;
use crate::retry::RetryBudget;
use crate::timeouts::Timeouts;
use crate::transport::Transport;
use crate::url::shown;
use crate::{
    CallOptions, CostTracker, DialectName, Error, PoolStats, Provider, RateLimit, Result,
    RetryPolicy, runtime,
};

/// A client of one provider, with a pool of warm connections.
///
/// It is cheap to clone, and clones share the pool. Create one per provider and reuse it.
///
/// # Runtime
/// A client can be built, cloned and dropped anywhere. Its calls must run in a [Tokio](https://docs.rs/tokio) runtime, except on
/// WebAssembly. Outside of one, a call fails with an error of kind `Config` and sends nothing.
///
/// The runtime must have its IO and time drivers enabled, as with `#[tokio::main]` or `Builder::enable_all`. Otherwise Tokio
/// panics; Warmline cannot check this in advance.
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
    pub(super) transport: Transport,
    pub(super) cost: CostTracker,
}

/// The state that the clones of a client share.
pub(super) struct Inner {
    pub(super) provider: Provider,
    pub(super) dialect: Arc<dyn Dialect>,
    /// Whether the server refuses what the dialect asks for beyond what the caller writes.
    pub(super) refuses_asking: AtomicBool,
    pub(super) model: String,
    pub(super) credentials: Credentials,
    pub(super) endpoint: Endpoint,
    /// Whether the endpoint is another one than the transport's, because the client was made for another dialect.
    pub(super) is_elsewhere: bool,
    /// The base URL that the client was given, if any.
    pub(super) base_url: Option<String>,
    pub(super) settings: Settings,
    pub(super) timeouts: Timeouts,
    pub(super) max_reply_bytes: usize,
    pub(super) retry: RetryPolicy,
    pub(super) retry_budget: Arc<RetryBudget>,
}

impl Inner {
    /// Returns the row that says what requests cost.
    pub(super) fn price_row(&self) -> &'static Row {
        self.provider.row_at(self.endpoint.host())
    }

    /// Returns the endpoint of a call if it is not the client's: one with another base URL or query, or another Azure deployment.
    ///
    /// # Errors
    /// `Config` for another server, because the key is not meant for it and the pool's connections do not lead to it, and for a
    /// query that no URL can have.
    pub(super) fn endpoint_of(
        &self,
        options: &CallOptions,
        model: &str,
    ) -> Result<Option<Endpoint>> {
        let CallOptions {
            base_url, query, ..
        } = options;
        let is_clients =
            base_url.is_none() && (self.provider != Provider::Azure || model == self.model);
        if is_clients && query.is_none() {
            return Ok(self.is_elsewhere.then(|| self.endpoint.clone()));
        }
        let mut endpoint = match is_clients {
            true => self.endpoint.clone(),
            false => self.other_endpoint(base_url.as_deref(), model)?,
        };
        endpoint.add_query(query.as_deref())?;
        Ok(Some(endpoint))
    }

    fn other_endpoint(&self, base_url: Option<&str>, model: &str) -> Result<Endpoint> {
        let base_url = base_url.or(self.base_url.as_deref());
        let dialect = self.dialect.name();
        let endpoint = Endpoint::new(self.provider, dialect, base_url, &self.settings, model)?;
        if !endpoint.is_same_origin(&self.endpoint) {
            let message = [
                "the request's base URL is on ",
                &quote(endpoint.origin()),
                " and the client's on ",
                &quote(self.endpoint.origin()),
                ": make a client for each server",
            ];
            return Err(Error::config(message.concat()));
        }
        Ok(endpoint)
    }
}

impl Client {
    /// Returns the current state of the connection pool, without taking a lock.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// println!("{}", client.stats());
    /// # }
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.transport.stats()
    }

    /// Returns the provider's rate limits as of its last response.
    ///
    /// The list is empty before the first response, if the provider does not report its limits, and on WebAssembly.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// let requests = client.rate_limits().into_iter().find(|limit| limit.resource == "requests");
    /// # }
    /// ```
    pub fn rate_limits(&self) -> Vec<RateLimit> {
        self.transport.rate_limits()
    }

    /// Returns a client whose responses have the headers that report rate limits, which are not read otherwise on WebAssembly.
    pub(crate) fn with_rate_limit_headers(&self) -> Self {
        Self {
            transport: self.transport.with_rate_limit_headers(),
            ..self.clone()
        }
    }

    /// Returns the tracker of the client's costs and budgets.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// println!("${} this month", client.cost_tracker().spend().await?.total);
    /// # Ok(()) }
    /// ```
    pub fn cost_tracker(&self) -> &CostTracker {
        &self.cost
    }

    /// Returns a client that shares this one's pool and retry budget but has another cost tracker.
    ///
    /// This is useful for budgets per team, tag or caller.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// use warmline::Budget;
    ///
    /// // The client's budgets and the team's own apply, in the same ledger.
    /// let team = client.cost_tracker().clone().budget(Budget::monthly("team-a", "20".parse()?)?);
    /// let client = client.with_cost_tracker(team);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_cost_tracker(&self, tracker: CostTracker) -> Self {
        Self {
            cost: tracker,
            ..self.clone()
        }
    }

    /// Returns a client that shares this one's pool, retry budget and cost tracker but speaks another dialect of the provider.
    ///
    /// # Errors
    /// `Config` if the provider does not speak the dialect. The message names those that it speaks.
    ///
    /// ```
    /// use warmline::{Client, DialectName, Provider};
    ///
    /// let chat = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let responses = chat.with_dialect(DialectName::OpenAiResponses)?;
    /// assert_eq!(responses.dialect_name(), DialectName::OpenAiResponses);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn with_dialect(&self, dialect: DialectName) -> Result<Self> {
        let Inner {
            provider,
            model,
            credentials,
            endpoint,
            base_url,
            settings,
            ..
        } = &*self.inner;
        if self.inner.dialect.name() == dialect {
            return Ok(self.clone());
        }
        let codec = provider.dialect(dialect, endpoint.is_first_party)?;
        let inner = Inner {
            provider: *provider,
            refuses_asking: AtomicBool::new(provider.refuses_asking(dialect)),
            endpoint: Endpoint::new(*provider, dialect, base_url.as_deref(), settings, model)?,
            dialect: codec,
            is_elsewhere: true,
            model: model.clone(),
            credentials: credentials.clone(),
            base_url: base_url.clone(),
            settings: settings.clone(),
            timeouts: self.inner.timeouts,
            max_reply_bytes: self.inner.max_reply_bytes,
            retry: self.inner.retry.clone(),
            retry_budget: self.inner.retry_budget.clone(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            ..self.clone()
        })
    }

    /// Opens up to `n` connections before the first call needs them, and returns the number of connections opened.
    ///
    /// It opens no more than may be kept idle, which is
    /// [`Limits::max_keepalive_connections`](crate::Limits::max_keepalive_connections), and none on WebAssembly.
    ///
    /// # Errors
    /// `Connect` or `Timeout` if a connection could not be opened.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// client.warm_up(3).await?;
    /// assert_eq!(client.stats().idle, Some(3));
    /// # Ok(()) }
    /// ```
    pub async fn warm_up(&self, n: usize) -> Result<usize> {
        let warming = async {
            let warmed = self.transport.warm_up(n).await;
            warmed.map_err(|e| e.with_provider(self.inner.provider))
        };
        runtime::within(warming).await
    }

    /// Returns the provider.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// assert_eq!(client.provider(), warmline::Provider::Anthropic);
    /// # }
    /// ```
    pub fn provider(&self) -> Provider {
        self.inner.provider
    }

    /// Returns the wire format of the requests.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// assert_eq!(client.dialect_name(), warmline::DialectName::Anthropic);
    /// # }
    /// ```
    pub fn dialect_name(&self) -> DialectName {
        self.inner.dialect.name()
    }

    /// Returns the policy by which calls are retried.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// println!("at most {} retries", client.retry_policy().max_retries);
    /// # }
    /// ```
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.inner.retry
    }

    /// Returns the model for requests that name none. It is empty if there is none.
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

/// What a router has to know.
impl Client {
    /// Returns the maximum number of tokens that the call of a body with these facts, and of so many bytes, can use if it names this model.
    pub(crate) fn max_tokens(
        &self,
        facts: &RequestFacts,
        bytes: usize,
        model: &str,
    ) -> Result<u64> {
        let Inner {
            provider,
            dialect,
            endpoint,
            ..
        } = &*self.inner;
        let (dialect, host) = (dialect.as_ref(), endpoint.host());
        let estimate =
            CostEstimate::new(&self.cost, *provider, dialect, host, model, facts, bytes)?;
        Ok(estimate.max_tokens)
    }

    pub(crate) fn dialect(&self) -> &dyn Dialect {
        &*self.inner.dialect
    }

    pub(crate) fn is_first_party(&self) -> bool {
        self.inner.endpoint.is_first_party
    }

    /// The scheme, host and port of its server.
    pub(crate) fn origin(&self) -> &str {
        self.inner.endpoint.origin()
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.inner.timeouts.deadline
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("provider", &self.inner.provider)
            .field("model", &self.inner.model)
            .field("endpoint", &shown(&self.inner.endpoint.url))
            .field("pool", &format_args!("{}", self.stats()))
            .finish_non_exhaustive()
    }
}
