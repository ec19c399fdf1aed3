//! A router, and its options as `npm/src/router.js` passes them. They have the names of its public API; what stands in them is in the
//! serde form of the Rust types.

use js_sys::{Function, Promise};
use serde::Deserialize;
use warmline::{
    Balancing, ByName, Client, Cooldown, Hedging, RetryPolicy, Router, RouterBuilder, RoutingRules,
    Target,
};
use wasm_bindgen::prelude::*;

use crate::call::{Call, Caller};
use crate::promise::promise;
use crate::{Core, json, read_budget, read_request};

/// The options of a router, with the defaults of [`RouterBuilder`].
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    targets: Vec<ByName<TargetOptions>>,
    balancing: Balancing,
    max_retries: u32,
    rules: ByName<RoutingRules>,
    /// `None` if targets do not cool down.
    cooldown: Option<ByName<Cooldown>>,
    pacing: bool,
    hedging: Option<ByName<Hedging>>,
}

/// The options of a target. The models are a list of names and the target's own names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetOptions {
    name: Option<String>,
    weight: Option<u32>,
    priority: Option<u32>,
    models: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            balancing: Balancing::default(),
            max_retries: RetryPolicy::default().max_retries,
            rules: ByName(RoutingRules::default()),
            cooldown: Some(ByName(Cooldown::default())),
            pacing: true,
            hedging: None,
        }
    }
}

impl Options {
    /// Returns the builder of a router over clients, one for each target.
    fn into_builder(self, clients: Vec<Core>) -> RouterBuilder {
        let mut builder = Router::builder()
            .balancing(self.balancing)
            .retry(RetryPolicy {
                max_retries: self.max_retries,
                ..RetryPolicy::default()
            })
            .rules(self.rules.0)
            .cooldown(self.cooldown.map(|ByName(cooldown)| cooldown))
            .pacing(self.pacing);
        if let Some(ByName(hedging)) = self.hedging {
            builder = builder.hedging(hedging);
        }
        for (ByName(options), Core(client)) in self.targets.into_iter().zip(clients) {
            builder = builder.target(options.into_target(Target::new(client)));
        }
        builder
    }
}

impl TargetOptions {
    fn into_target(self, mut target: Target) -> Target {
        if let Some(name) = self.name {
            target = target.name(name);
        }
        if let Some(weight) = self.weight {
            target = target.weight(weight);
        }
        if let Some(priority) = self.priority {
            target = target.priority(priority);
        }
        for (name, own) in self.models {
            target = target.model(name, own);
        }
        target
    }
}

/// A router.
#[wasm_bindgen]
pub struct RouterCore(Router);

#[wasm_bindgen]
impl RouterCore {
    /// Creates a router. `options` are JSON; `clients` are those of its targets.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str, clients: Vec<Core>) -> std::result::Result<RouterCore, JsValue> {
        let router = json::options::<Options>(options);
        let router = router.and_then(|options| options.into_builder(clients).build());
        router.map(RouterCore).map_err(|e| json::error(&e))
    }

    /// Returns a router that shares this one's targets and their state and also enforces a monthly budget, in dollars, in the ledgers of the targets.
    #[wasm_bindgen(js_name = withBudget)]
    pub fn with_budget(&self, name: &str, usd: &str) -> std::result::Result<RouterCore, JsValue> {
        let budget = read_budget(name, usd)?;
        let tracker = |client: &Client| client.cost_tracker().clone().budget(budget.clone());
        Ok(RouterCore(self.0.with_cost_trackers(tracker)))
    }

    /// Returns the names of models that requests can ask for, as a JSON list.
    pub fn models(&self) -> String {
        json::text(&self.0.models())
    }

    /// Creates a call, as that of a client. `fetch` is called with the name of the target before its own arguments.
    pub fn call(
        &self,
        request: &str,
        stream: bool,
        fetch: &Function,
        token: Option<Function>,
    ) -> Call {
        let named = |target: &str| {
            let bound = fetch.bind1(&JsValue::UNDEFINED, &target.into());
            bound.unchecked_into()
        };
        let router = self.0.with_fetch(named);
        Call::new(Caller::Router(router), read_request(request, token), stream)
    }

    /// Returns the state of the targets as JSON.
    pub fn stats(&self) -> String {
        json::text(&self.0.stats())
    }

    /// Returns a promise that is fulfilled when the ledgers of all targets have recorded all costs.
    pub fn flush(&self) -> Promise {
        let router = self.0.clone();
        promise(async move {
            for (_, client) in router.targets() {
                client.cost_tracker().flush().await?;
            }
            Ok(JsValue::UNDEFINED)
        })
    }
}
