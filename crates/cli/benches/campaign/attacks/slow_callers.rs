//! Heads and bodies that come byte by byte.

use crate::Result;
use crate::arena::Arena;
use crate::caller::{Caller, crowd, head};

/// Three times as long as the gateway waits, at ten bytes a second.
const DRIBBLED: usize = 60;

pub async fn attack(arena: &mut Arena) -> Result<String> {
    let n = 50 * arena.scale;
    crowd(2 * n, 200, async |i| {
        let mut caller = Caller::connect(arena.address).await?;
        let has_head = i % 2 == 0;
        if has_head {
            caller.send(&(head(1000) + "\r\n")).await;
        }
        caller.dribble(&"a".repeat(DRIBBLED)).await;
        let answer = caller.rest().await;
        match (answer.ended, answer.status()) {
            (true, Some(408)) => Ok(()),
            (true, None) if !has_head => Ok(()),
            _ => Err(format!(
                "a slow caller is still connected, or was told {:?}",
                answer.text
            )
            .into()),
        }
    })
    .await?;
    Ok(format!("{n} slow heads, {n} slow bodies"))
}
