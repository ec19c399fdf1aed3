use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Histogram;

const BUCKETS: usize = 32;

/// A [`Histogram`] that several threads can record to without a lock.
#[derive(Debug)]
pub(crate) struct AtomicHistogram {
    sum_us: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self {
            sum_us: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl AtomicHistogram {
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Histogram {
        let buckets: Vec<u64> = self
            .buckets
            .iter()
            .map(|b| b.load(Ordering::Relaxed))
            .collect();
        Histogram {
            count: buckets.iter().sum(),
            sum_us: self.sum_us.load(Ordering::Relaxed),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_twice_the_exact_value() {
        let recorder = AtomicHistogram::default();
        for ms in 1..=100 {
            recorder.record(Duration::from_millis(ms));
        }
        let histogram = recorder.read();
        assert_eq!((histogram.count, histogram.sum_us), (100, 5_050_000));
        for (q, exact_ms) in [(0.01, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            let exact = Duration::from_millis(exact_ms);
            let bound = histogram.quantile(q);
            assert!(
                bound >= exact && bound <= exact * 2 + Duration::from_millis(1),
                "{q}: {bound:?}"
            );
        }
        recorder.record(Duration::MAX);
        assert_eq!(recorder.read().buckets[BUCKETS - 1], 1);
    }

    #[test]
    fn a_zero_duration_has_a_zero_quantile() {
        let recorder = AtomicHistogram::default();
        recorder.record(Duration::ZERO);
        assert_eq!(recorder.read().quantile(0.99), Duration::ZERO);
    }
}
