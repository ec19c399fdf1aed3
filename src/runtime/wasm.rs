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
    #[wasm_bindgen(js_name = parseFloat)]
    fn js_float(text: &str) -> f64;
    #[wasm_bindgen(js_namespace = Math, js_name = random)]
    fn math_random() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = parse)]
    fn date_parse(text: &str) -> f64;
}

/// The longest delay that `setTimeout` takes (a signed 32-bit number of milliseconds); longer ones are
/// waited for in parts.
const LONGEST_MS: f64 = 2_147_483_647.0;

/// Whether a small binary matters more than complete tables.
pub(crate) const COMPACT: bool = true;

/// A number from 0 to 1.
pub(crate) fn random() -> f64 {
    math_random()
}

/// The date, for `retry-after`.
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(date_now().max(0.0) as u64)
}

/// A point of the runtime's monotonic clock, which in Workers stands still between IO.
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

/// Nothing for a clock that went back.
fn millis(ms: f64) -> Duration {
    Duration::from_nanos((ms * 1e6) as u64)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration.as_secs_f64() * 1000.0)
    }
}

/// A timer, set when it is first polled and cleared when it is dropped, so that it keeps no process alive.
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
                .get_or_insert_with(|| Timer::new(left.min(LONGEST_MS)));
            if !timer.state.fired.get() {
                timer.state.waker.replace(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            // A clock that stands still is not believed against a timer that has fired.
            if left <= LONGEST_MS {
                return Poll::Ready(());
            }
            self.timer = None;
        }
    }
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7). JavaScript reads all three forms, but takes the one that
/// names no zone for local time.
pub(crate) fn parse_http_date(text: &str) -> Option<SystemTime> {
    if !text.contains(':') {
        return None;
    }
    let zone = if text.ends_with("GMT") { "" } else { " GMT" };
    let ms = date_parse(&[text, zone].concat());
    let since = (ms >= 0.0).then(|| millis(ms))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The float that a JSON number stands for; none where it is too large for any. JavaScript reads and prints
/// floats exactly, and Rust's own tables for it would be a tenth of the module.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    Some(js_float(text)).filter(|number| number.is_finite())
}

/// A finite float as a JSON number, as short as it can be.
pub(crate) fn print_float(number: f64) -> String {
    js_string(number)
}

/// Runs a future that uses sockets and timers. They are always at hand here.
pub(crate) async fn within<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.await
}

/// What the future gives, or none where it takes longer.
pub(crate) async fn timeout<F: Future>(at_most: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(at_most));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

thread_local! {
    /// The tasks that there are, by the number that their wakers know.
    static TASKS: RefCell<Vec<Weak<Task>>> = const { RefCell::new(Vec::new()) };
}

/// Polled at once where a promise or a timer wakes it, rather than by way of the microtask queue, which in Workers costs
/// more than all else that an event costs here, and may run it in another request's name.
pub(crate) struct Task {
    poll: RefCell<Box<Poller>>,
    running: Cell<bool>,
    woken: Cell<bool>,
    waker: Waker,
}

type Poller = dyn FnMut(&mut Context<'_>);

struct WakeUp(usize);

impl Wake for WakeUp {
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
            let gone = tasks.iter().position(|task| task.strong_count() == 0);
            let number = gone.unwrap_or(tasks.len());
            let task = Rc::new(Self {
                poll: RefCell::new(poll),
                running: Cell::new(false),
                woken: Cell::new(false),
                // A late wake-up by one whose number was given to another polls that other once in vain.
                waker: Arc::new(WakeUp(number)).into(),
            });
            match tasks.get_mut(number) {
                Some(place) => *place = Rc::downgrade(&task),
                None => tasks.push(Rc::downgrade(&task)),
            }
            task
        })
    }

    /// Polls until nothing has woken it meanwhile. One that is woken while it is polled is polled again after.
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

/// Runs work that outlives the call that began it.
pub(crate) fn background(work: impl Future<Output = ()> + 'static) {
    let mut work: Option<BoxFuture<'static, ()>> = Some(Box::pin(work));
    // It holds itself until it is done.
    let own = Rc::new(Cell::new(None));
    let held = own.clone();
    let task = Task::new(Box::new(move |cx| {
        if let Some(running) = &mut work
            && running.as_mut().poll(cx).is_ready()
        {
            work = None;
            held.take();
        }
    }));
    own.set(Some(task.clone()));
    task.run();
}

/// There is no blocking here: what must not be lost is flushed.
pub(crate) fn wait_for(_work: impl Future<Output = ()> + 'static, _at_most: Duration) {}

/// `Send`, where futures may move between threads; nothing on WebAssembly, which has one thread.
pub trait MaybeSend {}

impl<T: ?Sized> MaybeSend for T {}

/// `Sync`, where values may be shared between threads; nothing on WebAssembly, which has one thread.
pub trait MaybeSync {}

impl<T: ?Sized> MaybeSync for T {}

/// A boxed future, which is `Send` where futures may move between threads: what the methods of [`Ledger`](crate::Ledger) return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
