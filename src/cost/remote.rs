//! What the ledgers on other machines have in common: the words in which they are asked and answer.

use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::json::quote;
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};
use crate::{Error, ErrorKind, Result, runtime};

/// How the words get there and back.
pub(crate) trait LedgerTransport: MaybeSend + MaybeSync {
    /// Asks for one of `reserve`, `settle` and `state`. Amounts are whole pico-dollars.
    fn call(
        &self,
        what: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>>;
}

/// No number in a remote ledger is larger: Redis adds in 64 bits with a sign.
const MOST: u64 = i64::MAX as u64;

fn pico(amount: Usd) -> String {
    amount.pico().min(MOST).to_string()
}

fn usd(word: Option<&String>) -> Result<Usd> {
    let word = word.map_or("", String::as_str);
    let pico = word.parse().map(Usd::from_pico);
    pico.map_err(|_| foreign(word))
}

fn foreign(word: &str) -> Error {
    let word = quote(word);
    Error::new(
        ErrorKind::Decode,
        ["the ledger answers ", &word, ", which is no amount"].concat(),
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
                budget: budget.ok_or_else(|| foreign(name))?.clone(),
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
