//! The state of a ledger: the amounts spent and reserved, by month and budget.
//!
//! It does no IO. The memory and file ledgers share it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::{Budget, BudgetExceeded, Usd};

/// The time to live of a reservation. Longer than any call.
const RESERVATION_TTL: Duration = Duration::from_secs(3600);

/// The number of past months that are kept. They are needed again if the clock was wrong and is set back.
const PAST_MONTHS: usize = 12;

/// A calendar month in UTC, counted from January of year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(pub(super) u32);

impl Month {
    /// Returns the month that contains a time after 1970, by Howard Hinnant's `civil_from_days`
    /// (<https://howardhinnant.github.io/date_algorithms.html>), whose years begin in March.
    pub(super) fn at(time: SystemTime) -> Self {
        let since_epoch = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let days = since_epoch.as_secs() / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        Self(u32::try_from((era * 400 + year) * 12 + month + 2).unwrap_or(u32::MAX))
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

/// The amounts of one budget in one month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) spent: Usd,
    pub(super) reserved: Usd,
}

/// A reservation that has not been settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenReservation {
    pub(super) month: Month,
    pub(super) budgets: Vec<String>,
    pub(super) amount: Usd,
    /// In seconds since 1970.
    pub(super) expires: u64,
}

impl OpenReservation {
    pub(super) fn new(budgets: &[Budget], amount: Usd, now: SystemTime) -> Self {
        let expires = now.checked_add(RESERVATION_TTL).unwrap_or(now);
        let expires = expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            month: Month::at(now),
            budgets: budgets.iter().map(|budget| budget.name.clone()).collect(),
            amount,
            expires: expires.as_secs(),
        }
    }
}

/// The state of a ledger. The time that reserving and settling take grows at most logarithmically with the open reservations.
#[derive(Debug, Default)]
pub(super) struct LedgerState {
    /// By the name of the budget, for each month in order. There are few months.
    pub(super) accounts: Vec<(Month, HashMap<String, Account>)>,
    /// The open reservations by id, each with its sequence number.
    open: HashMap<u64, (u64, OpenReservation)>,
    /// The ids of the open reservations by expiry, then by sequence number.
    expirations: BTreeMap<(u64, u64), u64>,
    /// The sequence number of the newest reservation.
    sequence: u64,
}

impl LedgerState {
    pub(super) fn account_mut(&mut self, month: Month, budget: &str) -> &mut Account {
        let place = match self.place(month) {
            Ok(place) => place,
            Err(place) => {
                self.accounts.insert(place, (month, HashMap::new()));
                place
            }
        };
        let (_, accounts) = &mut self.accounts[place];
        accounts.entry(budget.to_owned()).or_default()
    }

    /// Returns the place of a month in `accounts`, or the place where it would have to be inserted.
    fn place(&self, month: Month) -> Result<usize, usize> {
        self.accounts
            .binary_search_by_key(&month, |(month, _)| *month)
    }

    fn account(&self, month: Month, budget: &str) -> Account {
        let place = self.place(month).ok();
        let accounts = place.and_then(|place| self.accounts.get(place));
        let account = accounts.and_then(|(_, accounts)| accounts.get(budget));
        account.copied().unwrap_or_default()
    }

    /// Checks that the amount fits into every budget. Returns whether the reservation must be opened: one that is open already
    /// must not be opened again.
    pub(super) fn check(
        &self,
        id: u64,
        budgets: &[Budget],
        amount: Usd,
        now: SystemTime,
    ) -> Result<bool, BudgetExceeded> {
        if self.is_open(id) {
            return Ok(false);
        }
        for budget in budgets {
            let Account { spent, reserved } = self.account(Month::at(now), &budget.name);
            let total = spent
                .checked_add(reserved)
                .and_then(|total| total.checked_add(amount));
            if total.is_none_or(|total| total > budget.limit) {
                let budget = budget.clone();
                return Err(BudgetExceeded {
                    budget,
                    spent,
                    reserved,
                });
            }
        }
        Ok(true)
    }

