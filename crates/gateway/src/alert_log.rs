//! The latest alerts of pools and budgets, for the statistics.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde_json::{Value, json};
use warmline::{BudgetAlert, PoolAlert, Provider};

/// The maximum number of alerts that are kept.
const CAPACITY: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AlertLabels {
    kind: &'static str,
}

/// The latest 32 alerts of pools and budgets, and a count of each kind, which the gateway shows in its statistics and metrics.
///
/// Record alerts from the callbacks of your clients and cost trackers, and give the log to
/// [`GatewayBuilder::alert_log`](crate::GatewayBuilder::alert_log). Clones share their contents.
///
/// ```
/// use warmline::{Client, CostTracker, Provider};
/// use warmline_gateway::AlertLog;
///
/// let alerts = AlertLog::default();
/// let (pool_alerts, budget_alerts) = (alerts.clone(), alerts.clone());
/// let client = Client::builder(Provider::OpenAi)
///     .on_pool_alert(move |alert| pool_alerts.record_pool(Provider::OpenAi, alert))
///     .cost_tracker(CostTracker::new().on_alert(move |alert| budget_alerts.record_budget(alert)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct AlertLog {
    latest: Arc<Mutex<VecDeque<Value>>>,
    counts: Family<AlertLabels, Counter>,
}

impl AlertLog {
    /// Records an alert of the pool of a client of `provider`.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// # let alerts = warmline_gateway::AlertLog::default();
    /// let builder = Client::builder(Provider::Anthropic)
    ///     .on_pool_alert(move |alert| alerts.record_pool(Provider::Anthropic, alert));
    /// ```
    pub fn record_pool(&self, provider: Provider, alert: &PoolAlert) {
        let details = json!({"provider": provider});
        self.push(alert.kind.name(), details, &alert.summary, &alert.hint);
    }

    /// Records an alert of a budget.
    ///
    /// ```
    /// # use warmline::CostTracker;
    /// # let alerts = warmline_gateway::AlertLog::default();
    /// let tracker = CostTracker::new().on_alert(move |alert| alerts.record_budget(alert));
    /// ```
    pub fn record_budget(&self, alert: &BudgetAlert) {
        let details = json!({"budget": alert.budget, "percent": alert.percent});
        self.push("budget", details, &alert.summary(), alert.hint());
    }

    fn push(&self, kind: &'static str, mut alert: Value, summary: &str, hint: &str) {
        self.counts.get_or_create(&AlertLabels { kind }).inc();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        alert["at"] = since.unwrap_or_default().as_secs_f64().into();
        alert["kind"] = kind.into();
        alert["summary"] = summary.into();
        alert["hint"] = hint.into();
        let mut latest = self.lock();
        if latest.len() == CAPACITY {
            latest.pop_front();
        }
        latest.push_back(alert);
    }

    /// The alerts, oldest first.
    pub(crate) fn latest(&self) -> Vec<Value> {
        self.lock().iter().cloned().collect()
    }

    /// The number of alerts of each kind; clones share their values.
    pub(crate) fn counts(&self) -> Family<AlertLabels, Counter> {
        self.counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Value>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
