//! What the pools and the budgets have told, for the stats.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde_json::{Value, json};
use warmline::{Client, ClientBuilder};

/// How many are kept.
const KEPT: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    kind: &'static str,
}

/// Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub(super) struct Alerts {
    latest: Arc<Mutex<VecDeque<Value>>>,
    pub(super) counts: Family<Kind, Counter>,
}

impl Alerts {
    pub(super) fn of_pool(&self, builder: ClientBuilder) -> ClientBuilder {
        let (alerts, provider) = (self.clone(), builder.provider());
        builder.on_pool_alert(move |alert| {
            let about = json!({"provider": provider});
            alerts.push(alert.kind.name(), about, &alert.summary, &alert.hint);
        })
    }

    pub(super) fn of_budgets(&self, client: &Client) -> Client {
        let alerts = self.clone();
        client.with_cost_tracker(client.cost_tracker().clone().on_alert(move |alert| {
            let about = json!({"budget": alert.budget, "percent": alert.percent});
            alerts.push("budget", about, &alert.summary(), alert.hint());
        }))
    }

    fn push(&self, kind: &'static str, mut alert: Value, summary: &str, hint: &str) {
        self.counts.get_or_create(&Kind { kind }).inc();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        alert["at"] = since.unwrap_or_default().as_secs_f64().into();
        alert["kind"] = kind.into();
        alert["summary"] = summary.into();
        alert["hint"] = hint.into();
        let mut latest = self.lock();
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back(alert);
    }

    /// The latest last.
    pub(super) fn latest(&self) -> Vec<Value> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Value>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
