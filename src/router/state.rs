//! The state of a router's targets, without locks, tasks or a clock: methods take the time and a random number.

use std::time::Duration;

use super::balancing::Balancing;
use super::choice::{Contender, first, has_room};
use super::health::{Availability, Begun, Cooldown, Health};
use super::hedging::Hedging;
use super::homes::{CACHED, Homes, STORED};
use super::latency::{KEPT, Latency};
use super::pacing::{Need, Pacing};
use crate::runtime::Instant;

/// The maximum time for which a conversation waits for its own target's rate limit before it moves.
const MAX_PACE: Duration = Duration::from_secs(2);

/// The state of all targets.
#[derive(Debug)]
pub(super) struct State {
    pub(super) targets: Vec<TargetState>,
    homes: Homes,
    /// The targets of the responses that providers store.
    responses: Homes,
    balancing: Balancing,
}

/// The state of one target.
#[derive(Debug)]
pub(super) struct TargetState {
    pub(super) weight: u32,
    pub(super) priority: u32,
    /// The hash of its name.
    pub(super) hash: u64,
    pub(super) health: Health,
    pub(super) in_flight: u32,
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) moved_away: u64,
    /// The times to the first content of streams, and those of whole replies.
    pub(super) streams: Latency,
    pub(super) replies: Latency,
    pub(super) pacing: Pacing,
}

/// What a call wants of a target.
#[derive(Clone, Debug)]
pub(super) struct Wish<'a> {
    /// The targets that serve it, each with its own name of the model.
    pub(super) candidates: &'a [Candidate],
    /// The hash of the conversation.
    pub(super) key: u64,
    /// The hash of the id of the response that it continues.
    pub(super) previous: Option<u64>,
    pub(super) bond: Bond,
    pub(super) need: Need,
    /// The targets that it has tried.
    pub(super) tried: &'a [usize],
}

/// A target that serves a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) target: usize,
    /// The target's own name of the model. Empty for the client's default.
    pub(super) model: String,
    /// The targets of a number verify each other's reasoning. `None`: those of no other target.
    pub(super) verifies: Option<u8>,
}

/// How firmly a call is bound to the target of its conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Bond {
    /// It moves when the target cools down, is overloaded or has no headroom.
    #[default]
    Loose,
    /// It holds signed reasoning within a chain of tool calls, so that it moves only where that can be verified.
    Reasoning,
    /// It names state of the account, and never moves.
    Account,
}

/// What a call has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Choice {
    /// Call the candidate, after a delay.
    Call {
        candidate: usize,
        begun: Begun,
        delay: Duration,
    },
    /// All candidates that were not tried are cooling down, the first until then, or are being probed (`None`).
    Wait { until: Option<Instant> },
    /// All candidates were tried.
    Nobody,
}

impl TargetState {
    pub(super) fn latency(&self, stream: bool) -> &Latency {
        match stream {
            true => &self.streams,
            false => &self.replies,
        }
    }
}

impl State {
    pub(super) fn new(targets: Vec<TargetState>, balancing: Balancing) -> Self {
        Self {
            targets,
            homes: Homes::new(CACHED),
            responses: Homes::new(STORED),
            balancing,
        }
    }

    /// Chooses a target for a call, and begins an attempt on it.
    pub(super) fn choose(&mut self, wish: &Wish<'_>, now: Instant, random: f64) -> Choice {
        let first = self.first_home(wish);
        let home = self.home(wish, now);
        let untried = untried(wish, home);
        if untried.is_empty() {
            return Choice::Nobody;
        }
        let Some(candidate) = self.best(wish, &untried, home, now, random) else {
            return self.wait_for(wish, &untried, now);
        };
        let chosen = wish.candidates[candidate].target;
        // Only conversations away from their first home are remembered.
        match chosen == first {
            true => self.homes.forget(wish.key),
            false => self.homes.put(wish.key, chosen, now),
        }
        let target = &mut self.targets[chosen];
        let model = &wish.candidates[candidate].model;
        let delay = target.pacing.take(model, &wish.need, now);
        let begun = target.health.begin(now);
        target.in_flight += 1;
        target.calls += 1;
        Choice::Call {
            candidate,
            begun,
            delay,
        }
    }

