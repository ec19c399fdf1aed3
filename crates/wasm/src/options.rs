//! The options of a client, as `npm/src/core.js` passes them. They have the names of its public API.

use std::time::Duration;

use serde::Deserialize;
use warmline::{
    Budget, ByName, Client, ClientBuilder, CostTracker, Credentials, Price, Provider, Result,
    RetryPolicy, Usd,
};

/// The options of a client. Headers and prices are lists of names and values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Options {
    provider: String,
    dialect: Option<String>,
    api_key: Option<String>,
    bearer_token: Option<String>,
    #[serde(default)]
    credentials_per_request: bool,
    resource: Option<String>,
    region: Option<String>,
    project: Option<String>,
    deployment: Option<String>,
    api_version: Option<String>,
    model: Option<String>,
    base_url: Option<String>,
    timeout_ms: Option<u64>,
    reply_timeout_ms: Option<u64>,
    pool_timeout_ms: Option<u64>,
    deadline_ms: Option<u64>,
    max_retries: Option<u32>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    budget: Option<ByName<BudgetOptions>>,
    #[serde(default)]
    prices: Vec<(String, ByName<Rates>)>,
}

/// A monthly budget. The amount is in dollars.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BudgetOptions {
    name: Option<String>,
    usd: Usd,
    alerts: Option<Vec<u8>>,
    #[serde(default)]
    fail_open: bool,
    #[serde(default)]
    strict: bool,
}

/// The price of a model, in dollars per million tokens, and per thousand web searches.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rates {
    input: Usd,
    output: Usd,
    cache_read: Option<Usd>,
    cache_write: Option<Usd>,
    #[serde(rename = "cacheWrite1h")]
    cache_write_1h: Option<Usd>,
    audio_input: Option<Usd>,
    audio_output: Option<Usd>,
    web_search: Option<Usd>,
}

impl Options {
    /// # Errors
    /// `Config` for an unknown provider or dialect, or a bad name of a budget. Other values are checked when the client is built.
    pub(crate) fn into_builder(self, mut tracker: CostTracker) -> Result<ClientBuilder> {
        let mut builder = Client::builder(self.provider.parse::<Provider>()?);
        if let Some(dialect) = self.dialect {
            builder = builder.dialect(dialect.parse()?);
        }
        if let Some(key) = self.api_key {
            builder = builder.api_key(key);
        }
        if let Some(token) = self.bearer_token {
            builder = builder.bearer_token(token);
        }
        if self.credentials_per_request {
            builder = builder.credentials(Credentials::per_request());
        }
        type Setter<T> = fn(ClientBuilder, T) -> ClientBuilder;
        let texts: [(Option<String>, Setter<String>); 7] = [
            (self.resource, ClientBuilder::resource),
            (self.region, ClientBuilder::region),
            (self.project, ClientBuilder::project),
            (self.deployment, ClientBuilder::deployment),
            (self.api_version, ClientBuilder::api_version),
            (self.model, ClientBuilder::model),
            (self.base_url, ClientBuilder::base_url),
        ];
        for (value, set) in texts {
            if let Some(value) = value {
                builder = set(builder, value);
            }
        }
        let times: [(Option<u64>, Setter<Duration>); 4] = [
            (self.timeout_ms, ClientBuilder::timeout),
            (self.reply_timeout_ms, ClientBuilder::reply_timeout),
            (self.pool_timeout_ms, ClientBuilder::pool_timeout),
            (self.deadline_ms, ClientBuilder::deadline),
        ];
        for (ms, set) in times {
            if let Some(ms) = ms {
                builder = set(builder, Duration::from_millis(ms));
            }
        }
        if let Some(max_retries) = self.max_retries {
            builder = builder.retry(RetryPolicy {
                max_retries,
                ..RetryPolicy::default()
            });
        }
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        if let Some(ByName(budget)) = self.budget {
            tracker = budget.add_to(tracker)?;
        }
        for (model, ByName(rates)) in self.prices {
            tracker = tracker.price(model, rates.into());
        }
        Ok(builder.cost_tracker(tracker))
    }
}

impl BudgetOptions {
    fn add_to(self, mut tracker: CostTracker) -> Result<CostTracker> {
        let name = self.name.as_deref().unwrap_or("default");
        tracker = tracker.budget(Budget::monthly(name, self.usd)?);
        if let Some(percents) = self.alerts {
            tracker = tracker.thresholds(percents);
        }
        if self.fail_open {
            tracker = tracker.fail_open();
        }
        if self.strict {
            tracker = tracker.strict();
        }
        Ok(tracker)
    }
}

impl From<Rates> for Price {
    fn from(rates: Rates) -> Self {
        let Rates { input, output, .. } = rates;
        let cache_write = rates.cache_write.unwrap_or(input);
        let price = Self::per_million(input, output)
            .cache_per_million(
                rates.cache_read.unwrap_or(input),
                cache_write,
                rates.cache_write_1h.unwrap_or(cache_write),
            )
            .audio_per_million(
                rates.audio_input.unwrap_or(input),
                rates.audio_output.unwrap_or(output),
            );
        match rates.web_search {
            Some(fee) => price.web_search_per_thousand(fee),
            None => price,
        }
    }
}
