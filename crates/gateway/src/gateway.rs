//! The gateway and its builder.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use tower_http::cors::CorsLayer;
use warmline::shared::{MemoryState, SharedState};
use warmline::{Client, Error, Router};

use crate::accounts::Accounts;
use crate::alert_log::AlertLog;
use crate::api_keys::ApiKeys;
use crate::error::ConfigError;
use crate::guard::{self, Guard};
use crate::host::AllowedHost;
use crate::origin::{AllowedOrigin, Origins};
use crate::rate_limits::Shared;
use crate::request_body::BodyLimits;
use crate::routes;
use crate::state::GatewayState;
use crate::targets;

/// A gateway for LLM APIs: see the [crate's documentation](crate). Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    state: Arc<GatewayState>,
    cors: CorsLayer,
    /// If `None`, no request is checked, since callers need a key.
    guard: Option<Arc<Guard>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("router", &self.state.router())
            .field(
                "api_keys",
                &self.state.accounts.as_ref().map(Accounts::names),
            )
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Returns a builder of a gateway.
    ///
    /// ```
    /// use warmline::{Client, Provider};
    /// use warmline_gateway::Gateway;
    ///
    /// # fn demo() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::builder(Provider::Anthropic).api_key("sk-ant-…").build()?;
    /// let gateway = Gateway::builder().client(client).build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder {
            clients: Vec::new(),
            router: None,
            shared: Shared(Arc::new(MemoryState::default())),
            api_keys: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            listen_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            max_body: GatewayBuilder::MAX_BODY,
            max_body_total: GatewayBuilder::MAX_BODY_TOTAL,
            body_timeout: GatewayBuilder::BODY_TIMEOUT,
            alerts: AlertLog::default(),
        }
    }

    /// Returns the routes of the gateway, which you can merge into a router of your own or nest below a path. There is no fallback: other
    /// paths are left to your router.
    ///
    /// ```
    /// # fn demo(gateway: warmline_gateway::Gateway) {
    /// use axum::{Router, routing::get};
    ///
    /// // Callers use http://…/llm/v1 as the base URL of OpenAI, and http://…/llm as that of Anthropic.
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "Hello" }))
    ///     .nest("/llm", gateway.router());
    /// # }
    /// ```
    pub fn router(&self) -> axum::Router {
        let mut api = routes::api(self.state.clone());
        if let Some(guard) = &self.guard {
            let layer = middleware::from_fn_with_state(guard.clone(), guard::check);
            api = api.route_layer(layer);
        }
        api.merge(routes::health(self.state.clone()))
            .route_layer(self.cors.clone())
    }

    /// Returns the routes of the gateway, with `fallback` for all other paths. The gateway protects the fallback as its own routes: it
    /// checks the host and the origin of requests, and sends CORS headers. Use it for pages that call the gateway.
    ///
    /// ```
    /// # fn demo(gateway: warmline_gateway::Gateway) {
    /// use axum::Router;
    /// use warmline_gateway::not_found;
    ///
    /// let app = gateway.router_with_fallback(Router::new().fallback(not_found));
    /// # }
    /// ```
    pub fn router_with_fallback(&self, mut fallback: axum::Router) -> axum::Router {
        if let Some(guard) = &self.guard {
            let layer = middleware::from_fn_with_state(guard.clone(), guard::check);
            fallback = fallback.layer(layer);
        }
        self.router().merge(fallback.layer(self.cors.clone()))
    }

    /// Samples the pools once a second until [`shutdown`](Self::shutdown), for `pool.over_time` of the statistics. Spawn it beside the
    /// server; without it there are no samples.
    ///
    /// ```
    /// # fn demo(gateway: warmline_gateway::Gateway) {
    /// tokio::spawn(gateway.sample_pools());
    /// # }
    /// ```
    pub fn sample_pools(&self) -> impl Future<Output = ()> + Send + use<> {
        let state = self.state.clone();
        async move {
            let mut shutdown = state.shutdown.subscribe();
            tokio::select! {
                () = state.metrics.sample_pools(|| state.router()) => {}
                _ = shutdown.wait_for(|shutdown| *shutdown) => {}
            }
        }
    }

    /// Ends the streams of live statistics, which otherwise keep a graceful shutdown waiting for ever, and
    /// [`sample_pools`](Self::sample_pools), and refuses requests whose body has not arrived. Other calls are not affected.
    ///
    /// ```
    /// # async fn demo(gateway: warmline_gateway::Gateway, listener: tokio::net::TcpListener) {
    /// use warmline_gateway::Server;
    ///
    /// let app = gateway.router();
    /// let shutdown = async move {
    ///     let _ = tokio::signal::ctrl_c().await;
    ///     gateway.shutdown();
    /// };
    /// Server::new(listener).shutdown_on(shutdown).serve(app).await;
    /// # }
    /// ```
    pub fn shutdown(&self) {
        self.state.shutdown.send_replace(true);
    }

    /// Replaces the keys of callers. Calls that are under way are not affected. A caller whose name stays keeps what it has spent.
    /// Without a valid key among them nobody can call.
    ///
    /// # Errors
    /// The gateway was built without [`GatewayBuilder::api_keys`], so that its callers need no key.
    ///
    /// ```
    /// # fn demo(gateway: warmline_gateway::Gateway) -> Result<(), warmline_gateway::ConfigError> {
    /// use warmline_gateway::ApiKeys;
    ///
    /// gateway.set_api_keys(ApiKeys::from_file("keys.json")?)?;
    /// # Ok(()) }
    /// ```
    pub fn set_api_keys(&self, api_keys: ApiKeys) -> Result<(), ConfigError> {
        match &self.state.accounts {
            Some(accounts) => {
                accounts.replace(api_keys, &self.state.router());
                Ok(())
            }
            None => Err(ConfigError::new(
                "the gateway was built without API keys, so its callers need none",
            )),
        }
    }

    /// Replaces the router. Calls that are under way end on the one before. Targets whose name and provider stay keep their statistics, and
    /// callers keep what they have spent.
    ///
    /// ```
    /// # fn demo(gateway: warmline_gateway::Gateway, client: warmline::Client) -> warmline::Result<()> {
    /// use warmline::{Router, Target};
    ///
    /// gateway.set_router(Router::builder().target(Target::new(client)).build()?);
    /// # Ok(()) }
    /// ```
    pub fn set_router(&self, router: Router) {
        self.state.reroute(router);
    }

    /// Waits until the costs of all ended calls are in the ledger. Call it before the process exits.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    ///
    /// ```
    /// # async fn demo(gateway: warmline_gateway::Gateway) -> warmline::Result<()> {
    /// gateway.flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        for (_, client) in self.state.router().targets() {
            client.cost_tracker().flush().await?;
        }
        Ok(())
    }
}

