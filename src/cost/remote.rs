//! The protocol of remote ledgers: operations with arguments and results as strings.

use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::quote::quote;
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};
use crate::{Error, ErrorKind, Result, runtime};

/// The operations of a remote ledger, and of the shared state beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Reserve,
    Settle,
    State,
    Take,
    GiveBack,
    Mark,
    Marks,
}

impl Operation {
    /// All of them, in their order.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) const ALL: [Self; 7] = [
        Self::Reserve,
        Self::Settle,
        Self::State,
        Self::Take,
        Self::GiveBack,
        Self::Mark,
        Self::Marks,
    ];
}

/// The transport of a remote ledger. A type that implements it is a [`Ledger`], and a [`SharedState`](crate::shared::SharedState).
pub(crate) trait LedgerTransport: MaybeSend + MaybeSync {
    /// Returns the key of a part of the ledger.
    fn key(&self, part: &str) -> String;

    /// Calls an operation.
    fn call(
        &self,
        operation: Operation,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>>;
}

/// Calls an operation of a ledger. Amounts are whole pico-dollars.
fn call(
    ledger: &impl LedgerTransport,
    operation: Operation,
    args: Vec<String>,
) -> BoxFuture<'static, Result<Vec<String>>> {
    let keys = ["books", "leases"].map(|part| ledger.key(part));
    ledger.call(operation, keys.to_vec(), args)
}

/// The maximum amount in a remote ledger, in pico-dollars: Redis adds signed 64-bit integers.
const MAX_PICO: u64 = i64::MAX as u64;

fn pico(amount: Usd) -> String {
    amount.pico().min(MAX_PICO).to_string()
}

fn usd(value: Option<&String>) -> Result<Usd> {
    let value = value.map_or("", String::as_str);
    let pico = value.parse().map(Usd::from_pico);
    pico.map_err(|_| malformed("an amount in pico-dollars", value))
}

pub(crate) fn malformed(expected: &str, value: &str) -> Error {
    let value = quote(value);
    Error::new(
        ErrorKind::Ledger,
        ["the ledger returned ", &value, " instead of ", expected].concat(),
    )
}

impl<R: LedgerTransport> Ledger for R {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        let mut args = vec![id.to_string(), pico(amount)];
        for budget in budgets {
            args.push(budget.name.clone());
            args.push(pico(budget.limit));
        }
        let answer = runtime::within(call(self, Operation::Reserve, args));
        Box::pin(async move {
            let answer = answer.await?;
            let Some(name) = answer.first() else {
                return Ok(Ok(()));
            };
            let budget = budgets.iter().find(|budget| budget.name == *name);
            Ok(Err(BudgetExceeded {
                budget: budget
                    .ok_or_else(|| malformed("the name of a budget", name))?
                    .clone(),
                spent: usd(answer.get(1))?,
                reserved: usd(answer.get(2))?,
            }))
        })
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        let answer = runtime::within(call(
            self,
            Operation::Settle,
            vec![id.to_string(), pico(amount)],
        ));
        Settlement::Pending(Box::pin(async move {
            answer.await?.iter().map(|spent| usd(Some(spent))).collect()
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let answer = runtime::within(call(self, Operation::State, vec![budget.to_owned()]));
        Box::pin(async move {
            let answer = answer.await?;
            Ok((usd(answer.first())?, usd(answer.get(1))?))
        })
    }
}