    /// Opens a reservation that has passed [`check`](Self::check).
    pub(super) fn open(&mut self, id: u64, open: OpenReservation) {
        for budget in &open.budgets {
            let account = self.account_mut(open.month, budget);
            account.reserved = account.reserved + open.amount;
        }
        self.sequence += 1;
        self.expirations.insert((open.expires, self.sequence), id);
        self.open.insert(id, (self.sequence, open));
    }

    /// Settles a reservation. Returns what is then spent this month of each of its budgets: an empty list if the reservation
    /// is of another month, and `None` if it is not open.
    pub(super) fn settle(&mut self, id: u64, amount: Usd, now: SystemTime) -> Option<Vec<Usd>> {
        self.close(id, Some(amount), now)
    }

    /// Settles a reservation at an amount, or at the whole reserved amount if there is none.
    fn close(&mut self, id: u64, amount: Option<Usd>, now: SystemTime) -> Option<Vec<Usd>> {
        let (sequence, open) = self.open.remove(&id)?;
        self.expirations.remove(&(open.expires, sequence));
        let mut spent = Vec::new();
        for budget in &open.budgets {
            let account = self.account_mut(open.month, budget);
            account.reserved = account.reserved.saturating_sub(open.amount);
            account.spent = account.spent + amount.unwrap_or(open.amount);
            spent.push(account.spent);
        }
        if open.month != Month::at(now) {
            spent.clear();
        }
        Some(spent)
    }

    /// Counts expired reservations as spent in full, and removes the oldest months: all but the latest [`PAST_MONTHS`] before
    /// the current one, and but those that have an open reservation.
    pub(super) fn expire(&mut self, now: SystemTime) {
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        while let Some((&(expires, _), &id)) = self.expirations.first_key_value()
            && expires <= seconds
        {
            self.close(id, None, now);
        }
        let current = Month::at(now);
        let past = self.place(current).unwrap_or_else(|place| place);
        let kept = past.checked_sub(PAST_MONTHS);
        if let Some(&(oldest, _)) = kept.and_then(|kept| self.accounts.get(kept)) {
            // All reservations have the same time to live, so the first to expire has the earliest month.
            let first = self.all_open().next().map(|(_, open)| open.month);
            let oldest = first.map_or(oldest, |month| oldest.min(month));
            self.accounts.retain(|(month, _)| *month >= oldest);
        }
    }

    /// Returns the amounts spent and reserved of a budget this month.
    pub(super) fn state(&self, budget: &str, now: SystemTime) -> (Usd, Usd) {
        let account = self.account(Month::at(now), budget);
        (account.spent, account.reserved)
    }

