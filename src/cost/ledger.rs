use super::Usd;
use crate::json::quote;
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};
use crate::{Error, Result};

/// A limit on what is spent in a calendar month (UTC), under a name that those who share it have in common.
///
/// ```
/// use warmline::Budget;
///
/// let budget = Budget::monthly("team-a", "50".parse()?)?;
/// assert_eq!(budget.limit.to_string(), "50");
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Its name in the ledger.
    pub name: String,
    /// The most that may be spent in a month.
    pub limit: Usd,
}

impl Budget {
    /// A budget of so much a month.
    ///
    /// # Errors
    /// `Config` where the name is empty or has other characters than ASCII letters, digits and `-_.:@`.
    ///
    /// ```
    /// assert!(warmline::Budget::monthly("team a", warmline::Usd::ZERO).is_err());
    /// ```
    pub fn monthly(name: impl Into<String>, limit: Usd) -> Result<Self> {
        let name = check_name("budget", name.into())?;
        Ok(Self { name, limit })
    }
}

/// What can stand in every ledger's lines, words and keys.
pub(super) fn check_name(what: &str, name: String) -> Result<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b);
    match !name.is_empty() && name.bytes().all(fits) {
        true => Ok(name),
        false => Err(Error::config(format!(
            "{} cannot name a {what}: use ASCII letters, digits and -_.:@",
            quote(&name)
        ))),
    }
}

/// Why a ledger put nothing aside: the first budget that has not enough left.
///
/// ```
/// # fn demo(denied: warmline::BudgetExceeded) {
/// println!("{} of {} are spent, {} reserved", denied.spent, denied.budget.limit, denied.reserved);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetExceeded {
    /// The budget.
    pub budget: Budget,
    /// What is spent of it this month.
    pub spent: Usd,
    /// What calls under way have put aside.
    pub reserved: Usd,
}

/// Where reservations live: [`MemoryLedger`] for one process, [`FileLedger`](crate::FileLedger) for the processes of a machine,
/// or one's own.
///
/// A ledger promises that spent + reserved passes no budget's limit, however many reserve at once. A reservation
/// is a lease: that of a holder who is gone is kept as spent when it expires, not returned. A call belongs to the month
/// in which it was reserved.
///
/// ```
/// use std::time::SystemTime;
/// use warmline::{Budget, Ledger, MemoryLedger};
///
/// # async fn demo() -> warmline::Result<()> {
/// let ledger = MemoryLedger::default();
/// let budgets = [Budget::monthly("mine", "1".parse()?)?];
/// assert!(ledger.reserve(1, &budgets, "0.6".parse()?).await?.is_ok());
/// assert!(ledger.reserve(2, &budgets, "0.6".parse()?).await?.is_err());
/// ledger.settle(1, "0.1".parse()?);
/// assert!(ledger.reserve(3, &budgets, "0.6".parse()?).await?.is_ok());
/// # Ok(()) }
/// ```
pub trait Ledger: MaybeSend + MaybeSync {
    /// Puts an amount aside in each of the budgets, or in none, under a number that the caller draws at random. One that is
    /// there by its number already is not put aside twice, so that who has heard no answer can ask again.
    ///
    /// # Errors
    /// That the ledger cannot be reached or read. Whether the amount is put aside is not known then.
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>>;

    /// Puts what a call came to in place of what was put aside for it. One that is not known, since it has expired or
    /// is settled, stays as it is.
    fn settle(&self, id: u64, amount: Usd) -> Settlement;

    /// What is spent of a budget this month, and what is put aside.
    ///
    /// # Errors
    /// That the ledger cannot be reached or read.
    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>>;
}

/// A settlement: what is then spent this month of each of the reservation's budgets, in their order; nothing where the
/// reservation was not known or of another month.
///
/// ```
/// use warmline::{Ledger, MemoryLedger, Settlement, Usd};
///
/// let Settlement::Done(Ok(spent)) = MemoryLedger::default().settle(7, Usd::ZERO) else { panic!() };
/// assert!(spent.is_empty());
/// ```
pub enum Settlement {
    /// It is done, or has failed.
    Done(Result<Vec<Usd>>),
    /// A remote ledger has yet to answer; a thread in the background awaits it, so that the call's caller need not.
    Pending(BoxFuture<'static, Result<Vec<Usd>>>),
}
