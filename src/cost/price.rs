use std::cmp::Ordering;

use crate::{Usage, Usd};

/// The price table: one model per line, sorted by name. All prices are in pico-dollars per token.
///
/// A line is `list/model`, the price of input, the price of output, and then optional fields, each a letter followed by
/// numbers. A price that is left out equals that of input or output; without `h`, it equals `w`.
///
/// - `r`, `w`, `h`: the prices of cache reads, of cache writes, and of cache writes for an hour.
/// - `t`: the price of reasoning.
/// - `x`, `y`: the maximum number of input tokens and of output tokens.
/// - `b`: the prices of input and output in a batch.
/// - `>`: a long-context tier: its threshold in input tokens, and the prices of input, output, cache reads and cache writes
///   above it (0 if the list has none).
const TABLE: &str = match crate::runtime::COMPACT {
    false => include_str!("prices.txt"),
    true => include_str!("prices-edge.txt"),
};

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

    fn flat(input: Usd, output: Usd) -> Self {
        Self {
            input,
            output,
            cache_read: input,
            cache_write: input,
            cache_write_1h: input,
            reasoning: output,
            batch: None,
            tiers: [None; 3],
            max_input_tokens: None,
            max_output_tokens: None,
        }
    }

    /// Returns the price of a model in one of the built-in lists, or `None` if it has none.
    ///
    /// The lists are `openai`, `anthropic`, `gemini`, `groq`, `deepseek` and `xai`; natively also `azure`, `bedrock_converse`,
    /// `bedrock_mantle`, `cerebras`, `fireworks_ai`, `mistral`, `moonshot`, `perplexity` and `together_ai`. A name may have a
    /// date, the suffix `-latest`, or a vendor's prefix such as `openai/`. The lookup does not allocate.
    ///
    /// ```
    /// # use warmline::Price;
    /// assert_eq!(Price::lookup("openai", "gpt-4.1-2025-04-14"), Price::lookup("openai", "gpt-4.1"));
    /// assert_eq!(Price::lookup("openai", "llama-at-home"), None);
    /// ```
    pub fn lookup(list: &str, model: &str) -> Option<Self> {
        let mut model = model;
        loop {
            let name = undated(model);
            let found = match line(list, model) {
                None if name != model => line(list, name),
                found => found,
            };
            if let Some(found) = found {
                return Self::parse(found);
            }
            // `openai/gpt-4.1`, as gateways write it.
            model = model.split_once('/')?.1;
        }
    }

    /// Returns the highest prices of a list, for a model that is not in it, or `None` if there is no such list.
    ///
    /// `cargo xtask prices` writes them under the name `*`.
    pub(crate) fn most_expensive(list: &str) -> Option<Self> {
        Self::parse(line(list, "*")?)
    }

    /// Returns the cost of a call with the given usage.
    ///
    /// ```
    /// # use warmline::{Price, Usage};
    /// let price = Price::lookup("openai", "gpt-4.1").unwrap();
    /// let usage = Usage { input_tokens: 1000, cache_read_tokens: 800, input_includes_cache: true, ..Usage::default() };
    /// assert_eq!(price.cost(&usage).to_string(), "0.0008"); // 200 at $2 and 800 at $0.50 a million
    /// ```
    pub fn cost(&self, usage: &Usage) -> Usd {
        let rates = self.rates(usage.total_input_tokens());
        let hour = usage.cache_write_1h_tokens.min(usage.cache_write_tokens);
        let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
        rates.input * usage.uncached_input_tokens()
            + rates.cache_read * usage.cache_read_tokens
            + rates.cache_write * (usage.cache_write_tokens - hour)
            + rates.cache_write_1h * hour
            + rates.output * (usage.output_tokens - reasoning)
            + rates.reasoning * reasoning
    }

    /// Returns the maximum cost of a call with at most this many input and output tokens.
    pub(crate) fn max_cost(&self, input: u64, output: u64, may_write_cache: bool) -> Usd {
        let tiers = self.tiers.iter().flatten().map(|tier| tier.above + 1);
        let sizes = tiers.filter(|size| *size <= input).chain([0, input]);
        let costs = sizes.map(|size| {
            let rates = self.rates(size);
            let mut each = rates.input.max(rates.cache_read);
            if may_write_cache {
                each = each.max(rates.cache_write).max(rates.cache_write_1h);
            }
            each * input + rates.output.max(rates.reasoning) * output
        });
        costs.max().unwrap_or_default()
    }

    /// Returns the prices that apply to a call with this many input tokens.
    fn rates(&self, input: u64) -> Self {
        let mut tiers = self.tiers.iter().flatten();
        let Some(tier) = tiers.rfind(|tier| input > tier.above) else {
            return *self;
        };
        // A price that the list leaves out rises in proportion to that of input.
        let scaled = |base: Usd| {
            let product = base * tier.input.pico();
            Usd::from_pico(product.pico().div_ceil(self.input.pico().max(1))).max(base)
        };
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
            ..*self
        }
    }

    /// Parses a line of the table. Its name is ignored.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        fields.next()?;
        let mut usd = || Some(Usd::from_pico(fields.next()?.parse().ok()?));
        let mut price = Self::flat(usd()?, usd()?);
        let mut hour = None;
        for field in fields {
            let (letter, numbers) = field.split_at_checked(1)?;
            let mut numbers = numbers.split(',').map_while(|n| n.parse::<u64>().ok());
            let first = numbers.next()?;
            let mut usd = || numbers.next().map(Usd::from_pico);
            match letter {
                "r" => price.cache_read = Usd::from_pico(first),
                "w" => price.cache_write = Usd::from_pico(first),
                "h" => hour = Some(Usd::from_pico(first)),
                "t" => price.reasoning = Usd::from_pico(first),
                "x" => price.max_input_tokens = Some(first),
                "y" => price.max_output_tokens = Some(first),
                "b" => price.batch = Some((Usd::from_pico(first), usd()?)),
                ">" => {
                    let tier = PriceTier {
                        above: first,
                        input: usd()?,
                        output: usd()?,
                        cache_read: usd()?,
                        cache_write: usd()?,
                    };
                    let unused = price.tiers.iter_mut().find(|tier| tier.is_none());
                    *unused? = Some(tier);
                }
                _ => return None,
            }
        }
        price.cache_write_1h = hour.unwrap_or(price.cache_write);
        price
            .tiers
            .sort_by_key(|tier| tier.map_or(u64::MAX, |tier| tier.above));
        Some(price)
    }

    /// Returns an iterator over the built-in table: the list, the name and the price of each model.
    ///
    /// ```
    /// assert!(warmline::Price::all().any(|(list, model, _)| (list, model) == ("openai", "gpt-4.1")));
    /// ```
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str, Self)> {
        TABLE.lines().filter_map(|line| {
            let (list, model) = line.split(' ').next()?.split_once('/')?;
            (model != "*").then_some((list, model, Self::parse(line)?))
        })
    }

    /// Returns the source of the built-in table: the name, version and licence of the list, and the date of retrieval.
    ///
    /// ```
    /// assert!(warmline::Price::source().contains("MIT"));
    /// ```
    pub fn source() -> &'static str {
        let first = TABLE.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }
}

