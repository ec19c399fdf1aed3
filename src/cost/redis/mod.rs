//! Ledgers in Redis: the scripts and the layout of keys that all of them share, whichever way they come.

mod rest;

use std::sync::LazyLock;

pub use self::rest::RestLedger;
use super::ledger::check_name;
use crate::Result;

cfg_if::cfg_if! {
    if #[cfg(all(feature = "redis", not(target_family = "wasm")))] {
        mod native;
        pub use self::native::RedisLedger;

        /// A tracker with its books in the Redis at a URL.
        pub(crate) fn connected(tracker: crate::CostTracker, url: &str) -> Result<crate::CostTracker> {
            Ok(tracker.ledger(RedisLedger::open(url)?))
        }
    } else {
        pub(crate) fn connected(_tracker: crate::CostTracker, _url: &str) -> Result<crate::CostTracker> {
            let message = "a ledger in a Redis needs the crate's feature `redis`, and a target other than WebAssembly; without it there are files, and Redis over REST";
            Err(crate::Error::config(message))
        }
    }
}

/// The name under which the books are kept where none is given.
const NAME: &str = "warmline";

/// The whole script that answers a question.
fn script(what: &str) -> &'static str {
    static SCRIPTS: LazyLock<[String; 3]> = LazyLock::new(|| {
        [
            include_str!("reserve.lua"),
            include_str!("settle.lua"),
            include_str!("state.lua"),
        ]
        .map(|answer| {
            let lines = include_str!("books.lua").lines().chain(answer.lines());
            let code = lines
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("--"));
            code.collect::<Vec<_>>().join("\n")
        })
    });
    let [reserve, settle, state] = &*SCRIPTS;
    match what {
        "reserve" => reserve,
        "settle" => settle,
        _ => state,
    }
}

/// The keys of a ledger. What stands in braces puts both into one slot of a cluster.
fn keys(name: impl Into<String>) -> Result<[String; 2]> {
    let name = check_name("ledger", name.into())?;
    Ok(["books", "leases"].map(|key| format!("{{{name}}}:{key}")))
}
