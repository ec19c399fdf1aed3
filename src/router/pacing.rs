//! Delays calls so that a provider's rate limits are not exceeded: token buckets that follow what its responses report.

use std::time::Duration;

use http::HeaderMap;

use crate::runtime::Instant;
use crate::transport::rate_limit_fields;

/// The maximum delay of a call.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(60);
/// A limit that takes longer than this to be available again is no limit per minute, and is ignored.
const MAX_RESET: Duration = Duration::from_secs(3600);
/// How many models of a target have limits of their own.
const MAX_MODELS: usize = 64;
/// Other processes are expected to call for as much as they have in the last time of this length.
pub(super) const DEMAND_PERIOD: Duration = Duration::from_secs(10);

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

/// What a call has taken from the limits of a model, until there is a response.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) model: String,
    pub(super) need: Need,
    /// When its request was sent.
    pub(super) sent: Option<Instant>,
}

impl Model {
    fn change(&mut self, need: &Need, now: Instant, sign: f64) {
        for bucket in &mut self.buckets {
            let level = bucket.level(now) + sign * bucket.needed(need);
            // Not `clamp`, whose message for wrong bounds brings std's printing of floats into the WebAssembly module.
            bucket.level = level.min(bucket.limit).max(-bucket.limit);
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
    /// When the latest of the requests was sent that have a response, or have ended without one.
    ended: Option<Instant>,
    /// What calls have asked for since the last [`Pacing::demands`].
    asked: Need,
    asked_calls: u64,
}

/// What calls have asked for of a limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Demand {
    pub(super) model: String,
    resource: Resource,
    pub(super) amount: u64,
}

impl Demand {
    pub(super) fn resource(&self) -> &'static str {
        let named = RESOURCES.iter().find(|(of, _)| *of == self.resource);
        named.map_or("", |(_, name)| name)
    }
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
    usage: Usage,
}

/// How much of a limit processes have called for in the last [`DEMAND_PERIOD`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usage {
    own: f64,
    others: f64,
}

impl Usage {
    /// Returns this process's part of an amount: what the others leave of it, or its share of the demand if that is more.
    fn part(&self, amount: f64, others: f64) -> f64 {
        // A process without calls in the period still has a share.
        let own = self.own.max(1.0);
        (amount * own / (own + self.others)).max(amount - others)
    }

    fn level(&self, level: f64) -> f64 {
        self.part(level, self.others)
    }

    fn rate(&self, rate: f64) -> f64 {
        self.part(rate, self.others / DEMAND_PERIOD.as_secs_f64())
    }
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
        let rate = self.usage.rate(self.rate);
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        (self.level + refilled).min(self.limit)
    }

    fn delay(&self, need: &Need, now: Instant) -> Duration {
        let missing = self.needed(need) - self.level(now);
        let seconds = (missing / self.usage.rate(self.rate)).clamp(0.0, MAX_DELAY.as_secs_f64());
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
                ended: None,
                asked: Need::default(),
                asked_calls: 0,
            });
        }
        if let Some(model) = self.model(model) {
            model.calls += 1;
            model.outstanding = model.outstanding.plus(need);
            model.asked_calls = model.asked_calls.saturating_add(1);
            model.asked = model.asked.plus(need);
            model.change(need, now, -1.0);
        }
        delay
    }

    /// A call has its response, or has ended without one. If it was not sent, it gives back what it has taken.
    pub(super) fn end(&mut self, taken: &Taken, now: Instant) {
        if let Some(model) = self.model(&taken.model) {
            model.calls = model.calls.saturating_sub(1);
            model.outstanding = model.outstanding.minus(&taken.need);
            model.ended = model.ended.max(taken.sent);
            if taken.sent.is_none() {
                model.change(&taken.need, now, 1.0);
            }
        }
        // Callers can ask for any number of models that do not exist.
        self.models
            .retain(|model| model.calls > 0 || !model.buckets.is_empty());
    }

    /// Takes the limits over that the response to a call reports, whose part is not yet [ended](Self::end). Values that cannot be are
    /// ignored: no limit, or more left than there can be. So are those of a response that comes after another request has ended which was sent at
    /// the same time or later, because they need not count that one.
    pub(super) fn update(&mut self, taken: &Taken, headers: &HeaderMap, now: Instant) {
        let Some(model) = self.model(&taken.model) else {
            return;
        };
        if model.ended >= taken.sent {
            return;
        }
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
            // The response counts its own request, and perhaps none of the others.
            let others = model.outstanding.minus(&taken.need);
            let uncounted = resource.of(model.calls.saturating_sub(1), &others);
            let known = model.buckets.iter().find(|of| of.resource == resource);
            let usage = known.map(|known| known.usage).unwrap_or_default();
            // Another process may have a part left that it was told of before, so that one call's is kept back.
            let kept = match usage.others > 0.0 {
                true => bucket.needed(&taken.need),
                false => 0.0,
            };
            let level = (usage.level(bucket.level) - kept - uncounted).max(-bucket.limit);
            model.buckets.retain(|known| known.resource != resource);
            model.buckets.push(Bucket {
                level,
                usage,
                ..bucket
            });
        }
    }

    /// Returns what calls have asked for since the last time, of the limits that are known.
    pub(super) fn demands(&mut self) -> Vec<Demand> {
        let mut demands = Vec::new();
        for model in &mut self.models {
            let asked = std::mem::take(&mut model.asked);
            let calls = std::mem::take(&mut model.asked_calls);
            let is_used = calls > 0 || model.calls > 0;
            for bucket in &model.buckets {
                if is_used || bucket.usage != Usage::default() {
                    demands.push(Demand {
                        model: model.name.clone(),
                        resource: bucket.resource,
                        amount: bucket.resource.of(calls, &asked) as u64,
                    });
                }
            }
        }
        demands
    }

    /// Sets what this process and the others have called for of a limit in the last [`DEMAND_PERIOD`].
    pub(super) fn set_usage(&mut self, demand: &Demand, own: u64, others: u64, now: Instant) {
        let Some(model) = self.model(&demand.model) else {
            return;
        };
        let mut buckets = model.buckets.iter_mut();
        if let Some(bucket) = buckets.find(|of| of.resource == demand.resource) {
            // Until now it has refilled at the rate from before.
            bucket.level = bucket.level(now);
            bucket.at = now;
            bucket.usage = Usage {
                own: own as f64,
                others: others as f64,
            };
        }
    }

    /// Nothing is known of other processes from now on.
    pub(super) fn forget_others(&mut self, now: Instant) {
        for bucket in self.models.iter_mut().flat_map(|of| &mut of.buckets) {
            bucket.level = bucket.level(now);
            bucket.at = now;
            bucket.usage = Usage::default();
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
            usage: Usage::default(),
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
mod tests;
