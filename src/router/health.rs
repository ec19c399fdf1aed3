//! Whether a target can be called: ready, cooling down, or probed after that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::millis;
use crate::runtime::Instant;

/// How many failures in a row cool a target down, of those that do not do so at once.
const MAX_FAILURES: u32 = 3;

/// How long an unanswered probe keeps others away. A model may be silent for minutes before it answers.
pub(super) const PROBE_LASTS: Duration = Duration::from_secs(10);

/// How much later than the process whose call has failed others probe a target, so that they see its probe first.
const GRACE: Duration = Duration::from_secs(1);

/// By how much an own mark may seem to end later than it was meant to, because it has been on its way.
pub(super) const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// How long a [`Router`](crate::Router) does not call a target that has failed.
///
/// A target cools down for the delay that its provider asks for (`retry-after`), at most [`max_retry_after`](Self::max_retry_after). If the
/// provider asks for none, the target cools down for [`base`](Self::base). The router then sends it one call, the probe. If the probe has
/// content, the target is called as before. If it fails, the target cools down for twice as long as the last time, at most
/// [`cap`](Self::cap).
///
/// ```
/// use std::time::Duration;
/// use warmline::Cooldown;
///
/// let cooldown = Cooldown { cap: Duration::from_secs(60), ..Cooldown::default() };
/// assert_eq!(cooldown.base, Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cooldown {
    /// The first cooldown, if the provider asks for no delay. The default is 1 s.
    #[serde(rename = "base_ms", with = "millis")]
    pub base: Duration,
    /// The maximum cooldown, if the provider asks for no delay. The default is 10 s.
    #[serde(rename = "cap_ms", with = "millis")]
    pub cap: Duration,
    /// The maximum cooldown that a provider can ask for. The default is 300 s.
    #[serde(rename = "max_retry_after_ms", with = "millis")]
    pub max_retry_after: Duration,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(300),
        }
    }
}

/// The health of a target.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    status: Status,
    /// Counts the cooldowns. What a call that began before the last one reports says nothing about the time after it.
    epoch: u64,
    /// The failures in a row.
    failures: u32,
    /// The failed probes in a row.
    failed_probes: u32,
    /// Until when another process lets the target cool down, or probes it.
    elsewhere: Option<Instant>,
    /// Counts what this process has found out, which others are to know.
    findings: u64,
    /// The findings that are known to the others.
    shared: u64,
}

/// The ends of the marks of a target in the shared state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) cooldown: Option<Instant>,
    pub(super) probe: Option<Instant>,
}

/// What the others are to know: how long the marks of a target last from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    number: u64,
    /// `None` if the mark stays as it is.
    pub(super) cooldown: Option<Duration>,
    /// Zero removes the mark, so that the others know that the probe has ended.
    pub(super) probe: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Status {
    #[default]
    Ready,
    /// Cooling down, and from `until` on waiting for a probe.
    Cooling {
        until: Instant,
    },
    Probing {
        since: Instant,
    },
}

/// Whether a target can be called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Availability {
    Ready,
    /// By one call.
    ForProbe,
    /// Not before this time.
    From(Instant),
    /// Not while a probe is under way.
    Probed,
}

/// What an attempt has to know when it reports how it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Begun {
    epoch: u64,
    pub(super) is_probe: bool,
}

impl Health {
    pub(super) fn availability(&self, now: Instant) -> Availability {
        let until = match self.status {
            Status::Ready => return Availability::Ready,
            Status::Probing { since } if now < since + PROBE_LASTS => return Availability::Probed,
            Status::Probing { .. } => now,
            Status::Cooling { until } => until,
        };
        let elsewhere = self.elsewhere.map_or(until, |end| end + GRACE);
        match until.max(elsewhere) {
            until if until > now => Availability::From(until),
            _ => Availability::ForProbe,
        }
    }

    /// Begins an attempt on a target that is available.
    pub(super) fn begin(&mut self, now: Instant) -> Begun {
        let is_probe = self.availability(now) == Availability::ForProbe;
        if is_probe {
            self.status = Status::Probing { since: now };
            self.elsewhere = None;
            self.findings += 1;
        }
        Begun {
            epoch: self.epoch,
            is_probe,
        }
    }

    /// Whether a cooldown has begun since.
    pub(super) fn is_outdated(&self, begun: Begun) -> bool {
        begun.epoch != self.epoch
    }

