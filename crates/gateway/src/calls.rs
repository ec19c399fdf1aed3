//! Records what becomes of calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use warmline::{Attempt, Error, Provider, Reply, Router};

use crate::call_stats::CallStats;
use crate::prometheus::Prometheus;

/// The statistics of all calls.
pub(crate) struct Calls {
    targets: RwLock<Vec<Arc<TargetCalls>>>,
    pub(crate) prometheus: Prometheus,
}

/// The statistics of a target's calls.
pub(crate) struct TargetCalls {
    name: String,
    provider: Provider,
    stats: Mutex<CallStats>,
}

impl TargetCalls {
    pub(crate) fn stats(&self) -> MutexGuard<'_, CallStats> {
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
    /// The number of attempts, as far as it is known.
    attempts: usize,
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
            attempts: 1,
            ended: false,
        }
    }

    /// Records which target serves the call, if it is not the expected one, and after how many attempts.
    pub(crate) fn answered(&mut self, target: Option<&str>, attempts: usize) {
        self.attempts = attempts;
        if let Some(name) = target.filter(|name| *name != self.target.name)
            && let Some(target) = self.calls.target(name)
        {
            self.target.stats().moved();
            target.stats().started();
            self.target = target;
        }
    }

    /// Records the end of a request that was passed through to another endpoint of a provider, such as `GET /v1/files`.
    pub(crate) fn forwarded(mut self, request: &str) {
        self.record_end();
        self.target
            .stats()
            .forwarded(self.started, request, self.attempts);
        let prometheus = &self.calls.prometheus;
        prometheus.record_forwarded(self.target.provider);
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

    /// Records the end, and the attempts. The target of the last one has served the call.
    fn ended(&mut self, attempts: &[Attempt]) {
        let last = attempts.last().and_then(|last| last.target.as_deref());
        // An error of a body has none.
        self.answered(last, attempts.len().max(self.attempts));
        self.record_end();
    }

    fn record_end(&mut self) {
        self.ended = true;
        let retries = self.attempts.saturating_sub(1) as u64;
        let prometheus = &self.calls.prometheus;
        prometheus.record_retries(self.target.provider, retries);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            self.record_end();
            self.target.stats().abandoned(self.started, self.attempts);
            let prometheus = &self.calls.prometheus;
            prometheus.record_failure(self.target.provider, "abandoned");
        }
    }
}
