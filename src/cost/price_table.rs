//! The built-in price table.

use std::cmp::Ordering;

use super::{Price, PriceFactor, PriceTier, Usd};

/// The price table: one model per line, sorted by name. All prices are in pico-dollars per token.
///
/// A line is `list/model`, the price of input, the price of output, and then optional fields, each a letter followed by
/// numbers. A price that is left out equals that of input or output; without `h`, it equals `w`.
///
/// - `r`, `w`, `h`: the prices of cache reads, of cache writes, and of cache writes for an hour or more.
/// - `t`: the price of reasoning.
/// - `a`, `o`: the prices of audio as input and as output.
/// - `x`, `y`: the maximum number of input tokens and of output tokens.
/// - `b`: the prices of input and output in a batch.
/// - `f`, `p`, `u`, `g`: what the service tiers `flex` and `priority`, the fastest tier, and processing in one region cost, as a
///   fraction of the other prices: `1,2` is a half. A second fraction is that of cache reads.
/// - `s`: the fee of a web search, in millionths of a dollar. Without it, the fee is that of the list's line `*`. With a capital
///   letter, every call is charged for one search.
/// - `>`: a long-context tier: its threshold in input tokens, and the prices of input, output, cache reads and cache writes
///   above it (0 if the list has none).
const TABLE: &str = match crate::runtime::COMPACT {
    false => include_str!("prices.txt"),
    true => include_str!("prices-edge.txt"),
};

impl Price {
    /// Returns the price of a model in one of the built-in lists, or `None` if it has none.
    ///
    /// The lists are `openai`, `anthropic`, `gemini`, `groq`, `deepseek` and `xai`; natively also `azure`, `bedrock_converse`,
    /// `bedrock_mantle`, `cerebras`, `fireworks_ai`, `mistral`, `moonshot`, `perplexity` and `together_ai`. A name may have a
    /// date, the suffix `-latest`, or a vendor's prefix such as `openai/`.
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

    /// Parses a line of the table. Its name is ignored.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        fields.next()?;
        let mut usd = || Some(Usd::from_pico(fields.next()?.parse().ok()?));
        let mut price = Self::flat(usd()?, usd()?);
        price.cache_write_1h = Usd::ZERO;
        for field in fields {
            let (letter, numbers) = field.split_at_checked(1)?;
            let mut numbers = numbers.split(',').map_while(|n| n.parse::<u64>().ok());
            let first = numbers.next()?;
            let mut usd = || numbers.next().map(Usd::from_pico);
            let rate = match letter {
                "r" => &mut price.cache_read,
                "w" => &mut price.cache_write,
                "h" => &mut price.cache_write_1h,
                "t" => &mut price.reasoning,
                "a" => &mut price.audio_input,
                "o" => &mut price.audio_output,
                "x" => {
                    price.max_input_tokens = Some(first);
                    continue;
                }
                "y" => {
                    price.max_output_tokens = Some(first);
                    continue;
                }
                "b" => {
                    price.batch = Some((Usd::from_pico(first), usd()?));
                    continue;
                }
                "s" | "S" => {
                    price.web_search = Some(Usd::from_pico(first) * 1_000_000);
                    price.always_searches = letter == "S";
                    continue;
                }
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
                    continue;
                }
                _ => {
                    let factor = match letter {
                        "f" => &mut price.flex,
                        "p" => &mut price.priority,
                        "u" => &mut price.fast,
                        "g" => &mut price.regional,
                        _ => return None,
                    };
                    let mut next = || numbers.next().map(|number| number as u32);
                    let of_tokens = PriceFactor::new(first as u32, next()?);
                    *factor = Some(match (next(), next()) {
                        (Some(reads), Some(of)) => of_tokens.cache_read(reads, of),
                        _ => of_tokens,
                    });
                    continue;
                }
            };
            *rate = Usd::from_pico(first);
        }
        if price.cache_write_1h == Usd::ZERO {
            price.cache_write_1h = price.cache_write;
        }
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
}