    /// The target has answered.
    pub(super) fn succeeded(&mut self, begun: Begun, now: Instant) {
        if self.is_outdated(begun) {
            return;
        }
        self.findings += u64::from(self.status != Status::Ready);
        self.status = Status::Ready;
        (self.failures, self.failed_probes) = (0, 0);
        // Another process has met a failure since the probe began.
        if let Some(end) = self.elsewhere.take().filter(|end| *end > now) {
            self.cool_elsewhere(end, now);
        }
    }

    /// The caller has left, or the failure says nothing about the target.
    pub(super) fn abandoned(&mut self, begun: Begun, now: Instant) {
        if begun.is_probe && !self.is_outdated(begun) && self.status != Status::Ready {
            self.status = Status::Cooling { until: now };
            self.findings += 1;
        }
    }

    /// The target has failed. It cools down if `at_once`, or if this is one failure too many. Returns until when it then does.
    pub(super) fn failed(
        &mut self,
        begun: Begun,
        at_once: bool,
        retry_after: Option<Duration>,
        cooldown: &Cooldown,
        now: Instant,
    ) -> Option<Instant> {
        let asked = retry_after.map(|asked| now + asked.min(cooldown.max_retry_after));
        if self.is_outdated(begun) {
            // Calls that began together fail together, which is one failure. The longest delay asked for counts.
            let asked = asked?;
            self.cool_until(asked);
            return Some(asked);
        }
        self.failures += 1;
        if !at_once && !begun.is_probe && self.failures < MAX_FAILURES {
            return None;
        }
        let doubled = cooldown
            .base
            .saturating_mul(1 << self.failed_probes.min(20))
            .min(cooldown.cap);
        let until = asked.unwrap_or(now + doubled);
        self.failed_probes = self.failed_probes.saturating_add(1);
        self.epoch += 1;
        self.failures = 0;
        self.findings += 1;
        self.status = Status::Cooling { until };
        Some(until)
    }

    /// Cools down at least until then.
    fn cool_until(&mut self, until: Instant) {
        self.findings += 1;
        match &mut self.status {
            Status::Cooling { until: known } => *known = until.max(*known),
            _ => {
                self.epoch += 1;
                self.status = Status::Cooling { until };
            }
        }
    }

    /// Takes over what other processes have found out, unless this one has something to tell, which is returned.
    ///
    /// What this process has found out itself stands: another one's mark can lengthen a cooldown, but its end does not shorten one.
    pub(super) fn exchange(&mut self, marks: Marks, now: Instant) -> Option<Finding> {
        // Two processes may have marked it at the same time, or the mark was lost.
        if let Status::Cooling { until } = self.status
            && until > now + ON_ITS_WAY
            && marks.cooldown.is_none_or(|end| end + ON_ITS_WAY < until)
        {
            self.findings += 1;
        }
        if self.findings != self.shared {
            return Some(self.finding(marks, now));
        }
        let end = marks.cooldown.max(marks.probe);
        match (self.status, end) {
            // The mark of the probe is this process's own. A cooldown that began after it is another one's.
            (Status::Probing { since }, _) => self.elsewhere = newer_than(since, marks.cooldown),
            (Status::Ready, Some(end)) => self.cool_elsewhere(end, now),
            (Status::Cooling { until }, Some(end)) => {
                self.elsewhere = newer_than(until, Some(end));
            }
            // A mark that is gone before its end has been removed: the target is to be probed.
            (_, None) => self.elsewhere = self.elsewhere.filter(|end| *end <= now),
        }
        None
    }

    /// Cools down because another process has marked the target until `end`.
    fn cool_elsewhere(&mut self, end: Instant, now: Instant) {
        self.epoch += 1;
        self.status = Status::Cooling { until: now };
        self.elsewhere = Some(end);
    }

    fn finding(&mut self, marks: Marks, now: Instant) -> Finding {
        let (cooldown, probe) = match self.status {
            Status::Ready => {
                // The own mark has ended before the probe. If there is one, another process has met a failure since.
                if let Some(end) = newer_than(now, marks.cooldown) {
                    self.cool_elsewhere(end, now);
                }
                (None, Duration::ZERO)
            }
            Status::Probing { since } => {
                self.elsewhere = newer_than(since, marks.cooldown);
                (None, (since + PROBE_LASTS).saturating_duration_since(now))
            }
            Status::Cooling { until } => {
                self.elsewhere = newer_than(until, marks.cooldown);
                let cooldown = until.saturating_duration_since(now);
                let is_told = !cooldown.is_zero() && self.elsewhere.is_none();
                (is_told.then_some(cooldown), Duration::ZERO)
            }
        };
        Finding {
            number: self.findings,
            cooldown,
            probe,
        }
    }

