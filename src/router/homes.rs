//! Where conversations are that have moved from the target of their hash, and where responses are that their providers store.

use std::time::Duration;

use crate::runtime::Instant;

/// How many of them are remembered.
const SLOTS: usize = 4096;

/// How long a conversation is remembered after its last call: as long as providers keep a prompt in their cache by default
/// (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>). After that it begins anew at the target of its hash.
pub(super) const CACHED: Duration = Duration::from_secs(300);

/// How long a response is remembered.
pub(super) const STORED: Duration = Duration::from_secs(24 * 3600);

/// A table of fixed size. A key takes the slot of another one now and then, which is then forgotten.
#[derive(Debug)]
pub(super) struct Homes {
    lasts: Duration,
    /// Empty until the first one moves.
    slots: Vec<Option<Home>>,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    key: u64,
    target: usize,
    at: Instant,
}

impl Homes {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            slots: Vec::new(),
        }
    }

    pub(super) fn get(&self, key: u64, now: Instant) -> Option<usize> {
        let home = self.slots.get(slot(key))?.as_ref()?;
        (home.key == key && now < home.at + self.lasts).then_some(home.target)
    }

    pub(super) fn put(&mut self, key: u64, target: usize, now: Instant) {
        if self.slots.is_empty() {
            self.slots = vec![None; SLOTS];
        }
        self.slots[slot(key)] = Some(Home {
            key,
            target,
            at: now,
        });
    }

    pub(super) fn forget(&mut self, key: u64) {
        if let Some(slot) = self.slots.get_mut(slot(key)) {
            slot.take_if(|home| home.key == key);
        }
    }
}

fn slot(key: u64) -> usize {
    (key % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_remembered_until_it_is_quiet_for_five_minutes_or_another_takes_its_slot() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut homes = Homes::new(CACHED);
        assert_eq!(homes.get(7, start), None);
        homes.put(7, 2, start);
        assert_eq!(homes.get(7, at(299)), Some(2));
        assert_eq!(homes.get(7, at(300)), None);
        homes.put(7, 1, at(299));
        assert_eq!(homes.get(7, at(598)), Some(1));
        let other = 7 + SLOTS as u64;
        homes.forget(other);
        assert_eq!(homes.get(7, at(299)), Some(1));
        homes.put(other, 0, at(299));
        assert_eq!(
            (homes.get(7, at(299)), homes.get(other, at(299))),
            (None, Some(0))
        );
        homes.forget(other);
        assert_eq!(homes.get(other, at(299)), None);
    }
}
