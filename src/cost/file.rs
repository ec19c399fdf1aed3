//! A ledger that the processes of one machine share: a log of reservations and settlements.
//!
//! Each change is one line, appended in one write under a lock on the file beside it, so that whoever is killed leaves
//! either the whole line or a torn last one, of which nobody was told and which the next one cuts off. A line has a checksum:
//! damage anywhere else is an error. When the log has grown long, its sums are written to a new file that takes its place.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::books::{Books, Month, Open};
use super::{Budget, Ledger, Refusal, Settled, Usd};
use crate::runtime::{self, BoxFuture};
use crate::{Error, Result};

/// A log longer than this is replaced by its sums.
const LONG: u64 = 1 << 20;

/// The ledger of the processes of one machine, in a file: what is settled or put aside outlives `kill -9` at any point.
///
/// It waits for the disk's cache and not for the disk, so a machine that loses power can lose the last second's lines. The
/// file must be on a local disk: its lock (`flock`) does not hold over most network file systems.
///
/// ```
/// use warmline::FileLedger;
///
/// # let folder = std::env::temp_dir();
/// let ledger = FileLedger::open(folder.join("llm-spend.log"))?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
    lock: File,
    /// None until it is first read, and after a failure, so that the file is then read anew.
    log: Mutex<Option<Log>>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Up to where it has been read.
    read: u64,
    books: Books,
}

impl FileLedger {
    /// The ledger at a path, which is made where there is none.
    ///
    /// # Errors
    /// `Config` where the file cannot be opened or is damaged, naming the file and the place.
    ///
    /// ```
    /// # let folder = std::env::temp_dir();
    /// let error = warmline::FileLedger::open(folder.join("no/such/folder/x.log")).unwrap_err();
    /// assert!(error.to_string().contains("no/such/folder"));
    /// ```
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let mut beside = path.clone().into_os_string();
        beside.push(".lock");
        let lock = OpenOptions::new().create(true).append(true).open(&beside);
        let lock = lock.map_err(|e| failed("opened", Path::new(&beside), e))?;
        let ledger = Self {
            path,
            lock,
            log: Mutex::new(None),
        };
        ledger.with(|_, _| Ok(()))?;
        Ok(ledger)
    }

    /// Does something with the books as they are now, while nobody else does.
    fn with<T>(&self, f: impl FnOnce(&mut Log, SystemTime) -> Result<T>) -> Result<T> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock
            .lock()
            .map_err(|e| failed("locked", &self.path, e))?;
        let now = runtime::wall_clock();
        let done = self.caught_up(log.take(), now).and_then(|mut caught_up| {
            caught_up.books.expire(now);
            let done = f(&mut caught_up, now)?;
            *log = Some(caught_up);
            Ok(done)
        });
        // Of no use to an error of the work: closing the file unlocks it too.
        let unlocked = self.lock.unlock();
        let done = done?;
        unlocked.map_err(|e| failed("unlocked", &self.path, e))?;
        Ok(done)
    }

    /// Reads what others have appended, or all where another file has taken the place of the one that was read.
    fn caught_up(&self, log: Option<Log>, now: SystemTime) -> Result<Log> {
        // One that is gone is not begun anew while it is in use: what is spent would be forgotten.
        let same = |log: &Log| same_file(&log.file, &self.path);
        let same = log.as_ref().map(same).transpose();
        let same = same.map_err(|e| failed("found", &self.path, e))?;
        let mut log = match log {
            Some(log) if same == Some(true) => log,
            _ => Log {
                file: OpenOptions::new()
                    .create(true)
                    .read(true)
                    .append(true)
                    .open(&self.path)
                    .map_err(|e| failed("opened", &self.path, e))?,
                read: 0,
                books: Books::default(),
            },
        };
        let read = |log: &mut Log| {
            let mut text = Vec::new();
            log.file.seek(SeekFrom::Start(log.read))?;
            log.file.read_to_end(&mut text).map(|_| text)
        };
        let text = read(&mut log).map_err(|e| failed("read", &self.path, e))?;
        let mut lines = text.split_inclusive(|b| *b == b'\n');
        for line in &mut lines {
            let Some(whole) = line.strip_suffix(b"\n") else {
                // Whoever wrote it was killed in the middle, and nobody acts on it.
                log.file
                    .set_len(log.read)
                    .map_err(|e| failed("mended", &self.path, e))?;
                break;
            };
            if apply(&mut log.books, whole, now).is_none() {
                return Err(Error::config(format!(
                    "the ledger {} is damaged at byte {}: mend or move it; it is not reset by itself, since what is spent would be forgotten",
                    self.path.display(),
                    log.read
                )));
            }
            log.read += line.len() as u64;
        }
        if log.read > LONG {
            self.rewrite(log)
        } else {
            Ok(log)
        }
    }

    /// Puts the sums in the place of the log.
    fn rewrite(&self, log: Log) -> Result<Log> {
        let mut text = String::new();
        let reserved_of = |month: Month, name: &str| -> Usd {
            let open = log.books.open.iter().map(|(_, open)| open);
            let here =
                open.filter(|open| open.month == month && open.budgets.iter().any(|b| b == name));
            here.map(|open| open.amount).sum()
        };
        for (month, name, account) in &log.books.accounts {
            debug_assert_eq!(account.reserved, reserved_of(*month, name));
            text.push_str(&line(&format!(
                "T {} {name} {}",
                month.0,
                account.spent.pico()
            )));
        }
        for (id, open) in &log.books.open {
            text.push_str(&opened(*id, open));
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let written = || {
            let mut file = File::create(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            OpenOptions::new().read(true).append(true).open(&self.path)
        };
        let file = written().map_err(|e| failed("rewritten", &self.path, e))?;
        Ok(Log {
            file,
            read: text.len() as u64,
            books: log.books,
        })
    }
}

impl Log {
    fn append(&mut self, line: &str, path: &Path) -> Result<()> {
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|e| failed("written", path, e))?;
        self.read += line.len() as u64;
        Ok(())
    }
}

