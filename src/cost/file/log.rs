//! The log of a file ledger: its state, and the file that it is read from and appended to.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use same_file::Handle;

use super::lines::{self, FirstLine, Header};
use crate::cost::ledger_state::{LedgerState, OpenReservation};
use crate::cost::reservation::random_id;
use crate::cost::{Budget, BudgetExceeded, Usd};
use crate::error::seconds;
use crate::{Error, Result, runtime};

/// A log is rewritten when it has this many lines more than twice the lines that its state needs.
const REWRITE_SLACK: usize = 1 << 14;

/// The maximum length of a line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The maximum time that an operation waits for the lock of the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum pause between two attempts to lock the file.
const MAX_PAUSE: Duration = Duration::from_millis(10);

/// The time at which an operation gives up waiting for the lock.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn start() -> Self {
        Self(Instant::now() + LOCK_TIMEOUT)
    }
}

pub(super) struct Log {
    path: PathBuf,
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

impl Log {
    /// Opens the log at a path, or creates it.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        // The process may change its working directory.
        let path = std::path::absolute(&path).map_err(|e| failed("opened", &path, e))?;
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                return Err(rejected(&path, "is a symbolic link"));
            }
            Ok(found) if !found.is_file() => {
                return Err(rejected(&path, "is not a regular file"));
            }
            _ => {}
        }
        let file = open_locked(&path, true, Deadline::start());
        let file = file.map_err(|e| failed("opened", &path, e))?;
        let first = first_line(file.as_file()).map_err(|e| failed("read", &path, e))?;
        let new = Header {
            id: random_id(),
            generation: 0,
        };
        let mut log = Self::new(path, file, new, 0);
        let first = FirstLine::parse(&first);
        match first {
            FirstLine::Header(header, length) => (log.header, log.offset) = (header, length),
            // The rewrite below adds a header.
            FirstLine::Headerless => {}
            FirstLine::Empty => log.append(&new.line()).inspect_err(|_| {
                // A part of a header would not be recognized later.
                let _ = log.file.as_file().set_len(0);
            })?,
            FirstLine::Damaged => return Err(damaged(&log.path, 0)),
            FirstLine::Foreign => {
                return Err(rejected(&log.path, "is not a ledger of Warmline"));
            }
            FirstLine::Version(version) => {
                let why = format!(
                    "is a ledger in version {version} of the format, and this version of Warmline reads version {}",
                    lines::VERSION
                );
                return Err(rejected(&log.path, &why));
            }
        }
        log.catch_up(runtime::wall_clock())?;
        if let FirstLine::Headerless = first {
            let rewritten = log.rewrite();
            rewritten.map_err(|e| failed("rewritten", &log.path, e))?;
        }
        log.unlock()?;
        log.warn_of_access();
        Ok(log)
    }

    fn new(path: PathBuf, file: Handle, header: Header, offset: u64) -> Self {
        Self {
            path,
            file,
            header,
            offset,
            lines: 0,
            lines_at_failure: 0,
            state: LedgerState::default(),
            unusable: None,
        }
    }

    /// Logs a warning if other users can open the file, and so lock it.
    fn warn_of_access(&self) {
        #[cfg(unix)]
        if let Ok(found) = self.file.as_file().metadata() {
            let mode = std::os::unix::fs::MetadataExt::mode(&found) & 0o777;
            if mode & 0o066 != 0 {
                tracing::warn!(
                    "other users can lock the ledger {}, which has mode {mode:o}: use mode 600 unless they share it",
                    self.path.display()
                );
            }
        }
    }

    /// Runs `f` on the current state, with the file locked.
    pub(super) fn with<T>(
        &mut self,
        deadline: Deadline,
        f: impl FnOnce(&mut Self, SystemTime) -> Result<T>,
    ) -> Result<T> {
        self.lock(deadline)?;
        let now = runtime::wall_clock();
        let result = self.catch_up(now).and_then(|()| f(self, now));
        let unlocked = self.unlock();
        result.and_then(|value| unlocked.map(|()| value))
    }

    pub(super) fn reserve(
        &mut self,
        id: u64,
        budgets: &[Budget],
        amount: Usd,
        now: SystemTime,
    ) -> Result<Result<(), BudgetExceeded>> {
        match self.state.check(id, budgets, amount, now) {
            Err(denied) => return Ok(Err(denied)),
            Ok(false) => {}
            Ok(true) => {
                let open = OpenReservation::new(budgets, amount, now);
                self.append(&lines::reservation(id, &open))?;
                self.state.open(id, open);
            }
        }
        Ok(Ok(()))
    }

    pub(super) fn settle(&mut self, id: u64, amount: Usd, now: SystemTime) -> Result<Vec<Usd>> {
        if !self.state.is_open(id) {
            return Ok(Vec::new());
        }
        self.append(&lines::settlement(id, amount))?;
        let spent = self.state.settle(id, amount, now);
        Ok(spent.unwrap_or_default())
    }

    pub(super) fn state(&self, budget: &str, now: SystemTime) -> (Usd, Usd) {
        self.state.state(budget, now)
    }

    /// Locks the file that is now at the path. Another process may have rewritten it.
    fn lock(&mut self, deadline: Deadline) -> Result<()> {
        if let Some(what) = self.unusable {
            return Err(unusable(&self.path, what));
        }
        let locked = lock(self.file.as_file(), deadline);
        locked.map_err(|e| failed("locked", &self.path, e))?;
        let followed = self.follow(deadline);
        if followed.is_err() {
            // The first error is the cause.
            let _ = self.file.as_file().unlock();
        }
        followed
    }

    /// Switches to the file that is now at the path, if it is a rewrite of this ledger.
    fn follow(&mut self, deadline: Deadline) -> Result<()> {
        let path = &self.path;
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => return Err(self.mark_unusable("replaced")),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(self.mark_unusable("deleted"));
            }
            _ => {}
        }
        let unopened = |e| failed("opened", path, e);
        let current = Handle::from_path(path).map_err(unopened)?;
        let other = (current != self.file).then(|| open_locked(path, false, deadline));
        let other = other.transpose().map_err(unopened)?;
        let file = other.as_ref().unwrap_or(&self.file).as_file();
        let first = first_line(file).map_err(|e| failed("read", path, e))?;
        match (FirstLine::parse(&first), other) {
            (FirstLine::Header(header, _), None) if header == self.header => Ok(()),
            (FirstLine::Header(header, length), Some(file))
                if header.id == self.header.id && header.generation > self.header.generation =>
            {
                *self = Self::new(std::mem::take(&mut self.path), file, header, length);
                Ok(())
            }
            (_, None) => Err(self.mark_unusable("overwritten")),
            (_, Some(_)) => Err(self.mark_unusable("replaced")),
        }
    }

    fn unlock(&self) -> Result<()> {
        let unlocked = self.file.as_file().unlock();
        unlocked.map_err(|e| failed("unlocked", &self.path, e))
    }

    /// Marks the log as unusable and returns the error that says so.
    fn mark_unusable(&mut self, what: &'static str) -> Error {
        self.unusable = Some(what);
        unusable(&self.path, what)
    }

    /// Reads the lines that other processes have appended, and rewrites the log if it has grown long.
    fn catch_up(&mut self, now: SystemTime) -> Result<()> {
        let length = self.file.as_file().metadata();
        let length = length.map_err(|e| failed("read", &self.path, e))?.len();
        if length < self.offset {
            return Err(self.mark_unusable("cut short"));
        }
        let path = &self.path;
        let unreadable = |e| failed("read", path, e);
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
                    cut.map_err(|e| failed("repaired", path, e))?;
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
        if long && let Err(error) = self.rewrite() {
            // The log can still be used without the rewrite.
            self.lines_at_failure = self.lines;
            tracing::warn!(%error, "the ledger {} cannot be rewritten and keeps growing", self.path.display());
        }
        Ok(())
    }

    /// Replaces the log with a new file that holds only the current state.
    fn rewrite(&mut self) -> io::Result<()> {
        let generation = self.header.generation.checked_add(1);
        let header = Header {
            generation: generation
                .ok_or_else(|| io::Error::other("its generation is the highest possible"))?,
            ..self.header
        };
        let mut text = header.line();
        text.extend(lines::snapshot(&self.state));
        // The name of the new file is unique because the id is random.
        let mut new_path = self.path.clone().into_os_string();
        new_path.push(format!(".{:016x}.new", header.id));
        // A process that was killed may have left one.
        let _ = std::fs::remove_file(&new_path);
        let written = || {
            let mut file = options().create_new(true).open(&new_path)?;
            copy_access(&self.file.as_file().metadata()?, &file)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Locked before the rename, so that no other process appends before this one has finished.
            file.try_lock()?;
            std::fs::rename(&new_path, &self.path)?;
            Handle::from_file(file)
        };
        let file = written().inspect_err(|_| drop(std::fs::remove_file(&new_path)))?;
        let state = std::mem::take(&mut self.state);
        *self = Self {
            lines: state.len(),
            state,
            ..Self::new(
                std::mem::take(&mut self.path),
                file,
                header,
                text.len() as u64,
            )
        };
        Ok(())
    }

    /// Appends a line. If the disk is full, a part of it can be left, which the next operation cuts off.
    fn append(&mut self, line: &str) -> Result<()> {
        let written = self.file.as_file().write_all(line.as_bytes());
        written.map_err(|e| failed("written", &self.path, e))?;
        self.offset += line.len() as u64;
        self.lines += 1;
        Ok(())
    }
}

