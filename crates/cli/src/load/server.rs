//! The server that a load test calls: the simulated provider on a simulated network, or a real one.

use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use warmline::{Client, ClientBuilder, HttpVersion, Provider, Request};
use warmline_sim::Config;

use crate::environment::{self, Overrides};
use crate::report::Failure;
use crate::simulator::Simulator;

#[derive(Args)]
pub(crate) struct TargetArgs {
    #[arg(long, help = environment::provider_help())]
    provider: Option<String>,
    /// Call the provider that the environment configures, instead of the simulated one. This costs money, at most LLM_BUDGET_LIMIT.
    #[arg(long, conflicts_with_all = ["tls", "delay", "pace"])]
    live: bool,
    /// Call the server at this base URL, which speaks the provider's dialect, instead of the simulated one.
    #[arg(long, conflicts_with_all = ["tls", "delay", "pace"])]
    base_url: Option<String>,
    /// The model. [env: LLM_MODEL]
    #[arg(long)]
    model: Option<String>,
    /// The prompt of each call.
    #[arg(long, default_value = "Count from 1 to 100.")]
    prompt: String,
    /// The number of tokens of a simulated reply, or the maximum of a real one.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tokens: u32,
    /// The time that the simulated model takes per token, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pace: u64,
    /// The delay of the simulated network in each direction, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    delay: u64,
    /// Call the simulated provider over TLS.
    #[arg(long)]
    tls: bool,
}

/// A server, and the request that each call sends it.
pub(super) struct Server {
    /// A description for people.
    pub(super) name: String,
    builder: ClientBuilder,
    request: Request,
    /// Runs on a thread of its own, so that its CPU time is not counted as the client's.
    simulator: Option<(Simulator, Runtime)>,
    config: Config,
}

impl Server {
    pub(super) fn start(options: &TargetArgs, http2: bool) -> Result<Self, Failure> {
        let mut request = Request::new()
            .user(&*options.prompt)
            .max_tokens(options.tokens);
        request.model.clone_from(&options.model);
        let mut server = if options.live || options.base_url.is_some() {
            let builder = environment::builder(Overrides {
                provider: options.provider.clone(),
                model: options.model.clone(),
                base_url: options.base_url.clone(),
                budget: None,
            })?;
            let name = match &options.base_url {
                Some(url) => url.clone(),
                None => builder.provider().to_string(),
            };
            Self {
                name: format!("{name}, replies of at most {} tokens", options.tokens),
                builder,
                request,
                simulator: None,
                config: Config::default(),
            }
        } else {
            let provider = match options.provider.as_deref() {
                Some(name) => name.parse()?,
                None => Provider::Anthropic,
            };
            let config = Config {
                tls: options.tls,
                one_way_delay: Duration::from_millis(options.delay),
                ..Config::default()
            };
            Self::simulated(provider, &config, request, options.tokens, options.pace)?
        };
        if http2 {
            server.builder = server.builder.http_version(HttpVersion::Http2);
            server.name.push_str(", HTTP/2");
        }
        Ok(server)
    }

    pub(super) fn simulated(
        provider: Provider,
        config: &Config,
        request: Request,
        tokens: u32,
        pace: u64,
    ) -> Result<Self, Failure> {
        let (simulator, runtime) = simulator(config)?;
        let mut config = config.clone();
        let port = simulator.url().rsplit(':').next().map(str::to_owned);
        config.port = port.and_then(|port| port.parse().ok()).unwrap_or(0);
        let builder = simulator.redirect(Client::builder(provider));
        let model = request.model.as_deref();
        let model = model.or(provider.default_model()).unwrap_or("simulated");
        let model = format!("{model}?tokens={tokens}&pace={pace}&flush");
        let distance = match config.one_way_delay {
            Duration::ZERO => "on this machine".to_owned(),
            one_way => format!("{one_way:?} away each way"),
        };
        let tls = if config.tls { "TLS" } else { "no TLS" };
        Ok(Self {
            name: format!(
                "the simulated provider, {distance}, {tls}, replies of {tokens} tokens at {pace} ms each"
            ),
            builder,
            request: request.model(model),
            simulator: Some((simulator, runtime)),
            config,
        })
    }

    /// Ends the simulated provider with all its connections.
    pub(super) fn kill(&mut self) {
        if let Some((_, runtime)) = self.simulator.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts the simulated provider again, at its old address.
    pub(super) fn revive(&mut self) -> Result<(), Failure> {
        self.simulator = Some(simulator(&self.config)?);
        Ok(())
    }

    pub(super) fn client(&self) -> ClientBuilder {
        self.builder.clone()
    }

    pub(super) fn request(&self) -> Request {
        self.request.clone()
    }
}

/// Starts a simulated provider on a thread of its own.
fn simulator(config: &Config) -> Result<(Simulator, Runtime), Failure> {
    let cannot = |e| Failure::Other(format!("the simulated provider cannot start: {e}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(cannot)?;
    let config = config.clone();
    // Not in the runtime of the calls, which may be the current one.
    let started = std::thread::scope(|scope| {
        let starting = scope.spawn(|| runtime.block_on(Simulator::start_with(config)));
        starting.join()
    });
    let simulator =
        started.map_err(|_| Failure::Other("the simulated provider has panicked".into()))?;
    Ok((simulator?, runtime))
}
