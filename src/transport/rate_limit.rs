use serde::Serialize;

use crate::json::shorten;

/// What a provider says is left of a rate limit of its own, as its last response had it.
///
/// Read from `anthropic-ratelimit-…` (<https://docs.claude.com/en/api/rate-limits#response-headers>) and `x-ratelimit-…`
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
    /// What is limited, in the provider's word: `requests`, `tokens`, `input-tokens`, `output-tokens`.
    pub resource: String,
    /// How much there may be.
    pub limit: u64,
    /// How much is left.
    pub remaining: u64,
    /// When it is whole again, as the provider writes it: Anthropic a time (RFC 3339), OpenAI a duration, such as `6m0s`.
    pub reset: Option<String>,
}

/// More than any provider has.
const MOST: usize = 16;

/// Takes in what a response's headers say. Those that it does not name stay as they were.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) fn note<'a>(
    known: &mut Vec<RateLimit>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) {
    for (name, value) in headers {
        // `anthropic-ratelimit-input-tokens-remaining`, `x-ratelimit-remaining-tokens`.
        let part = if let Some(rest) = name.strip_prefix("anthropic-ratelimit-") {
            rest.rsplit_once('-')
        } else if let Some(rest) = name.strip_prefix("x-ratelimit-") {
            rest.split_once('-').map(|(field, of)| (of, field))
        } else {
            None
        };
        let (Some((of, field)), Ok(value)) = (part, str::from_utf8(value)) else {
            continue;
        };
        if !matches!(field, "limit" | "remaining" | "reset") {
            continue;
        }
        let of = shorten(of);
        let at = known.iter().position(|limit| limit.resource == of);
        if at.is_none() && known.len() == MOST {
            continue;
        }
        let at = at.unwrap_or_else(|| {
            known.push(RateLimit {
                resource: of.to_owned(),
                ..RateLimit::default()
            });
            known.len() - 1
        });
        let limit = &mut known[at];
        match (field, value.parse()) {
            ("limit", Ok(value)) => limit.limit = value,
            ("remaining", Ok(value)) => limit.remaining = value,
            ("reset", _) => limit.reset = Some(shorten(value).to_owned()),
            // A number that is none says nothing.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(known: &mut Vec<RateLimit>, headers: &[(&str, &str)]) {
        note(
            known,
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
        );
    }

    #[test]
    fn both_providers_headers_are_read_and_later_ones_take_their_place() {
        let mut known = Vec::new();
        noted(
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
        let limit = |of: &str, limit, remaining, reset: &str| RateLimit {
            resource: of.to_owned(),
            limit,
            remaining,
            reset: Some(reset.to_owned()),
        };
        let tokens = limit("input-tokens", 2_000_000, 1_999_000, "2026-11-26T04:00:01Z");
        assert_eq!(
            known,
            [tokens.clone(), limit("requests", 500, 499, "120ms")]
        );
        noted(
            &mut known,
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-limit-requests", "a lot"),
            ],
        );
        assert_eq!(known, [tokens, limit("requests", 500, 0, "120ms")]);
    }

    #[test]
    fn what_a_provider_says_at_length_is_cut() {
        let (mut known, long) = (Vec::new(), "x".repeat(10_000));
        let name = format!("anthropic-ratelimit-{long}-reset");
        noted(&mut known, &[(&name, &long), (&name, &long)]);
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].resource, known[0].reset.clone().unwrap());
        assert_eq!(known[0].resource.len(), 256);
    }
}
