//! A router: several clients behind the calls of one.

mod balancing;
mod builder;
mod call;
mod calls;
mod choice;
mod conversation;
mod exchange;
mod fetch;
mod handle;
mod health;
mod hedging;
mod homes;
mod latency;
mod leg;
mod lookup;
mod pacing;
mod routed_body;
mod rules;
mod sharing;
#[cfg(test)]
mod simulation;
mod state;
mod stats;
mod target;
#[cfg(test)]
mod tests;

pub use self::balancing::Balancing;
pub use self::builder::RouterBuilder;
pub use self::handle::Router;
pub use self::health::Cooldown;
pub use self::hedging::Hedging;
pub use self::routed_body::RoutedBody;
pub use self::rules::{RoutingAction, RoutingRules};
pub use self::stats::{RouterStats, TargetState, TargetStats};
pub use self::target::Target;
