//! What every ledger in Redis shares: its scripts and the layout of its keys.

use std::sync::LazyLock;

use crate::Result;
use crate::cost::ledger::check_name;

/// The default name of a ledger.
pub(super) const NAME: &str = "warmline";

/// Returns the script of an operation: `reserve`, `settle` or `state`.
pub(super) fn script(what: &str) -> &'static str {
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

/// Returns the keys of a ledger. The part in braces puts both into the same slot of a Redis Cluster.
pub(super) fn keys(name: impl Into<String>) -> Result<[String; 2]> {
    let name = check_name("ledger", name.into())?;
    Ok(["books", "leases"].map(|key| format!("{{{name}}}:{key}")))
}
