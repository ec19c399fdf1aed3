use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Instant, Sleep, sleep};

/// A timer for something that usually happens in time, such as the next chunk of a stream.
///
/// Polling and resetting a [`Sleep`] for each chunk would be slow. This one is left alone while it wakes the task in time.
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// The task that `sleep` wakes.
    waker: Option<Waker>,
}

impl Timer {
    /// Creates a timer for waits of about this duration.
    pub(crate) fn new(usual: Duration) -> Self {
        Self {
            sleep: Box::pin(sleep(usual)),
            waker: None,
        }
    }

    /// Returns `Ready` from `due` on. Before that, the task is woken at `due`, or earlier if an earlier wait was set.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let deadline = self.sleep.deadline();
        // The clock of some runtimes stands still, so the timer decides.
        if self.sleep.is_elapsed() {
            if deadline >= due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due);
        } else if deadline > due {
            self.sleep.as_mut().reset(due);
        } else if self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn wait_until(timer: &mut Timer, due: Instant) {
        poll_fn(|cx| timer.poll_until(cx, due)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_it_is_due_whatever_was_set_before() {
        let start = Instant::now();
        let mut timer = Timer::new(10 * SECOND);
        for (limit, due) in [(3, 3), (1, 4), (20, 24), (2, 26), (0, 26)] {
            wait_until(&mut timer, Instant::now() + limit * SECOND).await;
            assert_eq!(start.elapsed().as_secs(), due);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_task_that_waits_is_woken() {
        let mut timer = Timer::new(SECOND);
        let due = Instant::now() + SECOND;
        let first = tokio::time::timeout(SECOND / 2, wait_until(&mut timer, due));
        assert!(first.await.is_err());
        let second = tokio::spawn(async move { wait_until(&mut timer, due).await });
        second.await.unwrap();
        assert!(Instant::now() >= due);
    }
}
