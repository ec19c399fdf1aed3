use http::HeaderMap;

/// Returns the value of a response header, if it is there and printable ASCII.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
