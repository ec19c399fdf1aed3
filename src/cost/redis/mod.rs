//! Ledgers in Redis: the scripts and the layout of keys that all of them share, whichever way they come.

cfg_if::cfg_if! {
    if #[cfg(all(feature = "redis", not(target_family = "wasm")))] {
        mod native;
        pub use self::native::RedisLedger;
    }
}
mod rest;

pub use self::rest::RestLedger;

use crate::json::quote;
use crate::{Error, Result};

/// The name under which the books are kept where none is given.
const NAME: &str = "warmline";

/// The whole script that answers a question. Redis knows scripts by their text, so it is the same for all who ask.
fn script(what: &str) -> String {
    let answer = match what {
        "reserve" => include_str!("reserve.lua"),
        "settle" => include_str!("settle.lua"),
        _ => include_str!("state.lua"),
    };
    let lines = include_str!("books.lua").lines().chain(answer.lines());
    let code = lines
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("--"));
    code.collect::<Vec<_>>().join("\n")
}

/// The keys of a ledger. What stands in braces puts both into one slot of a cluster.
fn keys(name: &str) -> [String; 2] {
    ["books", "leases"].map(|key| format!("{{{name}}}:{key}"))
}

fn check_name(name: String) -> Result<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b);
    match !name.is_empty() && name.bytes().all(fits) {
        true => Ok(name),
        false => Err(Error::config(format!(
            "{} cannot name a ledger: use ASCII letters, digits and -_.:@",
            quote(&name)
        ))),
    }
}