/// Builds a [`Gateway`]; made by [`Gateway::builder`].
///
/// ```
/// use warmline_gateway::{ApiKeys, Gateway};
///
/// # fn demo(anthropic: warmline::Client, openai: warmline::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::builder()
///     .client(anthropic)
///     .client(openai)
///     .api_keys(ApiKeys::from_file("keys.json")?)
///     .allow_origin("https://app.example.com".parse()?)
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct GatewayBuilder {
    clients: Vec<Client>,
    router: Option<Router>,
    shared: Shared,
    api_keys: Option<ApiKeys>,
    origins: Vec<AllowedOrigin>,
    hosts: Vec<AllowedHost>,
    listen_address: IpAddr,
    max_body: usize,
    max_body_total: usize,
    body_timeout: Duration,
    alerts: AlertLog,
}

impl GatewayBuilder {
    /// The default of [`max_body`](Self::max_body): 32 MiB.
    pub const MAX_BODY: usize = 32 << 20;
    /// The default of [`max_body_total`](Self::max_body_total): 256 MiB.
    pub const MAX_BODY_TOTAL: usize = 256 << 20;
    /// The default of [`body_timeout`](Self::body_timeout).
    pub const BODY_TIMEOUT: Duration = Duration::from_secs(120);

    /// Adds the client for one provider. At least one is required, and at most one for each provider. Clients should share a cost tracker:
    /// the statistics show the spend of the first client's.
    ///
    /// The model of a call decides which client makes it, as [`Router::chat`] describes. A model that no provider is known to have goes to
    /// the first client that speaks the dialect of the route. Providers do not cool down, and are not paced; use
    /// [`router`](Self::router) for that.
    ///
    /// ```
    /// use warmline::{Client, Provider};
    /// use warmline_gateway::Gateway;
    ///
    /// # fn demo() -> Result<(), Box<dyn std::error::Error>> {
    /// let openai = Client::builder(Provider::OpenAi).api_key("sk-…").build()?;
    /// let anthropic = Client::builder(Provider::Anthropic)
    ///     .api_key("sk-ant-…")
    ///     .cost_tracker(openai.cost_tracker().clone())
    ///     .build()?;
    /// let gateway = Gateway::builder().client(openai).client(anthropic).build()?;
    /// # Ok(()) }
    /// ```
    pub fn client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// Sets the router that makes the calls, in place of [`client`](Self::client)s. Its clients should share a cost tracker.
    ///
    /// ```
    /// use warmline::{Client, Provider, Router, Target};
    /// use warmline_gateway::Gateway;
    ///
    /// # fn demo(eu: Client, us: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let router = Router::builder()
    ///     .target(Target::new(eu).name("eu").model("fast", "gpt-41-mini-deployment"))
    ///     .target(Target::new(us).name("us").model("fast", "gpt-4.1-mini").priority(1))
    ///     .build()?;
    /// let gateway = Gateway::builder().router(router).build()?;
    /// # Ok(()) }
    /// ```
    pub fn router(mut self, router: Router) -> Self {
        self.router = Some(router);
        self
    }

