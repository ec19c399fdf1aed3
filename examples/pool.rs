//! Makes forty concurrent calls over at most ten connections: `cargo run --example pool`

use std::time::Duration;

use tokio::task::JoinSet;
use warmline::{Client, Request};

#[tokio::main]
async fn main() -> warmline::Result<()> {
    let client = Client::from_env()?;
    println!("warmed up {} connections", client.warm_up(5).await?);
    let mut calls = JoinSet::new();
    for n in 0..40 {
        let client = client.clone();
        calls.spawn(async move {
            client
                .chat(Request::new().user(format!("What is {n} squared?")))
                .await
        });
    }
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    while !calls.is_empty() {
        tokio::select! {
            _ = tick.tick() => println!("{}", client.stats()),
            Some(done) = calls.join_next() => {
                if let Ok(Err(error)) = done {
                    eprintln!("{error}");
                }
            }
        }
    }
    let stats = client.stats();
    println!("{stats}");
    println!(
        "opened {:?}, reused {:?}, waited for a connection: median {:?}, 99th percentile {:?}",
        stats.opened,
        stats.reused,
        stats.acquire_wait.quantile(0.5),
        stats.acquire_wait.quantile(0.99),
    );
    Ok(())
}