/// Locks a file, unless another process holds its lock until the deadline.
fn lock(file: &File, Deadline(deadline): Deadline) -> io::Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        let left = match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => deadline.saturating_duration_since(Instant::now()),
        };
        if left.is_zero() {
            let message = [
                "another process holds its lock, and has not released it within ",
                &seconds(LOCK_TIMEOUT),
            ];
            return Err(io::Error::new(ErrorKind::TimedOut, message.concat()));
        }
        std::thread::sleep(pause.min(left));
        pause = MAX_PAUSE.min(pause * 2);
    }
}

/// Opens the file at a path and locks it.
fn open_locked(path: &Path, create: bool, deadline: Deadline) -> io::Result<Handle> {
    loop {
        let file = match options().open(path) {
            // A symbolic link is not followed when a file is created.
            Err(e) if create && e.kind() == ErrorKind::NotFound => {
                match options().create_new(true).open(path) {
                    // Another process has created it meanwhile.
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => options().open(path),
                    created => created,
                }
            }
            opened => opened,
        };
        let file = Handle::from_file(file?)?;
        lock(file.as_file(), deadline)?;
        if std::fs::symlink_metadata(path)?.is_symlink() {
            return Err(io::Error::other("it is a symbolic link"));
        }
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

fn error(message: String) -> Error {
    Error::new(crate::ErrorKind::Ledger, message)
}

fn failed(what: &str, path: &Path, source: io::Error) -> Error {
    error(format!("the ledger {} cannot be {what}", path.display())).with_source(source)
}

fn rejected(path: &Path, why: &str) -> Error {
    error(format!(
        "{} {why}; it is left unchanged: use the path of a ledger, of an empty file, or of a new file",
        path.display()
    ))
}

fn damaged(path: &Path, byte: u64) -> Error {
    error(format!(
        "the ledger {} is damaged at byte {byte}: repair or move it; it is not reset automatically, because the amounts spent would be lost",
        path.display()
    ))
}

fn unusable(path: &Path, what: &str) -> Error {
    error(format!(
        "the ledger {} was {what} while it was in use: restart the program, or open the ledger again; the amounts spent may be lost",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_released_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spend.log");
        let mut log = Log::open(path.clone()).unwrap();
        let other = File::open(&path).unwrap();
        other.lock_shared().unwrap();
        // The deadline has passed already.
        let late = Deadline(Instant::now());
        let error = log.with(late, |_, _| Ok(())).unwrap_err();
        assert_eq!(*error.kind(), crate::ErrorKind::Ledger);
        let says = "spend.log cannot be locked: another process holds its lock";
        assert!(error.to_string().contains(says), "{error}");
        other.unlock().unwrap();
        log.with(late, |_, _| Ok(())).unwrap();
    }
}
