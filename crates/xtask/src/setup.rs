//! What the tasks need beside Rust: a standard library for WebAssembly, npm's packages, a browser. Each is
//! looked for first, and only what is missing is fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::{Result, cargo, root, run};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

pub(crate) fn everything() -> Result {
    let compiler = Compiler::find()?;
    println!("WebAssembly: {}", compiler.description());
    npm_packages()?;
    println!(
        "npm packages: {}",
        root().join("npm/node_modules").display()
    );
    println!("browser: {}", browser()?.display());
    println!("Redis: {}", redis()?.display());
    Ok(())
}

/// A Rust that can build for WebAssembly.
pub(crate) enum Compiler {
    /// The one at hand, with the target's standard library from rustup.
    Rustup,
    /// Debian's, which builds the standard library from its source.
    Debian { linker: PathBuf },
}

impl Compiler {
    pub(crate) fn find() -> Result<Self> {
        if has_target() {
            return Ok(Self::Rustup);
        }
        println!("xtask: rustup target add {TARGET}");
        let added = Command::new("rustup")
            .args(["target", "add", TARGET])
            .stderr(Stdio::null())
            .status();
        if added.is_ok_and(|status| status.success()) && has_target() {
            return Ok(Self::Rustup);
        }
        println!(
            "xtask: rustup cannot fetch it here; using Debian's Rust, which builds it from source"
        );
        let (rustc, source) = (
            Path::new("/usr/bin/rustc"),
            Path::new("/usr/lib/rustlib/src"),
        );
        if !(rustc.exists() && source.exists()) {
            apt_install(&["rustc-web", "cargo-web", "rust-web-src"])?;
        }
        Ok(Self::Debian { linker: linker()? })
    }

    fn description(&self) -> String {
        match self {
            Self::Rustup => format!("the toolchain at hand, with {TARGET}"),
            Self::Debian { linker } => {
                format!(
                    "Debian's Rust with -Zbuild-std, linked by {}",
                    linker.display()
                )
            }
        }
    }

    /// `cargo SUBCOMMAND` for WebAssembly, its artifacts under `target/wasm`.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Rustup => cargo(),
            Self::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        command
            .current_dir(root())
            .arg(subcommand)
            .args(["--target", TARGET]);
        command.args(["--target-dir", "target/wasm"]);
        if let Self::Debian { linker } = self {
            command.arg("-Zbuild-std=std,panic_abort");
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", "/usr/bin/rustc");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            // Those of the toolchain that runs this task would lead Debian's astray.
            for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTDOC", "RUSTC_WRAPPER"] {
                command.env_remove(name);
            }
        }
        command
    }
}

fn has_target() -> bool {
    let mut rustc = Command::new("rustc");
    let Ok(output) = rustc
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
    else {
        return false;
    };
    output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists()
}

/// rustup's own `rust-lld`, which every toolchain has.
fn linker() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let lld = libraries.with_file_name("bin").join("rust-lld");
    if lld.exists() {
        Ok(lld)
    } else {
        Err(format!("no linker for {TARGET} at {}", lld.display()).into())
    }
}

fn apt_install(packages: &[&str]) -> Result {
    println!("xtask: apt-get install {}", packages.join(" "));
    let quiet = |command: &mut Command| {
        run(command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()))
    };
    // A list that cannot be renewed may still be good enough.
    let _ = quiet(Command::new("apt-get").arg("update"));
    quiet(
        Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages),
    )
}

/// What `npm/package-lock.json` names, exactly.
pub(crate) fn npm_packages() -> Result {
    let folder = root().join("npm");
    let changed =
        |name: &str| std::fs::metadata(folder.join(name)).and_then(|meta| meta.modified());
    let installed = changed("node_modules/.package-lock.json");
    if installed
        .is_ok_and(|installed| changed("package-lock.json").is_ok_and(|lock| lock <= installed))
    {
        return Ok(());
    }
    println!("xtask: npm ci");
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--silent"])
        .current_dir(&folder))
}

/// The program that runs Rust's tests in WebAssembly, in the version of `wasm-bindgen` that the lock file pins.
pub(crate) fn wasm_test_runner() -> Result<PathBuf> {
    let version = wasm_bindgen_version()?;
    cargo_installed(
        "wasm-bindgen-cli",
        &version,
        &[],
        "wasm-bindgen-test-runner",
    )
}

