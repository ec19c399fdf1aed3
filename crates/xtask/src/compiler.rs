//! The Rust compiler for WebAssembly.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Result, cargo, root};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

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
        let (rustc, source) = (
            Path::new("/usr/bin/rustc"),
            Path::new("/usr/lib/rustlib/src"),
        );
        if !(rustc.exists() && source.exists()) {
            return Err(format!("the toolchain has no standard library for {TARGET}").into());
        }
        Ok(Self::Debian { linker: linker()? })
    }

    pub(crate) fn description(&self) -> String {
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

    /// `cargo SUBCOMMAND` for WebAssembly, with its artifacts in `target/wasm`.
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
            // Debian's cargo must not take the tools of the toolchain that runs this task.
            for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTDOC", "RUSTC_WRAPPER"] {
                command.env_remove(name);
            }
        }
        command
    }
}

/// Whether the toolchain at hand has the target's standard library.
pub(crate) fn has_target() -> bool {
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
