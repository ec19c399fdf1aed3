//! The file of `--keys`, which can change while the gateway runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use warmline_gateway::{ApiKeys, ConfigError, Gateway};

use crate::report;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the keys, and says what their owner may not expect.
pub(crate) fn read(file: &Path) -> Result<ApiKeys, ConfigError> {
    let keys = ApiKeys::from_file(file)?;
    let expired: Vec<_> = keys.expired().collect();
    if !expired.is_empty() {
        report::note(format_args!(
            "{}: the keys of {} have expired",
            file.display(),
            expired.join(", ")
        ));
    }
    if !keys.has_operator() {
        report::note(format_args!(
            "{}: no key is an operator's, so nobody can read /metrics and the statistics of all callers: add \"operator\": true to one",
            file.display()
        ));
    }
    Ok(keys)
}

/// Replaces the gateway's keys whenever the file has changed, and on SIGHUP. If it is invalid, the keys stay.
pub(crate) async fn watch(gateway: Gateway, file: PathBuf) {
    #[cfg(unix)]
    let mut hangups = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).ok()
    };
    let mut read_as = State::of(&file);
    loop {
        #[cfg(unix)]
        let asked = async {
            match &mut hangups {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        #[cfg(not(unix))]
        let asked = std::future::pending::<()>();
        let is_asked = tokio::select! {
            () = asked => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        let state = State::of(&file);
        if !is_asked && state == read_as {
            continue;
        }
        read_as = state;
        let (of, path) = (gateway.clone(), file.clone());
        // A large file takes a while, in which others must be served.
        let reading = tokio::task::spawn_blocking(move || read_again(&of, &path));
        let Ok(read) = reading.await else { continue };
        match read {
            Ok(()) => report::note(format_args!(
                "{}: the keys have been read again",
                file.display()
            )),
            Err(error) => report::note(format_args!("{error}; the keys from before stay in use")),
        }
    }
}

fn read_again(gateway: &Gateway, file: &Path) -> Result<(), String> {
    // Opening a pipe waits until somebody writes to it.
    if std::fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        let file = file.display();
        return Err(format!("API keys in {file}: it is not a regular file"));
    }
    let keys = read(file).and_then(|keys| gateway.set_api_keys(keys));
    keys.map_err(|error| error.to_string())
}

/// What tells whether the file has changed.
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
