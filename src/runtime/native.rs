use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::{Error, Result};

pub(crate) use tokio::time::{Instant, Sleep, sleep};

/// Whether a small binary matters more than complete data tables.
pub(crate) const COMPACT: bool = false;

/// Whether a call may wake the task of another call.
pub(crate) const WAKES_OTHER_CALLS: bool = true;

/// Returns a random number from 0 to 1.
pub(crate) fn random() -> f64 {
    fastrand::f64()
}

/// Returns the current date and time.
pub(crate) fn wall_clock() -> std::time::SystemTime {
    // Unit tests have one clock, which can be virtual.
    #[cfg(test)]
    return {
        static START: LazyLock<(std::time::SystemTime, Instant)> =
            LazyLock::new(|| (std::time::SystemTime::now(), Instant::now()));
        START.0 + START.1.elapsed()
    };
    #[cfg(not(test))]
    std::time::SystemTime::now()
}

/// Parses an HTTP date (RFC 9110, section 5.6.7).
pub(crate) fn parse_http_date(text: &str) -> Option<std::time::SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// Formats a finite float as a JSON number, in the shortest form that parses to the same float.
pub(crate) fn print_float(number: f64) -> String {
    number.to_string()
}

/// Runs a future that uses Tokio's sockets and timers. They panic outside a Tokio runtime.
///
/// # Errors
/// `Config` if it is polled outside a Tokio runtime.
pub(crate) async fn within<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    // Checked at each poll, because a future that was first polled in a runtime can later be polled outside it.
    poll_fn(|cx| match ensure() {
        Ok(()) => future.as_mut().poll(cx),
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
}

/// # Errors
/// `Config` outside a Tokio runtime.
pub(crate) fn ensure() -> Result<()> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::config(
            "this needs a Tokio runtime: call it from a function with `#[tokio::main]` or `#[tokio::test]`, or in \
             `Runtime::block_on`",
        )),
    }
}

/// Returns the future's output, or `None` if it takes longer than `limit`.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// Runs a task that outlives the caller and its runtime, on a thread of this crate.
pub(crate) fn background(task: impl Future<Output = ()> + Send + 'static) {
    // Unit tests use the current runtime, so that its virtual clock applies to the task.
    #[cfg(test)]
    if let Ok(runtime) = Handle::try_current() {
        return drop(runtime.spawn(task));
    }
    static RUNTIME: LazyLock<std::io::Result<Handle>> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("warmline".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(handle)
    });
    match &*RUNTIME {
        Ok(runtime) => drop(runtime.spawn(task)),
        Err(error) => tracing::error!(%error, "the thread for background tasks cannot be started"),
    }
}

/// The maximum time that [`wait_for`] blocks a thread that runs async tasks, since it delays the others.
const MAX_WAIT_IN_RUNTIME: Duration = Duration::from_secs(1);

/// Runs a task in the background, and blocks until it is done, for at most `limit`, and at most for one second on a thread that
/// runs async tasks.
pub(crate) fn wait_for(task: impl Future<Output = ()> + Send + 'static, limit: Duration) {
    let (done, wait) = std::sync::mpsc::channel();
    background(async move {
        task.await;
        // Fails if the wait has timed out.
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(longest_wait(limit));
}

fn longest_wait(limit: Duration) -> Duration {
    match Handle::try_current() {
        Ok(_) => limit.min(MAX_WAIT_IN_RUNTIME),
        Err(_) => limit,
    }
}

/// A bound that requires `Send`, except on WebAssembly, which has one thread.
///
/// It is implemented for every type that satisfies it. See [`Ledger`](crate::Ledger) for a use.
///
/// ```
/// fn spawnable(future: impl std::future::Future<Output = ()> + warmline::MaybeSend) {}
/// spawnable(async {});
/// ```
pub trait MaybeSend: Send {}

impl<T: Send + ?Sized> MaybeSend for T {}

/// A bound that requires `Sync`, except on WebAssembly, which has one thread.
///
/// It is implemented for every type that satisfies it.
///
/// ```
/// fn shareable(value: &(impl warmline::MaybeSync + ?Sized)) {}
/// shareable("text");
/// ```
pub trait MaybeSync: Sync {}

impl<T: Sync + ?Sized> MaybeSync for T {}

/// A boxed future: the return type of [`Ledger`](crate::Ledger)'s methods. It is `Send`, except on WebAssembly.
///
/// ```
/// let ready: warmline::BoxFuture<'static, u8> = Box::pin(async { 7 });
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_async_tasks_is_blocked_for_a_second_at_most() {
        let limit = Duration::from_secs(5);
        assert_eq!(longest_wait(limit), limit);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            assert_eq!(longest_wait(limit), MAX_WAIT_IN_RUNTIME);
            let short = Duration::from_millis(1);
            assert_eq!(longest_wait(short), short);
        });
    }
}
