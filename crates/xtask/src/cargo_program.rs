//! Programs that Cargo installs.

use std::path::PathBuf;
use std::process::Command;

use crate::lock::wasm_bindgen_version;
use crate::workspace::{Result, cargo, root};

/// A program of a crate, in exactly one version, in the folder `target/tools`.
pub(crate) struct CargoProgram {
    package: &'static str,
    version: String,
    /// Programs that run for a moment are installed without optimisation, which takes half the time.
    options: &'static [&'static str],
    name: &'static str,
}

impl CargoProgram {
    /// Makes a book of docs/.
    pub(crate) fn mdbook() -> Self {
        Self {
            package: "mdbook",
            version: "0.5.4".to_owned(),
            options: &["--no-default-features", "--features", "search", "--debug"],
            name: "mdbook",
        }
    }

    /// Runs Rust's tests in WebAssembly. Its version is that of the `wasm-bindgen` in the lock file.
    pub(crate) fn wasm_test_runner() -> Result<Self> {
        Ok(Self {
            package: "wasm-bindgen-cli",
            version: wasm_bindgen_version()?,
            options: &[],
            name: "wasm-bindgen-test-runner",
        })
    }

    /// Builds and tests crates/wasm.
    pub(crate) fn wasm_pack() -> Self {
        Self {
            package: "wasm-pack",
            version: "0.15.1".to_owned(),
            options: &["--locked", "--debug"],
            name: "wasm-pack",
        }
    }

    /// A gateway that `cargo xtask peers` compares with Warmline's.
    pub(crate) fn liter_llm() -> Self {
        Self {
            package: "liter-llm-cli",
            version: "2.4.4".to_owned(),
            options: &["--locked"],
            name: "liter-llm",
        }
    }

    fn folder(&self) -> PathBuf {
        root()
            .join("target/tools")
            .join(format!("{}-{}", self.package, self.version))
    }

    pub(crate) fn find(&self) -> Result<PathBuf> {
        let program = self.folder().join("bin").join(self.name);
        let program = program.with_extension(std::env::consts::EXE_EXTENSION);
        match program.exists() {
            true => Ok(program),
            false => Err(format!("{} is not in target/tools", self.name).into()),
        }
    }

    pub(crate) fn install(&self) -> Command {
        let mut install = cargo();
        install.args([
            "install",
            self.package,
            "--quiet",
            "--version",
            &self.version,
        ]);
        install.args(self.options).arg("--root").arg(self.folder());
        install
    }
}
