/// Returns the length of the longest prefix of `text` that a JSON string holds unescaped: no quote, backslash or control
/// character. It looks at eight bytes at a time (see "Bit Twiddling Hacks", "haszero").
pub(super) fn unescaped_prefix_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (eights, rest) = text.as_chunks::<8>();
    let mut at = 0;
    for eight in eights {
        let x = u64::from_le_bytes(*eight);
        let (quote, backslash) = (x ^ (ONES * 0x22), x ^ (ONES * 0x5c));
        let special = (x.wrapping_sub(ONES * 0x20) & !x)
            | (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash);
        if special & HIGH != 0 {
            return at + (special & HIGH).trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    for byte in rest {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        at += 1;
    }
    at
}
