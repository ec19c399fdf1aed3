use http::HeaderMap;

use crate::quote::quote;
use crate::{Error, Result};

/// Returns the value of a header, if it is present and visible ASCII.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a header can have this value (RFC 9110, section 5.5: no control characters, and here only ASCII).
pub(crate) fn is_sendable(text: &str) -> bool {
    text.bytes()
        .all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
}

/// Returns a header's name in lower case.
///
/// # Errors
/// `Config` if HTTP does not allow the name or the value.
pub(crate) fn checked_name(name: &str, value: &str) -> Result<String> {
    // RFC 9110, section 5.6.2: a token.
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name_allowed = !name.is_empty() && name.bytes().all(in_token);
    if name_allowed && is_sendable(value) {
        return Ok(name.to_ascii_lowercase());
    }
    let what = if name_allowed { "value" } else { "name" };
    // A whole line given for a name holds the value too.
    let name = quote(name.split(':').next().unwrap_or_default());
    let message = [
        "the header ",
        &name,
        " has a ",
        what,
        " that HTTP does not allow",
    ];
    Err(Error::config(message.concat()))
}
