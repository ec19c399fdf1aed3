//! Callers that open a connection and send nothing, or nothing more.

use std::time::Duration;

use crate::Result;
use crate::arena::Arena;
use crate::caller::{Caller, crowd};

const CALLERS: usize = 1000;

pub async fn attack(arena: &mut Arena) -> Result<String> {
    let mut peak = 0;
    for _ in 0..arena.scale.min(3) {
        let callers = crowd(CALLERS, CALLERS, async |i| {
            let mut caller = Caller::connect(arena.address).await?;
            if i % 2 == 0 {
                let asked = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
                caller.send(asked).await;
                caller.response().await?;
            }
            match caller.rest().await.ended {
                true => Ok(()),
                false => {
                    let asked = if i % 2 == 0 {
                        "one request"
                    } else {
                        "no request"
                    };
                    Err(format!("a connection with {asked} is still open").into())
                }
            }
        });
        let sampling = async {
            loop {
                peak = peak.max(arena.held()?.sockets);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            closed = callers => closed.map(drop)?,
            failed = sampling => return failed,
        }
    }
    Ok(format!(
        "{CALLERS} idle callers, with {peak} sockets at most"
    ))
}
