//! The protocol of remote ledgers: operations with arguments and results as strings.

use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::quote::quote;
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};
use crate::{Error, ErrorKind, Result, runtime};

/// The transport of a remote ledger. A type that implements it is a [`Ledger`].
pub(crate) trait LedgerTransport: MaybeSend + MaybeSync {
    /// Calls an operation: `reserve`, `settle` or `state`. Amounts are whole pico-dollars.
    fn call(
        &self,
        operation: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>>;
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

fn malformed(expected: &str, value: &str) -> Error {
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
        let answer = runtime::within(self.call("reserve", args));
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
        let answer = runtime::within(self.call("settle", vec![id.to_string(), pico(amount)]));
        Settlement::Pending(Box::pin(async move {
            answer.await?.iter().map(|spent| usd(Some(spent))).collect()
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let answer = runtime::within(self.call("state", vec![budget.to_owned()]));
        Box::pin(async move {
            let answer = answer.await?;
            Ok((usd(answer.first())?, usd(answer.get(1))?))
        })
    }
}
