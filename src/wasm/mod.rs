//! The core as `npm/src/core.js` knows it. JSON text goes in and comes out: one crossing for what it takes
//! many calls to build, and the idiomatic face is written in JavaScript, where it can be idiomatic.

#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

mod ledger;

use futures_core::Stream;
use wasm_bindgen::prelude::*;

use self::ledger::JsLedger;
use crate::json::{Reader, Stopped, Writer};
use crate::runtime::{BoxFuture, Task};
use crate::transport::{Function, with_fetch};
use crate::{
    Budget, BudgetAlert, Client, CostTracker, Error, ErrorKind, EventStream, Part, Price, Provider,
    Reply, Request, Result, Spend, StopReason, StreamEvent, ToolCall, Usage, Usd,
};

/// A client as the face describes it: an object of texts, numbers and flags. The face has checked the types; what is
/// missing or null is unset.
fn build(config: &str, mut tracker: CostTracker) -> Result<Client> {
    let mut json = Reader::new(config);
    let mut fields = || {
        json.object()?;
        let mut fields = Vec::new();
        while let Some(key) = json.key()? {
            if !json.null()? {
                fields.push((key, json.value_text()?));
            }
        }
        json.end()?;
        Ok(fields)
    };
    let fields: Result<_, Stopped> = fields();
    let fields = fields.map_err(|Stopped| Error::config(json.malformed().to_string()))?;
    let mut builder = Client::builder(Provider::Anthropic);
    for (key, value) in &fields {
        let ms = || Duration::from_millis(value.parse().unwrap_or_default());
        let text = || (**value).to_owned();
        let (key, name) = key.split_once(':').unwrap_or((key, ""));
        match key {
            "provider" => builder.provider = value.parse()?,
            "api_key" => builder.key = Some(text()),
            "model" => builder.model = Some(text()),
            "base_url" => builder.base_url = Some(text()),
            "timeout_ms" => builder.timeout = ms(),
            "deadline_ms" => builder.deadline = Some(ms()),
            "max_retries" => builder.retry.max_retries = value.parse().unwrap_or_default(),
            "header" => builder.headers.push((name.to_owned(), text())),
            "budget" => tracker = tracker.budget(Budget::monthly(name, value.parse()?)?),
            "alerts" => tracker = tracker.thresholds(value.split(' ').flat_map(str::parse)),
            "fail_open" => tracker = tracker.fail_open(),
            _ => tracker = tracker.price(name, price(value)?),
        }
    }
    builder.cost_tracker(tracker).build()
}

/// Dollars per million tokens of input, output, cache read and cache write.
fn price(rates: &str) -> Result<Price> {
    let mut rates = rates.split(' ').map(str::parse);
    let mut rate = || rates.next().unwrap_or(Ok(Usd::ZERO));
    let mut price = Price::per_million(rate()?, rate()?);
    price.cache_read = rate()?.of_a_million();
    price.cache_write = rate()?.of_a_million();
    price.cache_write_1h = price.cache_write;
    Ok(price)
}

/// A client.
#[wasm_bindgen]
pub struct Core(Client);

#[wasm_bindgen]
impl Core {
    #[wasm_bindgen(constructor)]
    pub fn new(
        config: &str,
        fetch: Option<Function>,
        ledger: Option<Function>,
        on_alert: Option<Function>,
    ) -> Result<Core, JsValue> {
        let mut tracker = CostTracker::new();
        if let Some(ask) = ledger {
            tracker = tracker.ledger(JsLedger(ask));
        }
        if let Some(tell) = on_alert {
            tracker = tracker.on_alert(move |alert| {
                // What the caller's function throws is the caller's.
                let _ = tell.call1(&JsValue::NULL, &alerted(alert).into());
            });
        }
        with_fetch(fetch, || build(config, tracker))
            .map(Core)
            .map_err(|e| error(&e))
    }

    /// The same client, its calls held to one more budget.
    pub fn with_budget(&self, name: &str, usd: &str) -> Result<Core, JsValue> {
        let budget = || Budget::monthly(name, usd.parse()?);
        let tracker = self
            .0
            .cost_tracker()
            .clone()
            .budget(budget().map_err(|e| error(&e))?);
        Ok(Core(self.0.with_cost_tracker(tracker)))
    }

    /// A call that begins when its first events are asked for.
    pub fn call(&self, request: &str, stream: bool) -> Call {
        let work = match Request::from_json(request) {
            Err(error) => Work::Failed(Some(error)),
            Ok(request) if stream => Work::Stream(self.0.stream(request)),
            Ok(request) => {
                let client = self.0.clone();
                Work::Unary(Box::pin(async move { client.chat(request).await }))
            }
        };
        Call::new(work)
    }

    /// What was spent this month.
    pub fn spend(&self) -> Call {
        let tracker = self.0.cost_tracker().clone();
        Call::new(Work::Text(Box::pin(async move {
            let spend = tracker.spend().await?;
            let mut json = Writer::default();
            json.object(|json| spent(json, &spend));
            Ok(json.into_text())
        })))
    }

