//! Helpers for the integration tests.
#![allow(dead_code, unreachable_pub)]

pub mod expected;
pub mod log;
pub mod money;

use std::time::Duration;

use tokio::net::TcpListener;
use warmline::{Client, ClientBuilder, Limits, Provider, Request};
use warmline_sim::{Config, Sim};

pub async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

pub fn builder(sim: &Sim) -> ClientBuilder {
    Client::builder(Provider::Anthropic)
        .api_key("sk-ant-secret-0001")
        .base_url(sim.anthropic_url())
        .no_proxy()
}

pub fn client(sim: &Sim) -> Client {
    builder(sim).build().unwrap()
}

pub fn limits(max_connections: usize, max_keepalive_connections: usize) -> Limits {
    Limits {
        max_connections,
        max_keepalive_connections,
        ..Limits::default()
    }
}

/// A request that the simulator answers according to the scenario in the model's name.
pub fn ask(scenario: &str) -> Request {
    Request::new()
        .user("hello")
        .max_tokens(10_000)
        .model(format!("claude-test?{scenario}"))
}

/// Waits until the pool's statistics are as expected, because a connection is released shortly after its call returns.
pub async fn stats_become(client: &Client, expected: &str) {
    let as_expected = async {
        while client.stats().to_string() != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(5), as_expected)
        .await
        .is_err()
    {
        assert_eq!(client.stats().to_string(), expected);
    }
}

/// Asserts that no further connection has arrived at a server.
#[track_caller]
pub fn nobody_connects(listener: TcpListener) {
    let accepted = listener.into_std().unwrap().accept().unwrap_err();
    assert_eq!(accepted.kind(), std::io::ErrorKind::WouldBlock);
}

/// The pool's line.
pub fn line(client: &Client) -> String {
    client.stats().to_string()
}

/// Starts a call.
pub fn call(
    client: &Client,
    scenario: &'static str,
) -> tokio::task::JoinHandle<warmline::Result<warmline::Reply>> {
    let client = client.clone();
    tokio::spawn(async move { client.chat(ask(scenario)).await })
}