/// The version of `wasm-bindgen` that the lock file pins. The crate that writes its glue must have the same version.
pub(crate) fn wasm_bindgen_version() -> Result<String> {
    same_wasm_bindgen(&std::fs::read_to_string(root().join("Cargo.lock"))?)
}

fn same_wasm_bindgen(lock: &str) -> Result<String> {
    let lock: Lock = toml::from_str(lock).map_err(|e| format!("Cargo.lock cannot be read: {e}"))?;
    let version = |name: &str| -> Result<&str> {
        let package = lock.package.iter().find(|package| package.name == name);
        let package = package.ok_or_else(|| format!("Cargo.lock has no package `{name}`"))?;
        Ok(&package.version)
    };
    let (library, support) = (
        version("wasm-bindgen")?,
        version("wasm-bindgen-cli-support")?,
    );
    if library != support {
        return Err(format!(
            "Cargo.lock has wasm-bindgen {library} and wasm-bindgen-cli-support {support}: they must have the same version; \
             run `cargo update -p wasm-bindgen-cli-support --precise {library}`"
        )
        .into());
    }
    Ok(library.to_owned())
}

/// The part of Cargo.lock that is read here.
#[derive(Deserialize)]
struct Lock {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
}

/// What makes a book of docs/.
pub(crate) fn mdbook() -> Result<PathBuf> {
    let without_server = ["--no-default-features", "--features", "search"];
    cargo_installed("mdbook", "0.5.4", &without_server, "mdbook")
}

/// A program of a crate, of exactly this version.
fn cargo_installed(package: &str, version: &str, how: &[&str], name: &str) -> Result<PathBuf> {
    let folder = root()
        .join("target/tools")
        .join(format!("{package}-{version}"));
    let program = folder.join("bin").join(name);
    if !program.exists() {
        println!("xtask: cargo install {package} {version}, for target/tools");
        let mut install = cargo();
        install.args(["install", package, "--quiet", "--version", version]);
        run(install.args(how).arg("--root").arg(&folder))?;
    }
    Ok(program)
}

/// A Chromium or Chrome that is installed, else Debian's.
pub(crate) fn browser() -> Result<PathBuf> {
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    program(&names, "chromium")
}

/// What drives it from outside.
pub(crate) fn driver() -> Result<PathBuf> {
    program(&["chromedriver"], "chromium-driver")
}

/// What the tests of shared ledgers start.
pub(crate) fn redis() -> Result<PathBuf> {
    program(&["redis-server"], "redis-server")
}

/// A program of the workspace's own, built.
pub(crate) fn binary(package: &str, name: &str) -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--quiet", "--package", package, "--bin", name])
        .current_dir(root()))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("debug").join(name);
    Ok(program.with_extension(std::env::consts::EXE_EXTENSION))
}

/// A program that is installed under one of these names, else from Debian's package.
fn program(names: &[&str], package: &str) -> Result<PathBuf> {
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut files = names
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        files.find(|file| file.exists())
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    apt_install(&[package])?;
    find().ok_or_else(|| format!("{package} was installed and cannot be found").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasm_bindgen_is_what_the_lock_file_pins_and_its_glue_is_of_the_same_version() {
        let lock = |library: &str, support: &str| {
            same_wasm_bindgen(&format!(
                "[[package]]\nname = \"wasm-bindgen\"\nversion = \"{library}\"\n\
                 [[package]]\nname = \"wasm-bindgen-cli-support\"\nversion = \"{support}\"\n"
            ))
            .map_err(|e| e.to_string())
        };
        assert_eq!(lock("0.2.131", "0.2.131").as_deref(), Ok("0.2.131"));
        let error = lock("0.2.131", "0.2.130").unwrap_err();
        assert!(
            error.contains("wasm-bindgen 0.2.131 and wasm-bindgen-cli-support 0.2.130"),
            "{error}"
        );
        let error = same_wasm_bindgen("package = []").unwrap_err().to_string();
        assert!(error.contains("no package `wasm-bindgen`"), "{error}");
        // The lock file at hand.
        let version = wasm_bindgen_version().unwrap();
        assert!(version.starts_with("0.2."), "{version}");
    }

    /// An app has one version of `wasm-bindgen`, which its own lock file chooses.
    #[test]
    fn the_library_takes_any_later_wasm_bindgen_of_its_minor_line() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let wanted =
            &manifest["target"]["cfg(target_family = \"wasm\")"]["dependencies"]["wasm-bindgen"];
        let wanted = wanted.as_str().unwrap();
        assert!(wanted.starts_with("0.2."), "{wanted}");
    }
}
