//! The metrics in OpenMetrics' text format, which Prometheus reads.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use warmline::{
    BudgetSpend, PoolStats, Provider, Reply, Router, Spend, TargetState, TargetStats, Usd,
};

use crate::accounts::AccountSpend;
use crate::alert_log::AlertLog;

/// Bucket bounds in seconds, as OpenTelemetry's conventions for generative AI advise
/// (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>).
const BUCKETS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    gen_ai_provider_name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    gen_ai_provider_name: &'static str,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    gen_ai_provider_name: &'static str,
    error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    gen_ai_provider_name: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetStateLabels {
    target: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpendLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeySpendLabels {
    key: String,
    kind: &'static str,
}

type Dollars = Gauge<f64, AtomicU64>;

pub(crate) struct Prometheus {
    /// Locked while a text is made, since another one would change the values meanwhile.
    registry: Mutex<Registry>,
    duration: Family<ProviderLabels, Histogram>,
    time_to_first_token: Family<ProviderLabels, Histogram>,
    tokens: Family<TokenLabels, Counter>,
    forwarded: Family<ProviderLabels, Counter>,
    failures: Family<ErrorLabels, Counter>,
    retries: Family<ProviderLabels, Counter>,
    target_state: Family<TargetStateLabels, Gauge>,
    target_in_flight: Family<TargetLabels, Gauge>,
    target_events: Family<TargetStateLabels, Gauge>,
    pool: Family<StateLabels, Gauge>,
    pool_events: Family<StateLabels, Gauge>,
    budgets: Family<BudgetLabels, Dollars>,
    spend: Family<SpendLabels, Dollars>,
    key_spend: Family<KeySpendLabels, Dollars>,
}

impl Prometheus {
    pub(crate) fn new(alerts: &AlertLog) -> Self {
        let histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Mutex::default(),
            duration: Family::new_with_constructor(histogram),
            time_to_first_token: Family::new_with_constructor(histogram),
            tokens: Family::default(),
            forwarded: Family::default(),
            failures: Family::default(),
            retries: Family::default(),
            target_state: Family::default(),
            target_in_flight: Family::default(),
            target_events: Family::default(),
            pool: Family::default(),
            pool_events: Family::default(),
            budgets: Family::default(),
            spend: Family::default(),
            key_spend: Family::default(),
        };
        let mut registry = Registry::default();
        registry.register(
            "gen_ai_client_operation_duration_seconds",
            "The duration of calls, from start to end",
            metrics.duration.clone(),
        );
        registry.register(
            "gen_ai_server_time_to_first_token_seconds",
            "The time from the start of a call to the first content of its reply",
            metrics.time_to_first_token.clone(),
        );
        registry.register(
            "gen_ai_client_token_usage",
            "Tokens that the provider has counted",
            metrics.tokens.clone(),
        );
        registry.register(
            "warmline_forwarded_requests",
            "Requests to other endpoints of a provider that it has answered",
            metrics.forwarded.clone(),
        );
        registry.register(
            "warmline_failures",
            "Failed calls by kind of error",
            metrics.failures.clone(),
        );
        registry.register(
            "warmline_retries",
            "Attempts after the first of a call",
            metrics.retries.clone(),
        );
        registry.register(
            "warmline_target_state",
            "1 for the state that a target is in: ready, cooling or probing",
            metrics.target_state.clone(),
        );
        registry.register(
            "warmline_target_in_flight",
            "Attempts of a target that have begun and not ended",
            metrics.target_in_flight.clone(),
        );
        registry.register(
            "warmline_target_events",
            "Attempts of a target, its failures, and calls that then moved to another one, since the start",
            metrics.target_events.clone(),
        );
        registry.register(
            "warmline_pool_connections",
            "Connections by state, and calls that wait for one",
            metrics.pool.clone(),
        );
        registry.register(
            "warmline_pool_events",
            "Connections opened, closed and reused, and calls that found the pool exhausted, since the start",
            metrics.pool_events.clone(),
        );
        registry.register(
            "warmline_alerts",
            "Alerts of pools and budgets by kind",
            alerts.counts(),
        );
        registry.register(
            "warmline_budget_usd",
            "Dollars of each budget: its limit, and what is spent and reserved this month",
            metrics.budgets.clone(),
        );
        registry.register(
            "warmline_spend_usd",
            "Dollars that this gateway's calls have cost this month: exact costs, and upper bounds of those that are not known exactly",
            metrics.spend.clone(),
        );
        registry.register(
            "warmline_key_spend_usd",
            "The same by the key of the caller",
            metrics.key_spend.clone(),
        );
        metrics.registry = Mutex::new(registry);
        metrics
    }

    pub(crate) fn record_reply(&self, provider: Provider, reply: &Reply) {
        let labels = provider_labels(provider);
        self.duration
            .get_or_create(&labels)
            .observe(reply.timing.total.as_secs_f64());
        self.time_to_first_token
            .get_or_create(&labels)
            .observe(reply.timing.time_to_first_token.as_secs_f64());
        for (gen_ai_token_type, count) in [
            ("input", reply.usage.total_input_tokens()),
            ("output", reply.usage.output_tokens),
        ] {
            let labels = TokenLabels {
                gen_ai_provider_name: provider.name(),
                gen_ai_token_type,
            };
            self.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    pub(crate) fn record_failure(&self, provider: Provider, error_type: &'static str) {
        let labels = ErrorLabels {
            gen_ai_provider_name: provider.name(),
            error_type,
        };
        self.failures.get_or_create(&labels).inc();
    }

    pub(crate) fn record_retries(&self, provider: Provider, retries: u64) {
        self.retries
            .get_or_create(&provider_labels(provider))
            .inc_by(retries);
    }

    /// Records an answer to a request that was passed through to another endpoint.
    pub(crate) fn record_forwarded(&self, provider: Provider) {
        let labels = provider_labels(provider);
        self.forwarded.get_or_create(&labels).inc();
    }

    fn set_pools(&self, router: &Router) {
        self.pool.clear();
        self.pool_events.clear();
        for (_, client) in router.targets() {
            self.add_pool(client.provider(), &client.stats());
        }
    }

    /// Adds a pool to the others of its provider.
    fn add_pool(&self, provider: Provider, stats: &PoolStats) {
        let add = |family: &Family<StateLabels, Gauge>, state, value: Option<u64>| {
            let labels = StateLabels {
                gen_ai_provider_name: provider.name(),
                state,
            };
            family
                .get_or_create(&labels)
                .inc_by(value.unwrap_or_default() as i64);
        };
        let count = |n: Option<usize>| n.map(|n| n as u64);
        add(&self.pool, "waiting", Some(stats.waiting as u64));
        add(&self.pool, "in_use", count(stats.in_use));
        add(&self.pool, "idle", count(stats.idle));
        add(&self.pool, "connecting", count(stats.connecting));
        add(&self.pool_events, "opened", stats.opened);
        add(&self.pool_events, "closed", stats.closed);
        add(&self.pool_events, "reused", stats.reused);
        add(&self.pool_events, "exhausted", stats.acquire_waits);
    }

    fn set_target(&self, stats: &TargetStats) {
        let labels = |state| TargetStateLabels {
            target: stats.name.clone(),
            state,
        };
        let current = match stats.state {
            TargetState::Ready => "ready",
            TargetState::Cooling { .. } => "cooling",
            _ => "probing",
        };
        for state in ["ready", "cooling", "probing"] {
            let gauge = self.target_state.get_or_create(&labels(state));
            gauge.set(i64::from(state == current));
        }
        for (event, count) in [
            ("attempts", stats.calls),
            ("failures", stats.failures),
            ("moved_away", stats.moved_away),
        ] {
            let gauge = self.target_events.get_or_create(&labels(event));
            gauge.set(count as i64);
        }
        let target = stats.name.clone();
        let in_flight = self
            .target_in_flight
            .get_or_create(&TargetLabels { target });
        in_flight.set(stats.in_flight.into());
    }

    fn set_spend(&self, spend: &Spend, keys: &[AccountSpend]) {
        for (kind, usd) in by_kind(spend.total, spend.estimated) {
            let spent = self.spend.get_or_create(&SpendLabels { kind });
            spent.set(dollars(usd));
        }
        // Keys can be removed.
        self.key_spend.clear();
        self.budgets.clear();
        for key in keys {
            for (kind, usd) in by_kind(key.total, key.estimated) {
                let key = key.name.clone();
                let spent = self.key_spend.get_or_create(&KeySpendLabels { key, kind });
                spent.set(dollars(usd));
            }
        }
        let own = keys.iter().filter_map(|key| key.budget.as_ref());
        for budget in spend.budgets.iter().chain(own) {
            self.set_budget(budget);
        }
    }

    fn set_budget(&self, budget: &BudgetSpend) {
        for (state, usd) in [
            ("limit", budget.limit),
            ("spent", budget.spent),
            ("reserved", budget.reserved),
        ] {
            let labels = BudgetLabels {
                budget: budget.name.clone(),
                state,
            };
            self.budgets.get_or_create(&labels).set(dollars(usd));
        }
    }

    /// Returns the metrics as text. Without `spend` that is as it was before.
    pub(crate) fn text(&self, router: &Router, spend: Option<(&Spend, &[AccountSpend])>) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_pools(router);
        // Targets can be removed.
        self.target_state.clear();
        self.target_in_flight.clear();
        self.target_events.clear();
        for target in router.stats().targets {
            self.set_target(&target);
        }
        if let Some((spend, keys)) = spend {
            self.set_spend(spend, keys);
        }
        let mut text = String::new();
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

fn provider_labels(provider: Provider) -> ProviderLabels {
    ProviderLabels {
        gen_ai_provider_name: provider.name(),
    }
}

/// Splits a sum into what is exact and what is an upper bound.
fn by_kind(total: Usd, estimated: Usd) -> [(&'static str, Usd); 2] {
    let exact = total.pico().saturating_sub(estimated.pico());
    [("exact", Usd::from_pico(exact)), ("estimated", estimated)]
}

/// A float is precise enough for a graph; the statistics have the exact sums.
fn dollars(usd: Usd) -> f64 {
    usd.pico() as f64 / 1e12
}
