//! `warmline serve`: the gateway as a server of its own.

mod config;
mod keys;
mod limits;
mod reload;
mod signals;
mod targets;
mod watch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use clap::Args;
use tokio::net::{TcpListener, TcpSocket};
use tower_http::services::ServeDir;
use warmline::shared::SharedState;
use warmline::{AlertThresholds, Client, ClientBuilder, RedisLedger, RestLedger};
use warmline_gateway::{
    AlertLog, AllowedHost, AllowedOrigin, ApiKeys, ConfigError, Gateway, not_found, shown_path,
};

use self::config::{Config, Listen};
use self::limits::LimitArgs;
use self::reload::Configured;
use self::signals::Signals;
use self::watch::Watch;
use crate::burst;
use crate::environment::{self, Overrides, Variables};
use crate::report::{self, Failure};
use crate::simulator::Simulator;

/// How long the end of the process may wait for the ledger.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of connections that wait to be accepted; Linux has the same limit for the whole system. A caller that connects
/// when 128 wait, the default, gets no answer for a second or longer.
const BACKLOG: u32 = 4096;

#[derive(Args)]
pub(crate) struct Options {
    /// A JSON file with targets (providers, keys, models, weights), routing, keys of callers and limits; docs/gateway.md describes it.
    /// Options and variables have precedence over it. It is read again when it changes, and on SIGHUP. Without this option, every
    /// provider whose key is set is served.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on. The default accepts connections from this machine only. [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// The port to listen on. If it is 0, the system chooses one. [default: 8787]
    #[arg(long)]
    port: Option<u16>,
    /// A JSON file with the API keys of callers: [{"name": "alice", "key": "…", "budget": "5"}]. A budget is in dollars a month. In place of
    /// "key", "sha256" is its hash. "requests_per_minute" and "tokens_per_minute" limit its calls. "other_endpoints": false keeps it from files and the like, where all share the provider's account. "operator": true lets a key read /metrics and everyone's statistics. "expires": "2027-01-31" ends it.
    /// The file is read again when it changes, and on SIGHUP. Without this option callers need no key.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// An origin whose web pages may call, such as `https://example.com`, or `*` for all. Can be repeated. Pages of the gateway itself
    /// (--site) may always call. Without --keys, requests from pages of other origins are refused.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<AllowedOrigin>,
    /// A host that callers may use in the URL, such as `gateway.example.com`. Can be repeated. Without --keys, requests to other hosts are
    /// refused. Always accepted are `localhost`, loopback addresses and the address of --host (every address if that is 0.0.0.0 or ::).
    /// With --keys every host is accepted.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<AllowedHost>,
    #[command(flatten)]
    limits: LimitArgs,
    /// How long a call may wait for a connection before an alert is raised, in milliseconds.
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    alert_wait: u64,
    /// A folder of web pages to serve as well.
    #[arg(long, value_name = "FOLDER")]
    site: Option<PathBuf>,
    /// The maximum that may be spent this month, in dollars, or `none`. [env: LLM_BUDGET_LIMIT] [default: 50.0]
    #[arg(long, allow_negative_numbers = true)]
    budget: Option<String>,
    /// Answer with the simulated provider, even if the key of a provider is set. It answers for all targets of --config, too. Only then is there `POST /demo/burst/{calls}`, by which
    /// the demo page makes the gateway send calls.
    #[arg(long, hide = !cfg!(feature = "simulator"))]
    simulate: bool,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let config = match &options.config {
        Some(file) => Some((file, Config::read(file).map_err(Failure::Config)?)),
        None => None,
    };
    let (listen, budget) = match &config {
        Some((_, config)) => (config.listen.clone(), config.budget.clone()),
        None => (Listen::default(), None),
    };
    let overrides = Overrides {
        budget: options.budget.or(budget),
        ..Overrides::default()
    };
    let alerts = AlertLog::default();
    let thresholds = AlertThresholds {
        wait: Duration::from_millis(options.alert_wait),
        ..AlertThresholds::default()
    };
    let mut variables = Variables::read(overrides)?;
    let mut simulator = None;
    if options.simulate {
        variables = variables.simulated();
        let started = Arc::new(Simulator::start().await?);
        report::note(format_args!(
            "--simulate: replies come from the simulated provider on {}, and keys of providers are not used",
            started.url()
        ));
        simulator = Some(started);
    }
    let host = options.host.or(listen.host);
    let host = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = options.port.or(listen.port).unwrap_or(8787);
    let limits = options.limits.resolve(&variables, &listen)?;
    let prepare = {
        let (alerts, limited, simulator) = (alerts.clone(), limits.of_replies(), simulator.clone());
        move |builder| {
            let builder = record_pool_alerts(limited(builder), &alerts);
            let builder = builder.alert_thresholds(thresholds);
            match &simulator {
                Some(simulator) => simulator.redirect(builder),
                None => builder,
            }
        }
    };
    let shared = shared_state(&variables)?;
    let mut builder = Gateway::builder();
    if let Some(state) = &shared {
        builder = builder.shared_state(state.clone());
    }
    let mut configured = None;
    let mut keys = match &options.keys {
        Some(file) => {
            let keys = ApiKeys::from_file(file)?;
            keys::announce(&keys, file);
            Some(keys)
        }
        None => None,
    };
    match config {
        Some((file, config)) => {
            let read = Configured::new(
                file.clone(),
                &config,
                variables,
                shared,
                alerts.clone(),
                prepare,
                options.keys.is_some(),
            );
            let (state, router, own) = read.map_err(Failure::Config)?;
            builder = builder.router(router);
            keys = keys.or(own);
            configured = Some(state);
        }
        None => {
            for client in environment::clients(&variables, prepare)? {
                builder = builder.client(record_budget_alerts(&client, &alerts));
            }
        }
    }
    let mut builder = limits
        .of_bodies(builder)
        .listen_address(host)
        .alert_log(alerts.clone());
    for origin in options.allow_origin {
        builder = builder.allow_origin(origin);
    }
    for host in options.allow_host {
        builder = builder.allow_host(host);
    }
    for (index, origin) in listen.allow_origin.iter().enumerate() {
        let origin = origin.parse::<AllowedOrigin>();
        builder = builder.allow_origin(origin.map_err(in_file("allow_origin", index))?);
    }
    for (index, host) in listen.allow_host.iter().enumerate() {
        let host = host.parse::<AllowedHost>();
        builder = builder.allow_host(host.map_err(in_file("allow_host", index))?);
    }
    let needs_keys = keys.is_some();
    if let Some(keys) = keys {
        builder = builder.api_keys(keys);
    }
    let gateway = builder.build()?;
    let fallback = match options.site {
        Some(folder) if !folder.is_dir() => {
            return Err(Failure::Config(format!(
                "--site is \"{}\", which is not a folder",
                shown_path(&folder)
            )));
        }
        Some(folder) => {
            Router::new().fallback_service(ServeDir::new(folder).fallback(any(not_found)))
        }
        None => Router::new().fallback(not_found),
    };
    // A caller of an ordinary gateway could spend its owner's money with a burst.
    let fallback = match &simulator {
        Some(_) => fallback.merge(burst::routes(&gateway)),
        None => fallback,
    };
    let app = gateway.router_with_fallback(fallback);
    let shutdown_timeout = limits.shutdown_timeout;

