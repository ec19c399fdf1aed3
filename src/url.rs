//! URLs as text.

/// The scheme of a URL, where what stands before its first "://" is one: elsewhere it can be part of a secret.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let begins = scheme.bytes().next()?.is_ascii_alphabetic();
    (begins && scheme.bytes().all(fits)).then_some(scheme)
}

/// A URL, or what was given for one, without what can be secret in it: user name and password, query and fragment.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = match scheme(url) {
        Some(scheme) => url.split_at(scheme.len() + "://".len()),
        None => ("", url),
    };
    let query = rest.find(['?', '#']);
    let (left_out, rest, after) = match (rest.rfind('@'), query) {
        (None, None) => ("", rest, ""),
        (None, Some(query)) => ("", rest.get(..query).unwrap_or_default(), "…"),
        (Some(at), None) => ("…", rest.get(at..).unwrap_or_default(), ""),
        (Some(at), Some(query)) if at < query => {
            ("…", rest.get(at..query).unwrap_or_default(), "…")
        }
        // Either of the two can be part of the other.
        (Some(_), Some(_)) => ("…", "", ""),
    };
    [scheme, left_out, rest, after].concat()
}

/// The scheme and what follows "://".
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// Host and port. A colon within brackets belongs to an IPv6 address.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
