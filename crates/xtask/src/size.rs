//! `cargo xtask size`: the size of the npm package, and of what is largest in it.

use std::collections::BTreeMap;

use rustc_demangle::demangle;
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

use crate::measure::Sizes;
use crate::npm;
use crate::workspace::{Result, root};

pub(crate) fn report() -> Result {
    let package = npm::make(&npm::Plan::read()?)?;
    println!("{}", Sizes::of(&package)?);
    println!("the largest functions of the module before the optimiser, in bytes of code:");
    let named = std::fs::read(root().join("target/wasm/bound/glue_bg.wasm"))?;
    for (name, bytes) in contributors(&named)?.into_iter().take(400) {
        println!("{bytes:>9}  {name}");
    }
    Ok(())
}

/// The size of each function by its name, the largest first. The instances of a generic function are added up.
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

/// A function's name without the hash that distinguishes instances.
fn plain(name: &str) -> String {
    let name = format!("{:#}", demangle(name));
    match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 => plain.to_owned(),
        _ => name,
    }
}
