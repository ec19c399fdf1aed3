use std::collections::BinaryHeap;
use std::time::Duration;

/// How many of the last times are kept.
pub(super) const KEPT: usize = 64;

/// The times of a target's last calls.
#[derive(Debug, Default)]
pub(super) struct Latency {
    times: Vec<Duration>,
    next: usize,
}

impl Latency {
    pub(super) fn add(&mut self, time: Duration) {
        match self.times.len() < KEPT {
            true => self.times.push(time),
            false => self.times[self.next] = time,
        }
        self.next = (self.next + 1) % KEPT;
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Returns the time within which 95 of 100 calls have had their first content.
    pub(super) fn p95(&self) -> Option<Duration> {
        // A heap, because each instance of std's `sort_unstable` is 3 KB of code.
        let sorted = BinaryHeap::from(self.times.clone()).into_sorted_vec();
        let at = (sorted.len() * 95).div_ceil(100);
        sorted.get(at.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_is_that_of_the_last_times() {
        let mut latency = Latency::default();
        assert_eq!(latency.p95(), None);
        let ms = Duration::from_millis;
        for (last, p95) in [(1, 1), (2, 2), (20, 19), (64, 61), (200, 197)] {
            latency = Latency::default();
            (1..=last).for_each(|n| latency.add(ms(n)));
            assert_eq!(latency.p95(), Some(ms(p95)), "{last}");
            assert!(latency.len() <= KEPT);
        }
    }
}
