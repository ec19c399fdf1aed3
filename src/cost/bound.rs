//! What a call costs at most, computed before it is sent, and what it did cost.

#[cfg(test)]
mod tests;

use super::cut::{CutBound, MaxCost, Seen};
use super::price::MostTokens;
use super::{Cost, CostTracker, Price, PriceFactor, Usd};
use crate::chat::{Billing, ServiceTier};
use crate::dialect::{Dialect, RequestFacts};
use crate::provider::{Prices, Regional};
use crate::quote::quote;
use crate::runtime::{COMPACT, Instant};
use crate::{DialectName, Error, Provider, Reply, Result, Usage};

/// The context of a model whose limits are not known. No model accepts more today.
const MOST_INPUT: u64 = 2_000_000;
/// The maximum number of tokens that a model's chat template adds. That of gpt-oss has about 70.
const TEMPLATE: u64 = 200;
/// The maximum number of tokens of the prompt for tools or for a schema of the reply. Anthropic's have less than 1,000
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview#pricing>).
const PREAMBLE: u64 = 2_000;
/// The maximum number of tokens of a tool whose schema is the provider's own. That of Anthropic's computer use has 735 (the same
/// page).
const KNOWN_TOOL: u64 = 4_000;
/// The most that a container is assumed to cost: Anthropic's for an hour (the same page), or 33 minutes of OpenAI's with 1 GB.
const CONTAINER: Usd = Usd::from_pico(50_000_000_000);

/// The price of 20 minutes of OpenAI's container, for each GB of its memory: $0.12 with 4 GB and $1.92 with 64 GB. Since 2026-06-02, it is
/// billed by the minute, for at least 5 (<https://developers.openai.com/api/docs/changelog>, as quoted on 2026-11-27 at
/// <https://modeldex.dev/news/openai-moves-api-container-sessions-to-per-minute-billing-with-a-5-minute-minimu>). A reply does not tell for how
/// long it ran, so that this is an estimate.
const OPENAI_CONTAINER: Usd = Usd::from_pico(30_000_000_000);
/// The price of a search of files: $2.50 per thousand (<https://developers.openai.com/api/docs/pricing>, as quoted on 2026-03-12 at
/// <https://www.modelcostwatch.com/openai/tool-costs/file-search>).
const FILE_SEARCH: Usd = Usd::from_pico(2_500_000_000);
/// An assumption: the most that a generated image costs. Images are billed by their tokens, which a reply does not tell. The published
/// prices of the older models end at $0.25, for 1024 × 1536 pixels at the highest quality (gpt-image-1); newer ones write larger images.
const GENERATED_IMAGE: Usd = Usd::from_pico(500_000_000_000);

