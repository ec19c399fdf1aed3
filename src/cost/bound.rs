//! What a call can cost at most, told before it is sent.

use super::{CostTracker, Price, Usd};
use crate::dialect::{Dialect, RequestFacts};
use crate::quote::quote;
use crate::{Error, Provider, Result};

/// More tokens than any model takes today, for models whose limits are not known.
const MOST_INPUT: u64 = 2_000_000;
/// What a provider adds of its own around messages and tools: Anthropic's system prompts for tools are under 1,000
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview#pricing>).
const PREAMBLE: u64 = 2_000;

/// What is about to be asked, as far as money goes.
#[derive(Clone, Debug)]
pub(crate) struct CostEstimate {
    pub(crate) provider: Provider,
    pub(crate) model: String,
    list: &'static str,
    price: Price,
    /// The price is that of the most_expensive model, since this one's is not known.
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
        let list = list(provider, host);
        let known = tracker.price_of(list, model);
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
        // A model may write so much for each reply, thoughts included.
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

    /// The price by the name that the reply gives, where that is known, else by the name that was asked for.
    pub(crate) fn price(&self, tracker: &CostTracker, answered: &str) -> (Price, bool) {
        let other = (answered != self.model).then(|| tracker.price_of(self.list, answered));
        match other.flatten() {
            Some(price) => (price, false),
            None => (self.price, self.estimated),
        }
    }
}

/// Which list a server's prices are in. One that nobody knows is taken for the provider whose dialect it speaks.
fn list(provider: Provider, host: &str) -> &'static str {
    let hosts = [
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "xai"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("api.mistral.ai", "mistral"),
        ("api.together.xyz", "together_ai"),
        ("api.fireworks.ai", "fireworks_ai"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
    ];
    let known = hosts.into_iter().find(|(name, _)| *name == host);
    known.map_or(provider.name(), |(_, list)| list)
}

/// The most tokens that the request can be. A token of text is at least one byte (the providers' tokenisers work on bytes),
/// and the body holds each text whole, with more bytes of JSON around a message than the provider adds tokens. An image
/// costs what its size says, of which the most is known; what a document comes to is not, but a model takes no more than its
/// context.
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
