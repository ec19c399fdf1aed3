//! A provider's limits of requests and tokens per minute.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::Fate;

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    limit: f64,
    remaining: f64,
}

impl Left {
    /// Of a limit per minute of which so much is left.
    pub(crate) fn new(limit: u32, remaining: u32) -> Self {
        Self {
            limit: limit.into(),
            remaining: remaining.into(),
        }
    }

    fn rate(&self) -> f64 {
        self.limit / 60.0
    }
}

/// The limits of a provider. They refill all the time.
pub(crate) struct Meter {
    /// Of requests and of tokens.
    left: [Option<Left>; 2],
    at: Instant,
}

impl Meter {
    pub(crate) fn new(requests: Option<Left>, tokens: Option<Left>) -> Self {
        Self {
            left: [requests, tokens],
            at: Instant::now(),
        }
    }

    /// Counts a request that is for so many tokens at most, or refuses it.
    pub(crate) fn fate(&mut self, tokens: u64) -> Fate {
        let passed = self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        let mut wait = Duration::ZERO;
        let amounts = [1.0, tokens as f64];
        for (left, amount) in self.left.iter_mut().zip(amounts) {
            if let Some(left) = left {
                left.remaining = (left.remaining + passed * left.rate()).min(left.limit);
                let missing = (amount - left.remaining).max(0.0);
                wait = wait.max(Duration::from_secs_f64(missing / left.rate()));
            }
        }
        // Less than that is an error of rounding.
        if wait >= Duration::from_millis(1) {
            return Fate::Limited(wait);
        }
        for (left, amount) in self.left.iter_mut().zip(amounts) {
            if let Some(left) = left {
                left.remaining -= amount;
            }
        }
        Fate::Metered(self.left)
    }
}

/// Writes the headers of limits of requests and tokens, as OpenAI does.
pub(super) fn report(limits: [Option<Left>; 2], headers: &mut HeaderMap) {
    for (left, resource) in limits.into_iter().zip(["requests", "tokens"]) {
        let Some(left) = left else {
            continue;
        };
        let reset = 1000.0 * (left.limit - left.remaining) / left.rate();
        for (field, value) in [
            ("limit", left.limit.to_string()),
            ("remaining", left.remaining.max(0.0).floor().to_string()),
            ("reset", format!("{}ms", reset.ceil())),
        ] {
            let name = format!("x-ratelimit-{field}-{resource}");
            let name = http::HeaderName::try_from(name).unwrap();
            headers.insert(name, value.parse().unwrap());
        }
    }
}
