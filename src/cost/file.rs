//! A ledger that the processes of one machine share: a log of reservations and settlements in a file.
//!
//! Each change is one line, which is appended in one write under an exclusive lock on the file. A process that is killed leaves
//! either the whole line or a torn last one, on which nobody has acted and which the next process cuts off. Damage anywhere
//! else is an error. When the log has grown long, a process writes the sums to a new file and renames it over the old one. The
//! new file has the same id and a higher generation in its header, by which the other processes know that they may follow.

mod lines;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use same_file::Handle;

use self::lines::{First, Header};
use super::ledger_state::{LedgerState, OpenReservation};
use super::reservation::random_id;
use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::runtime::{self, BoxFuture};
use crate::{Error, Result};

/// A log is rewritten when it has this many lines more than twice what its sums need.
const LONG: usize = 1 << 14;

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// A ledger in a file, which the processes of one machine share. What is settled or reserved survives `kill -9` at any point.
///
/// The file is written to the operating system and not flushed to the disk: a machine that loses power can lose the last
/// seconds. The file must be on a local disk, since its lock (`flock`) does not hold on most network file systems. It is made
/// with mode 0600; a file that exists keeps its mode.
///
/// A `FileLedger` whose file is deleted, replaced or cut short fails every later call, because what was spent would be forgotten.
/// A new one must be opened then.
///
/// ```no_run
/// use warmline::FileLedger;
///
/// let ledger = FileLedger::open("/var/lib/llm/spend.log")?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: Handle,
    header: Header,
    /// Up to which byte it has been read.
    read: u64,
    /// How many lines there are after the header.
    lines: usize,
    /// How many there were when a rewrite failed.
    lines_at_failure: usize,
    state: LedgerState,
    /// What has happened to the file, if it can no longer be used.
    lost: Option<&'static str>,
}

