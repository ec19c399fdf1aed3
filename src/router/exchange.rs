//! What the routers of several processes tell each other: which targets cool down or are probed, and how much is called for of each
//! rate limit. `docs/routing.md` says why no call waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::choice::hash_of;
use super::handle::Inner;
use super::health::Marks;
use super::pacing::{DEMAND_PERIOD, Demand};
use super::sharing::{INTERVAL, Sharing, within};
use crate::Result;
use crate::runtime::{self, Instant};
use crate::shared::{Quota, SharedState};

/// After which time without calls nothing is exchanged any more.
const IDLE: Duration = Duration::from_secs(10);

impl Inner {
    /// Exchanges state with other processes in the background; at once if something has changed that they are to know.
    pub(super) fn share(self: &Arc<Self>, has_changed: bool) {
        let Some(sharing) = &self.sharing else {
            return;
        };
        // Where a call must not wake another one's task, nothing can go on in the background.
        if !runtime::WAKES_OTHER_CALLS {
            return;
        }
        let mut task = sharing.task();
        task.last_call = Some(Instant::now());
        task.is_urgent |= has_changed;
        if let Some(waker) = task.waker.take_if(|_| has_changed) {
            waker.wake();
        }
        if !std::mem::replace(&mut task.is_running, true) {
            drop(task);
            let inner = self.clone();
            runtime::background(exchange_while_called(Running {
                inner,
                has_ended: false,
            }));
        }
    }

    async fn exchange(&self, sharing: &Sharing) -> Result<()> {
        if self.cooldown.is_some() {
            self.exchange_health(sharing).await?;
        }
        if self.pacing {
            self.exchange_demands(sharing).await?;
        }
        Ok(())
    }

    async fn exchange_health(&self, sharing: &Sharing) -> Result<()> {
        let asked = Instant::now();
        let left = within(sharing.state.marks(&sharing.keys)).await?;
        // They end at this time or a little later.
        let end = |left: Option<&Duration>| left.filter(|of| !of.is_zero()).map(|of| asked + *of);
        let mut findings = Vec::new();
        {
            let (mut state, now) = (self.state(), Instant::now());
            for (index, target) in state.targets.iter_mut().enumerate() {
                let marks = Marks {
                    cooldown: end(left.get(2 * index)),
                    probe: end(left.get(2 * index + 1)),
                };
                if let Some(finding) = target.health.exchange(marks, now) {
                    findings.push((index, finding));
                }
            }
        }
        for (target, finding) in findings {
            sharing.tell(target, finding).await?;
            self.state().targets[target].health.told(finding);
        }
        Ok(())
    }

    async fn exchange_demands(&self, sharing: &Sharing) -> Result<()> {
        let mut demands: Vec<(usize, Demand)> = Vec::new();
        for (index, target) in self.state().targets.iter_mut().enumerate() {
            let of_target = target.pacing.demands().into_iter();
            demands.extend(of_target.map(|demand| (index, demand)));
        }
        if demands.is_empty() {
            return Ok(());
        }
        let mut amounts = Vec::with_capacity(demands.len());
        for (target, demand) in &demands {
            let (name, resource) = (&sharing.names[*target], demand.resource());
            // The names of models can be long.
            let name = format!("{name}:{:016x}:{resource}", hash_of(&demand.model));
            // It only counts, so that the limit is never reached.
            let quota = Quota::new(name, Quota::MAX_LIMIT, DEMAND_PERIOD)?;
            amounts.push((quota, demand.amount));
        }
        let all = within(sharing.state.take(&amounts)).await?;
        let own = sharing.own.take(&amounts).await?;
        if let (Ok(all), Ok(own)) = (all, own) {
            let (mut state, now) = (self.state(), Instant::now());
            let used = all.states.iter().zip(&own.states);
            for ((target, demand), (all, own)) in demands.iter().zip(used) {
                let others = all.used.saturating_sub(own.used);
                let pacing = &mut state.targets[*target].pacing;
                pacing.set_usage(demand, own.used, others, now);
            }
        }
        Ok(())
    }

    fn forget_others(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        for target in &mut state.targets {
            target.pacing.forget_others(now);
        }
    }
}

/// The router whose task runs. If the state panics, another task can be started.
struct Running {
    inner: Arc<Inner>,
    has_ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(sharing) = self.inner.sharing.as_ref().filter(|_| !self.has_ended) {
            sharing.task().is_running = false;
        }
    }
}

async fn exchange_while_called(mut running: Running) {
    let inner = running.inner.clone();
    let Some(sharing) = &inner.sharing else {
        return;
    };
    let mut is_failing = false;
    loop {
        match inner.exchange(sharing).await {
            Ok(()) => {
                is_failing = false;
                sharing.wait().await;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "the state of targets is not shared with other processes");
                }
                inner.forget_others();
                runtime::sleep(INTERVAL).await;
                // What is new is told with the next exchange.
                sharing.task().is_urgent = false;
            }
        }
        let is_called = inner.state().targets.iter().any(|of| of.in_flight > 0);
        let mut task = sharing.task();
        if is_called {
            task.last_call = Some(Instant::now());
        }
        let is_idle = task.last_call.is_none_or(|last| last.elapsed() > IDLE);
        if is_idle && !task.is_urgent {
            // Under the same lock, so that the next call starts another task.
            task.is_running = false;
            running.has_ended = true;
            break;
        }
    }
    inner.forget_others();
}
