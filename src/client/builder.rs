use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::handle::{Client, Inner};
use crate::pool::Alerts;
use crate::provider::{Endpoint, shown};
use crate::retry::RetryBudget;
use crate::runtime::{MaybeSend, MaybeSync};
use crate::transport::{Options, Proxy, Timeouts, Transport};
use crate::{
    AlertThresholds, CostTracker, Error, Limits, PoolAlert, Provider, Result, RetryPolicy, headers,
};

/// Sets a [`Client`] up.
///
/// ```
/// use std::time::Duration;
/// use warmline::{Client, Limits, Provider};
///
/// let client = Client::builder(Provider::Anthropic)
///     .api_key("sk-ant-…".replace('…', "123"))
///     .model("claude-sonnet-4-5")
///     .limits(Limits { max_connections: 20, ..Limits::default() })
///     .timeout(Duration::from_secs(60))
///     .build()?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone)]
pub struct ClientBuilder {
    pub(crate) provider: Provider,
    pub(crate) model: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) timeout: Duration,
    pub(crate) pool_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) http_version: HttpVersion,
    pub(crate) http2_ping: Option<Duration>,
    pub(crate) proxy: Proxy,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) cost: CostTracker,
    pub(crate) alerts: Alerts,
}

/// Longer waits are cut to this, which no clock runs past.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Which HTTP is spoken (native; in WebAssembly the runtime decides).
///
/// ```
/// assert_eq!(warmline::HttpVersion::default(), warmline::HttpVersion::Http1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1, as in httpx: a connection per call, so that each stream has its own flow control and
    /// none is buffered up by a lost packet of another's.
    #[default]
    Http1,
    /// HTTP/2 where the server has it (by ALPN; in clear text by prior knowledge): up to 100 calls
    /// share a connection.
    Http2,
}

