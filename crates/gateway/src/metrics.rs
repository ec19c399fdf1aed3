//! The gateway's statistics, as JSON for people and web pages, and as text for Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};
use warmline::{Client, Error, Router};

use crate::accounts::AccountSpend;
use crate::alert_log::AlertLog;
use crate::calls::{Calls, InFlight};
use crate::prometheus::Prometheus;

/// How often the pools are sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Metrics {
    started: Instant,
    calls: Arc<Calls>,
    alerts: AlertLog,
}

impl Metrics {
    pub(crate) fn new(router: &Router, alerts: AlertLog) -> Self {
        Self {
            started: Instant::now(),
            calls: Arc::new(Calls::new(router, Prometheus::new(&alerts))),
            alerts,
        }
    }

    /// Takes over the targets of a router.
    pub(crate) fn reroute(&self, router: &Router) {
        self.calls.reroute(router);
    }

    /// Records the start of a call. `None` if there is no target of this name.
    pub(crate) fn call_started(&self, target: &str) -> Option<InFlight> {
        let target = self.calls.target(target)?;
        Some(InFlight::new(self.calls.clone(), target))
    }

    /// Samples the pools of the current router at intervals; never returns.
    pub(crate) async fn sample_pools(&self, router: impl Fn() -> Router) {
        let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
        loop {
            ticks.tick().await;
            let now = SystemTime::now();
            for (name, client) in router().targets() {
                if let Some(target) = self.calls.target(name) {
                    target.stats().sample(now, &client.stats());
                }
            }
        }
    }

    /// The statistics, with at most `samples` samples of each pool.
    pub(crate) async fn stats(&self, router: &Router, samples: usize) -> Result<Value, Error> {
        let mut providers = Map::new();
        let states = router.stats().targets;
        for ((name, client), state) in router.targets().zip(&states) {
            if let Some(target) = self.calls.target(name) {
                let stats = target.stats().to_json(client, state, samples);
                providers.insert(name.to_owned(), stats);
            }
        }
        let mut stats = json!({"uptime_s": self.started.elapsed().as_secs(), "providers": providers, "alerts": self.alerts.latest()});
        // The clients share a cost tracker.
        if let Some(client) = first(router) {
            let spend = client.cost_tracker().spend().await?;
            stats["spend"] = serde_json::to_value(spend).unwrap_or_default();
        }
        Ok(stats)
    }

    /// The metrics in OpenMetrics' text format.
    pub(crate) async fn text(&self, router: &Router, keys: &[AccountSpend]) -> String {
        // Without the ledger the other metrics are still shown; `/readyz` reports the ledger's failure.
        let spend = match first(router) {
            Some(client) => client.cost_tracker().spend().await.ok(),
            None => None,
        };
        let spend = spend.as_ref().map(|spend| (spend, keys));
        self.calls.prometheus.text(router, spend)
    }
}

fn first(router: &Router) -> Option<&Client> {
    router.targets().next().map(|(_, client)| client)
}
