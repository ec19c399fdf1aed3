//! The sums behind a ledger: what is spent and put aside, by budget and month. Pure, and the same for all that keep it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::{Budget, BudgetExceeded, Usd};

/// How long a reservation is held for a holder that may be gone. Longer than any call.
const RESERVATION_TTL: Duration = Duration::from_secs(3600);

/// A calendar month in UTC, counted from January of year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(pub(super) u32);

impl Month {
    /// Of a time after 1970. By Howard Hinnant's `civil_from_days`
    /// (<https://howardhinnant.github.io/date_algorithms.html>), in years that begin in March.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let days = since.as_secs() / 86_400 + 719_468;
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
    /// Seconds since 1970.
    pub(super) expires: u64,
}

impl OpenReservation {
    pub(super) fn new(budgets: &[Budget], amount: Usd, now: SystemTime) -> Self {
        let expires = now.checked_add(RESERVATION_TTL).unwrap_or(now);
        let expires = expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            month: Month::of(now),
            budgets: budgets.iter().map(|budget| budget.name.clone()).collect(),
            amount,
            expires: expires.as_secs(),
        }
    }
}

/// No operation takes longer the more reservations are open.
#[derive(Debug, Default)]
pub(super) struct LedgerState {
    /// By month, then by the budget's name.
    pub(super) accounts: BTreeMap<Month, HashMap<String, Account>>,
    /// By number: which in turn it was opened, and the reservation.
    open: HashMap<u64, (u64, OpenReservation)>,
    /// The numbers by when they expire and which in turn they were opened, so that new ones come last.
    ends: BTreeMap<(u64, u64), u64>,
    /// How many were ever opened.
    opened: u64,
}

impl LedgerState {
    pub(super) fn account(&mut self, month: Month, budget: &str) -> &mut Account {
        let accounts = self.accounts.entry(month).or_default();
        accounts.entry(budget.to_owned()).or_default()
    }

    fn sums(&self, month: Month, budget: &str) -> Account {
        let accounts = self.accounts.get(&month);
        let account = accounts.and_then(|accounts| accounts.get(budget));
        account.copied().unwrap_or_default()
    }