    /// Sets what the limits of requests and tokens of keys are counted in. The default is the memory of the process. Gateways that share a
    /// Redis share the limits.
    ///
    /// ```
    /// # fn demo(client: warmline::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// # use warmline_gateway::Gateway;
    /// use warmline::RestLedger;
    ///
    /// let redis = RestLedger::new("https://example.upstash.io", "token")?;
    /// let builder = Gateway::builder().client(client).shared_state(redis);
    /// # Ok(()) }
    /// ```
    pub fn shared_state(mut self, state: impl SharedState + 'static) -> Self {
        self.shared = Shared(Arc::new(state));
        self
    }

    /// Requires callers to send one of these keys. By default callers need no key, and everyone who reaches the gateway can spend from its
    /// budget; it then checks the `Host` and the `Origin` of requests, so that web pages cannot.
    ///
    /// ```
    /// # fn demo(client: warmline::Client) -> Result<(), warmline_gateway::ConfigError> {
    /// use warmline_gateway::{ApiKeys, Gateway};
    ///
    /// let keys = ApiKeys::from_json(r#"[{"name": "alice", "key": "alice-0123456789abcdef"}]"#)?;
    /// let gateway = Gateway::builder().client(client).api_keys(keys).build()?;
    /// # Ok(()) }
    /// ```
    pub fn api_keys(mut self, api_keys: ApiKeys) -> Self {
        self.api_keys = Some(api_keys);
        self
    }

    /// Lets web pages of an origin call and read responses. Can be called several times. Pages of the gateway's own origin may always call.
    ///
    /// ```
    /// # fn demo(client: warmline::Client) -> Result<(), warmline_gateway::ConfigError> {
    /// # use warmline_gateway::Gateway;
    /// let builder = Gateway::builder().client(client).allow_origin("https://example.com".parse()?);
    /// # Ok(()) }
    /// ```
    pub fn allow_origin(mut self, origin: AllowedOrigin) -> Self {
        self.origins.push(origin);
        self
    }

