use super::Usd;
use crate::Usage;

/// The prices of a model, per token.
///
/// The built-in table is generated from a public list. [`Price::source`] returns its name, version and date.
///
/// ```
/// use warmline::{Price, Usage};
///
/// let price = Price::lookup("anthropic", "claude-sonnet-4-5-20250929").unwrap();
/// let usage = Usage { input_tokens: 1000, output_tokens: 100, ..Usage::default() };
/// assert_eq!(price.cost(&usage).to_string(), "0.0045");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Price {
    /// The price of an input token that is neither read from a cache nor written to one.
    pub input: Usd,
    /// The price of an output token.
    pub output: Usd,
    /// The price of an input token that is read from a cache.
    pub cache_read: Usd,
    /// The price of an input token that is written to a cache, for five minutes or the provider's default time.
    pub cache_write: Usd,
    /// The price of an input token that is written to a cache for an hour.
    pub cache_write_1h: Usd,
    /// The price of a reasoning token. It equals that of output unless the provider lists it separately.
    pub reasoning: Usd,
    /// The price of an input token of audio.
    pub audio_input: Usd,
    /// The price of an output token of audio.
    pub audio_output: Usd,
    /// The fee of one web search that the provider makes, if known.
    pub web_search: Option<Usd>,
    /// Whether every call is charged for one web search, whatever the request contains.
    pub always_searches: bool,
    /// What the service tier `flex` costs, as a fraction of the other prices, if the list has it.
    pub flex: Option<PriceFactor>,
    /// What the service tier `priority` costs, if the list has it.
    pub priority: Option<PriceFactor>,
    /// What the fastest service costs, if the list has it: OpenAI's tier `ultrafast`, Anthropic's `speed` of `fast`.
    pub fast: Option<PriceFactor>,
    /// What processing in one region costs, if the list has it: OpenAI's regional hosts, Anthropic's `inference_geo` and
    /// Azure's data zones.
    pub regional: Option<PriceFactor>,
    /// The prices of an input token and of an output token in a batch, if known. Warmline itself does not send batches.
    pub batch: Option<(Usd, Usd)>,
    /// The prices of calls with long input, by ascending threshold.
    pub tiers: [Option<PriceTier>; 3],
    /// The maximum number of input tokens, if known.
    pub max_input_tokens: Option<u64>,
    /// The maximum number of output tokens, if known.
    pub max_output_tokens: Option<u64>,
}

/// The prices of calls whose input is longer than a threshold, per token.
///
/// They apply to all tokens of such a call.
///
/// ```
/// let price = warmline::Price::lookup("gemini", "gemini-2.5-pro").unwrap();
/// assert_eq!(price.tiers[0].unwrap().above, 200_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PriceTier {
    /// The threshold: the tier applies if a call has more input tokens than this, including cached ones.
    pub above: u64,
    /// Like [`Price::input`].
    pub input: Usd,
    /// Like [`Price::output`].
    pub output: Usd,
    /// Like [`Price::cache_read`]. If it is zero, the price rises in proportion to that of input.
    pub cache_read: Usd,
    /// Like [`Price::cache_write`]. If it is zero, the price rises in proportion to that of input.
    pub cache_write: Usd,
}

