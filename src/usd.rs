use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::scaled;
use crate::quote::quote;

/// The number of decimal places of an amount.
const PLACES: usize = 12;

/// An amount of US dollars, in whole pico-dollars (10⁻¹² dollars).
///
/// Prices per token are whole numbers of pico-dollars. The maximum is about 18 million dollars; `+` and `*` saturate there.
/// In JSON, an amount is a decimal string.
///
/// ```
/// use warmline::Usd;
///
/// let price: Usd = "0.000003".parse()?;
/// assert_eq!((price * 1_000_000).to_string(), "3");
/// assert_eq!(serde_json::to_string(&price).unwrap(), r#""0.000003""#);
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u64);

impl Usd {
    /// Zero dollars.
    ///
    /// ```
    /// assert_eq!(warmline::Usd::ZERO.to_string(), "0");
    /// ```
    pub const ZERO: Self = Self(0);

    /// Creates an amount from pico-dollars.
    ///
    /// ```
    /// assert_eq!(warmline::Usd::from_pico(3_000_000).to_string(), "0.000003");
    /// ```
    pub const fn from_pico(pico: u64) -> Self {
        Self(pico)
    }

    /// Returns the amount in pico-dollars.
    ///
    /// ```
    /// assert_eq!("1".parse::<warmline::Usd>()?.pico(), 1_000_000_000_000);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// Returns the sum, or `None` on overflow.
    ///
    /// ```
    /// # use warmline::Usd;
    /// assert_eq!(Usd::from_pico(u64::MAX).checked_add(Usd::from_pico(1)), None);
    /// ```
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Returns the difference, or `None` if it is negative.
    ///
    /// ```
    /// # use warmline::Usd;
    /// assert_eq!(Usd::ZERO.checked_sub(Usd::from_pico(1)), None);
    /// ```
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// Converts a price per million tokens, as price lists have it, to a price per token. It is rounded up to a whole number
    /// of pico-dollars.
    pub(crate) fn of_a_million(self) -> Self {
        Self(self.0.div_ceil(1_000_000))
    }

    /// Parses a JSON number times a power of ten. It is rounded up to a whole number of pico-dollars. `None` for a negative
    /// number, one that is too large, and any other value.
    pub(crate) fn from_json(number: &str, power: i64) -> Option<Self> {
        let (pico, is_cut) = scaled(number, power + PLACES as i64)?;
        pico.checked_add(is_cut.into()).map(Self)
    }

    pub(crate) fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Mul<u64> for Usd {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl std::iter::Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| sum + amount)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10u64.pow(PLACES as u32);
        let (whole, fraction) = (self.0 / one, self.0 % one);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        // `one` adds a digit in front, so that leading zeros are kept.
        let digits = (one + fraction).to_string();
        let places = digits.get(1..).unwrap_or_default().trim_end_matches('0');
        write!(f, "{whole}.{places}")
    }
}

impl fmt::Debug for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Usd({self})")
    }
}

impl FromStr for Usd {
    type Err = ParseUsdError;

    fn from_str(text: &str) -> Result<Self, ParseUsdError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let pico = || {
            if !digits(whole) || !digits(fraction) {
                return None;
            }
            let (pico, is_cut) = scaled(text, PLACES as i64)?;
            (!is_cut).then_some(pico)
        };
        pico().map(Self).ok_or_else(|| ParseUsdError(quote(text)))
    }
}

/// The error of parsing a [`Usd`]. It converts into an [`Error`](crate::Error) of kind
/// [`Config`](crate::ErrorKind::Config).
///
/// ```
/// let error = "ten".parse::<warmline::Usd>().unwrap_err();
/// assert!(error.to_string().starts_with("\"ten\" is not an amount in dollars"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUsdError(String);

impl fmt::Display for ParseUsdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not an amount in dollars: give a decimal such as 50 or 0.25, at most 18 million and with at most 12 decimal places",
            self.0
        )
    }
}

impl std::error::Error for ParseUsdError {}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The cost of a call.
///
/// ```no_run
/// # fn demo(reply: warmline::Reply) {
/// if let Some(cost) = reply.cost {
///     println!("${}", cost.usd);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The amount in US dollars.
    pub usd: Usd,
    /// Whether the amount is an upper bound. It is if the model's price is unknown, in which case the provider's highest price
    /// applies, or if the provider did not report the usage.
    pub estimated: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_amount_round_trips_through_text(pico in any::<u64>()) {
            prop_assert_eq!(Usd(pico).to_string().parse::<Usd>().unwrap(), Usd(pico));
        }
    }

    #[test]
    fn a_json_number_is_an_exact_amount_rounded_up() {
        for (number, power, pico) in [
            ("0", 0, Some(0)),
            ("0.00014", 0, Some(140_000_000)),
            ("1.4e-4", 0, Some(140_000_000)),
            ("1.4E+2", -10, Some(14_000)),
            ("37756000", -10, Some(3_775_600_000)),
            ("1e-12", 0, Some(1)),
            ("1e-13", 0, Some(1)),
            ("0.0000000000011", 0, Some(2)),
            ("1e-99999999", 0, Some(1)),
            ("1.00e-9223372036854775808", -10, Some(1)),
            ("0e99999999", 0, Some(0)),
            (
                "0.1000000000000000055511151231257827",
                0,
                Some(100_000_000_001),
            ),
            ("18446744.073709551615", 0, Some(u64::MAX)),
            ("18446744.073709551616", 0, None),
            ("1e99999999999999999999", 0, None),
            ("1e20", 0, None),
            ("-1", 0, None),
            ("\"1\"", 0, None),
            ("null", 0, None),
            ("{}", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(Usd::from_json(number, power), pico.map(Usd), "{number}");
        }
    }

    #[test]
    fn decimals_parse_exactly_and_nothing_else_parses() {
        for (text, pico) in [
            ("50", 50_000_000_000_000),
            ("50.0", 50_000_000_000_000),
            ("0.1", 100_000_000_000),
            ("0.000000000001", 1),
            ("0.0000000000010", 1),
            ("18446744.073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse::<Usd>().unwrap(), Usd(pico), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "$5",
            "1,5",
            " 1",
            "0.0000000000001",
            "18446744.073709551616",
        ] {
            let error = text.parse::<Usd>().unwrap_err().to_string();
            assert!(
                error.contains("is not an amount in dollars"),
                "{text}: {error}"
            );
        }
    }
}
