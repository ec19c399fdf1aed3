//! `kill -9` amid calls, and a restart on the same ledger.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::Result;
use crate::arena::Arena;
use crate::caller::{Caller, request};
use crate::honest::{self, Outcome};
use crate::provider::Fate;

/// The callers of short replies, and as many of long streams.
const CALLERS: usize = 8;

/// The number of replies after which the gateway is killed.
const REPLIES: usize = 20;

/// More calls than the budget pays for.
const MAX_CALLS: usize = 10_000;

pub async fn attack(arena: &mut Arena) -> Result<String> {
    let rounds = 3 * arena.scale;
    let http = honest::http()?;
    for round in 0..rounds {
        let (address, replies) = (arena.address, AtomicUsize::new(0));
        let mut streams = Vec::new();
        for _ in 0..CALLERS {
            let mut stream = Caller::sending(address, &request(Fate::Text, true, 1000)).await?;
            stream.read(300).await;
            streams.push(stream);
        }
        // All but the last of them have another call under way when the gateway is killed.
        let calling = crate::caller::crowd(CALLERS, CALLERS, async |_| {
            loop {
                match honest::call(&http, address, true).await? {
                    Outcome::Whole => replies.fetch_add(1, Relaxed),
                    outcome => return Err(format!("{outcome:?} within the budget").into()),
                };
                if replies.load(Relaxed) >= REPLIES + round {
                    return Ok(());
                }
            }
        });
        let enough = async {
            while replies.load(Relaxed) < REPLIES + round {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            called = calling => called.map(drop)?,
            () = enough => {}
        }
        arena.kill_and_restart().await?;
        drop(streams);
        within_budget(arena).await?;
    }
    let mut whole = 0;
    for _ in 0..MAX_CALLS {
        match honest::call(&http, arena.address, true).await? {
            Outcome::Whole => whole += 1,
            Outcome::Refused(_) => {
                within_budget(arena).await?;
                return Ok(format!(
                    "killed {rounds} times with {CALLERS} streams open, then {whole} calls until the budget was spent"
                ));
            }
        }
    }
    Err(format!("{MAX_CALLS} calls were answered, and the budget is not spent").into())
}

async fn within_budget(arena: &Arena) -> Result {
    let billed = arena.provider.billed();
    let budget = arena.budget().await?;
    let charged = budget.spent + budget.reserved;
    match billed <= charged && charged <= budget.limit {
        true => Ok(()),
        false => Err(format!("{billed} pico-dollars are billed, and {budget:?}").into()),
    }
}
