//! Callers: they ask for replies and streams, read slowly, and leave.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::network::Random;
use crate::{Client, ErrorKind, Request, Result};

/// How a call ended for its caller.
#[derive(Debug)]
pub(crate) enum Ending {
    Answered,
    Failed(ErrorKind),
    /// The caller left before the end.
    Left,
}

/// Makes one call at a random time, in a random way.
pub(crate) async fn call(client: Client, random: Random, patient: bool) -> Ending {
    sleep(random.millis(0..5_000)).await;
    let (form, most, padding) = random.with(|random| {
        let most = if random.bool() {
            random.u32(1..50)
        } else {
            random.u32(1..4_000)
        };
        (random.u32(0..4), most, random.usize(0..4_000))
    });
    let leaves = match !patient && random.chance(25) {
        true => random.millis(0..40_000),
        false => Duration::MAX,
    };
    let request = Request::new()
        .user("x".repeat(padding + 1))
        .max_tokens(most);
    let call = async {
        match form {
            0 => client.chat(request).await.map(drop),
            1 => passthrough(&client, most, padding).await,
            _ => stream(&client, request, &random, form == 2).await,
        }
    };
    match timeout(leaves, call).await {
        Ok(Ok(())) => Ending::Answered,
        Ok(Err(error)) => Ending::Failed(error.kind().clone()),
        Err(_) => Ending::Left,
    }
}

async fn stream(client: &Client, request: Request, random: &Random, slow: bool) -> Result<()> {
    let mut stream = client.stream(request);
    let mut ends = 0;
    let mut result = Ok(());
    while let Some(event) = stream.next().await {
        match event {
            Ok(crate::StreamEvent::Done { .. }) => ends += 1,
            Ok(_) if slow => sleep(random.millis(0..200)).await,
            Ok(_) => {}
            Err(error) => {
                ends += 1;
                result = Err(error);
            }
        }
    }
    assert_eq!(ends, 1, "a stream ends once");
    assert!(stream.next().await.is_none());
    result
}

async fn passthrough(client: &Client, most: u32, padding: usize) -> Result<()> {
    let text = "x".repeat(padding + 1);
    let body = format!(
        r#"{{"model":"simulated","messages":[{{"role":"user","content":"{text}"}}],"max_completion_tokens":{most},"stream":true}}"#
    );
    let mut response = client.passthrough(body, []).await?;
    while let Some(bytes) = response.chunk().await {
        bytes?;
    }
    assert!(
        response.reply().is_some(),
        "a passthrough without an error has a reply"
    );
    Ok(())
}