impl Price {
    /// Returns a price from the prices per million tokens, the unit of price lists.
    ///
    /// Cached input costs the same as input, and reasoning the same as output, until their fields are set.
    ///
    /// ```
    /// # use warmline::{Price, Usd};
    /// let price = Price::per_million("0.15".parse()?, "0.60".parse()?);
    /// assert_eq!(price.input, Usd::from_pico(150_000));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn per_million(input: Usd, output: Usd) -> Self {
        Self::flat(input.of_a_million(), output.of_a_million())
    }

    pub(super) fn flat(input: Usd, output: Usd) -> Self {
        Self {
            input,
            output,
            cache_read: input,
            cache_write: input,
            cache_write_1h: input,
            reasoning: output,
            audio_input: input,
            audio_output: output,
            web_search: None,
            always_searches: false,
            flex: None,
            priority: None,
            fast: None,
            regional: None,
            batch: None,
            tiers: [None; 3],
            max_input_tokens: None,
            max_output_tokens: None,
        }
    }

    /// Sets the prices of cached input, per million tokens: reading it, writing it, and writing it for an hour.
    ///
    /// ```
    /// # use warmline::Price;
    /// let price = Price::per_million("3".parse()?, "15".parse()?)
    ///     .cache_per_million("0.3".parse()?, "3.75".parse()?, "6".parse()?);
    /// assert_eq!(price.cache_read, "0.0000003".parse()?);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn cache_per_million(mut self, read: Usd, write: Usd, write_1h: Usd) -> Self {
        self.cache_read = read.of_a_million();
        self.cache_write = write.of_a_million();
        self.cache_write_1h = write_1h.of_a_million();
        self
    }

    /// Sets the prices of audio, per million tokens.
    ///
    /// ```
    /// # use warmline::{Price, Usd};
    /// let price = Price::per_million("2.5".parse()?, "10".parse()?).audio_per_million("32".parse()?, "64".parse()?);
    /// assert_eq!(price.audio_input, Usd::from_pico(32_000_000));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn audio_per_million(mut self, input: Usd, output: Usd) -> Self {
        self.audio_input = input.of_a_million();
        self.audio_output = output.of_a_million();
        self
    }

    /// Sets the fee of web searches, per thousand searches.
    ///
    /// ```
    /// # use warmline::Price;
    /// let price = Price::per_million("3".parse()?, "15".parse()?).web_search_per_thousand("10".parse()?);
    /// assert_eq!(price.web_search, Some("0.01".parse()?));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn web_search_per_thousand(mut self, fee: Usd) -> Self {
        self.web_search = Some(Usd::from_pico(fee.pico().div_ceil(1_000)));
        self
    }

    /// Returns the cost of a call with the given usage, in the provider's standard service tier.
    ///
    /// ```
    /// # use warmline::{Price, Usage};
    /// let price = Price::lookup("openai", "gpt-4.1").unwrap();
    /// let usage = Usage { input_tokens: 1000, cache_read_tokens: 800, input_includes_cache: true, ..Usage::default() };
    /// assert_eq!(price.cost(&usage).to_string(), "0.0008"); // 200 at $2 and 800 at $0.50 a million
    /// ```
    pub fn cost(&self, usage: &Usage) -> Usd {
        self.cost_at(usage, [None; 2])
    }

    /// Returns the cost of a call at these factors.
    pub(super) fn cost_at(&self, usage: &Usage, factors: [Option<PriceFactor>; 2]) -> Usd {
        let size = usage.total_input_tokens();
        let mut tiers = self.tiers.iter().flatten();
        let rates = self.rates(tiers.rfind(|tier| size > tier.above));
        let hour = usage.cache_write_1h_tokens.min(usage.cache_write_tokens);
        let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
        let (input, output) = (
            usage.uncached_input_tokens(),
            usage.output_tokens - reasoning,
        );
        // Providers do not report how many of the cached tokens are audio.
        let audio_input = usage.audio_input_tokens.min(input);
        let audio_output = usage.audio_output_tokens.min(output);
        let mut tokens = rates.input * (input - audio_input)
            + rates.audio_input * audio_input
            + rates.cache_write * (usage.cache_write_tokens - hour)
            + rates.cache_write_1h * hour
            + rates.output * (output - audio_output)
            + rates.audio_output * audio_output
            + rates.reasoning * reasoning;
        let mut cache_reads = rates.cache_read * usage.cache_read_tokens;
        for factor in factors.into_iter().flatten() {
            tokens = factor.of_tokens(tokens);
            cache_reads = factor.of_cache_reads(cache_reads);
        }
        tokens + cache_reads + self.web_search.unwrap_or_default() * usage.web_search_requests
    }

    /// Returns the maximum cost of the tokens of a call.
    pub(super) fn max_cost(&self, most: &MostTokens) -> Usd {
        let mut max_cost = Usd::ZERO;
        for tier in [None]
            .into_iter()
            .chain(self.tiers.iter().map(Option::as_ref))
        {
            if tier.is_some_and(|tier| tier.above >= most.input) {
                continue;
            }
            let rates = self.rates(tier);
            let mut each = rates.input.max(rates.cache_read);
            if most.cache_write {
                each = each.max(rates.cache_write).max(rates.cache_write_1h);
            }
            if most.audio_input {
                each = each.max(rates.audio_input);
            }
            let mut each_output = rates.output.max(rates.reasoning);
            if most.audio_output {
                each_output = each_output.max(rates.audio_output);
            }
            max_cost = max_cost.max(each * most.input + each_output * most.output);
        }
        max_cost
    }

    /// Returns the prices that apply in a tier.
    fn rates(&self, tier: Option<&PriceTier>) -> Self {
        let Some(tier) = tier else {
            return *self;
        };
        // A price that the list leaves out rises in proportion to that of input.
        let scaled = |base: Usd| times(base, tier.input.pico(), self.input.pico()).max(base);
        let listed_or_scaled = |listed: Usd, base: Usd| match listed {
            Usd::ZERO => scaled(base),
            listed => listed,
        };
        Self {
            input: tier.input,
            output: tier.output,
            reasoning: tier.output.max(self.reasoning),
            cache_read: listed_or_scaled(tier.cache_read, self.cache_read),
            cache_write: listed_or_scaled(tier.cache_write, self.cache_write),
            cache_write_1h: scaled(self.cache_write_1h),
            audio_input: scaled(self.audio_input),
            audio_output: tier.output.max(self.audio_output),
            ..*self
        }
    }
}

