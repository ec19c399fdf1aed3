//! The file of `--keys`, which can change while the gateway runs.

use std::path::{Path, PathBuf};

use warmline_gateway::{ApiKeys, Gateway};

use super::watch::Watch;
use crate::report;

/// Says what the owner of keys in a file may not expect.
pub(crate) fn announce(keys: &ApiKeys, file: &Path) {
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
}

/// Replaces the gateway's keys whenever the file has changed, and on SIGHUP. If it is invalid, the keys stay.
pub(crate) async fn watch(gateway: Gateway, file: PathBuf, mut watch: Watch) {
    loop {
        watch.changed().await;
        let (of, path) = (gateway.clone(), file.clone());
        // A large file takes a while, in which others must be served.
        let reading = tokio::task::spawn_blocking(move || {
            let keys = read_again(&path)?;
            of.set_api_keys(keys.clone())
                .map_err(|error| error.to_string())?;
            announce(&keys, &path);
            Ok::<_, String>(())
        });
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

/// Reads the keys while the gateway runs.
pub(crate) fn read_again(file: &Path) -> Result<ApiKeys, String> {
    // Opening a pipe waits until somebody writes to it.
    if std::fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        let file = file.display();
        return Err(format!("API keys in {file}: it is not a regular file"));
    }
    ApiKeys::from_file(file).map_err(|error| error.to_string())
}