impl ClientBuilder {
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            provider,
            model: None,
            key: None,
            base_url: None,
            limits: Limits::default(),
            timeout: Duration::from_secs(30),
            pool_timeout: None,
            deadline: None,
            retry: RetryPolicy::default(),
            http_version: HttpVersion::default(),
            http2_ping: None,
            proxy: Proxy::default(),
            root_certificates: Vec::new(),
            headers: Vec::new(),
            cost: CostTracker::new(),
            alerts: Alerts::default(),
        }
    }

    /// Whose dialect the client will speak.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// assert_eq!(Client::builder(Provider::OpenAi).provider(), Provider::OpenAi);
    /// ```
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The model of requests that name none. [`Provider::default_model`] where unset.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).model("gpt-4.1-mini");
    /// ```
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// The key. Needed, except with a [`base_url`](Self::base_url) of a server that wants none.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).api_key("sk-123");
    /// assert!(!format!("{builder:?}").contains("sk-123"));
    /// ```
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Another server that speaks the same dialect; as for the official SDKs, an OpenAI base URL ends
    /// in `/v1` and an Anthropic one does not (it may).
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let client = Client::builder(Provider::OpenAi).base_url("http://127.0.0.1:8000/v1").build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Follows its costs with this, and holds it to its budgets. A tracker of its own, without a budget, where unset.
    ///
    /// ```
    /// # use warmline::{Budget, Client, CostTracker, Provider};
    /// let tracker = CostTracker::new().budget(Budget::monthly("mine", "20".parse()?)?);
    /// let builder = Client::builder(Provider::OpenAi).cost_tracker(tracker);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn cost_tracker(mut self, tracker: CostTracker) -> Self {
        self.cost = tracker;
        self
    }

    /// How many connections there may be.
    ///
    /// ```
    /// # use warmline::{Client, Limits, Provider};
    /// let limits = Limits { max_connections: 2, max_keepalive_connections: 2, ..Limits::default() };
    /// let builder = Client::builder(Provider::OpenAi).limits(limits);
    /// ```
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Is called when something about the pool should be changed, which is a `tracing` event besides: on a thread of the crate's own, so
    /// that no call waits for it. Where the runtime owns the connections (WebAssembly), nothing is seen of them, and it never is.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).on_pool_alert(|alert| eprintln!("{alert}"));
    /// ```
    #[must_use]
    pub fn on_pool_alert(
        mut self,
        callback: impl Fn(&PoolAlert) + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.alerts.callback = Some(Arc::new(callback));
        self
    }

    /// When the pool gives an alert.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{AlertThresholds, Client, Provider};
    /// let thresholds = AlertThresholds { wait: Duration::from_millis(200), ..AlertThresholds::default() };
    /// let builder = Client::builder(Provider::OpenAi).alert_thresholds(thresholds);
    /// ```
    #[must_use]
    pub fn alert_thresholds(mut self, thresholds: AlertThresholds) -> Self {
        self.alerts.thresholds = thresholds;
        self
    }

    /// The bound of each wait on its own: connecting, the head of the response, the next content of a
    /// stream. 30 s, as httpx counts it; a long reply that keeps coming never runs out of it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The bound of the wait for a place in the pool; that of [`timeout`](Self::timeout) where unset.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).pool_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn pool_timeout(mut self, timeout: Duration) -> Self {
        self.pool_timeout = Some(timeout);
        self
    }

    /// The bound of a whole call, its retries included. None where unset.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).deadline(Duration::from_secs(120));
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How failed calls are tried again.
    ///
    /// ```
    /// # use warmline::{Client, Provider, RetryPolicy};
    /// let builder = Client::builder(Provider::OpenAi).retry(RetryPolicy::never());
    /// ```
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Which HTTP is spoken: HTTP/1.1 where unset.
    ///
    /// ```
    /// # use warmline::{Client, HttpVersion, Provider};
    /// let builder = Client::builder(Provider::OpenAi).http_version(HttpVersion::Http2);
    /// ```
    #[must_use]
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.http_version = version;
        self
    }

    /// Sends an HTTP/2 ping this often, while idle too, and closes the connection where 20 s pass
    /// without an answer. Off where unset.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, HttpVersion, Provider};
    /// let builder = Client::builder(Provider::OpenAi)
    ///     .http_version(HttpVersion::Http2)
    ///     .http2_ping_interval(Duration::from_secs(15));
    /// ```
    #[must_use]
    pub fn http2_ping_interval(mut self, interval: Duration) -> Self {
        self.http2_ping = Some(interval);
        self
    }

    /// Connects through this proxy, whatever `NO_PROXY` says. Its scheme is `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`, and `http`
    /// where it has none (`"127.0.0.1:3128"`).
    ///
    /// Where unset, the proxy is the one that the environment names: `HTTPS_PROXY` or `HTTP_PROXY` by the scheme of the base URL, else `ALL_PROXY`,
    /// each in upper or lower case, except for the hosts in `NO_PROXY`. An empty variable counts as one that is not set. Where none is set, it is the system's (macOS, Windows).
    ///
    /// A proxy that cannot be used is an error of [`ClientBuilder::build`]: no connection goes past it.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).proxy("http://127.0.0.1:3128");
    /// ```
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Proxy::Url(url.into());
        self
    }

    /// Goes through no proxy, whatever the environment says.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).no_proxy();
    /// ```
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Proxy::None;
        self
    }

    /// Trusts the certificates in this PEM too, besides the platform's.
    ///
    /// ```no_run
    /// # use warmline::{Client, Provider};
    /// let pem = std::fs::read("company-ca.pem")?;
    /// let builder = Client::builder(Provider::OpenAi).root_certificate(pem);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Adds a header to every request, in place of one of the same name.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::Anthropic).header("anthropic-beta", "context-1m-2025-08-07");
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The client. Nothing is connected yet; see [`Client::warm_up`].
    ///
    /// # Errors
    /// `Config`, naming the value and what would be accepted.
    ///
    /// ```
    /// # use warmline::{Client, Limits, Provider};
    /// let limits = Limits { max_keepalive_connections: 11, ..Limits::default() };
    /// let error = Client::builder(Provider::OpenAi).api_key("sk-123").limits(limits).build().unwrap_err();
    /// assert!(error.to_string().contains("max_keepalive_connections is 11"));
    /// ```
    pub fn build(mut self) -> Result<Client> {
        let provider = self.provider;
        for wait in [&mut self.timeout, &mut self.limits.keepalive_expiry] {
            *wait = LONGEST.min(*wait);
        }
        for wait in [&mut self.pool_timeout, &mut self.deadline] {
            *wait = wait.map(|wait| LONGEST.min(wait));
        }
        let waits = [Some(self.timeout), self.pool_timeout, self.deadline];
        for (name, wait) in ["timeout", "pool_timeout", "deadline"]
            .into_iter()
            .zip(waits)
        {
            if wait.is_some_and(|wait| wait.is_zero()) {
                return Err(Error::config(format!("{name} is 0: it must be longer")));
            }
        }
        let endpoint = Endpoint::new(
            provider,
            self.base_url
                .as_deref()
                .unwrap_or(provider.default_base_url()),
        )?;
        let key = self.key.unwrap_or_default();
        if key.trim().is_empty() && endpoint.is_first_party {
            return Err(Error::config(format!(
                "no API key for {provider}: set {} or give the builder one",
                provider.key_variable()
            )));
        }
        let key = key.trim();
        if !headers::is_sendable(key) {
            let message = "the API key holds characters that no HTTP header can carry";
            return Err(Error::config(message));
        }
        let mut headers = provider.headers(key);
        headers.push((
            "user-agent".into(),
            concat!("warmline/", env!("CARGO_PKG_VERSION")).into(),
        ));
        for (name, value) in self.headers {
            let name = headers::checked_name(&name, &value)?;
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
        }
        let options = Options {
            limits: self.limits,
            alerts: self.alerts,
            timeouts: Timeouts {
                pool: self.pool_timeout.unwrap_or(self.timeout),
                connect: self.timeout,
                response_headers: self.timeout,
            },
            http2: self.http_version == HttpVersion::Http2,
            http2_ping: self.http2_ping,
            root_certificates: self.root_certificates,
            proxy: self.proxy,
            headers,
        };
        let model = self
            .model
            .unwrap_or_else(|| provider.default_model().to_owned());
        let transport = Transport::new(&endpoint, options)?;
        tracing::info!(%provider, model, "LLM service initialized");
        tracing::info!(
            max_connections = self.limits.max_connections,
            max_keepalive_connections = self.limits.max_keepalive_connections,
            "HTTP client initialized with connection pool (max {} connections)",
            self.limits.max_connections
        );
        let inner = Arc::new(Inner {
            provider,
            model,
            key: key.to_owned(),
            endpoint,
            transport,
            timeout: self.timeout,
            deadline: self.deadline,
            retry: self.retry,
            retry_budget: RetryBudget::default(),
        });
        Ok(Client {
            inner,
            cost: self.cost,
        })
    }
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
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the key, nor headers or a proxy's URL, which can hold one.
        f.debug_struct("ClientBuilder")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("base_url", &self.base_url.as_deref().map(shown))
            .field("limits", &self.limits)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
