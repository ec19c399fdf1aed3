//! The paths of the gateway's own endpoints, and the form in which a path is compared with them.

use std::borrow::Cow;

/// What the gateway answers at which path.
pub(crate) const PATHS: &str = "POST /v1/messages, /v1/messages/count_tokens, /v1/chat/completions, /v1/responses and \
    /v1/responses/input_tokens, GET /v1/models, /v1/models/ID, /v1/llm/stats, /metrics, /healthz and /readyz";

/// The endpoints whose requests the gateway reads. A request to one of them must not reach a provider unread.
const ENDPOINTS: [&str; 7] = [
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/models",
    "/v1/llm/stats",
];

/// Returns the normal form of a path below `/v1`: escapes of unreserved characters are decoded (RFC 3986, section 6.2.2), and a second `/v1` at
/// the start, which a base URL with `/v1` leads to, is left out.
///
/// # Errors
/// A server could read the path as another one, for example because it decodes it once more. Returns what is wrong with it.
pub(crate) fn normal_form(path: &str) -> Result<Cow<'_, str>, String> {
    let mut normal = unescaped(path)?;
    while let Some(rest) = normal.strip_prefix("/v1/v1/") {
        normal = Cow::Owned(format!("/v1/{rest}"));
    }
    let lower = normal.to_ascii_lowercase();
    if lower.contains("%2f") || lower.contains("%5c") || normal.contains('\\') {
        return Err("has a backslash, or an escaped slash or backslash".to_owned());
    }
    if normal.contains("//") {
        return Err("has two slashes in a row".to_owned());
    }
    // Parameters do not belong to the name of a segment.
    let mut names = normal
        .split('/')
        .filter_map(|segment| segment.split([';', '%']).next());
    if names.any(|name| name == "." || name == "..") {
        return Err("has a segment of dots".to_owned());
    }
    let lenient = lenient(&lower);
    let endpoint = ENDPOINTS.into_iter().find(|endpoint| lenient == *endpoint);
    // Below other prefixes there are the deployments of Azure.
    let endpoint = endpoint.or(lenient
        .ends_with("/chat/completions")
        .then_some("/v1/chat/completions"));
    match endpoint.filter(|endpoint| normal.trim_end_matches('/') != *endpoint) {
        Some(endpoint) => Err(format!("can be read as {endpoint}: call that")),
        None => Ok(normal),
    }
}

/// Decodes the escapes of unreserved characters, and writes the others in upper case.
fn unescaped(path: &str) -> Result<Cow<'_, str>, String> {
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut pieces = path.split('%');
    let mut normal = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let byte = escaped_byte(piece)
            .ok_or("has a percent sign without two hexadecimal digits after it")?;
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                normal.push(byte.into());
            }
            0..=0x1f | 0x7f => return Err("has a control character".to_owned()),
            _ => normal.push_str(&format!("%{byte:02X}")),
        }
        normal.push_str(&piece[2..]);
    }
    match normal.contains("%25") && normal.split("%25").skip(1).any(is_escape) {
        true => Err("is escaped twice".to_owned()),
        false => Ok(Cow::Owned(normal)),
    }
}

/// Returns the byte whose two hexadecimal digits a text begins with.
fn escaped_byte(text: &str) -> Option<u8> {
    let digits = text.get(..2)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

fn is_escape(text: &str) -> bool {
    escaped_byte(text).is_some()
}

/// Returns a path in lower case as the most lenient server reads it: without parameters, queries and spaces, escaped or not, and without a
/// slash at the end.
fn lenient(lower: &str) -> String {
    let decoded = lower
        .replace("%3b", ";")
        .replace("%3f", "?")
        .replace("%23", "#")
        .replace("%20", " ");
    let path = decoded.split(['?', '#']).next().unwrap_or_default();
    let segments = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default().trim());
    let segments: Vec<&str> = segments.collect();
    let path = segments.join("/");
    let mut path = path.trim_end_matches('/');
    while path.starts_with("/v1/v1/") {
        path = &path["/v1".len()..];
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_in_their_normal_form() {
        for (path, normal) in [
            ("/v1/files", "/v1/files"),
            ("/v1/files/", "/v1/files/"),
            ("/v1/chat/%63ompletions", "/v1/chat/completions"),
            ("/v1/%72esponses/", "/v1/responses/"),
            ("/v1/v1/messages", "/v1/messages"),
            ("/v1/v1/v1/files", "/v1/files"),
            ("/v1/%761/messages", "/v1/messages"),
            ("/v1/files/a%20b%c3%a9%7e", "/v1/files/a%20b%C3%A9~"),
            ("/v1/files/100%25", "/v1/files/100%25"),
            (
                "/v1/models/ft:gpt-4.1:acme::id",
                "/v1/models/ft:gpt-4.1:acme::id",
            ),
            ("/v1/files/...;x", "/v1/files/...;x"),
            ("/v1/threads/t/messages", "/v1/threads/t/messages"),
        ] {
            assert_eq!(normal_form(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_can_be_read_as_another_path_is_refused() {
        for (path, why) in [
            ("/v1/chat%2Fcompletions", "escaped slash"),
            ("/v1/chat%5ccompletions", "escaped slash"),
            ("/v1/chat\\completions", "backslash"),
            ("/v1//chat/completions", "two slashes"),
            ("/v1/x/../messages", "dots"),
            ("/v1/x/%2E./messages", "dots"),
            ("/v1/./messages", "dots"),
            ("/v1/..;x/messages", "dots"),
            ("/v1/..%3Bx/messages", "dots"),
            ("/v1/chat/%2563ompletions", "escaped twice"),
            ("/v1/chat/completions%", "percent sign"),
            ("/v1/chat/completions%+1", "percent sign"),
            ("/v1/chat/completions%0", "percent sign"),
            ("/v1/chat/completions%é", "percent sign"),
            ("/v1/chat/completions%00", "control character"),
            ("/v1/chat/completions;x", "/v1/chat/completions"),
            ("/v1/chat;a=b/completions", "/v1/chat/completions"),
            ("/v1/chat/completions%3Bx", "/v1/chat/completions"),
            ("/v1/chat/completions%20/", "/v1/chat/completions"),
            ("/v1/chat/completions%3Fx", "/v1/chat/completions"),
            ("/v1/chat/completions%23", "/v1/chat/completions"),
            ("/v1/Chat/Completions", "/v1/chat/completions"),
            ("/v1/deployments/d/chat/completions", "/v1/chat/completions"),
            ("/v1/RESPONSES", "/v1/responses"),
            ("/v1/V1/responses", "/v1/responses"),
            ("/v1/messages;x", "/v1/messages"),
            ("/v1/messages/count_tokens;x", "/v1/messages/count_tokens"),
        ] {
            let error = normal_form(path).unwrap_err();
            assert!(error.contains(why), "{path}: {error}");
        }
    }
}