    /// Until the ledger knows of all that was spent.
    pub fn flush(&self) -> Call {
        let tracker = self.0.cost_tracker().clone();
        Call::new(Work::Text(Box::pin(async move {
            tracker.flush().await.map(|()| String::new())
        })))
    }

    /// What can be known of the pool here.
    pub fn stats(&self) -> String {
        let stats = self.0.stats();
        let mut json = Writer::default();
        json.object(|json| {
            json.key("active").count(stats.active as u64);
            json.key("peak").count(stats.peak as u64);
        });
        json.into_text()
    }
}

/// A call in flight.
#[wasm_bindgen]
pub struct Call {
    shared: Rc<Shared>,
    task: Rc<Task>,
}

#[derive(Default)]
struct Shared {
    /// Taken out while it is polled; gone once the call is over.
    work: RefCell<Option<Work>>,
    /// The two functions of the promise that waits for events.
    asked: RefCell<Option<[Function; 2]>>,
    cancelled: Cell<bool>,
}

enum Work {
    Failed(Option<Error>),
    Unary(BoxFuture<'static, Result<Reply>>),
    Stream(EventStream),
    /// Done once its text is given.
    Text(BoxFuture<'static, Result<String>>),
}

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

impl Call {
    fn new(work: Work) -> Self {
        let shared = Rc::new(Shared::default());
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
    /// Asks for the events that come next. `resolve` gets them as a JSON list, or undefined after the last;
    /// `reject` gets an error in JSON.
    pub fn next(&self, resolve: Function, reject: Function) {
        self.shared.asked.replace(Some([resolve, reject]));
        self.task.run();
    }

    /// Ends the call and frees what it holds. What is being awaited rejects as cancelled.
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
                // The functions of a promise do not throw.
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
        let Some(mut work) = work else {
            return Poll::Ready(Ok(None));
        };
        if let Work::Text(text) = &mut work {
            let polled = text.as_mut().poll(cx).map_ok(Some);
            if polled.is_pending() {
                self.work.replace(Some(work));
            }
            return polled;
        }
        let polled = work.poll_events(cx);
        let over = matches!(&polled, Poll::Ready(Ok(events)) if events.is_empty())
            || matches!(polled, Poll::Ready(Err(_)));
        // Cancelled while it was polled, it is dropped here.
        if !over && !self.cancelled.get() {
            self.work.replace(Some(work));
        }
        polled.map_ok(|events| (!events.is_empty()).then(|| list(&events)))
    }
}

impl Work {
    /// All events that are there, at least one; none after the end. A failure after some waits its turn.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Result<VecDeque<StreamEvent>>> {
        let mut events = VecDeque::new();
        loop {
            let next = match self {
                Self::Failed(error) => Poll::Ready(error.take().map(Err)),
                Self::Unary(reply) => reply.as_mut().poll(cx).map(|reply| {
                    Some(reply.map(|reply| StreamEvent::Done {
                        reply: Box::new(reply),
                    }))
                }),
                Self::Stream(stream) => Pin::new(stream).poll_next(cx),
                Self::Text(_) => Poll::Ready(None),
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

fn list(events: &VecDeque<StreamEvent>) -> String {
    let mut json = Writer::default();
    json.list(events, event);
    json.into_text()
}

/// An event in the JSON form that serde gives it natively; the vectors hold the two alike.
fn event(json: &mut Writer, event: &StreamEvent) {
    json.object(|json| match event {
        StreamEvent::Start { id, model } => {
            json.field("type", "start");
            json.field("id", id);
            json.field("model", model);
        }
        StreamEvent::Text { text } => {
            json.field("type", "text");
            json.field("text", text);
        }
        StreamEvent::Reasoning { text } => {
            json.field("type", "reasoning");
            json.field("text", text);
        }
        StreamEvent::ToolCallStart { index, id, name } => {
            json.field("type", "tool_call_start");
            json.key("index").count(*index as u64);
            json.field("id", id);
            json.field("name", name);
        }
        StreamEvent::ToolCallDelta { index, arguments } => {
            json.field("type", "tool_call_delta");
            json.key("index").count(*index as u64);
            json.field("arguments", arguments);
        }
        StreamEvent::ToolCall { index, call } => {
            json.field("type", "tool_call");
            json.key("index").count(*index as u64);
            tool_call(json, call);
        }
        StreamEvent::Done { reply: whole } => {
            json.field("type", "done");
            json.key("reply").object(|json| reply(json, whole));
            // What a reply's own JSON form leaves out.
            json.key("attempts").count(whole.attempts.into());
            let us = |duration: Duration| duration.as_micros() as u64;
            json.key("time_to_first_token_us")
                .count(us(whole.timing.time_to_first_token));
            json.key("total_us").count(us(whole.timing.total));
            let cost = whole.cost.map(|cost| cost.usd.to_string());
            optional(json, "cost_usd", cost.as_deref());
            json.key("cost_estimated")
                .flag(whole.cost.is_some_and(|cost| cost.estimated));
            let raw = whole.raw().and_then(|raw| std::str::from_utf8(raw).ok());
            optional(json, "raw", raw);
        }
    });
}

fn tool_call(json: &mut Writer, call: &ToolCall) {
    json.field("id", &call.id);
    json.field("name", &call.name);
    json.field("arguments", &call.arguments);
}

fn reply(json: &mut Writer, reply: &Reply) {
    json.field("id", &reply.id);
    json.field("model", &reply.model);
    json.field("provider", reply.provider.name());
    json.key("content").list(&reply.content, |json, part| {
        json.object(|json| {
            json.field("type", part.name());
            match part {
                Part::Text { text, .. } => json.field("text", text),
                Part::ToolUse(call) => tool_call(json, call),
                Part::Reasoning { text, signature } => {
                    json.field("text", text);
                    if let Some(signature) = signature {
                        json.field("signature", signature);
                    }
                }
                Part::RedactedReasoning { data } => json.field("data", data),
                // What no model says.
                Part::Image { .. } | Part::Document { .. } | Part::ToolResult { .. } => {}
            }
        });
    });
    optional(
        json,
        "stop_reason",
        reply.stop_reason.as_ref().map(StopReason::as_str),
    );
    if let Some(sequence) = &reply.stop_sequence {
        json.field("stop_sequence", sequence);
    }
    usage(json, &reply.usage);
    json.key("usage_reported").flag(reply.usage_reported);
    optional(json, "request_id", reply.request_id.as_deref());
}

fn spent(json: &mut Writer, spend: &Spend) {
    json.field("month", &spend.month);
    json.field("total", &spend.total.to_string());
    json.key("models").list(&spend.models, |json, model| {
        json.object(|json| {
            json.field("provider", model.provider.name());
            json.field("model", &model.model);
            json.key("calls").count(model.calls);
            json.key("failures").count(model.failures);
            usage(json, &model.usage);
            json.field("cost", &model.cost.to_string());
            json.key("estimated").flag(model.estimated);
        });
    });
    json.field("unsettled", &spend.unsettled.to_string());
    json.key("budgets").list(&spend.budgets, |json, budget| {
        json.object(|json| {
            json.field("name", &budget.name);
            json.field("limit", &budget.limit.to_string());
            json.field("spent", &budget.spent.to_string());
            json.field("reserved", &budget.reserved.to_string());
        });
    });
}

fn alerted(alert: &BudgetAlert) -> String {
    let mut json = Writer::default();
    json.object(|json| {
        json.field("budget", &alert.budget);
        json.key("percent").count(alert.percent.into());
        json.field("spent", &alert.spent.to_string());
        json.field("limit", &alert.limit.to_string());
        json.field("hint", alert.hint());
    });
    json.into_text()
}

fn usage(json: &mut Writer, usage: &Usage) {
    json.key("usage").object(|json| {
        for (name, count) in [
            ("input_tokens", usage.input_tokens),
            ("output_tokens", usage.output_tokens),
            ("cache_read_tokens", usage.cache_read_tokens),
            ("cache_write_tokens", usage.cache_write_tokens),
            ("cache_write_1h_tokens", usage.cache_write_1h_tokens),
            ("reasoning_tokens", usage.reasoning_tokens),
        ] {
            json.key(name).count(count);
        }
        json.key("input_includes_cache")
            .flag(usage.input_includes_cache);
    });
}

fn error(error: &Error) -> JsValue {
    let which = match error.kind() {
        ErrorKind::Timeout { which } => Some(which.name()),
        _ => None,
    };
    let mut json = Writer::default();
    json.object(|json| {
        json.field("kind", error.kind().name());
        optional(json, "which", which);
        json.field("message", &error.to_string());
        if let Some(status) = error.status() {
            json.key("status").count(status.into());
        }
        optional(json, "code", error.code());
        optional(json, "error_type", error.error_type());
        optional(json, "request_id", error.request_id());
        if let Some(after) = error.retry_after() {
            json.key("retry_after_ms")
                .float(after.as_secs_f64() * 1000.0);
        }
        json.key("attempts").count(error.attempts().into());
        if let ErrorKind::BudgetExceeded {
            limit,
            spent,
            reserved,
            needed,
        } = error.kind()
        {
            json.key("budget").object(|json| {
                for (name, usd) in [
                    ("limit", limit),
                    ("spent", spent),
                    ("reserved", reserved),
                    ("needed", needed),
                ] {
                    json.field(name, &usd.to_string());
                }
            });
        }
        optional(json, "body", error.body());
    });
    json.into_text().into()
}

fn optional(json: &mut Writer, name: &str, text: Option<&str>) {
    match text {
        Some(text) => json.field(name, text),
        None => json.key(name).raw("null"),
    }
}
