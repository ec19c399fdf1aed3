//! Records what becomes of calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use warmline::{Attempt, Error, Provider, Reply, Router};

use crate::prometheus::Prometheus;
use crate::provider_stats::ProviderStats;

/// The statistics of all calls.
pub(crate) struct Calls {
    targets: RwLock<Vec<Arc<TargetCalls>>>,
    pub(crate) prometheus: Prometheus,
}

/// The statistics of a target's calls.
pub(crate) struct TargetCalls {
    name: String,
    provider: Provider,
    stats: Mutex<ProviderStats>,
}

impl TargetCalls {
    pub(crate) fn stats(&self) -> MutexGuard<'_, ProviderStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    pub(crate) fn new(router: &Router, prometheus: Prometheus) -> Self {
        let calls = Self {
            targets: RwLock::default(),
            prometheus,
        };
        calls.reroute(router);
        calls
    }

    /// Takes over the targets of a router. Those whose name and provider stay keep their statistics.
    pub(crate) fn reroute(&self, router: &Router) {
        let targets = router.targets().map(|(name, client)| {
            let provider = client.provider();
            let known = self.target(name).filter(|of| of.provider == provider);
            known.unwrap_or_else(|| {
                Arc::new(TargetCalls {
                    name: name.to_owned(),
                    provider,
                    stats: Mutex::default(),
                })
            })
        });
        let targets = targets.collect();
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// The statistics of a target, or `None` if the gateway has none of this name.
    pub(crate) fn target(&self, name: &str) -> Option<Arc<TargetCalls>> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.iter().find(|target| target.name == name).cloned()
    }
}

/// A call in flight. If it is dropped before its outcome is recorded, its caller has abandoned it.
pub(crate) struct InFlight {
    calls: Arc<Calls>,
    target: Arc<TargetCalls>,
    started: SystemTime,
    ended: bool,
}

impl InFlight {
    /// Records the start of a call, which this target is expected to serve.
    pub(crate) fn new(calls: Arc<Calls>, target: Arc<TargetCalls>) -> Self {
        target.stats().started();
        Self {
            calls,
            target,
            started: SystemTime::now(),
            ended: false,
        }
    }

    /// Records which target serves the call, if another one was expected.
    pub(crate) fn served_by(&mut self, name: &str) {
        if name != self.target.name
            && let Some(target) = self.calls.target(name)
        {
            self.target.stats().moved();
            target.stats().started();
            self.target = target;
        }
    }

    /// Records the end of a request that was passed through to another endpoint of a provider, such as `GET /v1/files`.
    pub(crate) fn forwarded(mut self, request: &str, attempts: usize) {
        self.ended = true;
        self.target
            .stats()
            .forwarded(self.started, request, attempts);
        let prometheus = &self.calls.prometheus;
        let retries = attempts.saturating_sub(1) as u64;
        prometheus.record_forwarded(self.target.provider, retries);
    }

    pub(crate) fn succeeded(mut self, reply: &Reply) {
        self.ended(reply.attempts());
        self.target.stats().succeeded(self.started, reply);
        let prometheus = &self.calls.prometheus;
        prometheus.record_reply(self.target.provider, reply);
    }

    pub(crate) fn failed(mut self, error: &Error) {
        self.ended(error.attempts());
        self.target.stats().failed(self.started, error);
        let prometheus = &self.calls.prometheus;
        prometheus.record_failure(self.target.provider, error.kind().name());
    }

    /// Records the attempts. The target of the last one has served the call.
    fn ended(&mut self, attempts: &[Attempt]) {
        self.ended = true;
        if let Some(name) = attempts.last().and_then(|last| last.target.as_deref()) {
            self.served_by(name);
        }
        let retries = attempts.len().saturating_sub(1) as u64;
        let prometheus = &self.calls.prometheus;
        prometheus.record_retries(self.target.provider, retries);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            self.target.stats().abandoned(self.started);
            let prometheus = &self.calls.prometheus;
            prometheus.record_failure(self.target.provider, "abandoned");
        }
    }
}
