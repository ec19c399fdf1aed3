//! More callers than the gateway has file descriptors.

use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::caller::{Caller, PATIENCE, request};
use crate::honest::{self, Outcome};
use crate::provider::Fate;
use crate::{Failure, Result};

const CALLERS: usize = 128;

pub async fn attack(arena: &mut Arena) -> Result<String> {
    let mut stream = Caller::sending(arena.address, &request(Fate::Text, true, 4000)).await?;
    stream.read(300).await;
    let mut callers = Vec::new();
    let begun = Instant::now();
    while !arena
        .gateway
        .log()
        .contains("connections cannot be accepted")
    {
        if begun.elapsed() > PATIENCE {
            return Err("it is not logged that no file descriptors are left".into());
        }
        // Idle ones are closed by the gateway, so there must be new ones.
        if callers.len() >= CALLERS {
            callers.clear();
        }
        callers.push(Caller::connect(arena.address).await?);
        // Those that have left wait in the listener's queue, which must not overflow.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let read = stream.read(2000).await;
    if read.len() < 2000 {
        return Err(format!("a stream that was open has ended after {read:?}").into());
    }
    drop((stream, callers));
    let http = honest::http()?;
    loop {
        match honest::call(&http, arena.address, true).await? {
            Outcome::Whole => break,
            Outcome::Refused(_) if begun.elapsed() < PATIENCE => {}
            Outcome::Refused(status) => {
                return Err(Failure::from(format!("it still answers {status}")));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(format!(
        "{CALLERS} callers of a gateway that may open 64 files"
    ))
}
