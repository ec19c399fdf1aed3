//! Providers that are slow, flood the gateway, never end a body, or break off.

use crate::Result;
use crate::arena::Arena;
use crate::caller::{Caller, crowd, request};
use crate::provider::Fate;

pub async fn slow(arena: &mut Arena) -> Result<String> {
    let n = 5 * arena.scale;
    all_fail(arena, n, 32, &[Fate::SlowHead, Fate::SlowFrame]).await?;
    Ok(format!("{n} heads and {n} frames byte by byte"))
}

pub async fn floods(arena: &mut Arena) -> Result<String> {
    let n = 2 * arena.scale;
    let fates = [Fate::Informational, Fate::ManyHeaders, Fate::Comments];
    all_fail(arena, n, 32, &fates).await?;
    Ok(format!(
        "{n} floods of 103, {n} heads of 100,000 lines, {n} floods of comments"
    ))
}

pub async fn endless(arena: &mut Arena) -> Result<String> {
    let n = arena.scale;
    // Of each, the gateway reads up to 64 MiB.
    let fates = [Fate::FastText, Fate::Json, Fate::Frame];
    all_fail(arena, n, 6, &fates).await?;
    Ok(format!(
        "{n} streams, {n} JSON strings and {n} frames without an end"
    ))
}

pub async fn broken(arena: &mut Arena) -> Result<String> {
    let n = 20 * arena.scale;
    let fates = [Fate::HalfClosed, Fate::ResetFrame, Fate::ResetHead];
    all_fail(arena, n, 32, &fates).await?;
    Ok(format!(
        "{n} half-closed in a body, {n} reset in a frame, {n} reset in place of a head"
    ))
}

/// Makes `n` calls of each fate, every second of them streamed, and at most `at_once` at a time. None may look like a whole reply.
async fn all_fail(arena: &Arena, n: usize, at_once: usize, fates: &[Fate]) -> Result {
    crowd(fates.len() * n, at_once, async |i| {
        let fate = fates[i % fates.len()];
        let stream = (i / fates.len()).is_multiple_of(2) && fate != Fate::Json;
        let text = request(fate, stream, 64).replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let caller = Caller::sending(arena.address, &text).await?;
        let answer = caller.rest().await;
        let is_whole = answer.status().is_none() || answer.text.contains("event: message_stop");
        match answer.ended && !is_whole {
            true => Ok(()),
            false => Err(format!(
                "{fate:?}: the call has not ended, or without an error: {:?}",
                answer.text.get(..300)
            )
            .into()),
        }
    })
    .await?;
    Ok(())
}
