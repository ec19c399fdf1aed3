//! The JSON that passes between JavaScript and Rust.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use warmline::{Attempt, ByName, Error, ErrorKind, Reply, Result, StreamEvent, Usd};
use wasm_bindgen::JsValue;

/// Reads the options of a client or a router.
///
/// # Errors
/// `Config` for what is not an object of these options.
pub(crate) fn options<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    let options = serde_json::from_str(json);
    options.map(|ByName(options)| options).map_err(|e| {
        let message = ["the options: ", &e.to_string()].concat();
        Error::new(ErrorKind::Config, message)
    })
}

/// Serialises a value of Warmline's, which cannot fail.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// An error with what its own JSON form leaves out.
#[derive(Serialize)]
struct Failure<'a> {
    error: &'a Error,
    message: String,
    retryable: bool,
}

/// Returns an error as JavaScript gets it.
pub(crate) fn error(error: &Error) -> JsValue {
    let failure = Failure {
        error,
        message: error.to_string(),
        retryable: error.is_retryable(),
    };
    text(&failure).into()
}

/// Events as a JSON list.
#[derive(Default)]
pub(crate) struct EventList(String);

impl EventList {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, event: &StreamEvent) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        let event = match event {
            StreamEvent::Done { reply } => text(&Done::new(reply)),
            event => text(event),
        };
        self.0.push_str(&event);
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

/// The last event, with what the JSON form of a reply leaves out.
#[derive(Serialize)]
struct Done<'a> {
    r#type: &'static str,
    reply: &'a Reply,
    attempts: &'a [Attempt],
    time_to_first_token_us: u64,
    total_us: u64,
    cost_usd: Option<Usd>,
    cost_estimated: bool,
    raw: Option<&'a str>,
}

impl<'a> Done<'a> {
    fn new(reply: &'a Reply) -> Self {
        let us = |duration: Duration| duration.as_micros() as u64;
        Self {
            r#type: "done",
            reply,
            attempts: reply.attempts(),
            time_to_first_token_us: us(reply.timing.time_to_first_token),
            total_us: us(reply.timing.total),
            cost_usd: reply.cost.map(|cost| cost.usd),
            cost_estimated: reply.cost.is_some_and(|cost| cost.estimated),
            raw: reply.raw().and_then(|raw| str::from_utf8(raw).ok()),
        }
    }
}