/// Returns the line of a model, by binary search.
fn line(list: &str, model: &str) -> Option<&'static str> {
    let key = [list, "/", model].concat();
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let before = TABLE.as_bytes().get(..middle)?;
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let rest = TABLE.get(start..)?;
        let line = rest.get(..memchr::memchr(b'\n', rest.as_bytes())?)?;
        let name = line.get(..memchr::memchr(b' ', line.as_bytes())?)?;
        match name.cmp(&key) {
            Ordering::Equal => return Some(line),
            Ordering::Less => low = start + line.len() + 1,
            Ordering::Greater => high = start,
        }
    }
    None
}

/// Returns a name without its date or `-latest`: `claude-sonnet-4-5-20250929`, `gpt-4.1-2025-04-14`, `…@20250929`.
fn undated(model: &str) -> &str {
    let model = model.strip_suffix("-latest").unwrap_or(model);
    let without_suffix = |pattern: &str| {
        let at = model.len().checked_sub(pattern.len())?;
        let (name, suffix) = model.split_at_checked(at)?;
        let matches = suffix.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
            b'9' => b.is_ascii_digit(),
            p => b == p,
        });
        matches.then_some(name)
    };
    let patterns = ["-9999-99-99", "-99999999", "@99999999"];
    patterns
        .into_iter()
        .find_map(without_suffix)
        .unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_both_tables_is_parsed_and_found_by_its_name() {
        let named = |line: &&str| !line.starts_with('#') && !line.contains("/* ");
        let count = TABLE.lines().filter(named).count();
        assert_eq!(Price::all().count(), count);
        assert!(count > 500);
        for (list, model, price) in Price::all() {
            assert_eq!(Price::lookup(list, model), Some(price), "{list}/{model}");
        }
        for line in include_str!("prices-edge.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let name = line.split(' ').next().unwrap();
            let (list, model) = name.split_once('/').unwrap();
            let full = Price::lookup(list, model).unwrap();
            assert_eq!(
                Price::parse(line),
                Some(Price {
                    batch: None,
                    ..full
                }),
                "{line}"
            );
        }
    }

    #[test]
    fn names_resolve() {
        let sonnet = Price::lookup("anthropic", "claude-sonnet-4-5");
        assert!(sonnet.is_some());
        for name in [
            "claude-sonnet-4-5-20250929",
            "claude-sonnet-4-5-latest",
            "claude-sonnet-4-5@20250929",
            "anthropic/claude-sonnet-4-5",
        ] {
            assert_eq!(Price::lookup("anthropic", name), sonnet, "{name}");
        }
        for name in [
            "",
            "/",
            "claude-sonnet-4-5-2025",
            "-20250929",
            "ä",
            "gpt-4.1",
        ] {
            assert_eq!(Price::lookup("anthropic", name), None, "{name}");
        }
    }

    #[test]
    fn no_listed_price_exceeds_the_most_expensive_one() {
        let most_expensive = Price::most_expensive("openai").unwrap();
        for (_, model, price) in Price::all().filter(|(list, ..)| *list == "openai") {
            assert!(
                most_expensive.input >= price.input && most_expensive.output >= price.output,
                "{model}"
            );
        }
        assert_eq!(Price::most_expensive("nobody"), None);
    }

    #[test]
    fn no_usage_within_the_bounds_exceeds_the_maximum_cost() {
        let mut random = fastrand::Rng::with_seed(5);
        for (list, model, price) in Price::all() {
            for _ in 0..50 {
                let (input, output) = (random.u64(0..1_500_000), random.u64(0..100_000));
                let max_cost = price.max_cost(input, output, true);
                let read = random.u64(0..=input);
                let write = random.u64(0..=input - read);
                let usage = Usage {
                    input_tokens: input - read - write,
                    cache_read_tokens: read,
                    cache_write_tokens: write,
                    cache_write_1h_tokens: random.u64(0..=write),
                    output_tokens: random.u64(0..=output),
                    reasoning_tokens: random.u64(0..=output),
                    input_includes_cache: false,
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
