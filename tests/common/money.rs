//! Clients with a budget, and the amount that the simulator bills them.

use warmline::{Budget, Client, CostTracker, Limits, Price, Provider, Request, RetryPolicy, Usd};
use warmline_sim::Sim;

pub const MODEL: &str = "claude-sonnet-4-5";

pub fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

pub fn tracker(limit: &str) -> CostTracker {
    CostTracker::new().budget(Budget::monthly("test", usd(limit)).unwrap())
}

pub fn client_of(url: &str, tracker: CostTracker) -> Client {
    let limits = Limits {
        max_connections: 20,
        ..Limits::default()
    };
    let builder = Client::builder(Provider::Anthropic)
        .api_key("test-key")
        .base_url(url);
    let builder = builder.no_proxy().limits(limits).retry(RetryPolicy {
        base: std::time::Duration::ZERO,
        ..RetryPolicy::default()
    });
    builder.cost_tracker(tracker).build().unwrap()
}

pub fn client(sim: &Sim, tracker: CostTracker) -> Client {
    client_of(&sim.anthropic_url(), tracker)
}

/// A request with a known bound. The simulator bills 10 output tokens and the tokens that it counts in the prompt.
pub fn ask(scenario: &str) -> Request {
    Request::new()
        .model(format!("{MODEL}?{scenario}"))
        .user("Hello")
        .max_tokens(10)
}

/// Sets the price of the models with these scenarios, because the price table does not list their names.
pub fn priced(tracker: CostTracker, scenarios: &[&str]) -> CostTracker {
    let price = Price::lookup("anthropic", MODEL).unwrap();
    let name = |scenario: &&str| format!("{MODEL}?{scenario}");
    scenarios.iter().fold(tracker, |tracker, scenario| {
        tracker.price(name(scenario), price)
    })
}

/// The amount that the simulator has billed, from its own counts.
pub fn billed(sim: &Sim) -> Usd {
    let stats = sim.stats();
    let price = Price::lookup("anthropic", MODEL).unwrap();
    price.input * stats.input_tokens + price.output * stats.output_tokens
}

pub async fn state(client: &Client) -> (Usd, Usd) {
    let budget = client
        .cost_tracker()
        .spend()
        .await
        .unwrap()
        .budgets
        .remove(0);
    (budget.spent, budget.reserved)
}
