//! The WebAssembly module of the npm package. It uses nothing but the public API of the crate `warmline`.
//!
//! Requests, events and errors cross the boundary as JSON text in the serde form of their Rust types, because one call with text
//! is cheaper than many that build objects. `npm/src/caller.js` makes the public JavaScript API of it.

#![cfg(target_family = "wasm")]
// Macros of wasm-bindgen need public types, and nothing is imported from a cdylib.
#![allow(unreachable_pub)]

mod call;
mod json;
mod ledger;
mod options;
mod promise;
mod router;
#[cfg(test)]
mod tests;
mod token;

use js_sys::{Function, Promise};
use warmline::{Budget, Client, CostTracker, Credentials, Error, Request, Result};
use wasm_bindgen::prelude::*;

use self::call::{Call, Caller};
use self::ledger::JsLedger;
use self::options::Options;
use self::promise::promise;
use self::token::JsTokenSource;

/// A client.
#[wasm_bindgen]
pub struct Core(Client);

#[wasm_bindgen]
impl Core {
    /// Creates a client. `options` are JSON, see `options.rs`; the functions are what JSON cannot hold. `on_alert` is called with an alert
    /// as JSON and its hint.
    #[wasm_bindgen(constructor)]
    pub fn new(
        options: &str,
        ledger: Option<JsLedger>,
        on_alert: Option<Function>,
        token: Option<Function>,
    ) -> std::result::Result<Core, JsValue> {
        let mut tracker = CostTracker::new();
        if let Some(ledger) = ledger {
            tracker = tracker.ledger(ledger);
        }
        if let Some(on_alert) = on_alert {
            tracker = tracker.on_alert(move |alert| {
                let (alert, hint) = (json::text(alert), alert.hint());
                // What the callback throws does not change the call.
                let _ = on_alert.call2(&JsValue::UNDEFINED, &alert.into(), &hint.into());
            });
        }
        let client = json::options::<Options>(options).and_then(|options| {
            let mut builder = options.into_builder(tracker)?;
            if let Some(token) = token {
                builder = builder.credentials(Credentials::token_source(JsTokenSource(token)));
            }
            builder.build()
        });
        client.map(Core).map_err(|e| json::error(&e))
    }

    /// Returns a client that shares everything with this one and also enforces another monthly budget, in dollars.
    #[wasm_bindgen(js_name = withBudget)]
    pub fn with_budget(&self, name: &str, usd: &str) -> std::result::Result<Core, JsValue> {
        let budget = read_budget(name, usd)?;
        let tracker = self.0.cost_tracker().clone().budget(budget);
        Ok(Core(self.0.with_cost_tracker(tracker)))
    }

    /// Creates a call, which sends its requests by `fetch`. It starts when its first events are requested. One that is not
    /// streamed has only the last event.
    pub fn call(
        &self,
        request: &str,
        stream: bool,
        fetch: Function,
        token: Option<Function>,
    ) -> Call {
        let request = read_request(request, token);
        Call::new(Caller::Client(self.0.with_fetch(fetch)), request, stream)
    }

    /// Returns a promise of the provider's models as a JSON list. Its requests are sent by `fetch`.
    pub fn models(&self, fetch: Function) -> Promise {
        let client = self.0.with_fetch(fetch);
        promise(async move { Ok(json::text(&client.models().await?).into()) })
    }

    /// Returns a promise of the number of a request's input tokens, as JSON.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, request: &str, fetch: Function, token: Option<Function>) -> Promise {
        let request = read_request(request, token);
        let client = self.0.with_fetch(fetch);
        promise(async move { Ok(json::text(&client.count_tokens(request?).await?).into()) })
    }

    /// Returns the same client once more, for a router.
    pub fn share(&self) -> Core {
        Core(self.0.clone())
    }

    /// Returns a promise of the spend of this month, as JSON.
    pub fn spend(&self) -> Promise {
        let tracker = self.0.cost_tracker().clone();
        promise(async move { Ok(json::text(&tracker.spend().await?).into()) })
    }

    /// Returns a promise that is fulfilled when the ledger has recorded all costs.
    pub fn flush(&self) -> Promise {
        let tracker = self.0.cost_tracker().clone();
        promise(async move { tracker.flush().await.map(|()| JsValue::UNDEFINED) })
    }

    /// The number of calls in flight.
    #[wasm_bindgen(getter)]
    pub fn active(&self) -> usize {
        self.0.stats().active
    }

    /// The highest number of calls in flight so far.
    #[wasm_bindgen(getter)]
    pub fn peak(&self) -> usize {
        self.0.stats().peak
    }
}

/// Reads a monthly budget, in dollars.
fn read_budget(name: &str, usd: &str) -> std::result::Result<Budget, JsValue> {
    let limit = usd.parse().map_err(Error::from);
    let budget = limit.and_then(|limit| Budget::monthly(name, limit));
    budget.map_err(|e| json::error(&e))
}

/// Reads a request, whose token a function can give.
fn read_request(request: &str, token: Option<Function>) -> Result<Request> {
    Request::from_json(request).map(|request| match token {
        Some(token) => request.credentials(Credentials::token_source(JsTokenSource(token))),
        None => request,
    })
}