    /// Accepts requests to a host, at any port. Can be called several times. `localhost`, names that end in `.localhost`, loopback addresses
    /// and the [`listen_address`](Self::listen_address) are always accepted. With [`api_keys`](Self::api_keys) every host is
    /// accepted.
    ///
    /// ```
    /// # fn demo(client: warmline::Client) -> Result<(), warmline_gateway::ConfigError> {
    /// # use warmline_gateway::Gateway;
    /// let builder = Gateway::builder().client(client).allow_host("gateway.example.com".parse()?);
    /// # Ok(()) }
    /// ```
    pub fn allow_host(mut self, host: AllowedHost) -> Self {
        self.hosts.push(host);
        self
    }

    /// Sets the address that your server listens on, which is accepted as a host. If it is unspecified (`0.0.0.0` or `::`), every IP address
    /// is accepted. The default is `127.0.0.1`.
    ///
    /// ```
    /// # use warmline_gateway::Gateway;
    /// let builder = Gateway::builder().listen_address([0, 0, 0, 0].into());
    /// ```
    pub fn listen_address(mut self, address: IpAddr) -> Self {
        self.listen_address = address;
        self
    }

    /// Sets the maximum size of a request body, in bytes. The default is 32 MiB. Larger requests get status 413, before any of their bytes
    /// are read if they declare their length.
    ///
    /// ```
    /// # use warmline_gateway::Gateway;
    /// let builder = Gateway::builder().max_body(1 << 20);
    /// ```
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets the maximum size of all request bodies together, in bytes: of those that arrive, and of those whose calls are under way. The
    /// default is 256 MiB. A request that would exceed it gets status 503. A declared length counts from the start.
    ///
    /// ```
    /// # use warmline_gateway::Gateway;
    /// let builder = Gateway::builder().max_body_total(1 << 30);
    /// ```
    pub fn max_body_total(mut self, bytes: usize) -> Self {
        self.max_body_total = bytes;
        self
    }

    /// Sets how long a request body may take to arrive. The default is 120 s. Slower requests get status 408.
    ///
    /// ```
    /// # use warmline_gateway::Gateway;
    /// let builder = Gateway::builder().body_timeout(std::time::Duration::from_secs(30));
    /// ```
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Sets the alerts that the statistics and the metrics show. The default is an empty log.
    ///
    /// ```
    /// # use warmline_gateway::{AlertLog, Gateway};
    /// let alerts = AlertLog::default();
    /// let builder = Gateway::builder().alert_log(alerts.clone());
    /// ```
    pub fn alert_log(mut self, alerts: AlertLog) -> Self {
        self.alerts = alerts;
        self
    }

    /// Builds the gateway.
    ///
    /// # Errors
    /// There is no client and no router, or both, or more than one client for the same provider, or no API key that is valid, or a limit of bodies is 0 or contradicts the other.
    ///
    /// ```
    /// let error = warmline_gateway::Gateway::builder().build().unwrap_err();
    /// assert_eq!(error.to_string(), "a gateway needs at least one client");
    /// ```
    pub fn build(self) -> Result<Gateway, ConfigError> {
        let router = targets::router(self.clients, self.router)?;
        for (name, is_zero) in [
            ("max_body", self.max_body == 0),
            ("body_timeout", self.body_timeout.is_zero()),
        ] {
            if is_zero {
                return Err(ConfigError::new(format!("{name} is 0: it must be more")));
            }
        }
        if self.max_body_total < self.max_body {
            return Err(ConfigError::new(format!(
                "max_body_total is {}: it must be at least max_body, which is {}",
                self.max_body_total, self.max_body
            )));
        }
        if let Some(keys) = &self.api_keys {
            keys.check_usable()?;
        }
        let origins = Origins::new(self.origins);
        let cors = origins.cors();
        let guard = match &self.api_keys {
            Some(_) => None,
            None => Some(Guard::new(origins, self.listen_address, self.hosts)),
        };
        let body_limits = BodyLimits {
            max: self.max_body,
            max_total: self.max_body_total,
            timeout: self.body_timeout,
            held: Arc::default(),
        };
        let state = GatewayState::new(router, self.api_keys, self.shared, self.alerts, body_limits);
        Ok(Gateway {
            state: Arc::new(state),
            cors,
            guard: guard.map(Arc::new),
        })
    }
}
