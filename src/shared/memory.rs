use std::collections::HashMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::window::Window;
use super::{MAX_MARK, Quota, QuotaExceeded, SharedState, Taken};
use crate::Result;
use crate::runtime::{BoxFuture, Instant};

/// Shared state in memory, for one process. A new one is empty.
///
/// ```
/// let state = warmline::shared::MemoryState::default();
/// ```
#[derive(Debug)]
pub struct MemoryState {
    started: Instant,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By name, with the period in milliseconds.
    windows: HashMap<String, (u64, Window)>,
    /// The end of each mark.
    marks: HashMap<String, Instant>,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            entries: Mutex::default(),
        }
    }
}

impl Entries {
    /// Returns the window of a quota. Before a new one is added, those that nothing is left of are removed, so that there are
    /// no more of them than quotas in use.
    fn window(&mut self, quota: &Quota, now: u64) -> &mut Window {
        let period = quota.period_ms();
        if !self.windows.contains_key(&quota.name) {
            self.windows.retain(|_, (period, window)| {
                window.expire(*period, now);
                !window.is_empty()
            });
        }
        let entry = self.windows.entry(quota.name.clone());
        let (_, window) = entry.or_insert_with(|| (period, Window::default()));
        window.expire(period, now);
        window
    }

    fn take(&mut self, amounts: &[(Quota, u64)], now: u64) -> Result<Taken, QuotaExceeded> {
        let mut states = Vec::with_capacity(amounts.len());
        // The exceeded quota, and how long it is.
        let mut exceeded: Option<(usize, Duration)> = None;
        for (index, (quota, amount)) in amounts.iter().enumerate() {
            let window = self.window(quota, now);
            states.push(window.state(quota, now));
            let wait = match *amount > quota.limit {
                true => Duration::MAX,
                false => window.wait(quota, *amount, now),
            };
            if wait > exceeded.map_or(Duration::ZERO, |(_, longest)| longest) {
                exceeded = Some((index, wait));
            }
        }
        if let Some((index, wait)) = exceeded {
            return Err(QuotaExceeded {
                index,
                retry_after: (wait < Duration::MAX).then_some(wait),
                states,
            });
        }
        for ((quota, amount), state) in amounts.iter().zip(&mut states) {
            if *amount > 0 {
                let window = self.window(quota, now);
                window.add(quota, *amount, now);
                *state = window.state(quota, now);
            }
        }
        Ok(Taken { at: now, states })
    }
}

impl MemoryState {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No panic can leave the state half changed, so a poisoned lock is safe to use.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

impl SharedState for MemoryState {
    fn take<'a>(
        &'a self,
        amounts: &'a [(Quota, u64)],
    ) -> BoxFuture<'a, Result<Result<Taken, QuotaExceeded>>> {
        let mut entries = self.entries();
        // The clock is read under the lock, so that it never runs backwards.
        let now = self.now();
        Box::pin(ready(Ok(entries.take(amounts, now))))
    }

    fn give_back(&self, amounts: &[(Quota, u64)], at: u64) -> BoxFuture<'static, Result<()>> {
        let mut entries = self.entries();
        let now = self.now();
        for (quota, amount) in amounts {
            entries.window(quota, now).subtract(quota, *amount, at);
        }
        Box::pin(ready(Ok(())))
    }

    fn mark(&self, key: &str, time: Duration) -> BoxFuture<'static, Result<()>> {
        let marks = &mut self.entries().marks;
        let now = Instant::now();
        marks.retain(|other, end| other != key && *end > now);
        if !time.is_zero() {
            marks.insert(key.to_owned(), now + time.min(MAX_MARK));
        }
        Box::pin(ready(Ok(())))
    }

    fn marks(&self, keys: &[String]) -> BoxFuture<'static, Result<Vec<Duration>>> {
        let marks = &self.entries().marks;
        let now = Instant::now();
        let left = keys.iter().map(|key| match marks.get(key) {
            Some(end) => end.saturating_duration_since(now),
            None => Duration::ZERO,
        });
        Box::pin(ready(Ok(left.collect())))
    }
}