/// The price and the maximum cost of a call.
#[derive(Clone, Debug)]
pub(crate) struct CostEstimate {
    pub(crate) provider: Provider,
    pub(crate) model: String,
    /// Other models that may answer.
    others: Vec<String>,
    list: &'static str,
    price: Price,
    /// Whether the price is that of the most expensive model, because this model's is not known.
    estimated: bool,
    /// Whether the user set the price.
    own: bool,
    regional: Regional,
    at_regional_host: bool,
    charged_searches: u64,
    /// The number of containers in which the provider may run code.
    containers: u64,
    is_free: bool,
    cached_long: bool,
    reports_cost: bool,
    /// The bound of a streamed reply that is cut; `None` if the reply is not streamed.
    cut: Option<CutBound>,
    pub(crate) max_cost: Usd,
    /// The maximum number of tokens of input and output.
    pub(crate) max_tokens: u64,
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
        let row = provider.row_at(host);
        let (list, is_free) = match row.prices {
            Prices::List(list) => (list, false),
            Prices::Free => ("", true),
        };
        let most = Most {
            dialect,
            facts,
            bytes: bytes as u64,
            estimate: tracker.is_estimating(),
            // With a budget, an unknown price refuses the request; without one, it counts as zero.
            must_be_known: tracker.has_budget() && !is_free,
            list,
            tier_by_account: row.tier_by_account,
            may_be_regional: match row.regional {
                Regional::No => false,
                Regional::ByHost => is_regional(host),
                Regional::ByRequest => facts.region.as_deref() != Some("global"),
                Regional::Unknown => true,
            },
        };
        let known = |model: &str| {
            let region = host.split('.').nth(1);
            let region = region.filter(|_| row.priced_by_region && !COMPACT);
            region
                .and_then(|region| tracker.price_of(list, &[region, "/", model].concat()))
                .or_else(|| tracker.price_of(list, model))
        };
        let own = known(model);
        let price = most.known(model, own)?;
        let mut max = most.cost(model, &price)?;
        for model in &facts.models {
            let price = most.known(model, known(model))?;
            max = max.or(most.cost(model, &price)?);
        }
        if facts.any_model
            && let Some(any) = most.most_expensive()
        {
            max = max.or(most.cost(model, &any)?);
        }
        if !is_free {
            let fees = CONTAINER * facts.containers
                + FILE_SEARCH * facts.file_searches
                + GENERATED_IMAGE * facts.generated_images;
            max.cost = max.cost + fees;
            max.input = max.input + fees;
        }
        let replies = facts.replies.max(1);
        let adds_input = facts.more_input
            || facts.searches + facts.containers + facts.more_runs > 0
            || price.always_searches;
        let cut = facts.stream.then_some(CutBound {
            max,
            speed: u64::from(row.max_output_speed).saturating_mul(replies),
            // Only Anthropic's models reason only if they are asked to.
            hides_output: replies > 1 || facts.reasons || dialect.name() != DialectName::Anthropic,
            input_is_final: !adds_input,
            bills_on: row.bills_after_disconnect || facts.background,
        });
        Ok(Self {
            provider,
            model: model.to_owned(),
            others: facts.models.clone(),
            list,
            price,
            estimated: own.is_none() && !is_free,
            own: tracker.own_price(model).is_some(),
            regional: row.regional,
            at_regional_host: is_regional(host),
            charged_searches: facts.charged_searches,
            containers: facts.containers,
            is_free,
            cached_long: facts.cached_long,
            reports_cost: row.reports_cost,
            cut,
            max_cost: max.cost,
            max_tokens: max.tokens,
        })
    }

    /// Returns the maximum cost of an attempt that was sent and did not end with a complete reply.
    pub(crate) fn cut_cost(
        &self,
        tracker: &CostTracker,
        sent: Instant,
        seen: Option<&Seen<'_>>,
    ) -> Usd {
        let cut = self.cut.filter(|cut| !cut.bills_on && !tracker.is_strict());
        let Some(cut) = cut else {
            return self.max_cost;
        };
        let reported = seen.filter(|seen| seen.reply.usage_reported && cut.input_is_final);
        let input = reported.map_or(cut.max.input, |seen| {
            let mut reply = Reply::new(self.provider);
            reply.model.clone_from(&seen.reply.model);
            reply.billing.clone_from(&seen.reply.billing);
            reply.usage_reported = true;
            reply.usage = Usage {
                output_tokens: 0,
                reasoning_tokens: 0,
                audio_output_tokens: 0,
                ..seen.reply.usage
            };
            self.cost(tracker, &reply).usd
        });
        self.max_cost.min(input + cut.output(sent, seen))
    }

    /// Returns the cost of a complete reply.
    pub(crate) fn cost(&self, tracker: &CostTracker, reply: &Reply) -> Cost {
        let billing = &reply.billing;
        if let Some(usd) = billing.cost.filter(|_| self.reports_cost) {
            return Cost {
                usd,
                estimated: false,
            };
        }
        // It was billed, but its usage is unknown.
        if !reply.usage_reported {
            return Cost {
                usd: self.max_cost,
                estimated: true,
            };
        }
        let (mut price, estimated) = self.price(tracker, &reply.model);
        let tier = match billing.tier {
            Some(ServiceTier::Flex) => price.flex,
            Some(ServiceTier::Priority) => price.priority,
            Some(ServiceTier::Fast) => price.fast,
            _ => None,
        };
        let is_regional = match self.regional {
            Regional::ByHost => self.at_regional_host,
            Regional::ByRequest => billing.regional,
            Regional::No | Regional::Unknown => false,
        };
        let regional = price.regional.filter(|_| is_regional);
        let mut usage = reply.usage;
        let charged = self.charged_searches.max(price.always_searches.into());
        usage.web_search_requests = usage.web_search_requests.max(charged);
        if usage.web_search_requests > 0 {
            let common = || Price::most_expensive(self.list)?.web_search;
            price.web_search = price.web_search.or_else(common);
        }
        if self.cached_long {
            usage.cache_write_1h_tokens = usage.cache_write_tokens;
        }
        let tokens = price.cost_at(&usage, [tier, regional]);
        let fees = match self.is_free {
            true => Usd::ZERO,
            false => self.fees(billing),
        };
        Cost {
            usd: tokens + fees,
            estimated: estimated
                || billing.generated_images > 0
                || billing.ran_code && self.containers > 0,
        }
    }

    /// Returns the fees for what the provider's own tools did. Those of a container and of an image are not known exactly.
    fn fees(&self, billing: &Billing) -> Usd {
        let containers = if billing.ran_code { self.containers } else { 0 };
        OPENAI_CONTAINER * containers
            + FILE_SEARCH * billing.file_searches
            + GENERATED_IMAGE * billing.generated_images
    }

    /// Returns the price of the model named in the reply if it is known, or else of the requested one.
    fn price(&self, tracker: &CostTracker, answered: &str) -> (Price, bool) {
        // A price that the user set for a deployment or an alias is also that of the model behind it.
        let is_same = answered == self.model
            || self.own && !self.others.iter().any(|other| other == answered);
        let other = match is_same {
            true => tracker.own_price(answered),
            false => tracker.price_of(self.list, answered),
        };
        match other {
            Some(price) => (price, false),
            None => (self.price, self.estimated),
        }
    }
}

