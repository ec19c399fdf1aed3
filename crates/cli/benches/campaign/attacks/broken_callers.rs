//! Callers that half-close or reset their connection, leave, or do not read.

use std::time::Duration;

use crate::Result;
use crate::arena::Arena;
use crate::caller::{Caller, crowd, head, request};
use crate::provider::Fate;

pub async fn half_close_and_reset(arena: &mut Arena) -> Result<String> {
    let n = 20 * arena.scale;
    let whole = request(Fate::Reply, true, 64);
    let endless = request(Fate::Text, true, 2000);
    let half_body = head(1000) + "\r\n{";
    let texts = [&whole[..20], &half_body, &whole, &endless];
    crowd(texts.len() * n, 32, async |i| {
        let text = texts[i % texts.len()];
        let mut caller = Caller::sending(arena.address, text).await?;
        caller.half_close().await;
        if text == endless {
            // Whoever has half-closed may still read, so this call lasts for as long as it is read.
            caller.read(300).await;
            return Ok(());
        }
        let answer = caller.rest().await;
        match answer.ended {
            true => Ok(()),
            false => Err(format!("a half-closed connection is still open after {text:?}").into()),
        }
    })
    .await?;
    crowd(texts.len() * n, 32, async |i| {
        let mut caller = Caller::sending(arena.address, texts[i % texts.len()]).await?;
        match i % 3 {
            0 => {}
            1 => tokio::time::sleep(Duration::from_millis(5)).await,
            _ if i % texts.len() == 3 => drop(caller.read(300).await),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        caller.reset();
        Ok(())
    })
    .await?;
    let n = texts.len() * n;
    Ok(format!("{n} half-closed connections, {n} resets"))
}

pub async fn leave(arena: &mut Arena) -> Result<String> {
    let n = 60 * arena.scale;
    let text = request(Fate::Text, true, 2000);
    crowd(n, 32, async |i| {
        let mut caller = Caller::sending(arena.address, &text).await?;
        // Some leave before the head, others within the stream.
        let bytes = [0, 1, 300, 3000][i % 4];
        match caller.read(bytes).await {
            read if read.len() < bytes => Err(format!("a stream has ended after {read:?}").into()),
            _ => Ok(()),
        }
    })
    .await?;
    Ok(format!("{n} callers left their streams"))
}

/// Callers that read nothing of a stream that fills every buffer.
pub async fn do_not_read(arena: &mut Arena) -> Result<String> {
    let (rounds, at_once) = (arena.scale, 8);
    let text = request(Fate::FastText, true, 64);
    for _ in 0..rounds {
        let abandoned = |stats: &serde_json::Value| {
            let calls = &stats["providers"]["anthropic"]["calls"];
            calls["abandoned"].as_u64().unwrap_or_default()
        };
        let before = abandoned(&arena.stats().await?);
        let mut callers = Vec::new();
        for _ in 0..at_once {
            let mut caller = Caller::with_small_buffer(arena.address).await?;
            caller.send(&text).await;
            callers.push(caller);
        }
        arena
            .until(|stats| abandoned(stats) >= before + at_once)
            .await?;
        for caller in callers {
            let answer = caller.rest().await;
            if !answer.ended || answer.text.contains("message_stop") {
                return Err("a reply that was not read has ended as if it were whole".into());
            }
        }
    }
    let n = rounds as u64 * at_once;
    Ok(format!("{n} callers read nothing of a stream"))
}
