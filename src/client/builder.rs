use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::handle::{Client, Inner};
use crate::credentials::Credentials;
use crate::dialect::MAX_REPLY_BYTES;
use crate::pool::Alerts;
use crate::provider::{Endpoint, Settings};
use crate::retry::RetryBudget;
use crate::runtime::{MaybeSend, MaybeSync};
use crate::timeouts::{TimeoutSettings, Timeouts, at_most};
use crate::transport::{Fetch, Options, Proxy, Transport};
use crate::url::shown;
use crate::{
    AlertThresholds, CostTracker, DialectName, Error, Limits, PoolAlert, Provider, Result,
    RetryPolicy, headers,
};

/// A builder for a [`Client`].
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
    pub(crate) dialect: Option<DialectName>,
    pub(crate) model: Option<String>,
    pub(crate) credentials: Credentials,
    /// Whether no setting and no key has chosen the provider.
    pub(crate) provider_by_default: bool,
    pub(crate) base_url: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) timeouts: TimeoutSettings,
    pub(crate) max_reply_bytes: usize,
    pub(crate) retry: RetryPolicy,
    pub(crate) http_version: HttpVersion,
    pub(crate) http2_ping: Option<Duration>,
    pub(crate) proxy: Proxy,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
    pub(super) fetch: Option<Fetch>,
    pub(crate) cost: CostTracker,
    pub(crate) alerts: Alerts,
}

/// The version of HTTP. On WebAssembly the runtime decides.
///
/// ```
/// assert_eq!(warmline::HttpVersion::default(), warmline::HttpVersion::Http1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1, which uses one connection per call in flight: a lost packet delays only one stream, and each stream has its
    /// own flow control.
    #[default]
    Http1,
    /// HTTP/2 if the server supports it (by ALPN; without TLS, by prior knowledge). As many calls share a connection as the
    /// server allows.
    Http2,
}