impl FileLedger {
    /// Opens the ledger at a path. An empty file becomes a new ledger, and so does a path where there is no file.
    ///
    /// # Errors
    /// `Config` if the file cannot be opened, is not a ledger, has a format of another version, or is damaged. The error names
    /// the file, which is left unchanged.
    ///
    /// ```
    /// # let folder = std::env::temp_dir();
    /// let error = warmline::FileLedger::open(folder.join("no/such/folder/x.log")).unwrap_err();
    /// assert!(error.to_string().contains("no/such/folder"));
    /// ```
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        // The process may change its working directory.
        let path = std::path::absolute(&path).map_err(|e| failed("opened", &path, e))?;
        let log = Mutex::new(Log::open(&path)?);
        Ok(Self { path, log })
    }

    /// Does something with the state as they are now, while nobody else does.
    fn with<T>(&self, f: impl FnOnce(&mut Log, SystemTime) -> Result<T>) -> Result<T> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lock(&self.path)?;
        let now = runtime::wall_clock();
        let done = log
            .catch_up(&self.path, now)
            .and_then(|()| f(&mut log, now));
        let unlocked = log.unlock(&self.path);
        done.and_then(|done| unlocked.map(|()| done))
    }
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(refused(path, "is not a regular file"));
        }
        let file = locked(path, true).map_err(|e| failed("opened", path, e))?;
        let first = first_line(file.as_file()).map_err(|e| failed("read", path, e))?;
        let new = Header {
            id: random_id(),
            generation: 0,
        };
        let mut log = Self::new(file, new, 0);
        let first = First::of(&first);
        match first {
            First::Header(header, length) => (log.header, log.read) = (header, length),
            // It is given a header below.
            First::Change => {}
            First::Nothing => log.append(&new.line(), path)?,
            First::Damaged => return Err(damaged(path, 0)),
            First::Foreign => return Err(refused(path, "is not a ledger of Warmline")),
            First::Version(version) => {
                let why = format!(
                    "is a ledger in version {version} of its format, and this Warmline reads version {}",
                    lines::VERSION
                );
                return Err(refused(path, &why));
            }
        }
        log.catch_up(path, runtime::wall_clock())?;
        if let First::Change = first {
            let rewritten = log.rewrite(path);
            rewritten.map_err(|e| failed("rewritten", path, e))?;
        }
        log.unlock(path)?;
        Ok(log)
    }

    fn new(file: Handle, header: Header, read: u64) -> Self {
        Self {
            file,
            header,
            read,
            lines: 0,
            lines_at_failure: 0,
            state: LedgerState::default(),
            lost: None,
        }
    }

    /// Locks the file that is at the path, which another process may have rewritten.
    fn lock(&mut self, path: &Path) -> Result<()> {
        if let Some(why) = self.lost {
            return Err(lost(path, why));
        }
        let locked = self.file.as_file().lock();
        locked.map_err(|e| failed("locked", path, e))?;
        let followed = self.follow(path);
        if followed.is_err() {
            // The error says more than that of unlocking would.
            let _ = self.file.as_file().unlock();
        }
        followed
    }

    /// Goes on in the file that is now at the path, if a process has put it there that rewrote this ledger.
    fn follow(&mut self, path: &Path) -> Result<()> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(self.lose(path, "replaced")),
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(self.lose(path, "deleted")),
            _ => {}
        }
        let unopened = |e| failed("opened", path, e);
        let there = Handle::from_path(path).map_err(unopened)?;
        let other = (there != self.file).then(|| locked(path, false));
        let other = other.transpose().map_err(unopened)?;
        let file = other.as_ref().unwrap_or(&self.file).as_file();
        let first = first_line(file).map_err(|e| failed("read", path, e))?;
        match (First::of(&first), other) {
            (First::Header(header, _), None) if header == self.header => Ok(()),
            (First::Header(header, length), Some(file))
                if header.id == self.header.id && header.generation > self.header.generation =>
            {
                *self = Self::new(file, header, length);
                Ok(())
            }
            (_, None) => Err(self.lose(path, "overwritten")),
            (_, Some(_)) => Err(self.lose(path, "replaced")),
        }
    }

    fn unlock(&self, path: &Path) -> Result<()> {
        let unlocked = self.file.as_file().unlock();
        unlocked.map_err(|e| failed("unlocked", path, e))
    }

    fn lose(&mut self, path: &Path, why: &'static str) -> Error {
        self.lost = Some(why);
        lost(path, why)
    }

    /// Reads what others have appended.
    fn catch_up(&mut self, path: &Path, now: SystemTime) -> Result<()> {
        let unreadable = |e| failed("read", path, e);
        let length = self.file.as_file().metadata().map_err(unreadable)?.len();
        if length < self.read {
            return Err(self.lose(path, "cut short"));
        }
        if length > self.read {
            let mut file = self.file.as_file();
            file.seek(SeekFrom::Start(self.read)).map_err(unreadable)?;
            let mut reader = BufReader::new(file);
            let mut line = Vec::new();
            while next_line(&mut reader, &mut line).map_err(unreadable)? > 0 {
                let whole = line.strip_suffix(b"\n");
                if whole.is_none() && (line.len() as u64) < LONGEST_LINE {
                    // Whoever wrote it was killed in the middle, and nobody has acted on it.
                    let cut = self.file.as_file().set_len(self.read);
                    cut.map_err(|e| failed("mended", path, e))?;
                    break;
                }
                let change = whole.and_then(|whole| lines::apply(&mut self.state, whole, now));
                change.ok_or_else(|| damaged(path, self.read))?;
                self.read += line.len() as u64;
                self.lines += 1;
            }
        }
        self.state.expire(now);
        let long = self.lines > self.lines_at_failure + LONG + 2 * self.state.len();
        if long && let Err(error) = self.rewrite(path) {
            // The log can still be used as it is.
            self.lines_at_failure = self.lines;
            tracing::warn!(%error, "the ledger {} cannot be rewritten and grows", path.display());
        }
        Ok(())
    }

    /// Puts the sums in the place of the log.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let header = Header {
            generation: self.header.generation + 1,
            ..self.header
        };
        let mut text = header.line();
        text.extend(lines::sums(&self.state));
        // A link stays one. No other file has this name, as the id is random.
        let path = std::fs::canonicalize(path)?;
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{:016x}.new", header.id));
        // That of a process that was killed.
        let _ = std::fs::remove_file(&beside);
        let written = || {
            let mut file = options().create_new(true).open(&beside)?;
            keep_access(&self.file.as_file().metadata()?, &file)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Others may append as soon as it is at the path, and this process has not finished.
            file.lock()?;
            std::fs::rename(&beside, &path)?;
            Handle::from_file(file)
        };
        let file = written().inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
        let state = std::mem::take(&mut self.state);
        *self = Self {
            lines: state.len(),
            state,
            ..Self::new(file, header, text.len() as u64)
        };
        Ok(())
    }

    fn append(&mut self, line: &str, path: &Path) -> Result<()> {
        let written = self.file.as_file().write_all(line.as_bytes());
        written.map_err(|e| failed("written", path, e))?;
        self.read += line.len() as u64;
        self.lines += 1;
        Ok(())
    }
}

