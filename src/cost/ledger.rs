use super::Usd;
use crate::quote::quote;
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};
use crate::{Error, Result};

/// A spending limit for each calendar month (UTC).
///
/// Trackers that use the same ledger and the same name share the budget.
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
    /// The name of the budget in its ledger.
    pub name: String,
    /// The maximum that may be spent in a month.
    pub limit: Usd,
}

impl Budget {
    /// Returns a budget with a monthly limit.
    ///
    /// # Errors
    /// `Config` if the name is empty, has more than 128 bytes, or contains characters other than ASCII letters, digits and
    /// `-_.:@`.
    ///
    /// ```
    /// assert!(warmline::Budget::monthly("team a", warmline::Usd::ZERO).is_err());
    /// ```
    pub fn monthly(name: impl Into<String>, limit: Usd) -> Result<Self> {
        let name = check_name("budget", name.into())?;
        Ok(Self { name, limit })
    }
}

/// The name of the budget of `LLM_BUDGET_LIMIT`.
pub(crate) const DEFAULT_BUDGET: &str = "default";

/// The maximum length of a name, in bytes.
const MAX_NAME: usize = 128;

/// Returns the name if every ledger can store it: names become fields of lines, arguments and keys.
pub(super) fn check_name(what: &str, name: String) -> Result<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b);
    match (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(name),
        false => Err(Error::config(format!(
            "{} cannot name a {what}: use 1 to {MAX_NAME} ASCII letters, digits and -_.:@",
            quote(&name)
        ))),
    }
}

/// The first budget that a reservation does not fit into.
///
/// ```
/// # fn demo(denied: warmline::BudgetExceeded) {
/// println!("{} of {} spent, {} reserved", denied.spent, denied.budget.limit, denied.reserved);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetExceeded {
    /// The budget.
    pub budget: Budget,
    /// The amount spent this month.
    pub spent: Usd,
    /// The amount reserved by calls in flight.
    pub reserved: Usd,
}

/// Storage for reservations and for the amounts spent.
///
/// [`MemoryLedger`](crate::MemoryLedger) serves one process, [`FileLedger`](crate::FileLedger) the processes of one machine.
/// Implement this trait for any other storage.
///
/// A ledger guarantees that spent + reserved never exceeds a budget's limit, however many calls reserve at once. A reservation
/// has a time to live. When it expires without having been settled, its whole amount counts as spent. The cost of a call
/// counts towards the month in which the call was reserved.
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
    /// Reserves an amount in every budget, or in none of them.
    ///
    /// The caller draws `id` at random. Reserving an id that is already open changes nothing, so a caller that got no answer
    /// can repeat the request.
    ///
    /// The inner result is the first budget that the amount does not fit into, if there is one.
    ///
    /// # Errors
    /// If the ledger cannot be reached or read. The amount may have been reserved in that case.
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>>;

    /// Settles a reservation: replaces the reserved amount with the amount spent.
    ///
    /// An id that is not open, because the reservation has expired or is settled already, changes nothing.
    fn settle(&self, id: u64, amount: Usd) -> Settlement;

    /// Returns the amount spent of a budget this month and the amount reserved.
    ///
    /// # Errors
    /// If the ledger cannot be reached or read.
    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>>;
}

/// The outcome of [`Ledger::settle`]: the amounts that are then spent this month of the reservation's budgets, in their order.
///
/// The list is empty if the reservation was not open or belongs to another month.
///
/// ```
/// use warmline::{Ledger, MemoryLedger, Settlement, Usd};
///
/// let Settlement::Done(Ok(spent)) = MemoryLedger::default().settle(7, Usd::ZERO) else { panic!() };
/// assert!(spent.is_empty());
/// ```
pub enum Settlement {
    /// The settlement has succeeded or failed.
    Done(Result<Vec<Usd>>),
    /// The settlement is in progress. The tracker awaits it in the background, so that the call can return before it is done.
    Pending(BoxFuture<'static, Result<Vec<Usd>>>),
}
