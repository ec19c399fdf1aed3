//! The maximum cost of a call, computed before it is sent.

use super::{CostTracker, Price, Usd};
use crate::dialect::{Dialect, RequestFacts};
use crate::provider::Prices;
use crate::quote::quote;
use crate::{Error, Provider, Result};

/// The context of a model whose limits are not known. No model accepts more today.
const MOST_INPUT: u64 = 2_000_000;
/// The maximum number of tokens that a provider adds. Anthropic's system prompts for tools have less than 1,000
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview#pricing>).
const PREAMBLE: u64 = 2_000;

/// The price and the maximum cost of a call.
#[derive(Clone, Debug)]
pub(crate) struct CostEstimate {
    pub(crate) provider: Provider,
    pub(crate) model: String,
    list: &'static str,
    price: Price,
    /// Whether the price is that of the most expensive model, because this model's is not known.
    estimated: bool,
    pub(crate) max_cost: Usd,
}

impl CostEstimate {
    pub(crate) fn new(
        tracker: &CostTracker,
        provider: Provider,
        dialect: &dyn Dialect,
        host: &str,
        model: &str,
        facts: &RequestFacts,
        bytes: usize,
    ) -> Result<Self> {
        let (list, free) = match provider.prices_at(host) {
            Prices::List(list) => (list, None),
            Prices::Free => ("", Some(Price::per_million(Usd::ZERO, Usd::ZERO))),
        };
        let known = tracker.price_of(list, model).or(free);
        let price = match known.or_else(|| Price::most_expensive(list)) {
            Some(price) => price,
            None if tracker.has_budget() => {
                return Err(Error::config(format!(
                    "there is a budget, and no price is known for the model {} or any of {list}: give one (CostTracker::price, LLM_PRICES)",
                    quote(model)
                )));
            }
            None => Price::per_million(Usd::ZERO, Usd::ZERO),
        };
        let input = input(dialect, &price, facts, bytes, tracker.is_estimating());
        // The maximum is per reply, and includes reasoning.
        let output = dialect.max_output_tokens(facts, price.max_output_tokens);
        let output = output
            .saturating_add(facts.predicted)
            .saturating_mul(facts.replies.max(1));
        let max_cost = price.max_cost(input, output, dialect.may_write_cache(facts));
        Ok(Self {
            provider,
            model: model.to_owned(),
            list,
            price,
            estimated: known.is_none(),
            max_cost,
        })
    }

    /// Returns the price of the model named in the reply if it is known, or else of the requested one.
    pub(crate) fn price(&self, tracker: &CostTracker, answered: &str) -> (Price, bool) {
        let other = (answered != self.model).then(|| tracker.price_of(self.list, answered));
        match other.flatten() {
            Some(price) => (price, false),
            None => (self.price, self.estimated),
        }
    }
}

/// Returns the maximum number of input tokens. A token of text has at least one byte, because the providers' tokenizers work on
/// bytes. The body contains all text, and the JSON around a message has more bytes than the provider adds tokens. The maximum
/// of an image is known. That of a document is not, so it counts as the model's whole context.
fn input(
    dialect: &dyn Dialect,
    price: &Price,
    facts: &RequestFacts,
    bytes: usize,
    estimate: bool,
) -> u64 {
    let most = price.max_input_tokens.unwrap_or(MOST_INPUT);
    let (bytes, images) = (bytes as u64, facts.images);
    if estimate {
        return most.min(bytes / 3 + images * 1_600 + facts.documents * 10_000);
    }
    if facts.documents > 0 {
        return most;
    }
    most.min(bytes + PREAMBLE + images * dialect.max_image_tokens())
}
