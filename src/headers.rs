use http::{HeaderMap, HeaderName};

use crate::quote::quote;
use crate::{Error, Result};

/// A header's name, parsed at compile time. At run time, `http` would bring its parser and its table of all standard names
/// into the WebAssembly module.
pub struct Known {
    pub(crate) text: &'static str,
    pub(crate) name: HeaderName,
}

impl Known {
    pub(crate) const fn new(text: &'static str) -> Self {
        let name = HeaderName::from_static(text);
        Self { text, name }
    }
}

#[cfg(feature = "anthropic")]
pub(crate) static ANTHROPIC_VERSION: Known = Known::new("anthropic-version");
pub(crate) static CONTENT_ENCODING: Known = Known::new("content-encoding");
pub(crate) static CONTENT_TYPE: Known = Known::new("content-type");
pub(crate) static LOCATION: Known = Known::new("location");
pub(crate) static REQUEST_ID: Known = Known::new("request-id");
pub(crate) static RETRY_AFTER: Known = Known::new("retry-after");
pub(crate) static RETRY_AFTER_MS: Known = Known::new("retry-after-ms");
pub(crate) static X_REQUEST_ID: Known = Known::new("x-request-id");
pub(crate) static X_SHOULD_RETRY: Known = Known::new("x-should-retry");

/// Returns the value of a header, if it is present and visible ASCII.
pub(crate) fn text<'a>(headers: &'a HeaderMap, known: &Known) -> Option<&'a str> {
    headers.get(&known.name)?.to_str().ok()
}

/// Whether a response says that it is a stream of server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &str = "text/event-stream";
    let start = text(headers, &CONTENT_TYPE).and_then(|value| value.get(..EVENT_STREAM.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
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