    pub(super) fn is_open(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// Returns all open reservations with their ids, in the order in which they expire.
    pub(super) fn all_open(&self) -> impl Iterator<Item = (u64, &OpenReservation)> {
        let ids = self.expirations.values();
        ids.filter_map(|id| self.open.get(id).map(|(_, open)| (*id, open)))
    }
}

crate::runtime::native_only! {
    impl LedgerState {
        /// Returns the number of accounts and open reservations.
        pub(super) fn len(&self) -> usize {
            let accounts: usize = self.accounts.iter().map(|(_, accounts)| accounts.len()).sum();
            accounts + self.open.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn months_turn_over_at_midnight_utc() {
        for (seconds, month) in [
            (0, "1970-01"),
            (951_782_399, "2000-02"),
            (951_868_799, "2000-02"),
            (951_868_800, "2000-03"),
            (1_735_689_599, "2024-12"),
            (1_735_689_600, "2025-01"),
            (1_795_737_599, "2026-11"),
        ] {
            assert_eq!(Month::at(at(seconds)).to_string(), month, "{seconds}");
        }
    }

    /// Runs thousands of random histories: calls that begin and end in any order, processes that crash, settlements below the
    /// reserved amount, turns of the month, reservations that expire.
    #[test]
    fn spent_and_reserved_never_exceed_a_limit_and_nothing_is_lost() {
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut state = LedgerState::default();
            let budgets = ["a", "b"]
                .map(|name| Budget::monthly(name, Usd::from_pico(random.u64(1..2000))).unwrap());
            let mut now = 1_735_689_600 - random.u64(0..7200);
            let mut live: Vec<(u64, Month, usize, Usd)> = Vec::new();
            // The expected costs, counted independently.
            let mut expected_costs: Vec<(Month, usize, Usd)> = Vec::new();
            for id in 0..random.u64(1..120) {
                now += [0, 0, 1, 600, 4000][random.usize(0..5)];
                state.expire(at(now));
                match random.u8(0..3) {
                    0 if !live.is_empty() => {
                        let (id, month, used, amount) =
                            live.swap_remove(random.usize(0..live.len()));
                        // A crashed process never settles, so its reservation counts as spent.
                        let cost = match random.u8(0..4) {
                            0 => amount,
                            _ => Usd::from_pico(random.u64(0..=amount.pico())),
                        };
                        let crashed = random.u8(0..8) == 0;
                        let settled = !crashed && state.settle(id, cost, at(now)).is_some();
                        expected_costs.push((month, used, if settled { cost } else { amount }));
                    }
                    _ => {
                        let used = random.usize(1..=2);
                        let amount = Usd::from_pico(random.u64(0..300));
                        if state.check(id, &budgets[..used], amount, at(now)) == Ok(true) {
                            let open = OpenReservation::new(&budgets[..used], amount, at(now));
                            live.push((id, open.month, used, amount));
                            state.open(id, open);
                        }
                    }
                }
                for budget in &budgets {
                    let (spent, reserved) = state.state(&budget.name, at(now));
                    assert!(spent + reserved <= budget.limit, "seed {seed}");
                }
            }
            // Once all reservations have expired, nothing is reserved, and each month holds what was spent in it.
            let end = at(now + RESERVATION_TTL.as_secs() + 1);
            state.expire(end);
            assert!(state.open.is_empty());
            expected_costs.extend(
                live.iter()
                    .map(|(_, month, used, amount)| (*month, *used, *amount)),
            );
            for month in [Month(Month::at(end).0 - 1), Month::at(end)] {
                for (i, budget) in budgets.iter().enumerate() {
                    let cost_of = |(in_month, used, amount): &(Month, usize, Usd)| {
                        (*in_month == month && *used > i).then_some(*amount)
                    };
                    let spent: Usd = expected_costs.iter().filter_map(cost_of).sum();
                    let expected = Account {
                        spent,
                        reserved: Usd::ZERO,
                    };
                    assert_eq!(state.account(month, &budget.name), expected, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_month_is_remembered_while_the_clock_is_wrong() {
        const DAY: u64 = 86_400;
        let now = 1_795_737_600;
        let budget = [Budget::monthly("a", Usd::from_pico(10)).unwrap()];
        let mut state = LedgerState::default();
        let mut spend = |time: u64| {
            let time = at(time);
            state.expire(time);
            let fits = state.check(time_id(time), &budget, Usd::from_pico(10), time) == Ok(true);
            if fits {
                state.open(
                    time_id(time),
                    OpenReservation::new(&budget, Usd::from_pico(10), time),
                );
                state.settle(time_id(time), Usd::from_pico(10), time);
            }
            fits
        };
        assert!(spend(now));
        // The month is over for an hour, for a year, since 1970 and for decades.
        for wrong in [now + 5 * DAY, now + 400 * DAY, DAY, now + 9_000 * DAY] {
            assert!(spend(wrong), "{wrong}");
            assert!(!spend(now + 1), "{wrong}");
        }
        // Old months do not accumulate.
        for month in 0..100 {
            spend(now + 31 * DAY * month);
        }
        // Besides the past months there are the current one and the one decades ahead.
        assert_eq!(state.accounts.len(), PAST_MONTHS + 2);
    }

    fn time_id(time: SystemTime) -> u64 {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    }
}
