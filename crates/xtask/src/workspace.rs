//! The project's folder, and the programs that tasks run in it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end. An error shows the command that failed.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|e| format!("{command:?} cannot be run: {e}"))?;
    if !status.success() {
        return Err(format!("{command:?} failed: {status}").into());
    }
    Ok(())
}

/// Builds a program of the workspace, and gives its path.
pub(crate) fn binary(package: &str, name: &str) -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--quiet", "--package", package, "--bin", name])
        .current_dir(root()))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("debug").join(name);
    Ok(program.with_extension(std::env::consts::EXE_EXTENSION))
}

/// Opens an address or a file in the system's default program. It is no error if there is none.
pub(crate) fn open(what: &str) {
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    let mut command = Command::new(program);
    let quiet = command
        .arg(what)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = quiet.spawn();
}

/// The files that git tracks and that exist, by their paths in the repository.
pub(crate) fn tracked_files() -> Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()?;
    if !listed.status.success() {
        let why = String::from_utf8_lossy(&listed.stderr);
        return Err(format!("`git ls-files` failed: {}", why.trim()).into());
    }
    let names = String::from_utf8(listed.stdout)?;
    // A file may be removed and still be in the index.
    let existing = names
        .split_terminator('\0')
        .filter(|name| root().join(name).exists());
    Ok(existing.map(str::to_owned).collect())
}
