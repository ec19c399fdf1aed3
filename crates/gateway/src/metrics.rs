//! The gateway's statistics, as JSON for people and web pages, and as text for Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};
use warmline::{Client, Error, Provider};

use crate::accounts::AccountSpend;
use crate::alert_log::AlertLog;
use crate::calls::{Calls, InFlight};
use crate::prometheus::Prometheus;

/// How often the pools are sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Metrics {
    started: Instant,
    clients: Vec<Client>,
    calls: Arc<Calls>,
    alerts: AlertLog,
}

impl Metrics {
    pub(crate) fn new(clients: Vec<Client>, alerts: AlertLog) -> Self {
        let providers = clients.iter().map(Client::provider);
        Self {
            started: Instant::now(),
            calls: Arc::new(Calls::new(providers, Prometheus::new(&alerts))),
            clients,
            alerts,
        }
    }

    pub(crate) fn call_started(&self, provider: Provider) -> InFlight {
        InFlight::new(self.calls.clone(), provider)
    }

    /// Samples the pools at intervals; never returns.
    pub(crate) async fn sample_pools(&self) {
        let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
        loop {
            ticks.tick().await;
            let now = SystemTime::now();
            for client in &self.clients {
                if let Some(mut stats) = self.calls.provider(client.provider()) {
                    stats.sample(now, &client.stats());
                }
            }
        }
    }

    /// The statistics, with at most `samples` samples of each pool.
    pub(crate) async fn stats(&self, samples: usize) -> Result<Value, Error> {
        let mut providers = Map::new();
        for client in &self.clients {
            let provider = client.provider();
            if let Some(stats) = self.calls.provider(provider) {
                providers.insert(provider.name().to_owned(), stats.to_json(client, samples));
            }
        }
        let mut stats = json!({"uptime_s": self.started.elapsed().as_secs(), "providers": providers, "alerts": self.alerts.latest()});
        // The clients share a cost tracker.
        if let Some(client) = self.clients.first() {
            let spend = client.cost_tracker().spend().await?;
            stats["spend"] = serde_json::to_value(spend).unwrap_or_default();
        }
        Ok(stats)
    }

    /// The metrics in OpenMetrics' text format.
    pub(crate) async fn text(&self, keys: &[AccountSpend]) -> String {
        // Without the ledger the other metrics are still shown; `/readyz` reports the ledger's failure.
        let spend = match self.clients.first() {
            Some(client) => client.cost_tracker().spend().await.ok(),
            None => None,
        };
        let spend = spend.as_ref().map(|spend| (spend, keys));
        self.calls.prometheus.text(&self.clients, spend)
    }
}