    let address = SocketAddr::from((host, port));
    let listener = bind(address).map_err(|e| {
        Failure::Config(format!(
            "cannot listen on {address}: {e}; choose another address with --port or --host"
        ))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    // Signals count, and files are watched, before anyone is told that the gateway is there.
    let signals = Signals::listen();
    if let Some(file) = options.keys {
        let watch = Watch::new(vec![file.clone()]);
        tokio::spawn(keys::watch(gateway.clone(), file, watch));
    }
    if let Some(configured) = configured {
        let watch = Watch::new(configured.files());
        tokio::spawn(reload::watch(gateway.clone(), configured, watch));
    }
    report::note(format_args!(
        "listening on http://{address}, press Ctrl-C to stop once open requests have ended"
    ));
    if !host.is_loopback() && !needs_keys {
        report::note(format_args!(
            "callers need no key: everyone who can reach this address can spend from the budget; require keys with --keys"
        ));
    }
    tokio::spawn(gateway.sample_pools());
    let shutdown = {
        let (gateway, signal) = (gateway.clone(), signals.nth(1));
        async move {
            signal.await;
            gateway.shutdown();
            report::note(format_args!(
                "stopping once open requests have ended, in {shutdown_timeout:?} at the latest; a second signal cuts them"
            ));
        }
    };
    let server = limits.server(listener);
    let server = server.shutdown_on(shutdown).abort_on(signals.nth(2));
    let stopped = server.serve(app).await;
    let flushed = flush(&gateway, &signals).await;
    match stopped.cut_requests {
        0 => {}
        1 => report::note(format_args!("1 open request was cut")),
        n => report::note(format_args!("{n} open requests were cut")),
    }
    flushed
}

/// Returns the state that gateways with the same Redis as their ledger share, or `None` without one.
fn shared_state(variables: &Variables) -> Result<Option<Arc<dyn SharedState>>, Failure> {
    Ok(match variables.redis() {
        Some((url, Some(token))) => Some(Arc::new(RestLedger::new(&url, token.trim())?)),
        Some((url, None)) => Some(Arc::new(RedisLedger::open(&url)?)),
        None => None,
    })
}

/// Names the place of a wrong value in the file of `--config`.
fn in_file(field: &str, index: usize) -> impl Fn(ConfigError) -> Failure {
    move |error| Failure::Config(format!("listen.{field}[{index}]: {error}"))
}

/// Listens as `TcpListener::bind` does, but with a longer queue.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // On Windows, this would let another program listen at the same address.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Writes what calls have cost to the ledger, also of those that were cut.
async fn flush(gateway: &Gateway, signals: &Signals) -> Result<(), Failure> {
    let lost = |why: String| {
        Failure::Other(format!(
            "{why}: what the last calls have cost may not be in the ledger"
        ))
    };
    tokio::select! {
        flushed = gateway.flush() => Ok(flushed?),
        () = tokio::time::sleep(FLUSH_TIMEOUT) => {
            Err(lost(format!("the ledger did not answer within {FLUSH_TIMEOUT:?}")))
        }
        () = signals.next() => Err(lost("another signal ended the wait for the ledger".to_owned())),
    }
}

fn record_pool_alerts(builder: ClientBuilder, alerts: &AlertLog) -> ClientBuilder {
    let (alerts, provider) = (alerts.clone(), builder.provider());
    builder.on_pool_alert(move |alert| alerts.record_pool(provider, alert))
}

fn record_budget_alerts(client: &Client, alerts: &AlertLog) -> Client {
    let alerts = alerts.clone();
    let tracker = client.cost_tracker().clone();
    client.with_cost_tracker(tracker.on_alert(move |alert| alerts.record_budget(alert)))
}