    /// Returns the target of a conversation.
    fn home(&self, wish: &Wish<'_>, now: Instant) -> usize {
        let stored = wish.previous.and_then(|id| self.responses.get(id, now));
        match stored.or_else(|| self.homes.get(wish.key, now)) {
            Some(target) if wish.candidates.iter().any(|of| of.target == target) => target,
            _ => self.first_home(wish),
        }
    }

    /// Returns the target of a conversation that has not moved.
    fn first_home(&self, wish: &Wish<'_>) -> usize {
        let priority = |of: &Candidate| self.targets[of.target].priority;
        let lowest = wish.candidates.iter().map(priority).min();
        let group = wish.candidates.iter().enumerate();
        let group = group.filter(|(_, of)| Some(priority(of)) == lowest);
        let group: Vec<_> = group.map(|(at, _)| self.contender(wish, at)).collect();
        first(&group, Balancing::Sticky, wish.key, 0.0).map_or(0, |of| of.target)
    }

    fn contender(&self, wish: &Wish<'_>, candidate: usize) -> Contender {
        let target = wish.candidates[candidate].target;
        let TargetState {
            weight,
            hash,
            in_flight,
            ..
        } = self.targets[target];
        Contender {
            candidate,
            target,
            weight,
            hash,
            in_flight,
        }
    }

    /// Returns the best of the candidates that are available: that of the conversation, if it is not overloaded and has headroom, or else the
    /// first such one of the lowest priority number.
    fn best(
        &self,
        wish: &Wish<'_>,
        untried: &[usize],
        home: usize,
        now: Instant,
        random: f64,
    ) -> Option<usize> {
        let is_available = |at: &usize| {
            let health = &self.targets[wish.candidates[*at].target].health;
            matches!(
                health.availability(now),
                Availability::Ready | Availability::ForProbe
            )
        };
        let available: Vec<usize> = untried.iter().copied().filter(is_available).collect();
        let priority = |at: usize| self.targets[wish.candidates[at].target].priority;
        let delay = |at: usize| {
            let candidate = &wish.candidates[at];
            let pacing = &self.targets[candidate.target].pacing;
            pacing.delay(&candidate.model, &wish.need, now)
        };
        let mut priorities = Vec::new();
        for priority in available.iter().map(|at| priority(*at)) {
            if let Err(at) = priorities.binary_search(&priority) {
                priorities.insert(at, priority);
            }
        }
        // A conversation that has moved to a fallback stays there, although a better target is available again.
        let at_home = |at: &usize| wish.candidates[*at].target == home;
        let is_sticky = self.balancing == Balancing::Sticky || wish.bond != Bond::Loose;
        if let Some(at) = available
            .iter()
            .copied()
            .find(at_home)
            .filter(|_| is_sticky)
        {
            let group = available.iter().filter(|of| priority(**of) == priority(at));
            let group: Vec<_> = group.map(|of| self.contender(wish, *of)).collect();
            let has_room = has_room(&group, &self.contender(wish, at));
            if wish.bond == Bond::Account || (has_room && delay(at) <= MAX_PACE) {
                return Some(at);
            }
        }
        for of_priority in &priorities {
            let group = available.iter().filter(|at| priority(**at) == *of_priority);
            let group: Vec<_> = group.map(|at| self.contender(wish, *at)).collect();
            let fits = |of: &&Contender| {
                let bounded = self.balancing != Balancing::Sticky || has_room(&group, of);
                bounded && delay(of.candidate) <= MAX_PACE
            };
            let fitting: Vec<_> = group.iter().filter(fits).copied().collect();
            if let Some(found) = first(&fitting, self.balancing, wish.key, random) {
                return Some(found.candidate);
            }
        }
        // Where none has headroom, the one that has it first.
        available
            .into_iter()
            .min_by_key(|at| (delay(*at), priority(*at)))
    }

    /// Returns when the first of the candidates that were not tried can be called, or `None` if one can now, or if that is not known because
    /// all are being probed.
    pub(super) fn available_at(&self, wish: &Wish<'_>, now: Instant) -> Option<Instant> {
        let all = untried(wish, self.home(wish, now));
        let is_available = |at: &usize| {
            let health = &self.targets[wish.candidates[*at].target].health;
            let availability = health.availability(now);
            matches!(availability, Availability::Ready | Availability::ForProbe)
        };
        match self.wait_for(wish, &all, now) {
            Choice::Wait { until } if !all.iter().any(is_available) => until,
            _ => None,
        }
    }

