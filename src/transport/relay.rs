//! Reads a response's body on the task that drives its connection.
//!
//! hyper returns each chunk of a chunked body by itself, and the next one only after it was taken. If the call took them, its task
//! and the connection's would take turns for each chunk, even for those that arrived together. A [`Driver`] therefore takes
//! all that have arrived, and then wakes the call once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Incoming};

/// A driver takes no more from hyper while the call has not read this many bytes.
const MAX_UNREAD: usize = 64 << 10;

/// How often a driver is polled in a row before the other tasks have their turn.
const MAX_POLLS: usize = 64;

/// The body of a connection's current response, between the connection's task and the call.
#[derive(Default)]
pub(super) struct Relay {
    state: Mutex<State>,
    waker: Arc<DriverWaker>,
}

#[derive(Default)]
struct State {
    incoming: Option<Incoming>,
    unread: Vec<Bytes>,
    unread_bytes: usize,
    end: Option<Result<(), hyper::Error>>,
    reader: Option<Waker>,
    /// Whether the driver has ended.
    is_closed: bool,
}

impl Relay {
    /// Takes over the body of a response. The call reads it here from now on.
    pub(super) fn take_over(&self, incoming: Incoming) {
        let mut state = self.state();
        let is_closed = state.is_closed;
        *state = State {
            incoming: Some(incoming),
            is_closed,
            ..State::default()
        };
        drop(state);
        match is_closed {
            true => self.read_rest(),
            false => self.waker.wake_by_ref(),
        }
    }

    /// Takes the end of a body whose connection has closed.
    fn read_rest(&self) {
        self.advance(&mut Context::from_waker(Waker::noop()), usize::MAX);
    }

    /// Returns what has arrived, and whether that was all; nothing and `true` at the end.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, bool), hyper::Error>> {
        let mut state = self.state();
        let was_full = state.is_full();
        state.unread_bytes = 0;
        let bytes = match state.unread.len() {
            0 => Bytes::new(),
            1 => state.unread.pop().unwrap_or_default(),
            _ => {
                let joined = state.unread.concat().into();
                state.unread.clear();
                joined
            }
        };
        let is_end = match state.end.take() {
            // The error comes after the bytes.
            Some(Err(error)) if bytes.is_empty() => return Poll::Ready(Err(error)),
            Some(Ok(())) => true,
            end => {
                state.end = end;
                false
            }
        };
        if bytes.is_empty() && !is_end {
            match &mut state.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                reader => *reader = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        drop(state);
        if was_full {
            self.waker.wake_by_ref();
        }
        Poll::Ready(Ok((bytes, is_end)))
    }

    /// Takes what hyper has while no more than `max_unread` bytes are unread, and wakes the call if that is anything.
    fn advance(&self, cx: &mut Context<'_>, max_unread: usize) {
        let mut state = self.state();
        let state = &mut *state;
        let Some(incoming) = &mut state.incoming else {
            return;
        };
        let mut is_new = false;
        while state.end.is_none() && state.unread_bytes < max_unread {
            let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
                break;
            };
            is_new = true;
            match frame {
                // Trailers are not read.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        state.unread_bytes += bytes.len();
                        state.unread.push(bytes);
                        // A body of known length ends with its last byte.
                        if incoming.is_end_stream() {
                            state.end = Some(Ok(()));
                        }
                    }
                }
                Some(Err(error)) => state.end = Some(Err(error)),
                None => state.end = Some(Ok(())),
            }
        }
        if state.end.is_some() {
            state.incoming = None;
        }
        if is_new && let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.unread_bytes >= MAX_UNREAD
    }
}

/// Drives a connection, and reads the bodies of its responses.
pub(super) struct Driver<C> {
    /// `None` once it has closed.
    connection: Option<C>,
    relay: Arc<Relay>,
}

impl<C: Future + Unpin> Driver<C> {
    pub(super) fn new(connection: C, relay: Arc<Relay>) -> Self {
        let connection = Some(connection);
        Self { connection, relay }
    }
}

impl<C> Drop for Driver<C> {
    fn drop(&mut self) {
        // The body ends with its connection. Nobody else would take its end.
        self.connection = None;
        self.relay.state().is_closed = true;
        self.relay.read_rest();
    }
}

impl<C: Future + Unpin> Future for Driver<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { connection, relay } = &mut *self;
        let waker = relay.waker.clone();
        waker.outer.register(cx.waker());
        let inner = Waker::from(waker.clone());
        let inner = &mut Context::from_waker(&inner);
        for _ in 0..MAX_POLLS {
            waker.is_polling.store(true, Ordering::SeqCst);
            waker.is_woken.store(false, Ordering::SeqCst);
            let polled = connection.as_mut().map(|open| Pin::new(open).poll(inner));
            if !matches!(polled, Some(Poll::Pending)) {
                return Poll::Ready(());
            }
            relay.advance(inner, MAX_UNREAD);
            waker.is_polling.store(false, Ordering::SeqCst);
            if !waker.is_woken.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Notes a wake-up that comes while the driver is polled, instead of scheduling its task again: each chunk that is taken from
/// hyper wakes the connection.
#[derive(Default)]
struct DriverWaker {
    outer: AtomicWaker,
    is_polling: AtomicBool,
    is_woken: AtomicBool,
}

impl Wake for DriverWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_polling.load(Ordering::SeqCst) {
            self.outer.wake();
        }
    }
}
