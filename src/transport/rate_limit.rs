use serde::Serialize;

use crate::quote::shorten;

/// The state of one of a provider's rate limits, as the most recent response reported it.
///
/// The sources are the response headers `anthropic-ratelimit-*`
/// (<https://docs.claude.com/en/api/rate-limits#response-headers>) and `x-ratelimit-*`
/// (<https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>).
///
/// ```no_run
/// # fn demo(client: warmline::Client) {
/// for limit in client.rate_limits() {
///     println!("{} of {} {} left", limit.remaining, limit.limit, limit.resource);
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RateLimit {
    /// The limited resource, as the provider names it: `requests`, `tokens`, `input-tokens`, `output-tokens`.
    pub resource: String,
    /// The limit. It is 0 if the provider did not report it.
    pub limit: u64,
    /// The amount that remains. It is 0 if the provider did not report it.
    pub remaining: u64,
    /// When the full limit is available again, as the provider writes it: an RFC 3339 time (Anthropic), or a duration such as
    /// `6m0s` (OpenAI).
    pub reset: Option<String>,
}

/// The maximum number of resources that are kept, so that a server cannot make the list grow. No provider has this many.
const MAX_RESOURCES: usize = 16;
/// The maximum length of a resource's name, in bytes.
const MAX_NAME: usize = 32;

/// Returns the resource, the field (`limit`, `remaining` or `reset`) and the value of each header that reports a limit, such as
/// `anthropic-ratelimit-input-tokens-remaining` or `x-ratelimit-remaining-tokens`.
pub(crate) fn fields<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    headers.filter_map(|(name, value)| {
        let (resource, field) = match name.strip_prefix("anthropic-ratelimit-") {
            Some(rest) => rest.rsplit_once('-')?,
            None => {
                let (field, resource) = name.strip_prefix("x-ratelimit-")?.split_once('-')?;
                (resource, field)
            }
        };
        // Names of headers are not searched for secrets, and no resource has a digit.
        let is_resource = resource.len() <= MAX_NAME
            && resource
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'-');
        let is_known = is_resource && matches!(field, "limit" | "remaining" | "reset");
        is_known.then_some((resource, field, str::from_utf8(value).ok()?))
    })
}

/// Updates the known rate limits from the headers of a response. Limits that it does not report are kept.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) fn update<'a>(
    known: &mut Vec<RateLimit>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) {
    for (resource, field, value) in fields(headers) {
        let index = known.iter().position(|limit| limit.resource == resource);
        if index.is_none() && known.len() == MAX_RESOURCES {
            continue;
        }
        let index = index.unwrap_or_else(|| {
            known.push(RateLimit {
                resource: resource.to_owned(),
                ..RateLimit::default()
            });
            known.len() - 1
        });
        let limit = &mut known[index];
        match (field, value.parse()) {
            ("limit", Ok(value)) => limit.limit = value,
            ("remaining", Ok(value)) => limit.remaining = value,
            ("reset", _) => limit.reset = Some(shorten(value).to_owned()),
            // Not a number: ignored.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update_from(known: &mut Vec<RateLimit>, headers: &[(&str, &str)]) {
        update(
            known,
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
        );
    }

    #[test]
    fn headers_of_both_providers_are_read_and_later_ones_replace_earlier_ones() {
        let mut known = Vec::new();
        update_from(
            &mut known,
            &[
                ("content-type", "application/json"),
                ("anthropic-ratelimit-input-tokens-limit", "2000000"),
                ("anthropic-ratelimit-input-tokens-remaining", "1999000"),
                (
                    "anthropic-ratelimit-input-tokens-reset",
                    "2026-11-26T04:00:01Z",
                ),
                ("anthropic-ratelimit-unified-status", "allowed"),
                ("x-ratelimit-limit-requests", "500"),
                ("x-ratelimit-remaining-requests", "499"),
                ("x-ratelimit-reset-requests", "120ms"),
                ("x-ratelimit-remaining", "many"),
            ],
        );
        let limit = |resource: &str, limit, remaining, reset: &str| RateLimit {
            resource: resource.to_owned(),
            limit,
            remaining,
            reset: Some(reset.to_owned()),
        };
        let tokens = limit("input-tokens", 2_000_000, 1_999_000, "2026-11-26T04:00:01Z");
        assert_eq!(
            known,
            [tokens.clone(), limit("requests", 500, 499, "120ms")]
        );
        update_from(
            &mut known,
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-limit-requests", "a lot"),
            ],
        );
        assert_eq!(known, [tokens, limit("requests", 500, 0, "120ms")]);
    }

    #[test]
    fn long_values_are_shortened_and_strange_names_ignored() {
        let (mut known, long) = (Vec::new(), "x".repeat(10_000));
        update_from(
            &mut known,
            &[
                (&format!("anthropic-ratelimit-{long}-limit"), "1"),
                ("x-ratelimit-limit-sk-test1234", "1"),
                ("x-ratelimit-reset-tokens", &long),
            ],
        );
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].resource, "tokens");
        assert_eq!(known[0].reset.as_deref().map(str::len), Some(256));
    }
}
