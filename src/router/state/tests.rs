use std::fmt::Write;

use super::super::choice::hash_of;
use super::super::pacing::Taken;
use super::*;

/// Targets of these weights and priorities, named 0, 1 and so on, and a clock.
struct Fixture {
    state: State,
    candidates: Vec<Candidate>,
    start: Instant,
    now: Instant,
    begun: Vec<(usize, Begun)>,
}

fn wish<'a>(candidates: &'a [Candidate], key: u64, bond: Bond, tried: &'a [usize]) -> Wish<'a> {
    Wish {
        candidates,
        key,
        previous: None,
        bond,
        need: Need::default(),
        tried,
    }
}

impl Fixture {
    fn new(balancing: Balancing, of: &[(u32, u32)]) -> Self {
        let target = |(n, (weight, priority)): (usize, &(u32, u32))| TargetState {
            weight: *weight,
            priority: *priority,
            hash: hash_of(&n.to_string()),
            health: Health::default(),
            in_flight: 0,
            calls: 0,
            failures: 0,
            moved_away: 0,
            streams: Latency::default(),
            replies: Latency::default(),
            pacing: Pacing::default(),
        };
        let start = Instant::now();
        let candidate = |target| Candidate {
            target,
            model: "m".into(),
            verifies: None,
        };
        Self {
            state: State::new(of.iter().enumerate().map(target).collect(), balancing),
            candidates: (0..of.len()).map(candidate).collect(),
            start,
            now: start,
            begun: Vec::new(),
        }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn choose_with(&mut self, key: u64, bond: Bond, tried: &[usize]) -> String {
        let candidates = self.candidates.clone();
        let wish = wish(&candidates, key, bond, tried);
        match self.state.choose(&wish, self.now, 0.5) {
            Choice::Call {
                candidate,
                begun,
                delay,
            } => {
                let target = candidates[candidate].target;
                self.begun.push((target, begun));
                let mut shown = target.to_string();
                if begun.is_probe {
                    shown += " probe";
                }
                if !delay.is_zero() {
                    write!(shown, " in {delay:?}").unwrap();
                }
                shown
            }
            Choice::Wait { until: None } => "wait for the probe".into(),
            Choice::Wait { until: Some(until) } => format!("wait until {:?}", until - self.start),
            Choice::Nobody => "nobody".into(),
        }
    }

    fn choose(&mut self, key: u64) -> String {
        self.choose_with(key, Bond::Loose, &[])
    }

    /// Ends the last attempt of a target.
    fn end(&mut self, target: usize, failed: bool) {
        let at = self
            .begun
            .iter()
            .rposition(|(of, _)| *of == target)
            .unwrap();
        let (_, begun) = self.begun.remove(at);
        self.state.targets[target].in_flight -= 1;
        match failed {
            true => {
                let cooldown = Cooldown::default();
                self.state
                    .failed(target, begun, true, None, Some(&cooldown), self.now);
            }
            false => self.state.answered(target, begun, true, None, self.now),
        }
    }

    /// Returns a key whose first home is a target.
    fn key_of(&self, target: usize) -> u64 {
        let at_home = |key: &u64| {
            self.state
                .first_home(&wish(&self.candidates, *key, Bond::Loose, &[]))
                == target
        };
        (0..1000)
            .map(|n: u64| hash_of(&n.to_string()))
            .find(at_home)
            .unwrap()
    }
}

#[test]
fn a_fallback_is_called_only_while_the_first_target_cannot_be() {
    let mut f = Fixture::new(Balancing::Sticky, &[(1, 0), (1, 1)]);
    assert_eq!(f.choose(1), "0");
    f.end(0, true);
    assert_eq!(f.choose_with(1, Bond::Loose, &[0]), "1");
    f.end(1, false);
    // The conversation stays where it is, although the first one can be probed. Another one probes it.
    f.after(1);
    assert_eq!(f.choose(1), "1");
    assert_eq!(f.choose(2), "0 probe");
    assert_eq!(f.choose(3), "1");
    f.end(0, false);
    assert_eq!(f.choose(4), "0");
    assert_eq!(f.choose(1), "1");
    // After five quiet minutes it begins anew.
    f.after(300);
    assert_eq!(f.choose(1), "0");
}

#[test]
fn when_all_cool_down_the_first_to_be_ready_is_named() {
    let mut f = Fixture::new(Balancing::Sticky, &[(1, 0), (1, 1)]);
    assert_eq!(f.choose(1), "0");
    f.end(0, true);
    assert_eq!(f.choose(1), "1");
    f.end(1, true);
    assert_eq!(f.choose(1), "wait until 1s");
    assert_eq!(f.choose_with(1, Bond::Loose, &[0, 1]), "nobody");
    f.after(1);
    assert_eq!(
        (f.choose(1), f.choose(1)),
        ("1 probe".into(), "0 probe".into())
    );
    assert_eq!(f.choose(1), "wait for the probe");
}

#[test]
fn a_conversation_moves_from_an_overloaded_target_and_stays_where_it_went() {
    let mut f = Fixture::new(Balancing::Sticky, &[(1, 0), (1, 0)]);
    let home = f.key_of(0);
    // One more than 1.25 times the mean of 1.5 is too many.
    assert_eq!(
        [f.choose(home), f.choose(home), f.choose(home)],
        ["0", "0", "1"]
    );
    f.end(0, false);
    f.end(0, false);
    f.end(1, false);
    assert_eq!(f.choose(home), "1");
}

#[test]
fn bonds_hold_a_conversation_where_it_is() {
    let targets = [(1, 0), (1, 0), (1, 0)];
    for (bond, after_failure) in [
        (Bond::Loose, "2"),
        (Bond::Reasoning, "1"),
        (Bond::Account, "wait until 1s"),
    ] {
        let mut f = Fixture::new(Balancing::Sticky, &targets);
        // The first two verify each other's reasoning.
        f.candidates[0].verifies = Some(0);
        f.candidates[1].verifies = Some(0);
        // The third one would be next.
        let mut others = Fixture::new(Balancing::Sticky, &targets);
        others.candidates.remove(0);
        let home = |f: &Fixture, key| {
            f.state
                .first_home(&wish(&f.candidates, key, Bond::Loose, &[]))
        };
        let mut keys = (0..1000).map(|n: u64| hash_of(&n.to_string()));
        let key = keys.find(|key| (home(&f, *key), home(&others, *key)) == (0, 2));
        let key = key.unwrap();
        assert_eq!(f.choose_with(key, bond, &[]), "0", "{bond:?}");
        f.end(0, true);
        assert_eq!(f.choose_with(key, bond, &[]), after_failure, "{bond:?}");
        let last = f.choose_with(key, bond, &[0]);
        let expected = match bond {
            Bond::Account => "nobody",
            _ => after_failure,
        };
        assert_eq!(last, expected, "{bond:?}");
    }
}

#[test]
fn a_conversation_waits_two_seconds_for_its_rate_limit_and_moves_if_that_is_not_enough() {
    let limit = |state: &mut State, target: usize, reset: &str| {
        let mut headers = http::HeaderMap::new();
        for (name, value) in [("limit", "60"), ("remaining", "0"), ("reset", reset)] {
            let name = format!("x-ratelimit-{name}-requests");
            let name: http::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        let now = Instant::now();
        let pacing = &mut state.targets[target].pacing;
        let call = Taken {
            model: "m".into(),
            need: Need::default(),
            sent: Some(now),
        };
        pacing.take("m", &call.need, now);
        pacing.update(&call, &headers, now);
        pacing.end(&call, now);
    };
    for (reset, expected) in [
        ("60s", "0 in"),
        ("119s", "0 in"),
        ("121s", "1"),
        ("600s", "1"),
    ] {
        let mut f = Fixture::new(Balancing::Sticky, &[(1, 0), (1, 0)]);
        let key = f.key_of(0);
        limit(&mut f.state, 0, reset);
        f.now = Instant::now();
        let chosen = f.choose(key);
        assert!(chosen.starts_with(expected), "{reset}: {chosen}");
    }
    // Where no target has headroom, the one that has it first is called.
    let mut f = Fixture::new(Balancing::Sticky, &[(1, 0), (1, 0)]);
    let key = f.key_of(0);
    limit(&mut f.state, 0, "600s");
    limit(&mut f.state, 1, "300s");
    f.now = Instant::now();
    assert!(f.choose(key).starts_with("1 in"));
}

#[test]
fn a_second_attempt_goes_to_the_least_busy_target_that_is_ready() {
    let mut f = Fixture::new(Balancing::Sticky, &[(1, 0), (1, 0), (1, 0), (1, 1)]);
    f.state.targets[1].in_flight = 3;
    let hedged = |f: &mut Fixture, bond, tried: &[usize]| {
        let candidates = f.candidates.clone();
        let wish = wish(&candidates, 1, bond, tried);
        let begun = f.state.hedge(&wish, f.now, || true);
        begun.map(|(candidate, _)| candidate)
    };
    assert_eq!(hedged(&mut f, Bond::Loose, &[0]), Some(2));
    assert_eq!(hedged(&mut f, Bond::Loose, &[0, 2]), Some(1));
    assert_eq!(hedged(&mut f, Bond::Loose, &[0, 1, 2]), Some(3));
    assert_eq!(hedged(&mut f, Bond::Loose, &[0, 1, 2, 3]), None);
    assert_eq!(hedged(&mut f, Bond::Account, &[0]), None);
    // The retry budget is asked only if there is a target, and can refuse.
    let candidates = f.candidates.clone();
    for (tried, asked) in [(&[0, 1, 2, 3][..], 0), (&[0], 1)] {
        let wish = wish(&candidates, 1, Bond::Loose, tried);
        let mut asks = 0;
        let refuse = || {
            asks += 1;
            false
        };
        assert_eq!(f.state.hedge(&wish, f.now, refuse), None);
        assert_eq!(asks, asked);
    }
    let hedging = Hedging::default();
    assert_eq!(f.state.hedge_after(0, true, &hedging), None);
    for ms in 0..20 {
        f.state.targets[0]
            .streams
            .add(Duration::from_millis(ms * 100));
    }
    let after = f.state.hedge_after(0, true, &hedging);
    assert_eq!(after, Some(Duration::from_millis(1800)));
    assert_eq!(f.state.hedge_after(0, false, &hedging), None);
}

#[test]
fn a_request_that_continues_a_stored_response_goes_where_that_is() {
    let mut f = Fixture::new(Balancing::LeastBusy, &[(1, 0), (1, 0), (1, 1)]);
    let candidates = f.candidates.clone();
    for (id, target) in [(11, 1), (12, 2), (13, 0)] {
        f.state.stored(id, target, f.now);
        let wish = Wish {
            previous: Some(id),
            ..wish(&candidates, 7, Bond::Account, &[])
        };
        let choice = f.state.choose(&wish, f.now, 0.5);
        let is_there = matches!(choice, Choice::Call { candidate, .. } if candidate == target);
        assert!(is_there, "{id}: {choice:?}");
    }
}
