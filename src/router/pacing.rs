//! Delays calls so that a provider's rate limits are not exceeded: token buckets that follow what its responses report.

use std::time::Duration;

use http::HeaderMap;

use crate::runtime::Instant;
use crate::transport::rate_limit_fields;

/// The maximum delay of a call.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// A limit that takes longer than this to be available again is no limit per minute, and is ignored.
const MAX_RESET: Duration = Duration::from_secs(3600);
/// How many models of a target have limits of their own.
const MAX_MODELS: usize = 64;

/// What a call takes from the limits of a target, estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

impl Need {
    fn plus(self, other: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
        }
    }

    fn minus(self, other: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
        }
    }
}

impl Model {
    fn change(&mut self, need: &Need, now: Instant, sign: f64) {
        for bucket in &mut self.buckets {
            let level = bucket.level(now) + sign * bucket.needed(need);
            bucket.level = level.clamp(-bucket.limit, bucket.limit);
            bucket.at = now;
        }
    }
}

/// The limits of a target, by its own names of models.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    models: Vec<Model>,
}

#[derive(Debug)]
struct Model {
    name: String,
    buckets: Vec<Bucket>,
    /// What the calls have taken that have no response yet. What a response reports as left need not count them.
    outstanding: Need,
    calls: u64,
}