    /// The others know a finding.
    pub(super) fn told(&mut self, finding: Finding) {
        self.shared = finding.number;
    }
}

/// Returns the end of a mark, unless it may be the one that this process has set to end at `own`.
fn newer_than(own: Instant, end: Option<Instant>) -> Option<Instant> {
    end.filter(|end| *end > own + ON_ITS_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints a health as of so many milliseconds after the start.
    fn shown(health: &Health, start: Instant, ms: u64) -> String {
        let now = start + Duration::from_millis(ms);
        match health.availability(now) {
            Availability::Ready => "ready".into(),
            Availability::ForProbe => "for a probe".into(),
            Availability::Probed => "probed".into(),
            Availability::From(until) => format!("from {}", (until - start).as_millis()),
        }
    }

    #[test]
    fn a_target_cools_down_is_probed_once_and_recovers() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut health, cooldown) = (Health::default(), Cooldown::default());
        let (first, late) = (health.begin(at(0)), health.begin(at(0)));
        health.failed(first, true, None, &cooldown, at(100));
        assert_eq!(shown(&health, start, 100), "from 1100");
        // It began before the cooldown, and neither ends nor lengthens it.
        health.succeeded(late, at(150));
        health.failed(late, true, None, &cooldown, at(200));
        assert_eq!(shown(&health, start, 200), "from 1100");
        assert_eq!(shown(&health, start, 1100), "for a probe");
        let probe = health.begin(at(1100));
        assert_eq!(shown(&health, start, 1200), "probed");
        health.failed(probe, false, None, &cooldown, at(1300));
        assert_eq!(shown(&health, start, 1300), "from 3300");
        // A caller who leaves lets another one probe.
        let probe = health.begin(at(3300));
        health.abandoned(probe, at(3400));
        assert_eq!(shown(&health, start, 3400), "for a probe");
        let probe = health.begin(at(3400));
        assert_eq!(shown(&health, start, 13_399), "probed");
        assert_eq!(shown(&health, start, 13_400), "for a probe");
        health.succeeded(probe, at(13_400));
        assert_eq!(shown(&health, start, 13_400), "ready");
        // It starts from the beginning.
        let next = health.begin(at(20_000));
        health.failed(next, true, None, &cooldown, at(20_000));
        assert_eq!(shown(&health, start, 20_000), "from 21000");
    }

    #[test]
    fn marks_of_others_lengthen_a_cooldown_and_end_early_only_if_they_are_theirs() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cooling = |ms| Marks {
            cooldown: Some(at(ms)),
            probe: None,
        };
        let probed = |ms| Marks {
            cooldown: None,
            probe: Some(at(ms)),
        };
        let none = Marks::default();
        let mut health = Health::default();
        let early = health.begin(at(0));
        assert_eq!(health.exchange(none, at(0)), None);
        assert_eq!(health.exchange(cooling(20_000), at(0)), None);
        assert_eq!(shown(&health, start, 0), "from 21000");
        assert!(health.is_outdated(early));
        // It has ended by itself, and the other process probes.
        assert_eq!(health.exchange(none, at(20_100)), None);
        assert_eq!(shown(&health, start, 20_100), "from 21000");
        assert_eq!(health.exchange(probed(30_000), at(20_500)), None);
        assert_eq!(shown(&health, start, 20_500), "from 31000");
        // It was removed.
        assert_eq!(health.exchange(none, at(22_000)), None);
        assert_eq!(shown(&health, start, 22_000), "for a probe");
        let probe = health.begin(at(22_000));
        let told = health.exchange(none, at(22_000)).unwrap();
        assert_eq!((told.cooldown, told.probe), (None, PROBE_LASTS));
        health.told(told);
        // While this process probes, the marks are its own or late.
        assert_eq!(health.exchange(probed(32_000), at(22_100)), None);
        assert_eq!(shown(&health, start, 22_100), "probed");
        let asked = Some(Duration::from_secs(10));
        health.failed(probe, true, asked, &Cooldown::default(), at(23_000));
        // Another one's longer mark stays.
        let told = health.exchange(cooling(40_000), at(23_000)).unwrap();
        assert_eq!((told.cooldown, told.probe), (None, Duration::ZERO));
        assert_eq!(shown(&health, start, 23_000), "from 41000");
        let told = health.exchange(none, at(23_000)).unwrap();
        assert_eq!(told.cooldown, Some(Duration::from_secs(10)));
        health.told(told);
        // What this process knows itself stands.
        let told = health.exchange(none, at(24_000)).unwrap();
        assert_eq!(told.cooldown, Some(Duration::from_secs(9)));
        health.told(told);
        assert_eq!(health.exchange(cooling(33_050), at(24_000)), None);
        assert_eq!(shown(&health, start, 24_000), "from 33000");
        let probe = health.begin(at(33_000));
        health.succeeded(probe, at(33_000));
        let told = health.exchange(cooling(33_020), at(33_000)).unwrap();
        assert_eq!((told.cooldown, told.probe), (None, Duration::ZERO));
        health.told(told);
        assert_eq!(health.exchange(none, at(33_100)), None);
        assert_eq!(shown(&health, start, 33_100), "ready");
        // A probe that succeeds says nothing about a later failure elsewhere.
        health.exchange(cooling(40_000), at(34_000));
        let probe = health.begin(at(41_000));
        health.succeeded(probe, at(41_500));
        health.exchange(cooling(60_000), at(42_000)).unwrap();
        assert_eq!(shown(&health, start, 42_000), "from 61000");
    }

    #[test]
    fn a_cooldown_that_another_process_tells_of_during_a_probe_begins_however_the_probe_ends() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cooling = Marks {
            cooldown: Some(at(20_000)),
            probe: Some(at(11_000)),
        };
        let mut probing = Health::default();
        let begun = probing.begin(at(0));
        probing.failed(begun, true, None, &Cooldown::default(), at(0));
        let probe = probing.begin(at(1000));
        // The first exchange tells of the probe, and the second only asks.
        for _ in 0..2 {
            if let Some(told) = probing.exchange(cooling, at(1500)) {
                probing.told(told);
            }
        }
        assert_eq!(shown(&probing, start, 1500), "probed");
        // No second probe follows an unanswered one.
        assert_eq!(shown(&probing, start, 11_000), "from 21000");
        let ends: [fn(&mut Health, Begun, Instant); 3] = [
            |of, probe, now| of.abandoned(probe, now),
            |of, probe, now| of.succeeded(probe, now),
            |of, probe, now| {
                of.failed(probe, true, None, &Cooldown::default(), now);
            },
        ];
        for end in ends {
            let mut health = probing.clone();
            end(&mut health, probe, at(2000));
            assert_eq!(shown(&health, start, 2000), "from 21000");
        }
    }

    #[test]
    fn three_failures_in_a_row_cool_a_target_down() {
        let now = Instant::now();
        let (mut health, cooldown) = (Health::default(), Cooldown::default());
        let fail = |health: &mut Health| {
            let begun = health.begin(now);
            health.failed(begun, false, None, &cooldown, now).is_some()
        };
        assert_eq!([fail(&mut health), fail(&mut health)], [false, false]);
        let begun = health.begin(now);
        health.succeeded(begun, now);
        let failed = [(); 3].map(|()| fail(&mut health));
        assert_eq!(failed, [false, false, true]);
    }

    #[test]
    fn a_retry_after_is_the_cooldown_up_to_a_maximum() {
        let now = Instant::now();
        let cooldown = Cooldown::default();
        for (asked, cools) in [(7, 7), (0, 0), (300, 300), (86_400, 300)] {
            let mut health = Health::default();
            let (begun, late) = (health.begin(now), health.begin(now));
            let asked = Some(Duration::from_secs(asked));
            let until = health.failed(begun, true, asked, &cooldown, now);
            assert_eq!(until, Some(now + Duration::from_secs(cools)));
            let longer = Some(Duration::from_secs(20));
            health.failed(late, true, longer, &cooldown, now);
            let cools = now + Duration::from_secs(cools.max(20));
            assert_eq!(health.availability(now), Availability::From(cools));
        }
    }

    #[test]
    fn failed_probes_double_the_cooldown_up_to_the_cap() {
        let mut now = Instant::now();
        let (mut health, cooldown) = (Health::default(), Cooldown::default());
        let mut seconds = Vec::new();
        for _ in 0..9 {
            let begun = health.begin(now);
            let until = health.failed(begun, true, None, &cooldown, now).unwrap();
            seconds.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10, 10, 10]);
    }
}
