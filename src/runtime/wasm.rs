use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::ops::Add;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use wasm_bindgen::prelude::*;

use crate::Result;

#[wasm_bindgen]
extern "C" {
    // The handle is a number in browsers and Workers, an object in Node.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Closure<dyn FnMut()>, ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(handle: &JsValue);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_name = String)]
    fn js_string(number: f64) -> String;
    #[wasm_bindgen(js_namespace = Math, js_name = random)]
    fn math_random() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = parse)]
    fn date_parse(text: &str) -> f64;
}

/// The maximum delay of `setTimeout`, in milliseconds (a signed 32-bit integer). Longer delays use several timers.
const MAX_TIMER_MS: f64 = 2_147_483_647.0;

/// Whether a small binary matters more than complete data tables.
pub(crate) const COMPACT: bool = true;

/// Whether a call may wake the task of another call. In Workers, each belongs to its own request.
pub(crate) const WAKES_OTHER_CALLS: bool = false;

/// Returns a random number from 0 to 1.
pub(crate) fn random() -> f64 {
    math_random()
}

/// Returns the current date and time.
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(date_now().max(0.0) as u64)
}

/// An instant of the runtime's monotonic clock, in milliseconds. In Workers the clock advances only at IO.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Instant(f64);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(performance_now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    fn since(self, earlier: Self) -> Duration {
        millis(self.0 - earlier.0)
    }
}

/// Converts milliseconds to a duration. A negative number becomes zero.
fn millis(ms: f64) -> Duration {
    Duration::from_nanos((ms * 1e6) as u64)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration.as_secs_f64() * 1000.0)
    }
}

/// A timer. It is set when first polled, and cleared when dropped so that it does not keep the process alive.
pub(crate) struct Sleep {
    deadline: Instant,
    timer: Option<Timer>,
}

struct Timer {
    handle: JsValue,
    state: Rc<State>,
    _callback: Closure<dyn FnMut()>,
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
    fn new(ms: f64) -> Self {
        let state = Rc::new(State::default());
        let fired = state.clone();
        let callback = Closure::new(move || {
            fired.fired.set(true);
            if let Some(waker) = fired.waker.take() {
                waker.wake();
            }
        });
        Self {
            handle: set_timeout(&callback, ms),
            state,
            _callback: callback,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.handle);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = (self.deadline.0 - Instant::now().0).max(0.0);
            let timer = self
                .timer
                .get_or_insert_with(|| Timer::new(left.min(MAX_TIMER_MS)));
            if !timer.state.fired.get() {
                timer.state.waker.replace(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            // The clock may stand still, so the timer that has fired decides.
            if left <= MAX_TIMER_MS {
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
    let ms = date_parse(&[text, zone].concat());
    let since = (ms >= 0.0).then(|| millis(ms))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Formats a finite float as a JSON number, in the shortest form that parses to the same float.
pub(crate) fn print_float(number: f64) -> String {
    js_string(number)
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

thread_local! {
    /// The tasks, indexed by the id that their wakers hold.
    static TASKS: RefCell<Vec<Weak<Task>>> = const { RefCell::new(Vec::new()) };
}

/// A task that is polled as soon as a promise or a timer wakes it, not by way of the microtask queue. In Workers the queue
/// takes longer than all other handling of an event, and can run the task in the context of another request.
pub(crate) struct Task {
    poll: RefCell<Box<Poller>>,
    running: Cell<bool>,
    woken: Cell<bool>,
    waker: Waker,
}

type Poller = dyn FnMut(&mut Context<'_>);

struct TaskWaker(usize);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let task = TASKS.with_borrow(|tasks| tasks.get(self.0).and_then(Weak::upgrade));
        if let Some(task) = task {
            task.run();
        }
    }
}

impl Task {
    pub(crate) fn new(poll: Box<Poller>) -> Rc<Self> {
        TASKS.with_borrow_mut(|tasks| {
            let free = tasks.iter().position(|task| task.strong_count() == 0);
            let id = free.unwrap_or(tasks.len());
            let task = Rc::new(Self {
                poll: RefCell::new(poll),
                running: Cell::new(false),
                woken: Cell::new(false),
                // Ids are reused: a late wake-up of a former task polls the new one, which is harmless.
                waker: Arc::new(TaskWaker(id)).into(),
            });
            match tasks.get_mut(id) {
                Some(slot) => *slot = Rc::downgrade(&task),
                None => tasks.push(Rc::downgrade(&task)),
            }
            task
        })
    }

    /// Polls the task. If it is woken while it is polled, it is polled again afterwards.
    pub(crate) fn run(&self) {
        self.woken.set(true);
        if self.running.replace(true) {
            return;
        }
        while self.woken.take() {
            self.poll.borrow_mut()(&mut Context::from_waker(&self.waker));
        }
        self.running.set(false);
    }
}

/// Runs a task that outlives its caller.
pub(crate) fn background(task: impl Future<Output = ()> + 'static) {
    let mut future: Option<BoxFuture<'static, ()>> = Some(Box::pin(task));
    // The task owns itself until it is done.
    let owner = Rc::new(Cell::new(None));
    let own = owner.clone();
    let task = Task::new(Box::new(move |cx| {
        if let Some(running) = &mut future
            && running.as_mut().poll(cx).is_ready()
        {
            future = None;
            own.take();
        }
    }));
    owner.set(Some(task.clone()));
    task.run();
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
