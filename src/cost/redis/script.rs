//! The scripts and the keys of ledgers in Redis.

use std::sync::LazyLock;

use crate::Result;
use crate::cost::ledger::check_name;
use crate::cost::remote::Operation;

/// The default name of a ledger.
pub(super) const NAME: &str = "warmline";

/// Returns the script of an operation.
pub(super) fn script(operation: Operation) -> &'static str {
    static SCRIPTS: LazyLock<[String; Operation::ALL.len()]> = LazyLock::new(|| {
        let (books, windows) = (include_str!("books.lua"), include_str!("windows.lua"));
        // In the order of the operations.
        [
            [books, include_str!("reserve.lua")],
            [books, include_str!("settle.lua")],
            [books, include_str!("state.lua")],
            [windows, include_str!("take.lua")],
            [windows, include_str!("give_back.lua")],
            ["", include_str!("mark.lua")],
            ["", include_str!("marks.lua")],
        ]
        .map(|parts| {
            let lines = parts.into_iter().flat_map(str::lines).map(str::trim);
            let code = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
            code.collect::<Vec<_>>().join("\n")
        })
    });
    &SCRIPTS[operation as usize]
}

/// Checks the name of a ledger.
pub(super) fn checked_name(name: impl Into<String>) -> Result<String> {
    check_name("ledger", name.into())
}

/// Returns the key of a part of a ledger. The hash tag (the part in braces) puts all of them into the same slot of a Redis Cluster.
pub(super) fn key(name: &str, part: &str) -> String {
    ["{", name, "}:", part].concat()
}
