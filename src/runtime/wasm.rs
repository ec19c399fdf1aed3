use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use gloo_timers::callback::Timeout;
use js_sys::{Date, JSON, Math};

use crate::Result;

// In Workers its clock advances only at IO.
pub(crate) use web_time::Instant;

/// The maximum delay of `setTimeout`, in milliseconds (a signed 32-bit integer). Longer delays use several timers.
const MAX_TIMER_MS: u32 = i32::MAX as u32;

/// Whether a small binary matters more than complete data tables.
pub(crate) const COMPACT: bool = true;

/// Whether a call may wake the task of another call. In Workers, each belongs to its own request.
pub(crate) const WAKES_OTHER_CALLS: bool = false;

/// Returns a random number from 0 to 1.
pub(crate) fn random() -> f64 {
    Math::random()
}

/// Returns the current date and time.
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(Date::now().max(0.0) as u64)
}

/// A timer. It is set when first polled, and cleared when dropped so that it does not keep the process alive.
pub(crate) struct Sleep {
    deadline: Instant,
    timer: Option<Timer>,
}

struct Timer {
    state: Rc<State>,
    _timeout: Timeout,
}

#[derive(Default)]
struct State {
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep {
        deadline: Instant::now() + duration,
        timer: None,
    }
}

impl Sleep {
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn is_elapsed(&self) -> bool {
        self.timer
            .as_ref()
            .is_some_and(|timer| timer.state.fired.get())
    }

    pub(crate) fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.deadline = deadline;
        self.timer = None;
    }
}

impl Timer {
    fn new(ms: u32) -> Self {
        let state = Rc::new(State::default());
        let fired = state.clone();
        let timeout = Timeout::new(ms, move || {
            fired.fired.set(true);
            if let Some(waker) = fired.waker.take() {
                waker.wake();
            }
        });
        Self {
            state,
            _timeout: timeout,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = self.deadline.duration_since(Instant::now());
            // Rounded up, because a timer that fires early would have to be set again.
            let ms = u32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
            let timer = self
                .timer
                .get_or_insert_with(|| Timer::new(ms.min(MAX_TIMER_MS)));
            if !timer.state.fired.get() {
                timer.state.waker.replace(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            // The clock may stand still, so the timer that has fired decides.
            if ms <= MAX_TIMER_MS {
                return Poll::Ready(());
            }
            self.timer = None;
        }
    }
}

/// Parses an HTTP date (RFC 9110, section 5.6.7). JavaScript parses all three formats, but takes the one without a time zone
/// as local time.
pub(crate) fn parse_http_date(text: &str) -> Option<SystemTime> {
    if !text.contains(':') {
        return None;
    }
    let zone = if text.ends_with("GMT") { "" } else { " GMT" };
    let ms = Date::parse(&[text, zone].concat());
    let since = (ms >= 0.0).then(|| Duration::from_millis(ms as u64))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Formats a finite float as a JSON number, in the shortest form that parses to the same float.
pub(crate) fn print_float(number: f64) -> String {
    let text = JSON::stringify(&number.into());
    text.map(String::from).unwrap_or_default()
}

/// Runs a future that uses sockets and timers. They are always available on WebAssembly.
pub(crate) async fn within<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.await
}

/// Succeeds: sockets and timers are always available on WebAssembly.
pub(crate) fn ensure() -> Result<()> {
    Ok(())
}

/// Returns the future's output, or `None` if it takes longer than `limit`.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(limit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Runs a task that outlives its caller.
pub(crate) fn background(task: impl Future<Output = ()> + 'static) {
    wasm_bindgen_futures::spawn_local(task);
}

/// Does nothing, because WebAssembly cannot block. Callers that must not lose data flush it instead.
pub(crate) fn wait_for(_task: impl Future<Output = ()> + 'static, _limit: Duration) {}

/// A bound that requires `Send`, except on WebAssembly, which has one thread.
pub trait MaybeSend {}

impl<T: ?Sized> MaybeSend for T {}

/// A bound that requires `Sync`, except on WebAssembly, which has one thread.
pub trait MaybeSync {}

impl<T: ?Sized> MaybeSync for T {}

/// A boxed future: the return type of [`Ledger`](crate::Ledger)'s methods. It is `Send`, except on WebAssembly.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
