//! The scripts and the keys of ledgers in Redis.

use std::sync::LazyLock;

use crate::Result;
use crate::cost::ledger::check_name;

/// The default name of a ledger.
pub(super) const NAME: &str = "warmline";

/// Returns the script of an operation: `reserve`, `settle` or `state`.
pub(super) fn script(operation: &str) -> &'static str {
    static SCRIPTS: LazyLock<[String; 3]> = LazyLock::new(|| {
        [
            include_str!("reserve.lua"),
            include_str!("settle.lua"),
            include_str!("state.lua"),
        ]
        .map(|operation| {
            let lines = include_str!("books.lua").lines().chain(operation.lines());
            let code = lines
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("--"));
            code.collect::<Vec<_>>().join("\n")
        })
    });
    let [reserve, settle, state] = &*SCRIPTS;
    match operation {
        "reserve" => reserve,
        "settle" => settle,
        _ => state,
    }
}

/// Returns the keys of a ledger. The hash tag (the part in braces) puts both into the same slot of a Redis Cluster.
pub(super) fn keys(name: impl Into<String>) -> Result<[String; 2]> {
    let name = check_name("ledger", name.into())?;
    Ok(["books", "leases"].map(|key| format!("{{{name}}}:{key}")))
}
