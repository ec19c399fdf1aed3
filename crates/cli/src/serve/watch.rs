//! Tells when files are to be read again: when they have changed, and on SIGHUP.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Watch {
    #[cfg(unix)]
    hangups: Option<tokio::signal::unix::Signal>,
    /// The files as they were last looked at.
    files: Vec<(PathBuf, State)>,
}

/// What tells whether a file has changed.
#[derive(PartialEq)]
struct State {
    modified: Option<SystemTime>,
    length: Option<u64>,
}

impl State {
    fn of(file: &Path) -> Self {
        let metadata = std::fs::metadata(file).ok();
        Self {
            modified: metadata.as_ref().and_then(|file| file.modified().ok()),
            length: metadata.map(|file| file.len()),
        }
    }
}

impl Watch {
    /// Watches files as they are now.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let mut watch = Self {
            #[cfg(unix)]
            hangups: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::hangup()).ok()
            },
            files: Vec::new(),
        };
        watch.set(files);
        watch
    }

    /// Watches other files from now on.
    pub(crate) fn set(&mut self, files: Vec<PathBuf>) {
        let known = std::mem::take(&mut self.files);
        let mut known: std::collections::HashMap<_, _> = known.into_iter().collect();
        let files = files.into_iter().map(|file| {
            let state = known.remove(&file).unwrap_or_else(|| State::of(&file));
            (file, state)
        });
        self.files = files.collect();
    }

    /// Waits until a file has changed, or SIGHUP has come.
    pub(crate) async fn changed(&mut self) {
        loop {
            #[cfg(unix)]
            let asked = async {
                match &mut self.hangups {
                    Some(signal) => drop(signal.recv().await),
                    None => std::future::pending().await,
                }
            };
            #[cfg(not(unix))]
            let asked = std::future::pending::<()>();
            let mut is_due = tokio::select! {
                () = asked => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            for (file, state) in &mut self.files {
                let now = State::of(file);
                is_due |= now != *state;
                *state = now;
            }
            if is_due {
                return;
            }
        }
    }
}