impl Ledger for FileLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), Refusal>>> {
        let reserved = self.with(|log, now| {
            match log.books.check(id, budgets, amount, now) {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(false) => {}
                Ok(true) => {
                    let open = Open::new(budgets, amount, now);
                    log.append(&opened(id, &open), &self.path)?;
                    log.books.open(id, open);
                }
            }
            Ok(Ok(()))
        });
        Box::pin(std::future::ready(reserved))
    }

    fn settle(&self, id: u64, amount: Usd) -> Settled {
        Settled::Now(self.with(|log, now| {
            let Some(spent) = log.books.settle(id, amount, now) else {
                return Ok(Vec::new());
            };
            log.append(&line(&format!("S {id:x} {}", amount.pico())), &self.path)?;
            Ok(spent)
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let state = self.with(|log, now| Ok(log.books.state(budget, now)));
        Box::pin(std::future::ready(state))
    }
}

fn failed(what: &str, path: &Path, why: std::io::Error) -> Error {
    Error::config(format!("the ledger {} cannot be {what}", path.display())).with_source(why)
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (ours, theirs) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
}

/// Without a file's number to compare: a log that was replaced is shorter than what was read of it, or is read anew.
#[cfg(not(unix))]
fn same_file(_file: &File, _path: &Path) -> std::io::Result<bool> {
    Ok(false)
}

fn opened(id: u64, open: &Open) -> String {
    let Open {
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

fn line(text: &str) -> String {
    format!("{text} {:08x}\n", checksum(text.as_bytes()))
}

/// FNV-1a (RFC 9923), enough to tell damage.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}

/// One line's change; none where it is damaged.
fn apply(books: &mut Books, line: &[u8], now: SystemTime) -> Option<()> {
    let line = std::str::from_utf8(line).ok()?;
    let (text, sum) = line.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != checksum(text.as_bytes()) {
        return None;
    }
    let mut fields = text.split(' ');
    let kind = fields.next()?;
    let mut next = || fields.next();
    match kind {
        "R" => {
            let id = u64::from_str_radix(next()?, 16).ok()?;
            let open = Open {
                month: Month(next()?.parse().ok()?),
                expires: next()?.parse().ok()?,
                amount: Usd::from_pico(next()?.parse().ok()?),
                budgets: next()?.split(',').map(str::to_owned).collect(),
            };
            books.open(id, open);
        }
        "S" => {
            let id = u64::from_str_radix(next()?, 16).ok()?;
            // One that had expired for the reader was settled in time by its holder's clock, or never.
            books.settle(id, Usd::from_pico(next()?.parse().ok()?), now);
        }
        "T" => {
            let (month, name) = (Month(next()?.parse().ok()?), next()?);
            books.account(month, name).spent = Usd::from_pico(next()?.parse().ok()?);
        }
        _ => return None,
    }
    Some(())
}
