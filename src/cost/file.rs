//! A ledger that the processes of one machine share: a log of reservations and settlements in a file.
//!
//! Each change is one line, which is appended in one write under an exclusive lock on the file. A process that is killed leaves
//! either the whole line or a part of it at the end of the file. No process has acted on an incomplete line, so the next one
//! cuts it off. Damage anywhere else is an error. When the log has grown long, a process writes its state to a new file and
//! renames it over the old one. The new file has the same id and a higher generation in its header, by which the other
//! processes recognize it.

mod lines;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use same_file::Handle;

use self::lines::{FirstLine, Header};
use super::ledger_state::{LedgerState, OpenReservation};
use super::reservation::random_id;
use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::runtime::{self, BoxFuture};
use crate::{Error, Result};

/// A log is rewritten when it has this many lines more than twice the lines that its state needs.
const REWRITE_SLACK: usize = 1 << 14;

/// The maximum length of a line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// A ledger in a file, shared by the processes of one machine. Reservations and settlements survive `kill -9` at any point.
///
/// The file is not flushed to the disk, so the last seconds can be lost if the machine loses power. It must be on a local
/// disk, because its lock (`flock`) does not work on most network file systems. It is created with mode 0600; an existing file
/// keeps its mode.
///
/// If the file is deleted, replaced or cut short while it is open, every later call fails, because the amounts spent may be
/// lost. Open a new `FileLedger` in that case.
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
    /// The offset up to which the file has been read, in bytes.
    offset: u64,
    /// The number of lines after the header.
    lines: usize,
    /// The number of lines when a rewrite last failed, or 0.
    lines_at_failure: usize,
    state: LedgerState,
    /// What has happened to the file, if the log can no longer be used.
    unusable: Option<&'static str>,
}

