//! Callers that send too much.

use crate::Result;
use crate::arena::Arena;
use crate::caller::{Answer, Caller, crowd, head, request};
use crate::provider::Fate;

pub async fn headers(arena: &mut Arena) -> Result<String> {
    let n = 20 * arena.scale;
    let many: String = (0..20_000).map(|i| format!("x-{i}: a\r\n")).collect();
    let large = format!("x-large: {}\r\n", "a".repeat(1 << 20));
    crowd(2 * n, 32, async |i| {
        let lines = [&many, &large][i % 2];
        let mut caller = Caller::sending(arena.address, &(head(0) + lines)).await?;
        caller.send("\r\n").await;
        expect(&caller.rest().await, &[431, 400])
    })
    .await?;
    Ok(format!("{n} heads of 20,000 lines, {n} of a line of 1 MiB"))
}

/// Above the gateway's maximum.
const TOO_LARGE: usize = 2 << 20;

/// The gateway holds four of these at a time, and has room for the bodies of others.
const LARGE: usize = 1_000_000;

pub async fn bodies(arena: &mut Arena) -> Result<String> {
    let n = 8 * arena.scale;
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x1_0000));
    let chunked =
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    // Of those that are sent, two can be held at a time without keeping out others.
    crowd(n, 8, async |i| {
        let mut caller = Caller::connect(arena.address).await?;
        if i % 4 != 0 {
            caller.send(&(head(TOO_LARGE) + "\r\n")).await;
        } else {
            caller.send(chunked).await;
            for _ in 0..TOO_LARGE / 0x1_0000 {
                caller.send(&chunk).await;
            }
        }
        expect(&caller.rest().await, &[413])
    })
    .await?;
    // Together they would be too large.
    let statuses = crowd(n, n, async |_| {
        let caller = Caller::sending(arena.address, &(head(LARGE) + "\r\n")).await?;
        let answer = caller.rest().await;
        expect(&answer, &[408, 503])?;
        Ok(answer.status())
    })
    .await?;
    let refused = statuses
        .iter()
        .filter(|status| **status == Some(503))
        .count();
    match refused {
        0 => Err("all large bodies were awaited at once".into()),
        _ => Ok(format!(
            "{n} bodies of 2 MiB, {n} announced ones of 1 MB of which {refused} were refused at once"
        )),
    }
}

fn expect(answer: &Answer, statuses: &[u16]) -> Result {
    let is_expected = answer
        .status()
        .is_some_and(|status| statuses.contains(&status));
    match answer.ended && is_expected {
        true => Ok(()),
        false => Err(format!("{statuses:?} was expected: {:?}", answer.text).into()),
    }
}

const PIPELINED: usize = 100;

pub async fn pipelining(arena: &mut Arena) -> Result<String> {
    let n = 4 * arena.scale;
    let one = request(Fate::Reply, false, 64);
    let last = one.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let all = one.repeat(PIPELINED - 1) + &last;
    crowd(2 * n, 8, async |i| {
        let caller = Caller::sending(arena.address, &all).await?;
        if i % 2 == 1 {
            caller.reset();
            return Ok(());
        }
        let answer = caller.rest().await;
        match answer.text.matches("HTTP/1.1 200 OK").count() {
            PIPELINED if answer.ended => Ok(()),
            n => Err(format!("{n} of {PIPELINED} pipelined requests were answered").into()),
        }
    })
    .await?;
    Ok(format!(
        "{n} connections with {PIPELINED} requests sent at once, {n} that were then reset"
    ))
}
