//! Records what becomes of calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use warmline::{Error, Provider, Reply};

use crate::prometheus::Prometheus;
use crate::provider_stats::ProviderStats;

/// The statistics of all calls.
pub(crate) struct Calls {
    providers: Vec<(Provider, Mutex<ProviderStats>)>,
    pub(crate) prometheus: Prometheus,
}

impl Calls {
    pub(crate) fn new(providers: impl Iterator<Item = Provider>, prometheus: Prometheus) -> Self {
        Self {
            providers: providers
                .map(|provider| (provider, Mutex::default()))
                .collect(),
            prometheus,
        }
    }

    /// The statistics of a provider, or `None` if the gateway has no client of it.
    pub(crate) fn provider(&self, provider: Provider) -> Option<MutexGuard<'_, ProviderStats>> {
        let (_, stats) = self.providers.iter().find(|(of, _)| *of == provider)?;
        Some(stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A call in flight. If it is dropped before its outcome is recorded, its caller has abandoned it.
pub(crate) struct InFlight {
    calls: Arc<Calls>,
    provider: Provider,
    started: SystemTime,
    ended: bool,
}

impl InFlight {
    pub(crate) fn new(calls: Arc<Calls>, provider: Provider) -> Self {
        let call = Self {
            calls,
            provider,
            started: SystemTime::now(),
            ended: false,
        };
        call.update(ProviderStats::started);
        call
    }

    pub(crate) fn succeeded(mut self, reply: &Reply) {
        self.ended = true;
        self.update(|stats| stats.succeeded(self.started, reply));
        self.record_retries(reply.attempts().len());
        self.calls.prometheus.record_reply(self.provider, reply);
    }

    pub(crate) fn failed(mut self, error: &Error) {
        self.ended = true;
        self.update(|stats| stats.failed(self.started, error));
        self.record_retries(error.attempts().len());
        let prometheus = &self.calls.prometheus;
        prometheus.record_failure(self.provider, error.kind().name());
    }

    fn record_retries(&self, attempts: usize) {
        let retries = attempts.saturating_sub(1) as u64;
        self.calls.prometheus.record_retries(self.provider, retries);
    }

    fn update(&self, change: impl FnOnce(&mut ProviderStats)) {
        if let Some(mut stats) = self.calls.provider(self.provider) {
            change(&mut stats);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            self.update(|stats| stats.abandoned(self.started));
            let prometheus = &self.calls.prometheus;
            prometheus.record_failure(self.provider, "abandoned");
        }
    }
}
