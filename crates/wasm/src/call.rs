//! A call in progress.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use futures_util::stream::once;
use js_sys::Promise;
use warmline::{Client, Error, EventStream, Reply, Request, Result, Router, StreamEvent};
use wasm_bindgen::prelude::*;

use crate::json::EventList;
use crate::promise::promise;

/// What makes a call.
pub(crate) enum Caller {
    Client(Client),
    Router(Router),
}

impl Caller {
    fn stream(&self, request: Request) -> EventStream {
        match self {
            Self::Client(client) => client.stream(request),
            Self::Router(router) => router.stream(request),
        }
    }

    async fn chat(&self, request: Request) -> Result<Reply> {
        match self {
            Self::Client(client) => client.chat(request).await,
            Self::Router(router) => router.chat(request).await,
        }
    }
}

/// A call in progress.
#[wasm_bindgen]
pub struct Call(Rc<State>);

type Events = Pin<Box<dyn Stream<Item = Result<StreamEvent>>>>;

struct State {
    /// `None` while they are polled, and after the call was cancelled.
    events: RefCell<Option<Events>>,
    /// Wakes the task of the promise that waits for events.
    waker: RefCell<Option<Waker>>,
    cancelled: Cell<bool>,
}

impl Call {
    pub(crate) fn new(caller: Caller, request: Result<Request>, stream: bool) -> Self {
        let events: Events = match request {
            Ok(request) if stream => Box::pin(caller.stream(request)),
            request => Box::pin(once(async move {
                let reply = Box::new(caller.chat(request?).await?);
                Ok(StreamEvent::Done { reply })
            })),
        };
        Self(Rc::new(State {
            events: RefCell::new(Some(events)),
            waker: RefCell::default(),
            cancelled: Cell::default(),
        }))
    }
}

#[wasm_bindgen]
impl Call {
    /// Returns a promise of the next events as a JSON list, or of undefined after the last one. It rejects with an error as JSON.
    pub fn next(&self) -> Promise {
        let state = self.0.clone();
        promise(async move {
            let events = poll_fn(|cx| state.poll(cx)).await?;
            Ok(events.map_or(JsValue::UNDEFINED, JsValue::from))
        })
    }

    /// Ends the call and frees its resources. A pending promise is rejected as cancelled.
    pub fn cancel(&self) {
        self.0.cancelled.set(true);
        drop(self.0.events.take());
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

impl State {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Option<String>>> {
        self.waker.replace(Some(cx.waker().clone()));
        let events = self.events.take();
        if self.cancelled.get() {
            return Poll::Ready(Err(Error::cancelled()));
        }
        let Some(mut events) = events else {
            return Poll::Ready(Ok(None));
        };
        let arrived = poll_arrived(&mut events, cx);
        // A function of the caller's may have cancelled the call while it was polled. It is dropped then.
        if !self.cancelled.get() {
            self.events.replace(Some(events));
        }
        arrived
    }
}

/// Returns all events that have arrived; `None` after the last one.
fn poll_arrived(events: &mut Events, cx: &mut Context<'_>) -> Poll<Result<Option<String>>> {
    let mut arrived = EventList::default();
    loop {
        match events.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(event))) => arrived.push(&event),
            Poll::Ready(Some(Err(error))) if arrived.is_empty() => return Poll::Ready(Err(error)),
            Poll::Ready(None) if arrived.is_empty() => return Poll::Ready(Ok(None)),
            Poll::Pending if arrived.is_empty() => return Poll::Pending,
            rest => {
                // The error follows what arrived before it.
                if let Poll::Ready(Some(Err(error))) = rest {
                    *events = Box::pin(once(async { Err(error) }));
                }
                return Poll::Ready(Ok(Some(arrived.finish())));
            }
        }
    }
}