/// A limit of one resource. It refills all the time, as the providers' do.
#[derive(Debug, PartialEq)]
struct Bucket {
    resource: Resource,
    limit: f64,
    /// What was left at `at`. Below 0, calls wait for their part of it.
    level: f64,
    at: Instant,
    /// Per second.
    rate: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Resource {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

impl Resource {
    fn of(self, calls: u64, need: &Need) -> f64 {
        let needed = match self {
            Self::Requests => calls,
            Self::Tokens => need.input_tokens.saturating_add(need.output_tokens),
            Self::InputTokens => need.input_tokens,
            Self::OutputTokens => need.output_tokens,
        };
        needed as f64
    }
}

impl Bucket {
    fn needed(&self, need: &Need) -> f64 {
        // A call that needs more than there can be waits for all of it.
        self.resource.of(1, need).min(self.limit)
    }

    fn level(&self, now: Instant) -> f64 {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        (self.level + refilled).min(self.limit)
    }

    fn delay(&self, need: &Need, now: Instant) -> Duration {
        let missing = self.needed(need) - self.level(now);
        let seconds = (missing / self.rate).clamp(0.0, MAX_DELAY.as_secs_f64());
        Duration::from_secs_f64(seconds)
    }
}

impl Pacing {
    fn model(&mut self, name: &str) -> Option<&mut Model> {
        self.models.iter_mut().find(|model| model.name == name)
    }

    /// Returns how long a call would have to wait.
    pub(super) fn delay(&self, model: &str, need: &Need, now: Instant) -> Duration {
        let known = self.models.iter().find(|known| known.name == model);
        let buckets = known.into_iter().flat_map(|model| &model.buckets);
        let delays = buckets.map(|bucket| bucket.delay(need, now));
        delays.max().unwrap_or_default()
    }

    /// Takes what a call needs, and returns how long it has to wait. Calls are served in the order in which they take.
    pub(super) fn take(&mut self, model: &str, need: &Need, now: Instant) -> Duration {
        let delay = self.delay(model, need, now);
        if self.model(model).is_none() && self.models.len() < MAX_MODELS {
            self.models.push(Model {
                name: model.to_owned(),
                buckets: Vec::new(),
                outstanding: Need::default(),
                calls: 0,
            });
        }
        if let Some(model) = self.model(model) {
            model.calls += 1;
            model.outstanding = model.outstanding.plus(need);
            model.change(need, now, -1.0);
        }
        delay
    }

    /// A call has its response, or has ended without one. If it was not `sent`, it gives back what it has taken.
    pub(super) fn end(&mut self, model: &str, need: &Need, sent: bool, now: Instant) {
        if let Some(model) = self.model(model) {
            model.calls = model.calls.saturating_sub(1);
            model.outstanding = model.outstanding.minus(need);
            if !sent {
                model.change(need, now, 1.0);
            }
        }
        // Callers can ask for any number of models that do not exist.
        self.models
            .retain(|model| model.calls > 0 || !model.buckets.is_empty());
    }

    /// Takes the limits over that the response to a call reports, whose part is not yet [ended](Self::end). Values that cannot be are
    /// ignored: no limit, or more left than there can be.
    pub(super) fn update(&mut self, model: &str, own: &Need, headers: &HeaderMap, now: Instant) {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut reports: [Report<'_>; 4] = Default::default();
        for (resource, field, value) in rate_limit_fields(headers) {
            let Some((at, _)) = RESOURCES
                .iter()
                .enumerate()
                .find(|(_, of)| of.1 == resource)
            else {
                continue;
            };
            let report = &mut reports[at];
            match field {
                "limit" => report.limit = value.trim().parse().ok(),
                "remaining" => report.remaining = value.trim().parse().ok(),
                _ => report.reset = Some(value),
            }
        }
        for (report, (resource, _)) in reports.iter().zip(RESOURCES) {
            let Some(bucket) = report.bucket(resource, now) else {
                continue;
            };
            let Some(model) = self.model(model) else {
                return;
            };
            // The response counts its own request, and perhaps none of the others.
            let others = model.outstanding.minus(own);
            let uncounted = resource.of(model.calls.saturating_sub(1), &others);
            let level = (bucket.level - uncounted).max(-bucket.limit);
            model.buckets.retain(|known| known.resource != resource);
            model.buckets.push(Bucket { level, ..bucket });
        }
    }
}

const RESOURCES: [(Resource, &str); 4] = [
    (Resource::Requests, "requests"),
    (Resource::Tokens, "tokens"),
    (Resource::InputTokens, "input-tokens"),
    (Resource::OutputTokens, "output-tokens"),
];

/// What a response reports of one resource.
#[derive(Default)]
struct Report<'a> {
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<&'a str>,
}

impl Report<'_> {
    fn bucket(&self, resource: Resource, now: Instant) -> Option<Bucket> {
        let (limit, remaining) = (self.limit?, self.remaining?);
        if limit == 0 || remaining > limit {
            return None;
        }
        let reset = self.reset.and_then(duration);
        if reset.is_some_and(|reset| reset > MAX_RESET) {
            return None;
        }
        let (limit, level) = (limit as f64, remaining as f64);
        let missing = limit - level;
        // Limits are per minute, unless the time of their reset shows that they are not. Anthropic names a date there.
        let per_minute = limit / 60.0;
        let rate = match reset {
            Some(reset) if missing > 0.0 && !reset.is_zero() => {
                (missing / reset.as_secs_f64()).min(per_minute)
            }
            _ => per_minute,
        };
        Some(Bucket {
            resource,
            limit,
            level,
            at: now,
            rate: rate.max(limit / MAX_RESET.as_secs_f64()),
        })
    }
}

/// Parses a duration as OpenAI writes it, such as `6m0s`, `1.5s` or `120ms`. A number alone is seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        // Its parser is in the WebAssembly module already, and std's would bring its tables.
        let number: f64 = serde_json::from_str(number).ok()?;
        seconds += number
            * match unit {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" | "" => 1.0,
                "ms" => 0.001,
                "us" | "\u{b5}s" => 0.000_001,
                _ => return None,
            };
        rest = next;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn requests(limit: &str, remaining: &str, reset: &str) -> HeaderMap {
        headers(&[
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
        ])
    }