/// The most that a call can use.
#[derive(Clone, Copy, Debug)]
pub(super) struct MostTokens {
    pub(super) input: u64,
    pub(super) output: u64,
    /// Whether the provider may charge for writing the prompt to its cache.
    pub(super) cache_write: bool,
    /// Whether the input, and the output, may be audio.
    pub(super) audio_input: bool,
    pub(super) audio_output: bool,
}

/// A factor by which a service tier or a region changes the prices of tokens.
///
/// ```
/// use warmline::{Price, PriceFactor};
///
/// let mut price = Price::per_million("2".parse()?, "8".parse()?);
/// price.priority = Some(PriceFactor::new(7, 4)); // 1.75 times as much
/// price.flex = Some(PriceFactor::new(1, 2).cache_read(1, 1)); // half, but cache reads cost the same
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceFactor {
    tokens: (u32, u32),
    cache_reads: (u32, u32),
}

impl PriceFactor {
    /// Returns the factor `numerator / denominator`. A denominator of 0 counts as 1.
    ///
    /// ```
    /// let tenth_more = warmline::PriceFactor::new(11, 10);
    /// ```
    pub fn new(numerator: u32, denominator: u32) -> Self {
        let factor = (numerator, denominator.max(1));
        Self {
            tokens: factor,
            cache_reads: factor,
        }
    }

    /// Sets another factor for cache reads.
    ///
    /// ```
    /// let flex = warmline::PriceFactor::new(1, 2).cache_read(1, 1);
    /// ```
    #[must_use]
    pub fn cache_read(mut self, numerator: u32, denominator: u32) -> Self {
        self.cache_reads = Self::new(numerator, denominator).tokens;
        self
    }

    /// Returns the maximum of a cost. The parts of a bill are rounded up on their own.
    pub(super) fn at_most(self, cost: Usd) -> Usd {
        let higher = self.of_tokens(cost).max(self.of_cache_reads(cost));
        higher.max(cost) + Usd::from_pico(1)
    }

    /// Returns the price of a token in the tier, rounded up to a whole number of pico-dollars.
    ///
    /// ```
    /// # use warmline::{PriceFactor, Usd};
    /// assert_eq!(PriceFactor::new(1, 2).of_tokens(Usd::from_pico(5)), Usd::from_pico(3));
    /// ```
    pub fn of_tokens(self, rate: Usd) -> Usd {
        times(rate, self.tokens.0.into(), self.tokens.1.into())
    }

    /// Returns the price of a token that is read from a cache.
    ///
    /// ```
    /// # use warmline::{PriceFactor, Usd};
    /// let flex = PriceFactor::new(1, 2).cache_read(1, 1);
    /// assert_eq!(flex.of_cache_reads(Usd::from_pico(5)), Usd::from_pico(5));
    /// ```
    pub fn of_cache_reads(self, rate: Usd) -> Usd {
        times(rate, self.cache_reads.0.into(), self.cache_reads.1.into())
    }
}

/// Multiplies a price by a fraction, rounded up to a whole number of pico-dollars.
fn times(rate: Usd, numerator: u64, denominator: u64) -> Usd {
    let product = rate * numerator;
    Usd::from_pico(product.pico().div_ceil(denominator.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_usage_within_the_bounds_exceeds_the_maximum_cost() {
        let mut random = fastrand::Rng::with_seed(5);
        for (list, model, price) in Price::all() {
            for _ in 0..50 {
                let (input, output) = (random.u64(0..1_500_000), random.u64(0..100_000));
                let max_cost = price.max_cost(&MostTokens {
                    input,
                    output,
                    cache_write: true,
                    audio_input: true,
                    audio_output: true,
                });
                let read = random.u64(0..=input);
                let write = random.u64(0..=input - read);
                let usage = Usage {
                    input_tokens: input - read - write,
                    cache_read_tokens: read,
                    cache_write_tokens: write,
                    cache_write_1h_tokens: random.u64(0..=write),
                    output_tokens: random.u64(0..=output),
                    reasoning_tokens: random.u64(0..=output),
                    audio_input_tokens: random.u64(0..=input),
                    audio_output_tokens: random.u64(0..=output),
                    ..Usage::default()
                };
                assert!(price.cost(&usage) <= max_cost, "{list}/{model} {usage:?}");
                let inclusive = Usage {
                    input_tokens: input,
                    input_includes_cache: true,
                    ..usage
                };
                assert_eq!(price.cost(&usage), price.cost(&inclusive));
            }
        }
    }
}
