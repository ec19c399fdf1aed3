//! The line format of a file ledger. Each line ends with a space and a checksum of the text before it.
//!
//! - `warmline-ledger VERSION ID GENERATION`: the header, which is the first line. The id is drawn at random when the ledger is
//!   created; the generation counts its rewrites.
//! - `R ID MONTH EXPIRES AMOUNT BUDGET,BUDGET`: a reservation.
//! - `S ID AMOUNT`: a settlement.
//! - `T MONTH BUDGET AMOUNT`: the amount spent of a budget.
//!
//! Ids are hexadecimal. Months are counted from January of year 0, `EXPIRES` is in seconds since 1970, and amounts are in
//! pico-dollars.

use std::time::SystemTime;

use super::super::ledger_state::{LedgerState, Month, OpenReservation};
use crate::Usd;

const MAGIC: &str = "warmline-ledger";
pub(super) const VERSION: u32 = 1;

/// The identity of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u64,
    pub(super) generation: u64,
}

impl Header {
    pub(super) fn line(self) -> String {
        let Self { id, generation } = self;
        line(&format!("{MAGIC} {VERSION} {id:016x} {generation}"))
    }
}

/// The first line of a file, which shows what the file is.
pub(super) enum FirstLine {
    /// A ledger. The number is the length of the header in bytes.
    Header(Header, u64),
    /// A ledger in the original format, which had no header.
    Headerless,
    /// A ledger in another version of the format.
    Version(u32),
    Damaged,
    /// An empty file.
    Empty,
    /// Not a ledger.
    Foreign,
}

impl FirstLine {
    pub(super) fn parse(line: &[u8]) -> Self {
        if line.is_empty() {
            return Self::Empty;
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            return Self::Foreign;
        };
        if apply(&mut LedgerState::default(), text, SystemTime::UNIX_EPOCH).is_some() {
            return Self::Headerless;
        }
        let text = String::from_utf8_lossy(text);
        let mut fields = text.split(' ');
        if fields.next() != Some(MAGIC) {
            return Self::Foreign;
        }
        // The checksum is checked only for this version, because another one may compute it differently.
        match fields.next().map(str::parse) {
            Some(Ok(VERSION)) => match header(text.as_bytes()) {
                Some(header) => Self::Header(header, line.len() as u64),
                None => Self::Damaged,
            },
            Some(Ok(version)) => Self::Version(version),
            _ => Self::Damaged,
        }
    }
}

fn header(line: &[u8]) -> Option<Header> {
    let mut fields = checked(line)?.split(' ').skip(2);
    let id = u64::from_str_radix(fields.next()?, 16).ok()?;
    let generation = fields.next()?.parse().ok()?;
    Some(Header { id, generation })
}

pub(super) fn reservation(id: u64, open: &OpenReservation) -> String {
    let OpenReservation {
        month,
        budgets,
        amount,
        expires,
    } = open;
    let budgets = budgets.join(",");
    line(&format!(
        "R {id:x} {} {expires} {} {budgets}",
        month.0,
        amount.pico()
    ))
}

pub(super) fn settlement(id: u64, amount: Usd) -> String {
    line(&format!("S {id:x} {}", amount.pico()))
}

/// Returns the lines that restore a state.
pub(super) fn snapshot(state: &LedgerState) -> impl Iterator<Item = String> {
    let months = state.accounts.iter();
    let spent = months.flat_map(|(month, accounts)| {
        accounts.iter().map(|(name, account)| {
            let spent = account.spent.pico();
            line(&format!("T {} {name} {spent}", month.0))
        })
    });
    spent.chain(state.all_open().map(|(id, open)| reservation(id, open)))
}

/// Applies the change that a line records. The line has no newline. Returns `None` if it is damaged.
pub(super) fn apply(state: &mut LedgerState, line: &[u8], now: SystemTime) -> Option<()> {
    let mut fields = checked(line)?.split(' ');
    let kind = fields.next()?;
    let mut next = || fields.next();
    match kind {
        "R" => {
            let id = u64::from_str_radix(next()?, 16).ok()?;
            let open = OpenReservation {
                month: Month(next()?.parse().ok()?),
                expires: next()?.parse().ok()?,
                amount: Usd::from_pico(next()?.parse().ok()?),
                budgets: next()?.split(',').map(str::to_owned).collect(),
            };
            state.open(id, open);
        }
        "S" => {
            let id = u64::from_str_radix(next()?, 16).ok()?;
            // The reader may have expired the reservation already. It then stays spent in full.
            state.settle(id, Usd::from_pico(next()?.parse().ok()?), now);
        }
        "T" => {
            let (month, name) = (Month(next()?.parse().ok()?), next()?);
            state.account_mut(month, name).spent = Usd::from_pico(next()?.parse().ok()?);
        }
        _ => return None,
    }
    Some(())
}

/// Returns a line with its checksum and newline.
fn line(text: &str) -> String {
    format!("{text} {:08x}\n", checksum(text.as_bytes()))
}

/// Returns the text of a line without its checksum, if the checksum is right.
fn checked(line: &[u8]) -> Option<&str> {
    let (text, sum) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == checksum(text.as_bytes())).then_some(text)
}

/// FNV-1a (RFC 9923). It detects accidental damage only.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}
