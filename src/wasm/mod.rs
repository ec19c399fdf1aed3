//! The bindings that `npm/src/core.js` calls. Requests, events and errors cross the boundary as JSON text, because one call with
//! text is cheaper than many that build objects. The public JavaScript API is written in JavaScript.

#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

mod ledger;
mod promise;
mod token;

use futures_core::Stream;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use self::ledger::JsLedger;
use self::token::JsTokenSource;
use crate::chat::fields;
use crate::provider::Setting;
use crate::runtime::{BoxFuture, Task};
use crate::transport::{Function, with_fetch};
use crate::{
    Attempt, Budget, BudgetAlert, Client, CostTracker, Credentials, Error, ErrorKind, EventStream,
    Price, Provider, Reply, Request, Result, StreamEvent, Usd,
};

/// The options of a client: an object of strings, numbers and booleans. `core.js` has checked the types. A missing or null option is
/// unset.
fn build(config: &str, mut tracker: CostTracker, token: Option<Function>) -> Result<Client> {
    let fields = fields(config).map_err(|e| Error::config(e.to_string()))?;
    let mut builder = Client::builder(Provider::Anthropic);
    if let Some(token) = token {
        builder.credentials = Credentials::token_source(JsTokenSource(token));
    }
    for (key, value) in fields {
        // A string, or the text of a number or boolean.
        let text = serde_json::from_str::<Option<String>>(value.as_str());
        let Some(value) = text.unwrap_or_else(|_| Some(value.to_string())) else {
            continue;
        };
        let ms = || Duration::from_millis(value.parse().unwrap_or_default());
        let text = || value.clone();
        let (key, name) = key.split_once(':').unwrap_or((&key, ""));
        match key {
            "provider" => builder.provider = value.parse()?,
            "api_key" => builder.credentials = Credentials::api_key(&*value),
            "bearer_token" => builder.credentials = Credentials::bearer_token(&*value),
            "credentials_per_request" => builder.credentials = Credentials::per_request(),
            "model" => builder.model = Some(text()),
            "base_url" => builder.base_url = Some(text()),
            "timeout_ms" => builder.timeouts.timeout = Some(ms()),
            "reply_timeout_ms" => builder.timeouts.reply = Some(ms()),
            "pool_timeout_ms" => builder.timeouts.pool = Some(ms()),
            "deadline_ms" => builder.timeouts.deadline = Some(ms()),
            "max_retries" => builder.retry.max_retries = value.parse().unwrap_or_default(),
            "header" => builder.headers.push((name.to_owned(), text())),
            "budget" => tracker = tracker.budget(Budget::monthly(name, value.parse()?)?),
            "alerts" => tracker = tracker.thresholds(value.split(' ').flat_map(str::parse)),
            "fail_open" => tracker = tracker.fail_open(),
            "strict" => tracker = tracker.strict(),
            "price" => tracker = tracker.price(name, price(&value)?),
            _ => {
                if let Some(setting) = Setting::named(key) {
                    builder.settings.set(setting, text());
                }
            }
        }
    }
    builder.cost_tracker(tracker).build()
}

/// Dollars per million tokens of input, output, cache read, cache write (for five minutes and for an hour), and audio as input
/// and as output; then, if it is known, dollars per thousand web searches.
fn price(rates: &str) -> Result<Price> {
    let mut rates = rates.split(' ').map(str::parse);
    let mut rate = || rates.next().unwrap_or(Ok(Usd::ZERO));
    let mut price = Price::per_million(rate()?, rate()?);
    for field in [
        &mut price.cache_read,
        &mut price.cache_write,
        &mut price.cache_write_1h,
        &mut price.audio_input,
        &mut price.audio_output,
    ] {
        *field = rate()?.of_a_million();
    }
    Ok(match rates.next() {
        Some(fee) => price.web_search_per_thousand(fee?),
        None => price,
    })
}

/// A client.
#[wasm_bindgen]
pub struct Core(Client);

#[wasm_bindgen]
impl Core {
    #[wasm_bindgen(constructor)]
    pub fn new(
        config: &str,
        ledger: Option<Function>,
        on_alert: Option<Function>,
        token: Option<Function>,
    ) -> Result<Core, JsValue> {
        let mut tracker = CostTracker::new();
        if let Some(ask) = ledger {
            tracker = tracker.ledger(JsLedger(ask));
        }
        if let Some(tell) = on_alert {
            tracker = tracker.on_alert(move |alert| {
                // An error that the callback throws is not handled here.
                let _ = tell.call1(&JsValue::NULL, &alerted(alert).into());
            });
        }
        build(config, tracker, token)
            .map(Core)
            .map_err(|e| error(&e))
    }