/// Returns the maximum number of input tokens of a request: what a budget reserves for.
pub(crate) fn max_input_tokens(
    provider: Provider,
    dialect: &dyn Dialect,
    host: &str,
    facts: &RequestFacts,
    bytes: usize,
) -> u64 {
    let row = provider.row_at(host);
    let list = match row.prices {
        Prices::List(list) => list,
        Prices::Free => "",
    };
    let most = Most {
        dialect,
        facts,
        bytes: bytes as u64,
        estimate: false,
        must_be_known: false,
        list,
        tier_by_account: false,
        may_be_regional: false,
    };
    let of = |model: &str| {
        // The context of another model says nothing about this one's.
        let price = Price::lookup(list, model);
        most.input(&price.unwrap_or(Price::per_million(Usd::ZERO, Usd::ZERO)))
    };
    let others = facts.models.iter().map(|model| of(model)).max();
    of(facts.model.as_deref().unwrap_or_default()).max(others.unwrap_or_default())
}

/// Whether a host processes requests in one region, such as `eu.api.openai.com`.
fn is_regional(host: &str) -> bool {
    host.ends_with(".api.openai.com")
}

/// What the maximum of a call depends on, beside the price of a model.
struct Most<'a> {
    dialect: &'a dyn Dialect,
    facts: &'a RequestFacts,
    bytes: u64,
    estimate: bool,
    must_be_known: bool,
    list: &'static str,
    tier_by_account: bool,
    may_be_regional: bool,
}

