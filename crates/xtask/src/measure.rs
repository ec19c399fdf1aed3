//! The sizes of the npm package, raw and compressed.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::workspace::{Result, root};

/// A size in bytes: raw, with gzip and with brotli.
#[derive(Clone, Copy, Default)]
struct Size([usize; 3]);

impl Size {
    fn of(bytes: &[u8]) -> Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes)?;
        let mut compressed = Vec::new();
        let mut brotli = brotli::CompressorWriter::new(&mut compressed, 4096, 11, 22);
        brotli.write_all(bytes)?;
        drop(brotli);
        Ok(Self([bytes.len(), gzip.finish()?.len(), compressed.len()]))
    }
}

/// The sizes of the module, and of the JavaScript that one entry loads, bundled and minified.
pub(crate) struct Sizes {
    module: Size,
    script: Size,
}

impl Sizes {
    pub(crate) fn of(package: &Path) -> Result<Self> {
        let mut bundler = Command::new(root().join("npm/node_modules/.bin/esbuild"));
        bundler.arg(package.join("workerd.js")).args([
            "--bundle",
            "--minify",
            "--format=esm",
            "--external:*.wasm",
        ]);
        let bundle = bundler.output()?;
        if !bundle.status.success() {
            return Err(String::from_utf8_lossy(&bundle.stderr).into_owned().into());
        }
        Ok(Self {
            module: Size::of(&std::fs::read(package.join("warmline.wasm"))?)?,
            script: Size::of(&bundle.stdout)?,
        })
    }

    pub(crate) fn gzip(&self) -> usize {
        self.module.0[1] + self.script.0[1]
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} {:>9} {:>9} {:>9}",
            "bytes", "raw", "gzip", "brotli"
        )?;
        let whole = Size(std::array::from_fn(|i| self.module.0[i] + self.script.0[i]));
        for (name, Size([raw, gzip, brotli])) in [
            ("warmline.wasm", self.module),
            ("JavaScript", self.script),
            ("together", whole),
        ] {
            writeln!(f, "{name:<16} {raw:>9} {gzip:>9} {brotli:>9}")?;
        }
        Ok(())
    }
}
