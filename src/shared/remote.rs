//! Shared state in Redis, beside a ledger.

use std::time::Duration;

use super::{MAX_MARK, Quota, QuotaExceeded, QuotaState, SharedState, Taken};
use crate::Result;
use crate::cost::remote::{LedgerTransport, Operation, malformed};
use crate::runtime::{self, BoxFuture};

fn number(value: Option<&String>) -> Result<u64> {
    let value = value.map_or("", String::as_str);
    value.parse().map_err(|_| malformed("a number", value))
}

fn milliseconds(value: Option<&String>) -> Result<Duration> {
    number(value).map(Duration::from_millis)
}

fn window_keys(state: &impl LedgerTransport, amounts: &[(Quota, u64)]) -> Vec<String> {
    let names = amounts.iter().map(|(quota, _)| &quota.name);
    names
        .map(|name| state.key(&["quota:", name].concat()))
        .collect()
}

fn mark_key(state: &impl LedgerTransport, key: &str) -> String {
    state.key(&["mark:", key].concat())
}

/// Reads the answer to `take`. An amount of index `never` is above its limit.
fn read_taken(answer: &[String], never: Option<usize>) -> Result<Result<Taken, QuotaExceeded>> {
    let mut states = Vec::with_capacity(answer.len() / 2);
    for pair in answer.get(3..).unwrap_or_default().chunks(2) {
        states.push(QuotaState {
            used: number(pair.first())?,
            reset: milliseconds(pair.get(1))?,
        });
    }
    if let Some(index) = never {
        return Ok(Err(QuotaExceeded {
            index,
            retry_after: None,
            states,
        }));
    }
    let at = number(answer.first())?;
    Ok(match number(answer.get(1))?.checked_sub(1) {
        None => Ok(Taken { at, states }),
        Some(index) => Err(QuotaExceeded {
            index: index as usize,
            retry_after: Some(milliseconds(answer.get(2))?),
            states,
        }),
    })
}

impl<R: LedgerTransport> SharedState for R {
    fn take<'a>(
        &'a self,
        amounts: &'a [(Quota, u64)],
    ) -> BoxFuture<'a, Result<Result<Taken, QuotaExceeded>>> {
        let never = amounts
            .iter()
            .position(|(quota, amount)| *amount > quota.limit);
        let args = amounts.iter().flat_map(|(quota, amount)| {
            // If one can never fit, the others are not taken either.
            let amount = if never.is_some() { 0 } else { *amount };
            [amount, quota.limit, quota.period_ms()].map(|number| number.to_string())
        });
        let keys = window_keys(self, amounts);
        let answer = runtime::within(self.call(Operation::Take, keys, args.collect()));
        Box::pin(async move { read_taken(&answer.await?, never) })
    }

    fn give_back(&self, amounts: &[(Quota, u64)], at: u64) -> BoxFuture<'static, Result<()>> {
        let mut args = vec![at.to_string()];
        for (quota, amount) in amounts {
            args.extend([*amount, quota.period_ms()].map(|number| number.to_string()));
        }
        let keys = window_keys(self, amounts);
        let answer = runtime::within(self.call(Operation::GiveBack, keys, args));
        Box::pin(async move { answer.await.map(drop) })
    }

    fn mark(&self, key: &str, time: Duration) -> BoxFuture<'static, Result<()>> {
        // A part of a millisecond must not remove the mark.
        let ms = time.min(MAX_MARK).as_micros().div_ceil(1000);
        let keys = vec![mark_key(self, key)];
        let answer = runtime::within(self.call(Operation::Mark, keys, vec![ms.to_string()]));
        Box::pin(async move { answer.await.map(drop) })
    }

    fn marks(&self, keys: &[String]) -> BoxFuture<'static, Result<Vec<Duration>>> {
        let keys = keys.iter().map(|key| mark_key(self, key)).collect();
        let answer = runtime::within(self.call(Operation::Marks, keys, Vec::new()));
        Box::pin(async move {
            let answer = answer.await?;
            answer.iter().map(|left| milliseconds(Some(left))).collect()
        })
    }
}