    fn wait_for(&self, wish: &Wish<'_>, untried: &[usize], now: Instant) -> Choice {
        let from = |at: &usize| {
            let target = &self.targets[wish.candidates[*at].target];
            match target.health.availability(now) {
                Availability::From(until) => Some(until),
                _ => None,
            }
        };
        Choice::Wait {
            until: untried.iter().filter_map(from).min(),
        }
    }

    /// Returns when a second attempt is to be made of a call that a target has, or `None` if its usual times are not known.
    pub(super) fn hedge_after(
        &self,
        target: usize,
        stream: bool,
        hedging: &Hedging,
    ) -> Option<Duration> {
        let latency = self.targets[target].latency(stream);
        let p95 = latency.p95()?;
        (latency.len() >= hedging.min_calls.min(KEPT)).then(|| p95.max(hedging.min_delay))
    }

    /// Begins a second attempt of a call, on the least busy target that is ready and has headroom. `may_begin` is asked once there is
    /// such a target.
    pub(super) fn hedge(
        &mut self,
        wish: &Wish<'_>,
        now: Instant,
        may_begin: impl FnOnce() -> bool,
    ) -> Option<(usize, Begun)> {
        if wish.bond != Bond::Loose {
            return None;
        }
        let fits = |(at, candidate): (usize, &Candidate)| {
            let target = &self.targets[candidate.target];
            let is_free = !wish.tried.contains(&candidate.target)
                && target.health.availability(now) == Availability::Ready
                && target
                    .pacing
                    .delay(&candidate.model, &wish.need, now)
                    .is_zero();
            is_free.then(|| self.contender(wish, at))
        };
        let mut free: Vec<_> = wish
            .candidates
            .iter()
            .enumerate()
            .filter_map(fits)
            .collect();
        let priority = |of: &Contender| self.targets[of.target].priority;
        let lowest = free.iter().map(priority).min();
        free.retain(|of| Some(priority(of)) == lowest);
        let Contender {
            candidate, target, ..
        } = first(&free, Balancing::LeastBusy, wish.key, 0.0).filter(|_| may_begin())?;
        let target = &mut self.targets[target];
        let model = &wish.candidates[candidate].model;
        target.pacing.take(model, &wish.need, now);
        target.in_flight += 1;
        target.calls += 1;
        Some((candidate, target.health.begin(now)))
    }

    /// A provider may have stored its response.
    pub(super) fn stored(&mut self, id: u64, target: usize, now: Instant) {
        self.responses.put(id, target, now);
    }

    /// The conversation's target is another one from now on, because that was faster.
    pub(super) fn moved(&mut self, key: u64, target: usize, now: Instant) {
        self.homes.put(key, target, now);
    }

    /// An attempt's target has answered with its first content, or with an answer that is no failure of its own.
    pub(super) fn answered(
        &mut self,
        target: usize,
        begun: Begun,
        stream: bool,
        took: Option<Duration>,
        now: Instant,
    ) {
        let target = &mut self.targets[target];
        target.health.succeeded(begun, now);
        let latency = match stream {
            true => &mut target.streams,
            false => &mut target.replies,
        };
        if let Some(took) = took {
            latency.add(took);
        }
    }

    /// An attempt's target has failed. Returns until when it cools down, if it begins to.
    pub(super) fn failed(
        &mut self,
        target: usize,
        begun: Begun,
        at_once: bool,
        retry_after: Option<Duration>,
        cooldown: Option<&Cooldown>,
        now: Instant,
    ) -> Option<Instant> {
        let target = &mut self.targets[target];
        target.failures += 1;
        let health = &mut target.health;
        health.failed(begun, at_once, retry_after, cooldown?, now)
    }
}

/// Returns the candidates that were not tried, and to which the conversation can move from its target.
fn untried(wish: &Wish<'_>, home: usize) -> Vec<usize> {
    let at_home = wish.candidates.iter().find(|of| of.target == home);
    let verifies = at_home.and_then(|of| of.verifies);
    let is_possible = |of: &Candidate| match wish.bond {
        Bond::Loose => true,
        Bond::Reasoning => of.target == home || (verifies.is_some() && of.verifies == verifies),
        Bond::Account => of.target == home,
    };
    let fits = |at: &usize| {
        let candidate = &wish.candidates[*at];
        is_possible(candidate) && !wish.tried.contains(&candidate.target)
    };
    (0..wish.candidates.len()).filter(fits).collect()
}

#[cfg(test)]
mod tests;
