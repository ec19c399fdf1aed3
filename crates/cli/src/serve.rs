//! `warmline serve`: the gateway as a server of its own.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use clap::Args;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;
use warmline::{AlertThresholds, Client, ClientBuilder};
use warmline_gateway::{
    AlertLog, AllowedHost, AllowedOrigin, ApiKeys, Gateway, nodelay, not_found,
};

use crate::burst;
use crate::environment::{self, Overrides};
use crate::report::Failure;

#[derive(Args)]
pub(crate) struct Options {
    /// The address to listen on. The default accepts connections from this machine only.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port to listen on. If it is 0, the system chooses one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// A JSON file with the API keys of callers: [{"name": "alice", "key": "…", "budget": "5"}]. A budget is in dollars a month. Without
    /// this option callers need no key.
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
    /// The maximum size of a request body, in bytes.
    #[arg(long, default_value_t = 32 << 20, value_name = "BYTES")]
    max_body: usize,
    /// How long a call may wait for a connection before an alert is raised, in milliseconds.
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    alert_wait: u64,
    /// A folder of web pages to serve as well.
    #[arg(long, value_name = "FOLDER")]
    site: Option<PathBuf>,
    /// The maximum that may be spent this month, in dollars, or `none`. [env: LLM_BUDGET_LIMIT] [default: 50.0]
    #[arg(long, allow_negative_numbers = true)]
    budget: Option<String>,
    /// Answer with the simulated provider, even if the key of a provider is set. Only then is there `POST /demo/burst/{calls}`, by which
    /// the demo page makes the gateway send calls.
    #[arg(long, hide = !cfg!(feature = "simulator"))]
    simulate: bool,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let overrides = Overrides {
        budget: options.budget,
        ..Overrides::default()
    };
    let alerts = AlertLog::default();
    let thresholds = AlertThresholds {
        wait: Duration::from_millis(options.alert_wait),
        ..AlertThresholds::default()
    };
    let with_alerts = |builder| record_pool_alerts(builder, &alerts).alert_thresholds(thresholds);
    let (clients, simulator) =
        environment::clients(overrides, options.simulate, with_alerts).await?;
    let mut builder = Gateway::builder()
        .listen_address(options.host)
        .max_body(options.max_body)
        .alert_log(alerts.clone());
    for client in clients {
        builder = builder.client(record_budget_alerts(&client, &alerts));
    }
    for origin in options.allow_origin {
        builder = builder.allow_origin(origin);
    }
    for host in options.allow_host {
        builder = builder.allow_host(host);
    }
    if let Some(file) = &options.keys {
        builder = builder.api_keys(ApiKeys::from_file(file)?);
    }
    let gateway = builder.build()?;
    let fallback = match options.site {
        Some(folder) if !folder.is_dir() => {
            return Err(Failure::Config(format!(
                "--site is {folder:?}, which is not a folder"
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

    let address = SocketAddr::from((options.host, options.port));
    let listener = TcpListener::bind(address).await.map_err(|e| {
        Failure::Config(format!(
            "cannot listen on {address}: {e}; choose another address with --port or --host"
        ))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    eprintln!("listening on http://{address}, press Ctrl-C to stop once open streams have ended");
    if !options.host.is_loopback() && options.keys.is_none() {
        eprintln!(
            "callers need no key: everyone who can reach this address can spend from the budget; require keys with --keys"
        );
    }
    tokio::spawn(gateway.sample_pools());
    let shutdown = {
        let gateway = gateway.clone();
        async move {
            shutdown_signal().await;
            gateway.shutdown();
        }
    };
    axum::serve(nodelay(listener), app)
        .with_graceful_shutdown(shutdown)
        .await
        .map_err(|e| Failure::Other(format!("the gateway has failed: {e}")))?;
    Ok(gateway.flush().await?)
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

/// Waits for Ctrl-C or SIGTERM, which service managers send.
async fn shutdown_signal() {
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
