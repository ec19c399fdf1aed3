//! What a call can cost at most, told before it is sent.

use super::{CostTracker, Price, RequestFacts, Usd};
use crate::json::quote;
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
        let input = input(provider, &price, facts, bytes, tracker.is_estimating());
        // Anthropic writes its cache only where it is asked to; others as they like.
        let may_write_cache = provider != Provider::Anthropic || facts.cached;
        let output = output(provider, &price, facts);
        let max_cost = price.max_cost(input, output, may_write_cache);
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
    provider: Provider,
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
    let image = match provider {
        // https://docs.claude.com/en/docs/build-with-claude/vision: at most 4,784 at high resolution.
        Provider::Anthropic => 5_000,
        // https://platform.openai.com/docs/guides/images-vision: gpt-4o-mini's 2,833 and 5,667 for each of at most 8 tiles.
        Provider::OpenAi => 50_000,
    };
    most.min(bytes + PREAMBLE + images * image)
}

/// The most tokens that the model may write, thoughts included.
fn output(provider: Provider, price: &Price, facts: &RequestFacts) -> u64 {
    let unasked = || match provider {
        Provider::Anthropic => crate::provider::DEFAULT_MAX_TOKENS.into(),
        // A model that is in no list has no known limit, and its price is a guess: one that were put aside for all
        // that any model can write would refuse every call to a server of one's own.
        Provider::OpenAi => {
            let unknown = crate::provider::DEFAULT_MAX_TOKENS.into();
            price.max_output_tokens.unwrap_or(unknown)
        }
    };
    let asked = match provider {
        // It knows no other name.
        Provider::Anthropic => facts.max_tokens,
        // Of the older name and the newer one a server may know either.
        Provider::OpenAi => facts.max_tokens.max(facts.max_completion_tokens),
    };
    // A name that only some servers know can let a model write more, but is not relied on for less.
    let most = asked.unwrap_or_else(unasked).max(facts.other_limit);
    most.saturating_add(facts.predicted)
        .saturating_mul(facts.replies.max(1))
}