impl ClientBuilder {
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            provider,
            dialect: None,
            model: None,
            credentials: Credentials::default(),
            provider_by_default: false,
            base_url: None,
            settings: Settings::default(),
            limits: Limits::default(),
            timeouts: TimeoutSettings::default(),
            max_reply_bytes: MAX_REPLY_BYTES,
            retry: RetryPolicy::default(),
            http_version: HttpVersion::default(),
            http2_ping: None,
            proxy: Proxy::default(),
            root_certificates: Vec::new(),
            headers: Vec::new(),
            fetch: None,
            cost: CostTracker::new(),
            alerts: Alerts::default(),
        }
    }

    /// Returns the provider.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// assert_eq!(Client::builder(Provider::OpenAi).provider(), Provider::OpenAi);
    /// ```
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Sets the model for requests that name none. The default is [`Provider::default_model`]. If the provider has none either,
    /// each request must name its model.
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

    /// Sets the tracker that counts the costs and enforces the budgets. The default is a new one without a budget.
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

    /// Sets the limits of the connection pool. See [`Limits`] for the defaults.
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

    /// Sets a callback for alerts of the connection pool. Each alert is also a `tracing` event.
    ///
    /// The callback runs on a background thread, so it delays no call. On WebAssembly the runtime owns the connections, and there
    /// are no alerts.
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

    /// Sets the thresholds for alerts of the connection pool. See [`AlertThresholds`] for the defaults.
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

    /// Sets the retry policy. See [`RetryPolicy`] for the defaults.
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

    /// Sets the version of HTTP. The default is HTTP/1.1.
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

    /// Sets the interval of HTTP/2 pings. No pings are sent by default.
    ///
    /// Idle connections are pinged too. A connection is closed if a ping is not answered within 20 s.
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

    /// Sets the proxy, regardless of `NO_PROXY`.
    ///
    /// The scheme of its URL is `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`. Without a scheme
    /// (`"127.0.0.1:3128"`) it is `http`.
    ///
    /// The default is the proxy in the environment: `HTTPS_PROXY` or `HTTP_PROXY`, depending on the scheme of the base URL, or else
    /// `ALL_PROXY`, in upper or lower case, except for the hosts in `NO_PROXY`. An empty variable is ignored. If none is set, the
    /// default is the proxy in the settings of the system (macOS, Windows).
    ///
    /// [`ClientBuilder::build`] fails if the proxy cannot be used. No connection bypasses it.
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

    /// Uses no proxy, regardless of the environment.
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

    /// Adds trusted root certificates in PEM format to those of the platform. [`build`](Self::build) fails if the text contains
    /// anything else, such as a private key.
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

    /// Adds a header to every request. It replaces any other header of the same name.
    ///
    /// [`ClientBuilder::build`] fails if the name or the value is invalid.
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

    /// Builds the client.
    ///
    /// This opens no connection. See [`Client::warm_up`] for that.
    ///
    /// # Errors
    /// `Config` if a setting is invalid. The message names the value and what would be accepted.
    ///
    /// ```
    /// # use warmline::{Client, Limits, Provider};
    /// let limits = Limits { max_keepalive_connections: 11, ..Limits::default() };
    /// let error = Client::builder(Provider::OpenAi).api_key("sk-123").limits(limits).build().unwrap_err();
    /// assert!(error.to_string().contains("max_keepalive_connections is 11"));
    /// ```
    pub fn build(mut self) -> Result<Client> {
        let provider = self.provider;
        self.limits.keepalive_expiry = at_most(self.limits.keepalive_expiry);
        let timeouts = Timeouts::default().with(&self.timeouts)?;
        let model = self.model.as_deref().map(str::trim);
        let model = model
            .filter(|model| !model.is_empty())
            .or(provider.default_model())
            .unwrap_or_default()
            .to_owned();
        let dialect = self.dialect.unwrap_or(provider.dialect_name());
        let base_url = self.base_url.as_deref();
        let endpoint = Endpoint::new(provider, dialect, base_url, &self.settings, &model)?;
        let dialect = provider.dialect(dialect, endpoint.is_first_party)?;
        let mut credentials = self.credentials;
        credentials.check()?;
        let own = dialect.headers().iter();
        let mut headers: Vec<_> = own
            .map(|(known, value)| (String::from(known.text), String::from(*value)))
            .collect();
        headers.push((
            "user-agent".into(),
            concat!("warmline/", env!("CARGO_PKG_VERSION")).into(),
        ));
        for (name, value) in self.headers {
            let name = headers::checked_name(&name, &value)?;
            headers.retain(|(known, _)| *known != name);
            // The caller's own header replaces the credentials.
            if credentials.yield_to(provider, &name) {
                credentials = Credentials::own(&value);
            }
            headers.push((name, value));
        }
        if credentials.is_none() && provider.needs_key() && endpoint.is_first_party {
            return Err(Error::config(match self.provider_by_default {
                true => no_provider(self.dialect),
                false => format!(
                    "no API key for {provider}: set {} or pass a key to the client",
                    provider.key_variable()
                ),
            }));
        }
        if !credentials.is_none() {
            endpoint.warn_if_unencrypted("the API key");
        }
        let options = Options {
            limits: self.limits,
            alerts: self.alerts,
            timeouts,
            http2: self.http_version == HttpVersion::Http2,
            http2_ping: self.http2_ping,
            root_certificates: self.root_certificates,
            proxy: self.proxy,
            headers,
            fetch: self.fetch,
        };
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
            refuses_asking: AtomicBool::new(provider.refuses_asking(dialect.name())),
            dialect,
            model,
            credentials,
            endpoint,
            is_elsewhere: false,
            base_url: self.base_url,
            settings: self.settings,
            timeouts,
            max_reply_bytes: self.max_reply_bytes,
            retry: self.retry,
            retry_budget: Arc::new(RetryBudget::default()),
        });
        Ok(Client {
            inner,
            transport,
            cost: self.cost,
        })
    }
}

impl Client {
    /// Returns a builder for a client.
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

    /// Builds a client from environment variables. See [`ClientBuilder::from_env`] for their names.
    ///
    /// # Errors
    /// `Config` if a variable is invalid or the API key is missing. The message names the variable.
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
        // Headers and a proxy's URL are left out like the key, because they can contain secrets.
        f.debug_struct("ClientBuilder")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("base_url", &self.base_url.as_deref().map(shown))
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Says that no provider has a key, or none of those that speak a dialect, and which variables are read.
fn no_provider(dialect: Option<DialectName>) -> String {
    let mut names = Vec::new();
    for provider in Provider::all().filter(|provider| provider.needs_key()) {
        let name = match dialect {
            Some(dialect) if !provider.dialect_names().contains(&dialect) => continue,
            Some(_) => format!("{} for {provider}", provider.key_variable()),
            None => provider.key_variable().to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names = names.join(", ");
    match dialect {
        Some(dialect) => format!(
            "no provider that speaks the dialect {dialect} has a key: set one ({names}), set LLM_PROVIDER, or pass a key to the client"
        ),
        None => format!(
            "no provider is configured: set the key of one ({names}), set LLM_PROVIDER, or pass a key to the client"
        ),
    }
}
