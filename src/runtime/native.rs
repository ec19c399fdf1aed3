use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::{Error, Result};

pub(crate) use tokio::time::{Instant, Sleep, sleep};

/// Whether a small binary matters more than complete tables.
pub(crate) const COMPACT: bool = false;

/// A number from 0 to 1.
pub(crate) fn random() -> f64 {
    fastrand::f64()
}

/// The date, for `retry-after`.
pub(crate) fn wall_clock() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub(crate) fn parse_http_date(text: &str) -> Option<std::time::SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// The float that a JSON number stands for; none where it is too large for any.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A finite float as a JSON number, as short as it can be.
pub(crate) fn print_float(number: f64) -> String {
    number.to_string()
}

/// Runs a future that uses Tokio's sockets and timers, which panic outside a runtime.
///
/// # Errors
/// `Config` where it is polled outside a Tokio runtime.
pub(crate) async fn within<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    // Each time: a future that was begun in a runtime can be polled outside it.
    poll_fn(|cx| match Handle::try_current() {
        Ok(_) => future.as_mut().poll(cx),
        Err(_) => Poll::Ready(Err(Error::config(
            "this needs a Tokio runtime, and there is none here: call it from a function under `#[tokio::main]` or \
             `#[tokio::test]`, or by `Runtime::block_on`",
        ))),
    })
    .await
}

/// What the future gives, or none where it takes longer.
pub(crate) async fn timeout<F: Future>(at_most: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(at_most, future).await.ok()
}

/// Runs work that outlives the call and the runtime that began it, on a thread of the crate's own.
pub(crate) fn background(work: impl Future<Output = ()> + Send + 'static) {
    // Simulations want one scheduler, and one clock that they turn.
    #[cfg(test)]
    if let Ok(simulation) = Handle::try_current() {
        return drop(simulation.spawn(work));
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
        Ok(runtime) => drop(runtime.spawn(work)),
        Err(error) => tracing::error!(%error, "no thread for work in the background"),
    }
}

/// Blocks until the work is done in the background, or for so long.
pub(crate) fn wait_for(work: impl Future<Output = ()> + Send + 'static, at_most: Duration) {
    let (done, wait) = std::sync::mpsc::channel();
    background(async move {
        work.await;
        // Nobody waits any longer.
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(at_most);
}

/// `Send`, where futures may move between threads; nothing on WebAssembly, which has one thread.
///
/// Every type that fits implements it; there is nothing to implement by hand. See [`Ledger`](crate::Ledger) for its use.
///
/// ```
/// fn spawnable(future: impl std::future::Future<Output = ()> + warmline::MaybeSend) {}
/// spawnable(async {});
/// ```
pub trait MaybeSend: Send {}

impl<T: Send + ?Sized> MaybeSend for T {}

/// `Sync`, where values may be shared between threads; nothing on WebAssembly, which has one thread.
///
/// ```
/// fn shareable(value: &(impl warmline::MaybeSync + ?Sized)) {}
/// shareable("text");
/// ```
pub trait MaybeSync: Sync {}

impl<T: Sync + ?Sized> MaybeSync for T {}

/// A boxed future, which is `Send` where futures may move between threads: what the methods of [`Ledger`](crate::Ledger) return.
///
/// ```
/// let ready: warmline::BoxFuture<'static, u8> = Box::pin(async { 7 });
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