    #[test]
    fn durations_are_read_in_every_form() {
        for (text, ms) in [
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1.5s", Some(1500)),
            ("1h2m3s", Some(3_723_000)),
            ("2m59.56s", Some(179_560)),
            ("60", Some(60_000)),
            ("1d", Some(86_400_000)),
            ("2026-11-26T04:00:01Z", None),
            ("soon", None),
            ("-1s", None),
        ] {
            let expected = ms.map(Duration::from_millis);
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    /// Limits of a model that one call has learnt.
    fn learnt(headers: &HeaderMap, at: Instant) -> Pacing {
        let mut pacing = Pacing::default();
        let none = Need::default();
        pacing.take("m", &none, at);
        pacing.update("m", &none, headers, at);
        pacing.end("m", &none, true, at);
        pacing
    }

    #[test]
    fn calls_are_delayed_in_their_order_once_nothing_is_left() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let need = Need::default();
        // 60 a minute, one a second.
        let mut pacing = learnt(&requests("60", "2", "58s"), start);
        let delays = |pacing: &mut Pacing, n, now| {
            let delays = (0..n).map(|_| pacing.take("m", &need, now).as_millis());
            delays.collect::<Vec<_>>()
        };
        assert_eq!(delays(&mut pacing, 4, start), [0, 0, 1000, 2000]);
        assert_eq!(delays(&mut pacing, 1, at(1000)), [2000]);
        // One of those that wait leaves.
        pacing.end("m", &need, false, at(1000));
        assert_eq!(delays(&mut pacing, 1, at(1000)), [2000]);
        // The response to one of the five need not count the other four.
        pacing.update("m", &need, &requests("60", "4", "56s"), at(1000));
        assert_eq!(delays(&mut pacing, 1, at(1000)), [1000]);
        assert_eq!(delays(&mut pacing, 1, at(60_000)), [0]);
        // Other models have limits of their own.
        assert_eq!(pacing.take("other", &need, start), Duration::ZERO);
    }

    #[test]
    fn tokens_count_as_well_and_the_longest_delay_applies() {
        let start = Instant::now();
        let headers = headers(&[
            ("anthropic-ratelimit-requests-limit", "60"),
            ("anthropic-ratelimit-requests-remaining", "59"),
            ("anthropic-ratelimit-input-tokens-limit", "6000"),
            ("anthropic-ratelimit-input-tokens-remaining", "100"),
            (
                "anthropic-ratelimit-input-tokens-reset",
                "2026-11-26T04:00:01Z",
            ),
        ]);
        let pacing = learnt(&headers, start);
        for (input_tokens, seconds) in [(100, 0), (200, 1), (6000, 59), (1_000_000, 59)] {
            let need = Need {
                input_tokens,
                output_tokens: 5,
            };
            let delay = pacing.delay("m", &need, start);
            assert_eq!(delay.as_secs(), seconds, "{input_tokens}");
        }
    }

    #[test]
    fn implausible_values_are_ignored() {
        let start = Instant::now();
        for (limit, remaining, reset, is_known) in [
            ("60", "0", "60s", true),
            ("60", "0", "", true),
            ("-1", "-1", "60s", false),
            ("60", "-1", "60s", false),
            ("0", "0", "60s", false),
            ("60", "61", "60s", false),
            ("60", "0", "24h", false),
            ("1000", "0", "1d", false),
            ("many", "0", "60s", false),
        ] {
            let pacing = learnt(&requests(limit, remaining, reset), start);
            let delay = pacing.delay("m", &Need::default(), start);
            assert_eq!(!delay.is_zero(), is_known, "{limit} {remaining} {reset}");
            assert!(delay <= MAX_DELAY);
        }
    }

    #[test]
    fn the_number_of_models_is_bounded_and_unknown_ones_are_forgotten() {
        let (mut pacing, need, now) = (Pacing::default(), Need::default(), Instant::now());
        for n in 0..1000 {
            pacing.take(&n.to_string(), &need, now);
            pacing.end(&n.to_string(), &need, true, now);
        }
        assert_eq!(pacing.models.len(), 0);
        for n in 0..1000 {
            pacing.take(&n.to_string(), &need, now);
            pacing.update(&n.to_string(), &need, &requests("60", "0", "60s"), now);
        }
        assert_eq!(pacing.models.len(), MAX_MODELS);
    }
}
