//! The statistics of one target's calls.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use warmline::{Client, Error, PoolStats, Reply, TargetStats};

/// The maximum number of samples of the pool that are kept.
const MAX_SAMPLES: usize = 300;

/// The maximum number of ended calls that are kept.
const MAX_RECENT: usize = 64;

/// The maximum length in bytes of a text that the provider chose.
const MAX_TEXT: usize = 256;

#[derive(Default)]
pub(crate) struct CallStats {
    calls: u64,
    in_flight: u64,
    failures: u64,
    abandoned: u64,
    retries: u64,
    queued: Latency,
    time_to_first_token: Latency,
    total: Latency,
    /// Samples of the pool, oldest first.
    samples: VecDeque<Value>,
    /// Calls that have ended, oldest first.
    recent: VecDeque<Value>,
}

impl CallStats {
    pub(crate) fn started(&mut self) {
        self.calls += 1;
        self.in_flight += 1;
    }

    /// Another target has served a call that was expected here.
    pub(crate) fn moved(&mut self) {
        self.calls -= 1;
        self.in_flight -= 1;
    }

    pub(crate) fn succeeded(&mut self, started: SystemTime, reply: &Reply) {
        self.ended(started, reply.attempts().len(), None, Some(reply));
        self.queued.record(reply.timing.queued);
        self.time_to_first_token
            .record(reply.timing.time_to_first_token);
        self.total.record(reply.timing.total);
    }

    pub(crate) fn failed(&mut self, started: SystemTime, error: &Error) {
        self.failures += 1;
        let kind = error.kind().name();
        self.ended(started, error.attempts().len(), Some(kind), None);
    }

    pub(crate) fn abandoned(&mut self, started: SystemTime, attempts: usize) {
        self.abandoned += 1;
        self.ended(started, attempts, Some("abandoned"), None);
    }

    /// A request to another endpoint was answered. Its times say nothing of those of a model, so that no histogram counts it.
    pub(crate) fn forwarded(&mut self, started: SystemTime, request: &str, attempts: usize) {
        self.ended(started, attempts, None, None);
        if let Some(call) = self.recent.back_mut() {
            call["request"] = shorten(request).into();
        }
    }

    fn ended(
        &mut self,
        started: SystemTime,
        attempts: usize,
        failed: Option<&str>,
        reply: Option<&Reply>,
    ) {
        let timing = reply.map(|reply| &reply.timing);
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        self.in_flight -= 1;
        self.retries += attempts.saturating_sub(1) as u64;
        let call = json!({
            "at": since_epoch(started).as_secs_f64(),
            "id": reply.and_then(|reply| reply.request_id.as_deref()).map(shorten),
            "model": reply.map(|reply| shorten(&reply.model)),
            "attempts": attempts,
            "failed": failed,
            "queued_ms": timing.map(|timing| ms(timing.queued)),
            "connect_ms": timing.and_then(|timing| timing.connect.map(ms)),
            "time_to_first_token_ms": timing.map(|timing| ms(timing.time_to_first_token)),
            "total_ms": timing.map(|timing| ms(timing.total)),
            "cost_usd": reply.and_then(|reply| reply.cost.map(|cost| cost.usd)),
        });
        push_bounded(&mut self.recent, call, MAX_RECENT);
    }

    pub(crate) fn sample(&mut self, at: SystemTime, pool: &PoolStats) {
        let PoolStats {
            active,
            waiting,
            open,
            idle,
            connecting,
            reused,
            opened,
            ..
        } = pool;
        let sample = json!({
            "at": since_epoch(at).as_secs(), "active": active, "waiting": waiting, "open": open, "idle": idle,
            "connecting": connecting, "reused": reused, "opened": opened, "calls": self.calls,
        });
        push_bounded(&mut self.samples, sample, MAX_SAMPLES);
    }

    /// The statistics as JSON, with at most `samples` samples of the pool, the latest.
    pub(crate) fn to_json(&self, client: &Client, target: &TargetStats, samples: usize) -> Value {
        let pool = client.stats();
        let skipped = self.samples.len().saturating_sub(samples);
        let samples: Vec<_> = self.samples.iter().skip(skipped).collect();
        json!({
            "provider": client.provider().name(),
            "target": target,
            "pool": {"now": pool, "line": pool.to_string(), "over_time": samples},
            "calls": {"total": self.calls, "under_way": self.in_flight, "failed": self.failures, "abandoned": self.abandoned, "retries": self.retries},
            "latency_ms": {"queued": self.queued.to_json(), "time_to_first_token": self.time_to_first_token.to_json(), "total": self.total.to_json()},
            "rate_limits": client.rate_limits(),
            "recent": self.recent,
        })
    }
}

/// A histogram of durations in microseconds.
struct Latency(Option<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        // Two significant digits are a valid precision, so this is never `None`.
        let mut histogram = Histogram::new(2).ok();
        if let Some(histogram) = &mut histogram {
            histogram.auto(true);
        }
        Self(histogram)
    }
}

impl Latency {
    fn record(&mut self, time: Duration) {
        if let Some(histogram) = &mut self.0 {
            // The histogram resizes itself, so that no value is out of range.
            let _ = histogram.record((time.as_micros() as u64).max(1));
        }
    }

    fn to_json(&self) -> Value {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Value::Null;
        };
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        json!({"p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99), "max": histogram.max() as f64 / 1e3})
    }
}

fn push_bounded(values: &mut VecDeque<Value>, value: Value, max: usize) {
    if values.len() == max {
        values.pop_front();
    }
    values.push_back(value);
}

fn since_epoch(time: SystemTime) -> Duration {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
