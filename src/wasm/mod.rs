//! The core as `npm/src/core.js` knows it. JSON text goes in and comes out: one crossing for what it takes
//! many calls to build, and the idiomatic face is written in JavaScript, where it can be idiomatic.

#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use js_sys::{Function, Promise};
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::runtime::BoxFuture;
use crate::transport::with_fetch;
use crate::{Client, Error, ErrorKind, Event, EventStream, Reply, Request, Result, RetryPolicy};

/// A client as the face describes it. The face has checked the types; what is missing is unset.
fn build(config: &Value) -> Result<Client> {
    let text = |name: &str| config[name].as_str();
    let duration = |name: &str| config[name].as_u64().map(Duration::from_millis);
    let mut builder = Client::builder(text("provider").unwrap_or_default().parse()?);
    if let Some(key) = text("api_key") {
        builder = builder.api_key(key);
    }
    if let Some(model) = text("model") {
        builder = builder.model(model);
    }
    if let Some(url) = text("base_url") {
        builder = builder.base_url(url);
    }
    if let Some(timeout) = duration("timeout_ms") {
        builder = builder.timeout(timeout);
    }
    if let Some(deadline) = duration("deadline_ms") {
        builder = builder.deadline(deadline);
    }
    if let Some(max_retries) = config["max_retries"].as_u64() {
        builder = builder.retry(RetryPolicy {
            max_retries: u32::try_from(max_retries).unwrap_or(u32::MAX),
            ..RetryPolicy::default()
        });
    }
    for (name, value) in config["headers"].as_object().into_iter().flatten() {
        builder = builder.header(name, value.as_str().unwrap_or_default());
    }
    builder.build()
}

/// A client.
#[wasm_bindgen]
pub struct Core(Client);

#[wasm_bindgen]
impl Core {
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str, fetch: Option<Function>) -> Result<Core, JsValue> {
        let config = read("the configuration", config).map_err(|e| error(&e))?;
        with_fetch(fetch, || build(&config))
            .map(Core)
            .map_err(|e| error(&e))
    }

    /// A call that begins when its first events are asked for.
    pub fn call(&self, request: &str, stream: bool) -> Call {
        let work = match read("the request", request).and_then(|value| Request::from_json(value)) {
            Err(error) => Work::Failed(Some(error)),
            Ok(request) if stream => Work::Stream(self.0.stream(request)),
            Ok(request) => {
                let client = self.0.clone();
                Work::Unary(Box::pin(async move { client.chat(request).await }))
            }
        };
        Call(Rc::new(Shared {
            work: RefCell::new(Some(work)),
            cancelled: Cell::new(false),
            waker: RefCell::new(None),
        }))
    }

    pub fn stats(&self) -> String {
        json(&self.0.stats())
    }
}

/// A call in flight.
#[wasm_bindgen]
pub struct Call(Rc<Shared>);

struct Shared {
    /// Taken out while events are awaited; gone once the call is over.
    work: RefCell<Option<Work>>,
    cancelled: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

enum Work {
    Failed(Option<Error>),
    Unary(BoxFuture<'static, Result<Reply>>),
    Stream(EventStream),
}

#[wasm_bindgen]
impl Call {
    /// The events that have come, as a JSON list; undefined after the last. Rejects with an error in JSON.
    pub fn next(&self) -> Promise {
        let shared = self.0.clone();
        future_to_promise(async move {
            match shared.next().await {
                Ok(Some(events)) => Ok(events.into()),
                Ok(None) => Ok(JsValue::UNDEFINED),
                Err(e) => Err(error(&e)),
            }
        })
    }

    /// Ends the call and frees what it holds. What is being awaited rejects as cancelled.
    pub fn cancel(&self) {
        self.0.cancelled.set(true);
        drop(self.0.work.take());
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

impl Shared {
    async fn next(&self) -> Result<Option<String>> {
        let Some(mut work) = self.work.take() else {
            return if self.cancelled.get() {
                Err(Error::cancelled())
            } else {
                Ok(None)
            };
        };
        let events = poll_fn(|cx| {
            if self.cancelled.get() {
                return Poll::Ready(Err(Error::cancelled()));
            }
            self.waker.replace(Some(cx.waker().clone()));
            work.poll_events(cx)
        })
        .await?;
        if !events.is_empty() && !self.cancelled.get() {
            self.work.replace(Some(work));
        }
        Ok((!events.is_empty()).then(|| list(&events)))
    }
}

impl Work {
    /// All events that are there, at least one; none after the end. A failure after some waits its turn.
    fn poll_events(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<VecDeque<Event>>> {
        let mut events = VecDeque::new();
        loop {
            let next = match self {
                Self::Failed(error) => Poll::Ready(error.take().map(Err)),
                Self::Unary(reply) => reply.as_mut().poll(cx).map(|reply| {
                    Some(reply.map(|reply| Event::Done {
                        reply: Box::new(reply),
                    }))
                }),
                Self::Stream(stream) => Pin::new(stream).poll_next(cx),
            };
            match next {
                Poll::Pending if events.is_empty() => return Poll::Pending,
                Poll::Pending | Poll::Ready(None) => return Poll::Ready(Ok(events)),
                Poll::Ready(Some(Err(error))) if events.is_empty() => {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Some(Err(error))) => {
                    *self = Self::Failed(Some(error));
                    return Poll::Ready(Ok(events));
                }
                Poll::Ready(Some(Ok(event))) => {
                    if let Self::Unary(_) = self {
                        *self = Self::Failed(None);
                    }
                    events.push_back(event);
                }
            }
        }
    }
}

/// The last event, with what a reply's own JSON form leaves out.
#[derive(Serialize)]
struct Done<'a> {
    r#type: &'static str,
    reply: &'a Reply,
    attempts: u32,
    first_event_ms: f64,
    total_ms: f64,
    raw: Option<&'a str>,
}

fn list(events: &VecDeque<Event>) -> String {
    let mut list = String::from("[");
    for event in events {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&match event {
            Event::Done { reply } => json(&Done {
                r#type: "done",
                reply,
                attempts: reply.attempts,
                first_event_ms: reply.timing.first_event.as_secs_f64() * 1000.0,
                total_ms: reply.timing.total.as_secs_f64() * 1000.0,
                raw: reply.raw().and_then(|raw| std::str::from_utf8(raw).ok()),
            }),
            event => json(event),
        });
    }
    list.push(']');
    list
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: &'static str,
    which: Option<&'static str>,
    message: String,
    status: Option<u16>,
    code: Option<&'a str>,
    error_type: Option<&'a str>,
    request_id: Option<&'a str>,
    retry_after_ms: Option<f64>,
    attempts: u32,
    body: Option<&'a str>,
}

fn error(error: &Error) -> JsValue {
    let which = match error.kind() {
        ErrorKind::Timeout { which } => Some(which.name()),
        _ => None,
    };
    let failure = Failure {
        kind: error.kind().name(),
        which,
        message: error.to_string(),
        status: error.status(),
        code: error.code(),
        error_type: error.error_type(),
        request_id: error.request_id(),
        retry_after_ms: error
            .retry_after()
            .map(|after| after.as_secs_f64() * 1000.0),
        attempts: error.attempts(),
        body: error.body(),
    };
    json(&failure).into()
}

fn read(what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::config(format!("{what} is not JSON: {e}")))
}

/// Our own types always have a JSON form.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