impl Ledger for FileLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        let reserved = self.with(|log, now| {
            match log.state.check(id, budgets, amount, now) {
                Err(denied) => return Ok(Err(denied)),
                Ok(false) => {}
                Ok(true) => {
                    let open = OpenReservation::new(budgets, amount, now);
                    log.append(&lines::reservation(id, &open), &self.path)?;
                    log.state.open(id, open);
                }
            }
            Ok(Ok(()))
        });
        Box::pin(std::future::ready(reserved))
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        Settlement::Done(self.with(|log, now| {
            if !log.state.is_open(id) {
                return Ok(Vec::new());
            }
            log.append(&lines::settlement(id, amount), &self.path)?;
            let spent = log.state.settle(id, amount, now);
            Ok(spent.unwrap_or_default())
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let state = self.with(|log, now| Ok(log.state.state(budget, now)));
        Box::pin(std::future::ready(state))
    }
}

/// Opens the file at a path and locks it.
fn locked(path: &Path, create: bool) -> io::Result<Handle> {
    loop {
        let file = Handle::from_file(options().create(create).open(path)?)?;
        file.as_file().lock()?;
        // Another process may have rewritten it before it was locked.
        if Handle::from_path(path)? == file {
            return Ok(file);
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Gives a new file the mode and, where the process may, the owner of the one whose place it takes.
fn keep_access(old: &Metadata, new: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let _ = std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()));
    }
    new.set_permissions(old.permissions())
}

fn first_line(mut file: &File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    next_line(&mut BufReader::new(file), &mut line)?;
    Ok(line)
}

/// Reads a line with its newline, or as much as there is of it.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    reader.take(LONGEST_LINE).read_until(b'\n', line)
}

fn failed(what: &str, path: &Path, why: io::Error) -> Error {
    Error::config(format!("the ledger {} cannot be {what}", path.display())).with_source(why)
}

fn refused(path: &Path, why: &str) -> Error {
    Error::config(format!(
        "{} {why}; it is left unchanged: name a ledger, an empty file, or a path without a file",
        path.display()
    ))
}

fn damaged(path: &Path, byte: u64) -> Error {
    Error::config(format!(
        "the ledger {} is damaged at byte {byte}: mend or move it; it is not reset by itself, since what is spent would be forgotten",
        path.display()
    ))
}

fn lost(path: &Path, what: &str) -> Error {
    Error::config(format!(
        "the ledger {} was {what} while it was in use; it is not used again until it is opened anew, since what was spent may be forgotten",
        path.display()
    ))
}