    /// Returns the same client with one more budget.
    pub fn with_budget(&self, name: &str, usd: &str) -> Result<Core, JsValue> {
        let budget = || Budget::monthly(name, usd.parse()?);
        let tracker = self
            .0
            .cost_tracker()
            .clone()
            .budget(budget().map_err(|e| error(&e))?);
        Ok(Core(self.0.with_cost_tracker(tracker)))
    }

    /// Creates a call, which sends its requests by `fetch`. It starts when its first events are requested. One that is not streamed
    /// has only the last event.
    pub fn call(
        &self,
        request: &str,
        stream: bool,
        fetch: Function,
        token: Option<Function>,
    ) -> Call {
        let events = Request::from_json(request).map(|mut request| {
            if let Some(token) = token {
                request.options.credentials = Some(Credentials::token_source(JsTokenSource(token)));
            }
            self.0.events(&request, stream)
        });
        let work = match events {
            Ok(events) => Work::Events(events),
            Err(error) => Work::Failed(error),
        };
        Call::new(work, Some(Rc::new(fetch)))
    }

    /// Returns the spend of this month.
    pub fn spend(&self) -> Call {
        let tracker = self.0.cost_tracker().clone();
        Call::new(
            Work::Text(Box::pin(
                async move { Ok(written(&tracker.spend().await?)) },
            )),
            None,
        )
    }

    /// Waits until the ledger has recorded all costs.
    pub fn flush(&self) -> Call {
        let tracker = self.0.cost_tracker().clone();
        Call::new(
            Work::Text(Box::pin(async move {
                tracker.flush().await.map(|()| String::new())
            })),
            None,
        )
    }

    /// Returns the statistics that are known on WebAssembly.
    pub fn stats(&self) -> String {
        let stats = self.0.stats();
        written(&Stats {
            active: stats.active,
            peak: stats.peak,
        })
    }
}

/// A call in progress.
#[wasm_bindgen]
pub struct Call {
    shared: Rc<Shared>,
    task: Rc<Task>,
}

#[derive(Default)]
struct Shared {
    /// `None` while it is polled, and after the end of the call.
    work: RefCell<Option<Work>>,
    /// The `resolve` and `reject` functions of the promise that waits for events.
    asked: RefCell<Option<[Function; 2]>>,
    cancelled: Cell<bool>,
    fetch: Option<Rc<Function>>,
}

/// What a promise waits for.
enum Work {
    Events(EventStream),
    /// An error that follows the events that were returned before it.
    Failed(Error),
    Text(BoxFuture<'static, Result<String>>),
}

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

impl Call {
    fn new(work: Work, fetch: Option<Rc<Function>>) -> Self {
        let shared = Rc::new(Shared {
            fetch,
            ..Shared::default()
        });
        shared.work.replace(Some(work));
        let polled = shared.clone();
        Self {
            task: Task::new(Box::new(move |cx| polled.run(cx))),
            shared,
        }
    }
}

#[wasm_bindgen]
impl Call {
    /// Requests the next events. `resolve` gets them as a JSON list, or undefined after the last one; `reject` gets an error as
    /// JSON.
    pub fn next(&self, resolve: Function, reject: Function) {
        self.shared.asked.replace(Some([resolve, reject]));
        self.task.run();
    }

