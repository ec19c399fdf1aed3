//! `cargo xtask size`: how large the npm package is, and what in it weighs most.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use rustc_demangle::demangle;
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

use crate::{Result, npm, root};

/// Bytes raw, gzipped and with brotli.
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

/// The module, and all the JavaScript that one entry loads, as a bundler makes it.
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

pub(crate) fn report() -> Result {
    let package = npm::make(&npm::Plan::read()?)?;
    println!("{}", Sizes::of(&package)?);
    println!("what weighs most in the module before the optimiser, in bytes of code:");
    let named = std::fs::read(root().join("target/wasm/bound/glue_bg.wasm"))?;
    for (name, bytes) in contributors(&named)?.into_iter().take(400) {
        println!("{bytes:>9}  {name}");
    }
    Ok(())
}

/// The size of each function by its name, instances of a generic one taken together.
fn contributors(module: &[u8]) -> Result<Vec<(String, usize)>> {
    let (mut imported, mut sizes, mut names) = (0, Vec::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += usize::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => sizes.push(body.range().len()),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(subsections) = section.as_known() else {
                    continue;
                };
                for subsection in subsections {
                    let Name::Function(functions) = subsection? else {
                        continue;
                    };
                    for naming in functions {
                        let naming = naming?;
                        names.insert(naming.index as usize, plain(naming.name));
                    }
                }
            }
            _ => {}
        }
    }
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for (i, bytes) in sizes.into_iter().enumerate() {
        let name = names
            .get(&(imported + i))
            .cloned()
            .unwrap_or_else(|| "without a name".to_owned());
        *groups.entry(name).or_default() += bytes;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(groups)
}

/// A function's name without the hash that tells instances apart.
fn plain(name: &str) -> String {
    let name = format!("{:#}", demangle(name));
    match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 => plain.to_owned(),
        _ => name,
    }
}