impl Most<'_> {
    /// Returns the highest prices of the list. Few calls need them, and looking them up takes as long as looking up the model.
    fn most_expensive(&self) -> Option<Price> {
        Price::most_expensive(self.list)
    }

    /// Returns the price of a model, or else the highest of the list.
    fn known(&self, model: &str, known: Option<Price>) -> Result<Price> {
        match known.or_else(|| self.most_expensive()) {
            Some(price) => Ok(price),
            None if self.must_be_known => Err(Error::config(
                [
                    "there is a budget, and no price is known for the model ",
                    &quote(model),
                    " or any of ",
                    self.list,
                    ": give one (CostTracker::price, LLM_PRICES)",
                ]
                .concat(),
            )),
            None => Ok(Price::per_million(Usd::ZERO, Usd::ZERO)),
        }
    }

    /// Returns the maximum cost if a model of this price answers.
    fn cost(&self, model: &str, price: &Price) -> Result<MaxCost> {
        let searches = self.facts.searches.max(price.always_searches.into());
        let searches = searches.saturating_mul(self.facts.replies.max(1));
        let common = || self.most_expensive()?.web_search;
        let fee = match searches {
            0 => None,
            _ => price.web_search.or_else(common),
        };
        if fee.is_none() && searches > 0 && self.must_be_known {
            return Err(Error::config(
                [
                    "there is a budget, and no price is known for the web searches of the model ",
                    &quote(model),
                    ": give one (Price::web_search_per_thousand, LLM_PRICES)",
                ]
                .concat(),
            ));
        }
        let fees = fee.unwrap_or_default() * searches;
        // The maximum is per reply, and includes reasoning.
        let output = self
            .dialect
            .max_output_tokens(self.facts, price.max_output_tokens)
            .saturating_add(self.facts.predicted)
            .saturating_mul(self.facts.replies.max(1));
        Ok(MaxCost {
            cost: self.tokens(price, output) + fees,
            input: self.tokens(price, 0) + fees,
            output,
            tokens: self
                .input(price)
                .saturating_add(output)
                .saturating_mul(self.facts.more_runs.saturating_add(1)),
        })
    }

    /// Returns the maximum cost of the tokens, with so many of output.
    fn tokens(&self, price: &Price, output: u64) -> Usd {
        let Self { dialect, facts, .. } = self;
        let most = MostTokens {
            input: self.input(price),
            output,
            cache_write: dialect.may_write_cache(facts),
            // What is no text can be audio.
            audio_input: facts.documents > 0 || facts.more_input,
            audio_output: facts.audio_output,
        };
        let standard = price.max_cost(&most);
        let mut max_cost = standard;
        for factor in self.factors(price).into_iter().flatten() {
            max_cost = max_cost.max(factor.at_most(standard));
        }
        if let Some(regional) = price.regional.filter(|_| self.may_be_regional) {
            max_cost = regional.at_most(max_cost);
        }
        max_cost * facts.more_runs.saturating_add(1)
    }

    /// Returns the factors of the tiers that can serve the request, beside that of the standard one.
    fn factors(&self, price: &Price) -> [Option<PriceFactor>; 2] {
        let fast = || price.fast.or_else(|| self.most_expensive()?.fast);
        let priority = || price.priority.or_else(|| self.most_expensive()?.priority);
        let tier = self.facts.service_tier.as_deref();
        let (priority, ultrafast) = match tier.and_then(ServiceTier::named) {
            None if self.tier_by_account => (price.priority, None),
            None | Some(ServiceTier::Standard | ServiceTier::Flex) => (None, None),
            Some(ServiceTier::Priority) => (priority(), None),
            Some(ServiceTier::Fast) => (None, fast()),
            Some(ServiceTier::Unknown) => (priority(), fast()),
        };
        let fast = if self.facts.fast { fast() } else { ultrafast };
        [priority, fast]
    }

    /// Returns the maximum number of input tokens. A token of text has at least one byte, because the providers' tokenizers work
    /// on bytes. The body contains all text, and the JSON around a message has more bytes than the provider adds tokens. The
    /// maximum of an image is known. That of a document or of a search is not, so it counts as the model's whole context.
    fn input(&self, price: &Price) -> u64 {
        let most = price.max_input_tokens.unwrap_or(MOST_INPUT);
        let (facts, images) = (self.facts, self.facts.images);
        let text = self.bytes.saturating_sub(facts.image_bytes);
        if self.estimate {
            let documents = facts.documents + u64::from(facts.more_input);
            return most.min(text / 3 + images * 1_600 + documents * 10_000);
        }
        if facts.documents > 0 || facts.more_input || price.always_searches {
            return most;
        }
        let preamble = if facts.prompted { PREAMBLE } else { 0 };
        let added = TEMPLATE + preamble + facts.known_tools * KNOWN_TOOL;
        most.min(text + added + images * self.dialect.max_image_tokens())
    }
}
