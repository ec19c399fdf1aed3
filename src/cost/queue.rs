//! Calls that wait for room in a budget, in the order of their arrival.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::runtime;

/// The queues of a ledger's budgets. A budget without waiters has none.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<String, Queue>>);

#[derive(Default)]
struct Queue {
    /// The number of the next waiter.
    next: u64,
    /// The waiters, with the first in front.
    waiters: VecDeque<Waiter>,
    /// The number of settlements that were seen. The first waiter asks again after each.
    settlements: u64,
}

struct Waiter {
    number: u64,
    waker: Option<Waker>,
}

/// A place in a budget's queue. Dropping it lets the next waiter ask.
pub(crate) struct Place {
    queues: Arc<Queues>,
    budget: String,
    number: u64,
    /// The settlements that had been seen when this waiter last asked; `None` before that.
    asked_after: Option<u64>,
    /// How long it waits before it asks again although no settlement was seen.
    interval: Duration,
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_waiters(&self, budget: &str) -> bool {
        self.lock().contains_key(budget)
    }

    /// Takes the last place in a budget's queue.
    pub(super) fn join(self: &Arc<Self>, budget: &str) -> Place {
        let mut queues = self.lock();
        let queue = queues.entry(budget.to_owned()).or_default();
        let number = queue.next;
        queue.next += 1;
        queue.waiters.push_back(Waiter {
            number,
            waker: None,
        });
        Place {
            queues: self.clone(),
            budget: budget.to_owned(),
            number,
            asked_after: None,
            interval: Place::SHORTEST,
        }
    }

    /// Lets the first waiters of these budgets ask again, because something was settled.
    pub(super) fn settled<'a>(&self, budgets: impl Iterator<Item = &'a str>) {
        let mut queues = self.lock();
        if queues.is_empty() {
            return;
        }
        let mut wakers = Vec::new();
        for budget in budgets {
            if let Some(queue) = queues.get_mut(budget) {
                queue.settlements += 1;
                wakers.extend(queue.waiters.front_mut().and_then(|w| w.waker.take()));
            }
        }
        drop(queues);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Place {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);

    pub(crate) fn is_for(&self, budget: &str) -> bool {
        self.budget == budget
    }

    /// Waits until this is the first waiter and there may be room: something was settled since it last asked, or some time has
    /// passed, in which another process may have settled.
    pub(crate) async fn wait(&mut self) {
        while !self.with_queue(|queue, number| queue.is_first(number)) {
            let first = poll_fn(|cx| self.poll(cx.waker(), |_| true));
            match runtime::WAKES_OTHER_CALLS {
                true => first.await,
                false => drop(runtime::timeout(Self::SHORTEST, first).await),
            }
        }
        let asked_after = self.asked_after;
        let settled = poll_fn(|cx| self.poll(cx.waker(), |q| asked_after != Some(q.settlements)));
        if runtime::timeout(self.interval, settled).await.is_none() {
            self.interval = (self.interval * 2).min(Self::LONGEST);
        }
        self.asked_after = Some(self.with_queue(|queue, _| queue.settlements));
    }

    /// Waits until this is the first waiter and the queue is as it is waited for.
    fn poll(&self, waker: &Waker, is_so: impl Fn(&Queue) -> bool) -> Poll<()> {
        self.with_queue(|queue, number| {
            if queue.is_first(number) && is_so(queue) {
                return Poll::Ready(());
            }
            // Elsewhere they ask by their own timers.
            if runtime::WAKES_OTHER_CALLS
                && let Some(waiter) = queue.waiters.iter_mut().find(|w| w.number == number)
            {
                waiter.waker = Some(waker.clone());
            }
            Poll::Pending
        })
    }

    fn with_queue<T>(&self, f: impl FnOnce(&mut Queue, u64) -> T) -> T {
        let mut queues = self.queues.lock();
        f(queues.entry(self.budget.clone()).or_default(), self.number)
    }
}

impl Queue {
    fn is_first(&self, number: u64) -> bool {
        self.waiters.front().is_some_and(|w| w.number == number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        let Some(queue) = queues.get_mut(&self.budget) else {
            return;
        };
        queue.waiters.retain(|w| w.number != self.number);
        let waker = queue.waiters.front_mut().and_then(|w| w.waker.take());
        if queue.waiters.is_empty() {
            queues.remove(&self.budget);
        }
        drop(queues);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use std::future::Future;
    use std::pin::pin;

    use super::*;

    fn is_ready(future: &mut std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        let mut cx = std::task::Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut cx).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_ask_in_the_order_of_their_arrival_after_settlements() {
        let queues = Arc::new(Queues::default());
        let (mut first, mut second) = (queues.join("a"), queues.join("a"));
        let other = queues.join("b");
        // The first asks at once, then after each settlement of its own budget.
        first.wait().await;
        {
            let mut waiting = pin!(first.wait());
            assert!(!is_ready(&mut waiting));
            queues.settled(["b"].into_iter());
            assert!(!is_ready(&mut waiting));
            queues.settled(["a"].into_iter());
            assert!(is_ready(&mut waiting));
        }
        {
            let mut waiting = pin!(second.wait());
            queues.settled(["a"].into_iter());
            assert!(!is_ready(&mut waiting));
            drop(first);
            assert!(is_ready(&mut waiting));
        }
        // Without a settlement it asks again after a while.
        let start = tokio::time::Instant::now();
        second.wait().await;
        second.wait().await;
        assert_eq!(start.elapsed(), 3 * Place::SHORTEST);
        drop((second, other));
        assert!(queues.lock().is_empty());
    }
}
