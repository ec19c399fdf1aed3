//! A ledger that the processes of one machine share: a log of reservations and settlements in a file.
//!
//! Each change is one line, which is appended in one write under an exclusive lock on the file. A process that is killed leaves
//! either the whole line or a part of it at the end of the file. No process has acted on an incomplete line, so the next one
//! cuts it off. Damage anywhere else is an error. When the log has grown long, a process writes its state to a new file and
//! renames it over the old one. The new file has the same id and a higher generation in its header, by which the other
//! processes recognize it.
//!
//! A thread of the ledger's own does all of this, because locks and disks can block.

mod lines;
mod log;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::SystemTime;

use tokio::sync::oneshot;

use self::log::{Deadline, Log};
use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::runtime::BoxFuture;
use crate::{Error, ErrorKind, Result};

/// A ledger in a file, shared by the processes of one machine.
///
/// Reservations and settlements in the file survive `kill -9` at any point. A settlement is written right after its call has ended.
/// If the process is killed before that, the whole reserved amount counts as spent when the reservation expires.
///
/// The file is not flushed to the disk, so the last seconds can be lost if the machine loses power. It must be on a local
/// disk, because its lock (`flock`) does not work on most network file systems.
///
/// A thread of the ledger locks, reads and writes the file, so no async worker waits for it. An operation fails if another
/// process holds the lock for 5 s. Whoever can open the file can lock it: the file is created with mode 0600, which keeps other
/// users out. An existing file keeps its mode; if other users can open it, a warning is logged. The folder must exist, and should be
/// writable by its owner only.
///
/// The path must not be a symbolic link, because whoever can change the link could direct the ledger to another file. Its
/// folders may be links.
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
    jobs: mpsc::Sender<Job>,
}

type Job = Box<dyn FnOnce(&mut Log) + Send>;

impl FileLedger {
    /// Opens the ledger at a path. Creates a new ledger if there is no file or the file is empty.
    ///
    /// It blocks the current thread while it reads the file, and for at most 5 s while another process holds the lock.
    ///
    /// # Errors
    /// `Config` if the file cannot be opened or locked, is a symbolic link, is not a ledger, has another version of the format,
    /// or is damaged. The error names the file, which is left unchanged.
    ///
    /// ```
    /// # let folder = std::env::temp_dir();
    /// let error = warmline::FileLedger::open(folder.join("no/such/folder/x.log")).unwrap_err();
    /// assert!(error.to_string().contains("no/such/folder"));
    /// ```
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let mut log = Log::open(path.into()).map_err(|error| error.with_kind(ErrorKind::Config))?;
        let (jobs, queue) = mpsc::channel::<Job>();
        // It ends when the ledger is dropped and all its jobs are done.
        let work = move || queue.into_iter().for_each(|job| job(&mut log));
        std::thread::Builder::new()
            .name("warmline-ledger".into())
            .spawn(work)
            .map_err(|e| {
                Error::config("the thread of the ledger cannot be started").with_source(e)
            })?;
        Ok(Self { jobs })
    }

    /// Runs `f` on the current state, with the file locked, on the thread of the ledger. It runs even if the future is dropped.
    fn with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Log, SystemTime) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let (answer, answered) = oneshot::channel();
        let deadline = Deadline::start();
        let job = move |log: &mut Log| {
            // The caller may have been dropped.
            let _ = answer.send(log.with(deadline, f));
        };
        // If the thread has panicked, the answer never comes.
        let _ = self.jobs.send(Box::new(job));
        Box::pin(async {
            let ended = |_| Error::new(ErrorKind::Ledger, "the thread of the ledger has ended");
            answered.await.map_err(ended)?
        })
    }
}

impl Ledger for FileLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        let budgets = budgets.to_vec();
        self.with(move |log, now| log.reserve(id, &budgets, amount, now))
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        Settlement::Pending(self.with(move |log, now| log.settle(id, amount, now)))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let budget = budget.to_owned();
        self.with(move |log, now| Ok(log.state(&budget, now)))
    }
}
