//! Exact decimal numbers.

/// Returns a decimal number times a power of ten as a whole number, rounded down, and whether anything was cut off. The number is
/// written as in JSON. `None` for a negative number, one that is too large, and any other text.
pub(crate) fn scaled(number: &str, power: i64) -> Option<(u64, bool)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let magnitude = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some((0, false));
    }
    if magnitude.len() < mantissa.len() {
        return None;
    }
    let exponent: i64 = exponent.parse().ok()?;
    let exponent = exponent.checked_add(power)?;
    let zeros = exponent.checked_sub(fraction.len() as i64)?;
    let length = digits.len() as u64;
    let excess = zeros.min(0).unsigned_abs().min(length);
    let (kept, rest) = digits.split_at((length - excess) as usize);
    let is_cut = rest.bytes().any(|digit| digit != b'0');
    if kept.is_empty() {
        return Some((0, is_cut));
    }
    let kept: u64 = kept.parse().ok()?;
    let power = 10u64.checked_pow(zeros.max(0).try_into().ok()?)?;
    Some((kept.checked_mul(power)?, is_cut))
}
