//! Exact decimal numbers.

/// Returns a decimal number times a power of ten as a whole number, rounded down, and whether anything was cut off. The number is
/// written as in JSON. `None` for a negative number, one that is too large, and any other text.
pub(crate) fn scaled(number: &str, power: i64) -> Option<(u64, bool)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let magnitude = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (mut whole, mut is_cut, mut zeros) = (0u64, false, 0i64);
    let (mut is_number, mut is_fraction, mut is_full) = (false, false, false);
    for byte in magnitude.bytes() {
        let digit = match byte {
            b'0'..=b'9' => u64::from(byte - b'0'),
            b'.' if !is_fraction => {
                is_fraction = true;
                continue;
            }
            _ => return None,
        };
        is_number = true;
        let longer = whole
            .checked_mul(10)
            .and_then(|whole| whole.checked_add(digit));
        match longer.filter(|_| !is_full) {
            Some(longer) => {
                whole = longer;
                zeros -= i64::from(is_fraction);
            }
            // This digit and those after it do not fit.
            None => {
                is_full = true;
                is_cut |= digit > 0;
                zeros += i64::from(!is_fraction);
            }
        }
    }
    if whole == 0 || magnitude.len() < mantissa.len() {
        return (is_number && whole == 0).then_some((0, false));
    }
    let exponent: i64 = exponent.parse().ok()?;
    zeros = zeros.checked_add(power)?.checked_add(exponent)?;
    while zeros < 0 && whole > 0 {
        is_cut |= whole % 10 > 0;
        whole /= 10;
        zeros += 1;
    }
    if zeros > 0 && is_full {
        return None;
    }
    while zeros > 0 {
        whole = whole.checked_mul(10)?;
        zeros -= 1;
    }
    Some((whole, is_cut))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_and_a_power_are_what_their_digits_say(
            digits in "[0-9]{1,25}", fraction in "[0-9]{1,25}", power in -30i64..30
        ) {
            let number = format!("{digits}.{fraction}");
            let all = format!("{}{digits}{fraction}{}", "0".repeat(40), "0".repeat(40));
            let at = (40 + digits.len() as i64 + power) as usize;
            let (whole, rest) = all.split_at(at);
            let expected = whole.trim_start_matches('0');
            let expected = if expected.is_empty() { "0" } else { expected };
            let is_cut = rest.bytes().any(|digit| digit != b'0');
            let expected = expected.parse().ok().map(|whole: u64| (whole, is_cut));
            prop_assert_eq!(scaled(&number, power), expected);
            prop_assert_eq!(scaled(&format!("{number}e{power}"), 0), expected);
        }
    }
}
