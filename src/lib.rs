//! A client for LLM APIs, with exact limits on connections, retries, cost tracking, budgets and streaming.
//!
//! ```no_run
//! use warmline::{Client, StreamEvent, Request};
//!
//! # async fn demo() -> warmline::Result<()> {
//! let client = Client::from_env()?; // the key of a provider, such as OPENAI_API_KEY
//! let mut stream = client.stream(Request::new().user("Why is the sky blue?").max_tokens(256));
//! while let Some(event) = stream.next().await {
//!     if let StreamEvent::Text { text } = event? {
//!         print!("{text}");
//!     }
//! }
//! println!("\n{}", client.stats());
//! # Ok(()) }
//! ```
//!
//! - [`Client`] makes calls, and [`ClientBuilder`] configures it. [`Request`], [`Reply`] and [`StreamEvent`] are the same for
//!   every [`Provider`].
//! - [`Limits`] bound the connection pool at every instant, and [`PoolStats`] reports its state.
//! - [`CostTracker`] sums up the cost of calls, and enforces monthly [`Budget`]s that cannot be overspent.
//! - [`Router`] puts several clients behind the same calls: fallback, balancing, cooldown, pacing and hedging.
//! - [`RetryPolicy`] determines which failures are retried and after which delay. [`Error`] describes a failure.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/quick-start.md")]
struct QuickStart;

#[cfg(doctest)]
#[doc = include_str!("../docs/providers.md")]
struct Providers;

#[cfg(doctest)]
#[doc = include_str!("../docs/routing.md")]
struct Routing;

mod chat;
mod client;
mod config;
mod cost;
mod credentials;
mod decimal;
pub mod dialect;
mod error;
mod framing;
mod headers;
mod millis;
mod pool;
mod provider;
mod quote;
mod retry;
mod router;
mod runtime;
mod secret;
pub mod shared;
#[cfg(test)]
mod simulation;
mod timeouts;
mod trace;
mod transport;
mod url;
mod usd;

pub use chat::{
    Annotations, CacheTtl, CallOptions, DialectName, Effort, MediaSource, Message, ModelInfo, Part,
    RawJson, Reasoning, Reply, Request, ResponseFormat, Role, StopReason, StreamEvent, Timing,
    TokenCount, Tool, ToolCall, ToolChoice, Usage,
};
pub use client::{
    Client, ClientBuilder, EventStream, ForwardResponse, HttpVersion, PassthroughResponse,
};
pub use cost::redis::*;
pub use cost::{
    Budget, BudgetAlert, BudgetExceeded, BudgetSpend, CostTracker, Ledger, MemoryLedger,
    ModelSpend, Price, PriceFactor, PriceTier, Settlement, Spend,
};
pub use credentials::{AccessToken, Credentials, TokenSource};
pub use error::{Attempt, Error, ErrorKind, Result, TimeoutKind};
pub use pool::{AlertThresholds, Histogram, Limits, PoolAlert, PoolAlertKind, PoolStats};
pub use provider::Provider;
pub use retry::RetryPolicy;
pub use router::{
    Balancing, Cooldown, Hedging, RoutedBody, Router, RouterBuilder, RouterStats, RoutingAction,
    RoutingRules, Target, TargetState, TargetStats,
};
pub use runtime::{BoxFuture, MaybeSend, MaybeSync};
pub use transport::RateLimit;
pub use usd::{Cost, ParseUsdError, Usd};
#[doc(hidden)]
pub use {chat::ByName, quote::may_be_secret, quote::quote};

runtime::native_only! {
    pub use cost::FileLedger;
}
