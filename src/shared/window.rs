//! A sliding window. `src/cost/redis/take.lua` and `give_back.lua` do the same.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Quota, QuotaState};

/// The number of slots of a period.
const SLOTS: u64 = 60;

/// The amounts that were taken from a quota in the last period. Times are in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The oldest first.
    slots: VecDeque<Slot>,
}

/// Amounts that were taken within a 60th of a period.
#[derive(Debug)]
struct Slot {
    number: u64,
    amount: u64,
    /// When the last of them was taken.
    last: u64,
}

fn slot_at(quota: &Quota, at: u64) -> u64 {
    at / quota.period_ms().div_ceil(SLOTS)
}

impl Window {
    /// Returns whether nothing is left of what was taken, given the period of the quota.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Removes what was taken before the last period.
    pub(super) fn expire(&mut self, period: u64, now: u64) {
        while self
            .slots
            .front()
            .is_some_and(|slot| slot.last + period <= now)
        {
            self.slots.pop_front();
        }
    }

    fn used(&self) -> u64 {
        self.slots.iter().map(|slot| slot.amount).sum()
    }

    pub(super) fn state(&self, quota: &Quota, now: u64) -> QuotaState {
        let end = self
            .slots
            .back()
            .map_or(now, |slot| slot.last + quota.period_ms());
        QuotaState {
            used: self.used(),
            reset: Duration::from_millis(end - now),
        }
    }

    /// Returns the time until an amount fits, which is zero if it fits now. The amount is at most the limit.
    pub(super) fn wait(&self, quota: &Quota, amount: u64, now: u64) -> Duration {
        let mut over = match amount {
            0 => 0,
            _ => (self.used() + amount).saturating_sub(quota.limit),
        };
        let mut wait = 0;
        for slot in &self.slots {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(slot.amount);
            wait = slot.last + quota.period_ms() - now;
        }
        Duration::from_millis(wait)
    }

    pub(super) fn add(&mut self, quota: &Quota, amount: u64, now: u64) {
        let number = slot_at(quota, now);
        match self.slots.back_mut() {
            Some(slot) if slot.number == number => {
                slot.amount += amount;
                slot.last = now;
            }
            _ => self.slots.push_back(Slot {
                number,
                amount,
                last: now,
            }),
        }
    }

    pub(super) fn subtract(&mut self, quota: &Quota, amount: u64, at: u64) {
        let number = slot_at(quota, at);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
            slot.amount = slot.amount.saturating_sub(amount);
        }
        self.slots.retain(|slot| slot.amount > 0);
    }
}
