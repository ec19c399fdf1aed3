//! The headers that tell callers the limits of their key.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use warmline::DialectName;
use warmline::shared::QuotaState;

/// A limit as headers show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LimitState {
    /// `requests` or `tokens`.
    pub(crate) resource: &'static str,
    pub(crate) limit: u64,
    pub(crate) state: QuotaState,
}

/// Adds the headers of limits, as the official clients of the dialect know them
/// (<https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>,
/// <https://docs.claude.com/en/api/rate-limits#response-headers>).
pub(crate) fn add_headers(headers: &mut HeaderMap, limits: &[LimitState], dialect: DialectName) {
    for LimitState {
        resource,
        limit,
        state,
    } in limits
    {
        let remaining = limit.saturating_sub(state.used).to_string();
        for (field, value) in [
            ("limit", limit.to_string()),
            ("remaining", remaining),
            ("reset", reset(state.reset, dialect)),
        ] {
            let name = match dialect {
                DialectName::Anthropic => format!("anthropic-ratelimit-{resource}-{field}"),
                _ => format!("x-ratelimit-{field}-{resource}"),
            };
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        }
    }
}

/// Writes when a limit is whole again: as a time, or as a duration such as `1m0s` or `120ms`.
fn reset(after: Duration, dialect: DialectName) -> String {
    if dialect == DialectName::Anthropic {
        // Rounded up to a second.
        let at = SystemTime::now() + after + Duration::from_millis(999);
        return humantime::format_rfc3339_seconds(at).to_string();
    }
    let ms = after.as_micros().div_ceil(1000);
    match (ms / 60_000, ms % 60_000) {
        (0, ms @ 0..1000) => format!("{ms}ms"),
        (0, ms) => format!("{}s", ms as f64 / 1e3),
        (minutes, ms) => format!("{minutes}m{}s", ms as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_form_of_each_dialect() {
        let limits =
            [("requests", 500, 0), ("tokens", 3, 1500)].map(|(resource, limit, ms)| LimitState {
                resource,
                limit,
                state: QuotaState {
                    used: 4,
                    reset: Duration::from_millis(ms),
                },
            });
        let shown = |provider| {
            let mut headers = HeaderMap::new();
            add_headers(&mut headers, &limits, provider);
            let text = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            text.collect::<Vec<_>>()
        };
        assert_eq!(
            shown(DialectName::OpenAiChat),
            [
                "x-ratelimit-limit-requests: 500",
                "x-ratelimit-remaining-requests: 496",
                "x-ratelimit-reset-requests: 0ms",
                "x-ratelimit-limit-tokens: 3",
                "x-ratelimit-remaining-tokens: 0",
                "x-ratelimit-reset-tokens: 1.5s",
            ]
        );
        let anthropic = shown(DialectName::Anthropic);
        assert_eq!(anthropic[0], "anthropic-ratelimit-requests-limit: 500");
        assert_eq!(anthropic[4], "anthropic-ratelimit-tokens-remaining: 0");
        let (name, time) = anthropic[5].split_once(": ").unwrap();
        assert_eq!(name, "anthropic-ratelimit-tokens-reset");
        let time = humantime::parse_rfc3339(time).unwrap();
        let after = time.duration_since(SystemTime::now()).unwrap();
        assert!(after < Duration::from_secs(3), "{after:?}");
        for (ms, text) in [
            (1, "1ms"),
            (999, "999ms"),
            (1000, "1s"),
            (60_000, "1m0s"),
            (90_250, "1m30.25s"),
        ] {
            assert_eq!(
                reset(Duration::from_millis(ms), DialectName::OpenAiChat),
                text
            );
        }
    }
}
