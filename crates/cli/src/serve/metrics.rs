//! What the gateway has done: as JSON for people and the demo page, as Prometheus text for machines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram as Buckets;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use warmline::{Client, Error, PoolStats, Provider, Reply};

use super::alerts::Alerts;

/// How often the pools are looked at, and for how long that is kept.
const SAMPLE: Duration = Duration::from_secs(1);
const KEPT: usize = 300;

/// How many ended calls are kept.
const RECENT: usize = 64;

/// How many bytes are kept of a text that the provider chose.
const SHOWN: usize = 256;

/// Bounds in seconds, as OpenTelemetry's conventions for generative AI advise
/// (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>).
const SECONDS: [f64; 14] = [
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

pub(super) struct Metrics {
    begun: Instant,
    shared: Arc<Shared>,
    alerts: Alerts,
    registry: Registry,
    pool: Family<StateLabels, Gauge>,
    pool_events: Family<StateLabels, Gauge>,
    spent: Family<BudgetLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: String,
    state: &'static str,
}

struct Shared {
    providers: Vec<(Provider, Mutex<ProviderStats>)>,
    duration: Family<ProviderLabels, Buckets>,
    first: Family<ProviderLabels, Buckets>,
    tokens: Family<TokenLabels, Counter>,
    failed: Family<ErrorLabels, Counter>,
    retries: Family<ProviderLabels, Counter>,
}

/// One provider's calls.
struct ProviderStats {
    calls: u64,
    under_way: u64,
    failures: u64,
    abandoned: u64,
    retries: u64,
    /// In microseconds.
    queued: Option<Histogram<u64>>,
    time_to_first_token: Option<Histogram<u64>>,
    total: Option<Histogram<u64>>,
    samples: VecDeque<Value>,
    /// The last calls that have ended, the latest last.
    recent: VecDeque<Value>,
}

impl Metrics {
    pub(super) fn new(clients: &[Client], alerts: Alerts) -> Self {
        // None is for a number of digits that no histogram has.
        let times = || {
            let mut times = Histogram::new(2).ok()?;
            times.auto(true);
            Some(times)
        };
        let buckets = || Buckets::new(SECONDS);
        let shared = Shared {
            providers: clients
                .iter()
                .map(|client| {
                    let stats = ProviderStats {
                        calls: 0,
                        under_way: 0,
                        failures: 0,
                        abandoned: 0,
                        retries: 0,
                        queued: times(),
                        time_to_first_token: times(),
                        total: times(),
                        samples: VecDeque::new(),
                        recent: VecDeque::new(),
                    };
                    (client.provider(), Mutex::new(stats))
                })
                .collect(),
            duration: Family::new_with_constructor(buckets),
            first: Family::new_with_constructor(buckets),
            tokens: Family::default(),
            failed: Family::default(),
            retries: Family::default(),
        };
        let mut metrics = Self {
            begun: Instant::now(),
            shared: Arc::new(shared),
            alerts,
            registry: Registry::default(),
            pool: Family::default(),
            pool_events: Family::default(),
            spent: Family::default(),
        };
        let Self {
            registry,
            shared,
            alerts,
            pool,
            pool_events,
            spent,
            ..
        } = &mut metrics;
        registry.register(
            "gen_ai_client_operation_duration_seconds",
            "How long calls took, from their start to their end",
            shared.duration.clone(),
        );
        registry.register(
            "gen_ai_server_time_to_first_token_seconds",
            "From a call's start to the first content of its reply",
            shared.first.clone(),
        );
        registry.register(
            "gen_ai_client_token_usage",
            "TokenLabels that the provider has counted",
            shared.tokens.clone(),
        );
        registry.register(
            "warmline_failures",
            "Calls that failed, by kind",
            shared.failed.clone(),
        );
        registry.register(
            "warmline_retries",
            "Attempts beyond a call's first",
            shared.retries.clone(),
        );
        registry.register(
            "warmline_pool_connections",
            "Connections, and calls that wait for one",
            pool.clone(),
        );
        registry.register("warmline_pool_events", "Connections opened, closed and reused, and calls that found the pool exhausted, since the start", pool_events.clone());
        registry.register(
            "warmline_alerts",
            "Alerts of the pools and the budgets, by kind",
            alerts.counts.clone(),
        );
        registry.register(
            "warmline_budget_usd",
            "Dollars of each budget: its limit, what is spent this month, and what is reserved",
            spent.clone(),
        );
        metrics
    }

    pub(super) fn begin(&self, provider: Provider) -> InFlight {
        let started = InFlight {
            shared: self.shared.clone(),
            provider,
            at: SystemTime::now(),
            told: false,
        };
        started.note(|stats| {
            stats.calls += 1;
            stats.under_way += 1;
        });
        started
    }

    /// Looks at the pools for ever.
    pub(super) async fn sample(&self, clients: &[Client]) {
        let mut ticks = tokio::time::interval(SAMPLE);
        loop {
            ticks.tick().await;
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let at = since.unwrap_or_default().as_secs();
            for client in clients {
                let PoolStats {
                    active,
                    waiting,
                    open,
                    idle,
                    connecting,
                    reused,
                    opened,
                    ..
                } = client.stats();
                let Some(mut stats) = self.shared.stats(client.provider()) else {
                    continue;
                };
                if stats.samples.len() == KEPT {
                    stats.samples.pop_front();
                }
                let calls = stats.calls;
                stats.samples.push_back(json!({
                    "at": at, "active": active, "waiting": waiting, "open": open, "idle": idle,
                    "connecting": connecting, "reused": reused, "opened": opened, "calls": calls,
                }));
            }
        }
    }

    pub(super) async fn stats(&self, clients: &[Client], samples: usize) -> Result<Value, Error> {
        let mut providers = serde_json::Map::new();
        for client in clients {
            let Some(stats) = self.shared.stats(client.provider()) else {
                continue;
            };
            let pool = client.stats();
            let skipped = stats.samples.len().saturating_sub(samples);
            let of = json!({
                "pool": {"now": pool, "line": pool.to_string(), "over_time": stats.samples.iter().skip(skipped).collect::<Vec<_>>()},
                "calls": {"total": stats.calls, "under_way": stats.under_way, "failed": stats.failures, "abandoned": stats.abandoned, "retries": stats.retries},
                "latency_ms": {"queued": quantiles(&stats.queued), "time_to_first_token": quantiles(&stats.time_to_first_token), "total": quantiles(&stats.total)},
                "rate_limits": client.rate_limits(),
                "recent": stats.recent,
            });
            providers.insert(client.provider().name().to_owned(), of);
        }
        let mut stats = json!({"uptime_s": self.begun.elapsed().as_secs(), "providers": providers, "alerts": self.alerts.latest()});
        // One tracker serves all.
        if let Some(client) = clients.first() {
            let spend = client.cost_tracker().spend().await?;
            stats["spend"] = serde_json::to_value(spend).unwrap_or_default();
        }
        Ok(stats)
    }

    /// In OpenMetrics' text format, which Prometheus reads.
    pub(super) async fn text(&self, clients: &[Client]) -> String {
        for client in clients {
            let stats = client.stats();
            let name = client.provider().name();
            let set = |family: &Family<StateLabels, Gauge>, state, value: Option<u64>| {
                let labels = StateLabels {
                    gen_ai_provider_name: name,
                    state,
                };
                family
                    .get_or_create(&labels)
                    .set(value.unwrap_or_default() as i64);
            };
            let count = |n: Option<usize>| n.map(|n| n as u64);
            set(&self.pool, "waiting", Some(stats.waiting as u64));
            set(&self.pool, "in_use", count(stats.in_use));
            set(&self.pool, "idle", count(stats.idle));
            set(&self.pool, "connecting", count(stats.connecting));
            set(&self.pool_events, "opened", stats.opened);
            set(&self.pool_events, "closed", stats.closed);
            set(&self.pool_events, "reused", stats.reused);
            set(&self.pool_events, "exhausted", stats.acquire_waits);
        }
        // A ledger that cannot be reached is no reason to show nothing; `/readyz` tells of it.
        if let Some(client) = clients.first()
            && let Ok(spend) = client.cost_tracker().spend().await
        {
            for budget in spend.budgets {
                for (state, usd) in [
                    ("limit", budget.limit),
                    ("spent", budget.spent),
                    ("reserved", budget.reserved),
                ] {
                    let labels = BudgetLabels {
                        budget: budget.name.clone(),
                        state,
                    };
                    // For a curve: exact sums are in /v1/llm/stats.
                    self.spent
                        .get_or_create(&labels)
                        .set(usd.pico() as f64 / 1e12);
                }
            }
        }
        let mut text = String::new();
        match text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

impl Shared {
    fn stats(&self, provider: Provider) -> Option<MutexGuard<'_, ProviderStats>> {
        let (_, stats) = self.providers.iter().find(|(of, _)| *of == provider)?;
        Some(stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ProviderStats {
    /// A call is under way no longer, and is kept for a while.
    fn ended(
        &mut self,
        at: SystemTime,
        attempts: u32,
        failed: Option<&str>,
        reply: Option<&Reply>,
    ) {
        let timing = reply.map(|reply| &reply.timing);
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.under_way -= 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(json!({
            "at": since.as_secs_f64(),
            "id": reply.and_then(|reply| reply.request_id.as_deref()).map(shorten),
            "model": reply.map(|reply| shorten(&reply.model)),
            "attempts": attempts,
            "failed": failed,
            "queued_ms": timing.map(|timing| ms(timing.queued)),
            "connect_ms": timing.and_then(|timing| timing.connect.map(ms)),
            "time_to_first_token_ms": timing.map(|timing| ms(timing.time_to_first_token)),
            "total_ms": timing.map(|timing| ms(timing.total)),
            "cost_usd": reply.and_then(|reply| reply.cost.map(|cost| cost.usd)),
        }));
    }
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}

fn record(times: &mut Option<Histogram<u64>>, time: Duration) {
    if let Some(times) = times {
        // It grows with what is recorded.
        let _ = times.record((time.as_micros() as u64).max(1));
    }
}

fn quantiles(times: &Option<Histogram<u64>>) -> Value {
    let Some(times) = times.as_ref().filter(|times| !times.is_empty()) else {
        return Value::Null;
    };
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    json!({"p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99), "max": times.max() as f64 / 1e3})
}

/// A call under way. One that is dropped was abandoned by its caller.
pub(super) struct InFlight {
    shared: Arc<Shared>,
    provider: Provider,
    at: SystemTime,
    told: bool,
}

impl InFlight {
    fn note(&self, change: impl FnOnce(&mut ProviderStats)) {
        if let Some(mut stats) = self.shared.stats(self.provider) {
            change(&mut stats);
        }
    }

    fn labels(&self) -> ProviderLabels {
        ProviderLabels {
            gen_ai_provider_name: self.provider.name(),
        }
    }

    fn retried(&self, attempts: u32) {
        let retries = u64::from(attempts.saturating_sub(1));
        self.shared
            .retries
            .get_or_create(&self.labels())
            .inc_by(retries);
        self.note(|stats| stats.retries += retries);
    }

    pub(super) fn done(mut self, reply: &Reply) {
        self.told = true;
        self.retried(reply.attempts);
        let timing = reply.timing;
        self.note(|stats| {
            stats.ended(self.at, reply.attempts, None, Some(reply));
            record(&mut stats.queued, timing.queued);
            record(&mut stats.time_to_first_token, timing.time_to_first_token);
            record(&mut stats.total, timing.total);
        });
        let of = self.labels();
        self.shared
            .duration
            .get_or_create(&of)
            .observe(timing.total.as_secs_f64());
        self.shared
            .first
            .get_or_create(&of)
            .observe(timing.time_to_first_token.as_secs_f64());
        for (gen_ai_token_type, count) in [
            ("input", reply.usage.total_input_tokens()),
            ("output", reply.usage.output_tokens),
        ] {
            let labels = TokenLabels {
                gen_ai_provider_name: self.provider.name(),
                gen_ai_token_type,
            };
            self.shared.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    pub(super) fn failed(mut self, error: &Error) {
        self.told = true;
        self.retried(error.attempts());
        self.fail(error.kind().name());
        self.note(|stats| {
            stats.failures += 1;
            stats.ended(self.at, error.attempts(), Some(error.kind().name()), None);
        });
    }

    fn fail(&self, error_type: &'static str) {
        let labels = ErrorLabels {
            gen_ai_provider_name: self.provider.name(),
            error_type,
        };
        self.shared.failed.get_or_create(&labels).inc();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.told {
            self.fail("abandoned");
            self.note(|stats| {
                stats.ended(self.at, 1, Some("abandoned"), None);
                stats.abandoned += 1;
            });
        }
    }
}