    /// Whether the reservation is to be opened: it still fits into each budget, and is not open yet.
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
            let Account { spent, reserved } = self.sums(Month::of(now), &budget.name);
            let taken = spent
                .checked_add(reserved)
                .and_then(|taken| taken.checked_add(amount));
            if taken.is_none_or(|taken| taken > budget.limit) {
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

    /// Opens a reservation that [`check`](Self::check) has let pass.
    pub(super) fn open(&mut self, id: u64, open: OpenReservation) {
        for budget in &open.budgets {
            let account = self.account(open.month, budget);
            account.reserved = account.reserved + open.amount;
        }
        self.opened += 1;
        self.ends.insert((open.expires, self.opened), id);
        self.open.insert(id, (self.opened, open));
    }

    /// What is then spent this month of each of the reservation's budgets, which is nothing for one of another month;
    /// none where there was no such reservation.
    pub(super) fn settle(&mut self, id: u64, amount: Usd, now: SystemTime) -> Option<Vec<Usd>> {
        self.end(id, Some(amount), now)
    }

    /// Without an amount, all that was reserved is spent.
    fn end(&mut self, id: u64, amount: Option<Usd>, now: SystemTime) -> Option<Vec<Usd>> {
        let (turn, open) = self.open.remove(&id)?;
        self.ends.remove(&(open.expires, turn));
        let mut spent = Vec::new();
        for budget in &open.budgets {
            let account = self.account(open.month, budget);
            account.reserved = account.reserved.saturating_sub(open.amount);
            account.spent = account.spent + amount.unwrap_or(open.amount);
            spent.push(account.spent);
        }
        if open.month != Month::of(now) {
            spent.clear();
        }
        Some(spent)
    }

    /// Counts as spent what holders that must be gone have put aside, and forgets past months without open reservations.
    pub(super) fn expire(&mut self, now: SystemTime) {
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        while let Some((&(expires, _), &id)) = self.ends.first_key_value()
            && expires <= seconds
        {
            self.end(id, None, now);
        }
        // All leases are equally long, so none of the others is of an earlier month.
        let first = self.ends.values().next().and_then(|id| self.open.get(id));
        let this = Month::of(now);
        let oldest = first.map_or(this, |(_, open)| open.month.min(this));
        self.accounts.retain(|month, _| *month >= oldest);
    }

    pub(super) fn state(&self, budget: &str, now: SystemTime) -> (Usd, Usd) {
        let account = self.sums(Month::of(now), budget);
        (account.spent, account.reserved)
    }

    pub(super) fn is_open(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// Every open reservation and its number, the first to expire first.
    pub(super) fn all_open(&self) -> impl Iterator<Item = (u64, &OpenReservation)> {
        let ids = self.ends.values();
        ids.filter_map(|id| self.open.get(id).map(|(_, open)| (*id, open)))
    }

    /// How many accounts and open reservations there are.
    pub(super) fn len(&self) -> usize {
        let accounts: usize = self.accounts.values().map(HashMap::len).sum();
        accounts + self.open.len()
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
            assert_eq!(Month::of(at(seconds)).to_string(), month, "{seconds}");
        }
    }

    /// Thousands of random histories: calls that begin and end in any order, holders that crash, amounts settled
    /// below what was put aside, months that end, leases that expire.
    #[test]
    fn spent_and_reserved_never_pass_a_limit_and_nothing_is_lost() {
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut books = LedgerState::default();
            let budgets = ["a", "b"]
                .map(|name| Budget::monthly(name, Usd::from_pico(random.u64(1..2000))).unwrap());
            let mut now = 1_735_689_600 - random.u64(0..7200);
            let mut live: Vec<(u64, Month, usize, Usd)> = Vec::new();
            // What must have been spent, told from the outside.
            let mut truth: Vec<(Month, usize, Usd)> = Vec::new();
            for id in 0..random.u64(1..120) {
                now += [0, 0, 1, 600, 4000][random.usize(0..5)];
                books.expire(at(now));
                match random.u8(0..3) {
                    0 if !live.is_empty() => {
                        let (id, month, used, amount) =
                            live.swap_remove(random.usize(0..live.len()));
                        // A crashed holder never settles; its reservation is kept as spent.
                        let cost = match random.u8(0..4) {
                            0 => amount,
                            _ => Usd::from_pico(random.u64(0..=amount.pico())),
                        };
                        let crashed = random.u8(0..8) == 0;
                        let known = !crashed && books.settle(id, cost, at(now)).is_some();
                        truth.push((month, used, if known { cost } else { amount }));
                    }
                    _ => {
                        let used = random.usize(1..=2);
                        let amount = Usd::from_pico(random.u64(0..300));
                        if books.check(id, &budgets[..used], amount, at(now)) == Ok(true) {
                            let open = OpenReservation::new(&budgets[..used], amount, at(now));
                            live.push((id, open.month, used, amount));
                            books.open(id, open);
                        }
                    }
                }
                for budget in &budgets {
                    let (spent, reserved) = books.state(&budget.name, at(now));
                    assert!(spent + reserved <= budget.limit, "seed {seed}");
                }
            }
            // After every lease nothing is put aside for ever, and each month has what was spent in it.
            let month = Month::of(at(now));
            let end = at(now + RESERVATION_TTL.as_secs() + 1);
            books.expire(end);
            assert!(books.open.is_empty());
            truth.extend(
                live.iter()
                    .map(|(_, month, used, amount)| (*month, *used, *amount)),
            );
            if Month::of(end) == month {
                for (i, budget) in budgets.iter().enumerate() {
                    let of = |(in_month, used, amount): &(Month, usize, Usd)| {
                        (*in_month == month && *used > i).then_some(*amount)
                    };
                    let expected: Usd = truth.iter().filter_map(of).sum();
                    assert_eq!(
                        books.state(&budget.name, end),
                        (expected, Usd::ZERO),
                        "seed {seed}"
                    );
                }
            }
        }
    }
}
