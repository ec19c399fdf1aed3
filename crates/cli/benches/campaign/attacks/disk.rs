//! No room for the ledger.

use std::time::{Duration, Instant};

use crate::arena::{Arena, fill};
use crate::caller::{Caller, PATIENCE, request};
use crate::honest::{self, Outcome};
use crate::provider::Fate;
use crate::{Failure, Result};

/// More than the ledger's last page has room for.
const MAX_CALLS: usize = 2000;

pub async fn attack(arena: &mut Arena) -> Result<String> {
    let http = honest::http()?;
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..arena.scale {
        // They have reserved when the disk fills up, and end when it is full.
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream =
                Caller::sending(arena.address, &request(Fate::Text, true, 2000)).await?;
            stream.read(300).await;
            streams.push(stream);
        }
        let filler = fill(&arena.ledger_folder())?;
        let mut refused_now = 0;
        for _ in 0..MAX_CALLS {
            match honest::call(&http, arena.address, false).await? {
                Outcome::Whole => whole += 1,
                Outcome::Refused(503) => refused_now += 1,
                Outcome::Refused(status) => {
                    return Err(format!("a call was refused with {status}").into());
                }
            }
            if refused_now == 5 {
                break;
            }
        }
        if refused_now == 0 {
            return Err("no call was refused on a full disk".into());
        }
        refused += refused_now;
        drop(streams);
        // Their settlements fail.
        tokio::time::sleep(Duration::from_millis(200)).await;
        std::fs::remove_file(filler)?;
        let begun = Instant::now();
        while honest::call(&http, arena.address, true).await? != Outcome::Whole {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::from("calls are still refused when there is room"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(format!(
        "the disk was full {} times: {whole} calls still had room, {refused} were refused with 503",
        arena.scale
    ))
}
