//! Chooses among targets: by consistent hashing, by load, at random. Pure functions.

use super::balancing::Balancing;

/// A target among which to choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender {
    /// Its place among the candidates of a call.
    pub(super) candidate: usize,
    /// Its place in the router.
    pub(super) target: usize,
    pub(super) weight: u32,
    /// The hash of its name.
    pub(super) hash: u64,
    pub(super) in_flight: u32,
}

/// Hashes text (FNV-1a), the same in every process and every version, so that gateways beside each other agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher(u64);

impl Default for Hasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // Ends the text, so that "a" and "bc" differ from "ab" and "c".
        self.0 = mixed(self.0);
    }

    pub(super) fn finish(self) -> u64 {
        mixed(self.0)
    }
}

pub(super) fn hash_of(text: &str) -> u64 {
    let mut hasher = Hasher::default();
    hasher.add(text.as_bytes());
    hasher.finish()
}

/// Spreads the bits of a number (the finalizer of SplitMix64).
fn mixed(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Returns the score of a target for a key: the highest one wins (weighted rendezvous hashing,
/// <https://www.snia.org/sites/default/files/SDC15_presentations/dist_sys/Jason_Resch_New_Consistent_Hashings_Rev.pdf>). When targets
/// come and go, only the keys of those move.
fn score(key: u64, hash: u64, weight: u32) -> f64 {
    // Between 0 and 1, and neither.
    let unit = ((mixed(key ^ hash.rotate_left(32)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / unit.ln()
}

/// Returns the target to try first.
pub(super) fn first(
    contenders: &[Contender],
    balancing: Balancing,
    key: u64,
    random: f64,
) -> Option<Contender> {
    let random = mixed((random * (1u64 << 53) as f64) as u64);
    let by = match balancing {
        Balancing::Sticky => key,
        Balancing::Weighted | Balancing::LeastBusy => random,
    };
    let busy = |one: &Contender| match balancing {
        Balancing::LeastBusy => f64::from(one.in_flight) / f64::from(one.weight),
        _ => 0.0,
    };
    contenders.iter().copied().min_by(|a, b| {
        let (of_a, of_b) = (score(by, a.hash, a.weight), score(by, b.hash, b.weight));
        busy(a).total_cmp(&busy(b)).then(of_b.total_cmp(&of_a))
    })
}

/// Whether one call more on a target is within 1.25 × its weighted share of all calls in flight ("Consistent Hashing with Bounded
/// Loads", <https://arxiv.org/abs/1608.01350>).
pub(super) fn has_room(contenders: &[Contender], one: &Contender) -> bool {
    let total: u64 = contenders.iter().map(|of| u64::from(of.in_flight)).sum();
    let weights: u64 = contenders.iter().map(|of| u64::from(of.weight)).sum();
    let most = (5 * (total + 1) * u64::from(one.weight)).div_ceil(4 * weights.max(1));
    u64::from(one.in_flight) < most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contenders(of: &[(u32, u32)]) -> Vec<Contender> {
        let of = of.iter().enumerate();
        of.map(|(target, (weight, in_flight))| Contender {
            candidate: target,
            target,
            weight: *weight,
            hash: hash_of(&target.to_string()),
            in_flight: *in_flight,
        })
        .collect()
    }

    fn chosen(of: &[(u32, u32)], balancing: Balancing, key: u64, random: f64) -> usize {
        let chosen = first(&contenders(of), balancing, mixed(key), random);
        chosen.unwrap().target
    }

    #[test]
    fn keys_and_random_choices_follow_the_weights() {
        let of = [(1, 0), (2, 0), (5, 0)];
        let mut random = fastrand::Rng::with_seed(7);
        for balancing in [Balancing::Sticky, Balancing::Weighted] {
            let mut counts = [0; 3];
            for key in 0..8000 {
                counts[chosen(&of, balancing, key, random.f64())] += 1;
            }
            for (count, expected) in counts.into_iter().zip([1000, 2000, 5000]) {
                let off = i32::abs(count - expected);
                assert!(off < expected / 8, "{balancing:?} {counts:?}");
            }
        }
    }

    #[test]
    fn a_target_that_is_added_takes_only_its_own_share_of_the_keys() {
        let (before, after) = ([(1, 0), (1, 0)], [(1, 0), (1, 0), (1, 0)]);
        let mut moved = 0;
        for key in 0..3000 {
            let was = chosen(&before, Balancing::Sticky, key, 0.0);
            let is = chosen(&after, Balancing::Sticky, key, 0.0);
            assert!(is == was || is == 2, "{key}: from {was} to {is}");
            moved += usize::from(is == 2);
        }
        assert!((900..1100).contains(&moved), "{moved}");
    }

    #[test]
    fn the_least_busy_target_is_the_one_with_the_fewest_calls_for_its_weight() {
        for (of, expected) in [
            (vec![(1, 0), (1, 1)], 0),
            (vec![(1, 1), (1, 0)], 1),
            (vec![(1, 1), (3, 2)], 1),
            (vec![(1, 1), (3, 3)], 1),
            (vec![(1, 1), (3, 5)], 0),
            (vec![(1, 0), (3, 5)], 0),
        ] {
            let of: &[(u32, u32)] = &of;
            // 1 / 1 and 3 / 3 are the same, so chance decides.
            if of == [(1, 1), (3, 3)] {
                let random = |n: u32| chosen(of, Balancing::LeastBusy, 0, f64::from(n) / 100.0);
                let firsts = (0..100).filter(|n| random(*n) == 0).count();
                assert!((5..50).contains(&firsts), "{firsts}");
                continue;
            }
            assert_eq!(chosen(of, Balancing::LeastBusy, 0, 0.5), expected, "{of:?}");
        }
    }

    #[test]
    fn loads_are_bounded_by_a_quarter_above_the_mean() {
        for (of, room) in [
            (vec![(1, 0), (1, 0)], vec![true, true]),
            (vec![(1, 1), (1, 0)], vec![true, true]),
            (vec![(1, 2), (1, 0)], vec![false, true]),
            (vec![(1, 4), (1, 3)], vec![true, true]),
            (vec![(1, 5), (1, 2)], vec![false, true]),
            (vec![(1, 50), (1, 30)], vec![true, true]),
            (vec![(1, 51), (1, 29)], vec![false, true]),
            (vec![(3, 70), (1, 10)], vec![true, true]),
            (vec![(3, 60), (1, 26)], vec![true, true]),
            (vec![(3, 60), (1, 27)], vec![true, true]),
            (vec![(3, 60), (1, 30)], vec![true, false]),
            (vec![(7, 1000)], vec![true]),
        ] {
            let contenders = contenders(&of);
            let got: Vec<_> = contenders
                .iter()
                .map(|of| has_room(&contenders, of))
                .collect();
            assert_eq!(got, room, "{of:?}");
        }
    }

    #[test]
    fn hashes_do_not_change() {
        assert_eq!(hash_of("openai"), hash_of("openai"));
        let mut parts = [Hasher::default(); 2];
        parts[0].add(b"a");
        parts[0].add(b"bc");
        parts[1].add(b"ab");
        parts[1].add(b"c");
        assert_ne!(parts[0].finish(), parts[1].finish());
    }
}