impl FileLedger {
    /// Opens the ledger at a path. Creates a new ledger if there is no file or the file is empty.
    ///
    /// # Errors
    /// `Config` if the file cannot be opened, is not a ledger, has another version of the format, or is damaged. The error names
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
        let path = std::path::absolute(&path).map_err(|e| io_error("opened", &path, e))?;
        let log = Mutex::new(Log::open(&path)?);
        Ok(Self { path, log })
    }

    /// Runs `f` on the current state, with the file locked.
    fn with<T>(&self, f: impl FnOnce(&mut Log, SystemTime) -> Result<T>) -> Result<T> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lock(&self.path)?;
        let now = runtime::wall_clock();
        let result = log
            .catch_up(&self.path, now)
            .and_then(|()| f(&mut log, now));
        let unlocked = log.unlock(&self.path);
        result.and_then(|value| unlocked.map(|()| value))
    }
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(rejected(path, "is not a regular file"));
        }
        let file = open_locked(path, true).map_err(|e| io_error("opened", path, e))?;
        let first = first_line(file.as_file()).map_err(|e| io_error("read", path, e))?;
        let new = Header {
            id: random_id(),
            generation: 0,
        };
        let mut log = Self::new(file, new, 0);
        let first = FirstLine::parse(&first);
        match first {
            FirstLine::Header(header, length) => (log.header, log.offset) = (header, length),
            // The rewrite below adds a header.
            FirstLine::Headerless => {}
            FirstLine::Empty => log.append(&new.line(), path)?,
            FirstLine::Damaged => return Err(damaged(path, 0)),
            FirstLine::Foreign => return Err(rejected(path, "is not a ledger of Warmline")),
            FirstLine::Version(version) => {
                let why = format!(
                    "is a ledger in version {version} of the format, and this version of Warmline reads version {}",
                    lines::VERSION
                );
                return Err(rejected(path, &why));
            }
        }
        log.catch_up(path, runtime::wall_clock())?;
        if let FirstLine::Headerless = first {
            let rewritten = log.rewrite(path);
            rewritten.map_err(|e| io_error("rewritten", path, e))?;
        }
        log.unlock(path)?;
        Ok(log)
    }

    fn new(file: Handle, header: Header, offset: u64) -> Self {
        Self {
            file,
            header,
            offset,
            lines: 0,
            lines_at_failure: 0,
            state: LedgerState::default(),
            unusable: None,
        }
    }

    /// Locks the file that is now at the path. Another process may have rewritten it.
    fn lock(&mut self, path: &Path) -> Result<()> {
        if let Some(what) = self.unusable {
            return Err(unusable(path, what));
        }
        let locked = self.file.as_file().lock();
        locked.map_err(|e| io_error("locked", path, e))?;
        let followed = self.follow(path);
        if followed.is_err() {
            // The first error is the cause.
            let _ = self.file.as_file().unlock();
        }
        followed
    }

    /// Switches to the file that is now at the path, if it is a rewrite of this ledger.
    fn follow(&mut self, path: &Path) -> Result<()> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(self.mark_unusable(path, "replaced")),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(self.mark_unusable(path, "deleted"));
            }
            _ => {}
        }
        let unopened = |e| io_error("opened", path, e);
        let current = Handle::from_path(path).map_err(unopened)?;
        let other = (current != self.file).then(|| open_locked(path, false));
        let other = other.transpose().map_err(unopened)?;
        let file = other.as_ref().unwrap_or(&self.file).as_file();
        let first = first_line(file).map_err(|e| io_error("read", path, e))?;
        match (FirstLine::parse(&first), other) {
            (FirstLine::Header(header, _), None) if header == self.header => Ok(()),
            (FirstLine::Header(header, length), Some(file))
                if header.id == self.header.id && header.generation > self.header.generation =>
            {
                *self = Self::new(file, header, length);
                Ok(())
            }
            (_, None) => Err(self.mark_unusable(path, "overwritten")),
            (_, Some(_)) => Err(self.mark_unusable(path, "replaced")),
        }
    }

    fn unlock(&self, path: &Path) -> Result<()> {
        let unlocked = self.file.as_file().unlock();
        unlocked.map_err(|e| io_error("unlocked", path, e))
    }

    /// Marks the log as unusable and returns the error that says so.
    fn mark_unusable(&mut self, path: &Path, what: &'static str) -> Error {
        self.unusable = Some(what);
        unusable(path, what)
    }

    /// Reads the lines that other processes have appended, and rewrites the log if it has grown long.
    fn catch_up(&mut self, path: &Path, now: SystemTime) -> Result<()> {
        let unreadable = |e| io_error("read", path, e);
        let length = self.file.as_file().metadata().map_err(unreadable)?.len();
        if length < self.offset {
            return Err(self.mark_unusable(path, "cut short"));
        }
        if length > self.offset {
            let mut file = self.file.as_file();
            file.seek(SeekFrom::Start(self.offset))
                .map_err(unreadable)?;
            let mut reader = BufReader::new(file);
            let mut line = Vec::new();
            while next_line(&mut reader, &mut line).map_err(unreadable)? > 0 {
                let complete = line.strip_suffix(b"\n");
                if complete.is_none() && (line.len() as u64) < MAX_LINE {
                    // The process that wrote it was killed in the middle, and no process has acted on it.
                    let cut = self.file.as_file().set_len(self.offset);
                    cut.map_err(|e| io_error("repaired", path, e))?;
                    break;
                }
                let change = complete.and_then(|text| lines::apply(&mut self.state, text, now));
                change.ok_or_else(|| damaged(path, self.offset))?;
                self.offset += line.len() as u64;
                self.lines += 1;
            }
        }
        self.state.expire(now);
        let long = self.lines > self.lines_at_failure + REWRITE_SLACK + 2 * self.state.len();
        if long && let Err(error) = self.rewrite(path) {
            // The log can still be used without the rewrite.
            self.lines_at_failure = self.lines;
            tracing::warn!(%error, "the ledger {} cannot be rewritten and keeps growing", path.display());
        }
        Ok(())
    }

    /// Replaces the log with a new file that holds only the current state.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let generation = self.header.generation.checked_add(1);
        let header = Header {
            generation: generation
                .ok_or_else(|| io::Error::other("its generation is the highest possible"))?,
            ..self.header
        };
        let mut text = header.line();
        text.extend(lines::snapshot(&self.state));
        // A symbolic link is kept. The name of the new file is unique because the id is random.
        let path = std::fs::canonicalize(path)?;
        let mut new_path = path.clone().into_os_string();
        new_path.push(format!(".{:016x}.new", header.id));
        // A process that was killed may have left one.
        let _ = std::fs::remove_file(&new_path);
        let written = || {
            let mut file = options().create_new(true).open(&new_path)?;
            copy_access(&self.file.as_file().metadata()?, &file)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Locked before the rename, so that no other process appends before this one has finished.
            file.lock()?;
            std::fs::rename(&new_path, &path)?;
            Handle::from_file(file)
        };
        let file = written().inspect_err(|_| drop(std::fs::remove_file(&new_path)))?;
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
        written.map_err(|e| io_error("written", path, e))?;
        self.offset += line.len() as u64;
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
fn open_locked(path: &Path, create: bool) -> io::Result<Handle> {
    loop {
        let file = Handle::from_file(options().create(create).open(path)?)?;
        file.as_file().lock()?;
        // Another process may have replaced the file before it was locked.
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

/// Copies the mode of the old file to the new one, and the owner if the process is allowed to.
fn copy_access(old: &Metadata, new: &File) -> io::Result<()> {
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

/// Reads a line with its newline, or an incomplete one at the end of the file or at [`MAX_LINE`]. Returns its length.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    reader.take(MAX_LINE).read_until(b'\n', line)
}

fn io_error(what: &str, path: &Path, source: io::Error) -> Error {
    Error::config(format!("the ledger {} cannot be {what}", path.display())).with_source(source)
}

fn rejected(path: &Path, why: &str) -> Error {
    Error::config(format!(
        "{} {why}; it is left unchanged: use the path of a ledger, of an empty file, or of a new file",
        path.display()
    ))
}

fn damaged(path: &Path, byte: u64) -> Error {
    Error::config(format!(
        "the ledger {} is damaged at byte {byte}: repair or move it; it is not reset automatically, because the amounts spent would be lost",
        path.display()
    ))
}

fn unusable(path: &Path, what: &str) -> Error {
    Error::config(format!(
        "the ledger {} was {what} while it was in use: open it again; the amounts spent may be lost",
        path.display()
    ))
}