    /// Ends the call and frees its resources. A pending promise is rejected as cancelled.
    pub fn cancel(&self) {
        self.shared.cancelled.set(true);
        drop(self.shared.work.take());
        self.task.run();
    }
}

impl Shared {
    fn run(&self, cx: &mut Context<'_>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        match self.poll(cx) {
            Poll::Pending => drop(self.asked.replace(Some(asked))),
            Poll::Ready(result) => {
                let [resolve, reject] = asked;
                // The functions of a promise never throw.
                let _ = match result {
                    Ok(Some(events)) => resolve.call1(&JsValue::NULL, &events.into()),
                    Ok(None) => resolve.call0(&JsValue::NULL),
                    Err(e) => reject.call1(&JsValue::NULL, &error(&e)),
                };
            }
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Option<String>>> {
        let work = self.work.take();
        if self.cancelled.get() {
            return Poll::Ready(Err(Error::cancelled()));
        }
        let Some(work) = work else {
            return Poll::Ready(Ok(None));
        };
        let (polled, rest) = with_fetch(self.fetch.clone(), || work.poll(cx));
        // If the call was cancelled while it was polled, it is dropped here.
        if !self.cancelled.get() {
            self.work.replace(rest);
        }
        polled
    }
}

impl Work {
    /// Returns what has arrived, and what remains to be done. `None` is the end.
    fn poll(self, cx: &mut Context<'_>) -> (Poll<Result<Option<String>>>, Option<Self>) {
        match self {
            Self::Failed(error) => (Poll::Ready(Err(error)), None),
            Self::Text(mut text) => match text.as_mut().poll(cx) {
                Poll::Pending => (Poll::Pending, Some(Self::Text(text))),
                Poll::Ready(text) => (Poll::Ready(text.map(Some)), None),
            },
            Self::Events(mut events) => {
                let mut arrived = EventList::default();
                loop {
                    match Pin::new(&mut events).poll_next(cx) {
                        Poll::Ready(Some(Ok(event))) => arrived.push(&event),
                        Poll::Ready(Some(Err(error))) if arrived.is_empty() => {
                            return (Poll::Ready(Err(error)), None);
                        }
                        Poll::Ready(Some(Err(error))) => {
                            return (arrived.finish(), Some(Self::Failed(error)));
                        }
                        Poll::Ready(None) if arrived.is_empty() => {
                            return (Poll::Ready(Ok(None)), None);
                        }
                        Poll::Pending if arrived.is_empty() => {
                            return (Poll::Pending, Some(Self::Events(events)));
                        }
                        Poll::Ready(None) | Poll::Pending => {
                            return (arrived.finish(), Some(Self::Events(events)));
                        }
                    }
                }
            }
        }
    }
}

/// Events as a JSON list.
#[derive(Default)]
struct EventList(String);

impl EventList {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, event: &StreamEvent) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(&written(&Event::of(event)));
    }

    fn finish(mut self) -> Poll<Result<Option<String>>> {
        self.0.push(']');
        Poll::Ready(Ok(Some(self.0)))
    }
}

/// Serialises a value of this crate, which cannot fail.
fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The statistics that are known if the runtime owns the connections.
#[derive(Serialize)]
struct Stats {
    active: usize,
    peak: usize,
}

/// An event as JSON. The last one has the fields that the JSON form of a reply omits.
#[derive(Serialize)]
#[serde(untagged)]
enum Event<'a> {
    Done {
        r#type: &'static str,
        reply: &'a Reply,
        attempts: &'a [Attempt],
        time_to_first_token_us: u64,
        total_us: u64,
        cost_usd: Option<Usd>,
        cost_estimated: bool,
        raw: Option<&'a str>,
    },
    Other(&'a StreamEvent),
}

impl<'a> Event<'a> {
    fn of(event: &'a StreamEvent) -> Self {
        let StreamEvent::Done { reply } = event else {
            return Self::Other(event);
        };
        let us = |duration: Duration| duration.as_micros() as u64;
        Self::Done {
            r#type: "done",
            reply,
            attempts: reply.attempts(),
            time_to_first_token_us: us(reply.timing.time_to_first_token),
            total_us: us(reply.timing.total),
            cost_usd: reply.cost.map(|cost| cost.usd),
            cost_estimated: reply.cost.is_some_and(|cost| cost.estimated),
            raw: reply.raw().and_then(|raw| std::str::from_utf8(raw).ok()),
        }
    }
}

#[derive(Serialize)]
struct Alert<'a> {
    #[serde(flatten)]
    alert: &'a BudgetAlert,
    hint: &'a str,
}

fn alerted(alert: &BudgetAlert) -> String {
    let hint = alert.hint();
    written(&Alert { alert, hint })
}

#[derive(Serialize)]
struct ErrorForm<'a> {
    kind: &'a str,
    which: Option<&'a str>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    code: Option<&'a str>,
    error_type: Option<&'a str>,
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    attempts: &'a [Attempt],
    hint: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetForm>,
    body: Option<&'a str>,
}

#[derive(Serialize)]
struct BudgetForm {
    limit: Usd,
    spent: Usd,
    reserved: Usd,
    needed: Usd,
}

fn error(error: &Error) -> JsValue {
    let which = match error.kind() {
        ErrorKind::Timeout { which } => Some(which.name()),
        _ => None,
    };
    let budget = match *error.kind() {
        ErrorKind::BudgetExceeded {
            limit,
            spent,
            reserved,
            needed,
        } => Some(BudgetForm {
            limit,
            spent,
            reserved,
            needed,
        }),
        _ => None,
    };
    let form = ErrorForm {
        kind: error.kind().name(),
        which,
        message: error.to_string(),
        status: error.status(),
        code: error.code(),
        error_type: error.error_type(),
        request_id: error.request_id(),
        retry_after_ms: error.retry_after().map(|after| after.as_millis() as u64),
        attempts: error.attempts(),
        hint: error.hint(),
        retryable: error.is_retryable(),
        budget,
        body: error.body(),
    };
    written(&form).into()
}
