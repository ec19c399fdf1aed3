use std::cmp::Ordering;

use crate::{Usage, Usd};

/// One model a line, sorted: `list/model`, then in pico-dollars a token the price of input and of output; then, where
/// they differ, those of `r`eading and `w`riting a cache, of writing it for an `h`our, of `t`hought; the most tokens in (`x`)
/// and out (`y`); the `b`atch prices of input and output; and for each threshold of long context `>` its tokens and the
/// prices of input, output, cache reads and cache writes above it (0 where the list has none).
const TABLE: &str = match crate::runtime::COMPACT {
    false => include_str!("prices.txt"),
    true => include_str!("prices-edge.txt"),
};

/// What a model costs, per token.
///
/// The table that comes with the crate is from a public list; its first lines, which `warmline prices` prints, say which and of when.
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
    /// Input that no cache had a part in.
    pub input: Usd,
    /// Output.
    pub output: Usd,
    /// Input from a cache.
    pub cache_read: Usd,
    /// Input put into a cache, for five minutes or for as long as the provider likes.
    pub cache_write: Usd,
    /// Input put into a cache for an hour.
    pub cache_write_1h: Usd,
    /// Thought, where it is priced apart from output.
    pub reasoning: Usd,
    /// Input and output in a batch, where the list has them. Nothing here makes batches; this is for those who do.
    pub batch: Option<(Usd, Usd)>,
    /// The prices of calls whose input is longer than a threshold, from the lowest.
    pub tiers: [Option<PriceTier>; 3],
    /// The most tokens that it takes, where that is known.
    pub max_input_tokens: Option<u64>,
    /// The most tokens that it writes, where that is known.
    pub max_output_tokens: Option<u64>,
}

/// What a call costs per token whose input is longer than a threshold.
///
/// ```
/// let price = warmline::Price::lookup("gemini", "gemini-2.5-pro").unwrap();
/// assert_eq!(price.tiers[0].unwrap().above, 200_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PriceTier {
    /// All input tokens of a call that this is for: more than this many.
    pub above: u64,
    /// As for [`Price::input`].
    pub input: Usd,
    /// As for [`Price::output`].
    pub output: Usd,
    /// As for [`Price::cache_read`].
    pub cache_read: Usd,
    /// As for [`Price::cache_write`].
    pub cache_write: Usd,
}

impl Price {
    /// A price of so much per million tokens, the unit of price lists; caches and thought cost what input and output do
    /// until their fields are set.
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

    /// The price of a model in a list: `openai`, `anthropic`, `gemini`, `groq`, `deepseek`, `xai`, and natively `mistral`, `together_ai`,
    /// `fireworks_ai`, `perplexity` and `cerebras` too. Dated names, `-latest` and vendors' prefixes resolve. Nothing is allocated.
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
                return Self::read(found);
            }
            // `openai/gpt-4.1`, as gateways write it.
            model = model.split_once('/')?.1;
        }
    }

    /// The most_expensive rates that a list has, for a model that is not in it; none where there is no such list. `cargo xtask prices`
    /// writes them under the name `*`.
    pub(crate) fn most_expensive(list: &str) -> Option<Self> {
        Self::read(line(list, "*")?)
    }

    /// What calls use costs.
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
        let thought = usage.reasoning_tokens.min(usage.output_tokens);
        rates.input * usage.uncached_input_tokens()
            + rates.cache_read * usage.cache_read_tokens
            + rates.cache_write * (usage.cache_write_tokens - hour)
            + rates.cache_write_1h * hour
            + rates.output * (usage.output_tokens - thought)
            + rates.reasoning * thought
    }

    /// The most that a call with so many tokens can cost.
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

    /// The prices of a call with so many tokens in.
    fn rates(&self, input: u64) -> Self {
        let mut tiers = self.tiers.iter().flatten();
        let Some(tier) = tiers.rfind(|tier| input > tier.above) else {
            return *self;
        };
        // What the list leaves out goes up as the input does.
        let up = |base: Usd| {
            let times = base * tier.input.pico();
            Usd::from_pico(times.pico().div_ceil(self.input.pico().max(1))).max(base)
        };
        let or_up = |listed: Usd, base: Usd| match listed {
            Usd::ZERO => up(base),
            listed => listed,
        };
        Self {
            input: tier.input,
            output: tier.output,
            reasoning: tier.output.max(self.reasoning),
            cache_read: or_up(tier.cache_read, self.cache_read),
            cache_write: or_up(tier.cache_write, self.cache_write),
            cache_write_1h: up(self.cache_write_1h),
            ..*self
        }
    }

    /// From a line of the table, without its name.
    fn read(line: &str) -> Option<Self> {
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
                    let free = price.tiers.iter_mut().find(|tier| tier.is_none());
                    *free? = Some(tier);
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

    /// Every model of the table: its list, its name and its price.
    ///
    /// ```
    /// assert!(warmline::Price::all().any(|(list, model, _)| (list, model) == ("openai", "gpt-4.1")));
    /// ```
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str, Self)> {
        TABLE.lines().filter_map(|line| {
            let (list, model) = line.split(' ').next()?.split_once('/')?;
            (model != "*").then_some((list, model, Self::read(line)?))
        })
    }

    /// Where the table comes from: the list, its version and licence, and the day on which it was taken.
    ///
    /// ```
    /// assert!(warmline::Price::source().contains("MIT"));
    /// ```
    pub fn source() -> &'static str {
        let first = TABLE.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }
}

/// A model's line, by bisection.
fn line(list: &str, model: &str) -> Option<&'static str> {
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = TABLE.get(..middle)?.rfind('\n').map_or(0, |at| at + 1);
        let length = TABLE.get(start..)?.find('\n')?;
        let line = TABLE.get(start..start + length)?;
        let name = line.split(' ').next()?.bytes();
        let wanted = list.bytes().chain([b'/']).chain(model.bytes());
        match name.cmp(wanted) {
            Ordering::Equal => return Some(line),
            Ordering::Less => low = start + length + 1,
            Ordering::Greater => high = start,
        }
    }
    None
}

/// A name without its date: `claude-sonnet-4-5-20250929`, `gpt-4.1-2025-04-14`, `…@20250929`, `…-latest`.
fn undated(model: &str) -> &str {
    let model = model.strip_suffix("-latest").unwrap_or(model);
    let tail = |shape: &str| {
        let at = model.len().checked_sub(shape.len())?;
        let (name, tail) = model.split_at_checked(at)?;
        let fits = tail.bytes().zip(shape.bytes()).all(|(b, s)| match s {
            b'9' => b.is_ascii_digit(),
            s => b == s,
        });
        fits.then_some(name)
    };
    let shapes = ["-9999-99-99", "-99999999", "@99999999"];
    shapes.into_iter().find_map(tail).unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_both_tables_is_read_and_found_by_its_name() {
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
            let whole = Price::lookup(list, model).unwrap();
            assert_eq!(
                Price::read(line),
                Some(Price {
                    batch: None,
                    ..whole
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
    fn the_dearest_is_as_dear_as_any() {
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
    fn no_use_within_the_bounds_costs_more_than_the_worst() {
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
