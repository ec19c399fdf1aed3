//! `cargo xtask test imports`: imports run one way, from the upper layers to the lower ones, with no circle
//! between files; only the files that may ask for the target do; and no source file is too long.

mod cfg;
mod edges;
mod graph;
mod resolve;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::edges::Edges;
use self::tree::{Sources, Tree};
use crate::workspace::{Result, root, tracked_files};

/// The modules of the crate `warmline` from the bottom to the top. A module imports from its own layer and from
/// those below it.
const LAYERS: [&[&str]; 4] = [
    &[
        "runtime",
        "error",
        "framing",
        "chat",
        "credentials",
        "headers",
        "millis",
        "decimal",
        "quote",
        "retry",
        "secret",
        "timeouts",
        "url",
        "usd",
    ],
    &[
        "trace",
        "pool",
        "transport",
        "cost",
        "shared",
        "provider",
        "dialect",
    ],
    &["client", "config", "router"],
    &["lib"],
];

/// The modules of the crate `warmline` that may ask for the target.
const KNOW_THE_TARGET: [&str; 2] = ["transport", "runtime"];

const MAX_LINES: usize = 500;

/// Folders of data and of generated files, whose length is not looked at.
const DATA: [&str; 2] = ["tests/data/", "tests/vectors/"];

/// One rule, and what breaks it.
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) problems: Vec<String>,
}

/// Checks the whole project.
pub(crate) fn check() -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for package in packages()? {
        let sources = sources(&package)?;
        let edges = edges(&package, &sources)?;
        let shown = package.display();
        checks.push(Check {
            name: format!("no circle between the files of {shown}"),
            problems: circles(&edges),
        });
        if package == Path::new("src") {
            checks.push(Check {
                name: format!("the layers of {shown}"),
                problems: layers(&edges),
            });
            checks.push(Check {
                name: format!("the target in {shown}"),
                problems: targets(&sources),
            });
        }
    }
    checks.push(Check {
        name: format!("no file beyond {MAX_LINES} lines"),
        problems: long_files()?,
    });
    Ok(checks)
}

/// The `src` folders of the workspace's crates.
fn packages() -> Result<Vec<PathBuf>> {
    let mut packages = vec![PathBuf::from("src")];
    for package in fs::read_dir(root().join("crates"))? {
        let source = Path::new("crates").join(package?.file_name()).join("src");
        if root().join(&source).is_dir() {
            packages.push(source);
        }
    }
    packages.sort();
    Ok(packages)
}

fn sources(folder: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(entry.path())
                    .map_err(|e| format!("{}: {e}", path.display()))?;
                sources.insert(path, text);
            }
        }
    }
    Ok(sources)
}

/// What the files of a crate use of each other; `lib.rs`, `main.rs` and each file of `bin/` is a root.
fn edges(folder: &Path, sources: &Sources) -> Result<Edges> {
    let mut edges = Edges::new();
    let is_root = |file: &Path| {
        file == folder.join("lib.rs")
            || file == folder.join("main.rs")
            || file.parent() == Some(&folder.join("bin"))
    };
    for root in sources.keys().filter(|file| is_root(file)) {
        edges::add(&Tree::read(sources, root)?, &mut edges);
    }
    Ok(edges)
}

fn circles(edges: &Edges) -> Vec<String> {
    let circles = graph::circles(edges);
    circles
        .iter()
        .map(|circle| describe(circle, edges))
        .collect()
}

fn describe(circle: &BTreeSet<PathBuf>, edges: &Edges) -> String {
    let mut text = format!(
        "{} files import each other in a circle. Move the items that close it to a file below the others, or pass them as arguments:",
        circle.len()
    );
    for ((from, to), names) in edges {
        if circle.contains(from) && circle.contains(to) {
            text += &format!(
                "\n  {} imports {} from {}",
                from.display(),
                list(names),
                to.display()
            );
        }
    }
    text
}

fn list(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn layers(edges: &Edges) -> Vec<String> {
    let layer = |file: &Path| {
        LAYERS
            .iter()
            .position(|layer| layer.contains(&module(file).as_str()))
    };
    let mut problems = BTreeSet::new();
    for ((from, to), names) in edges {
        let layers = [from, to].map(|file| {
            let layer = layer(file);
            if layer.is_none() {
                problems.insert(format!(
                    "{}: the module `{}` is in no layer. Add it to LAYERS in crates/xtask/src/imports/mod.rs.",
                    file.display(),
                    module(file)
                ));
            }
            layer
        });
        if let [Some(lower), Some(upper)] = layers
            && lower < upper
        {
            problems.insert(format!(
                "{} (layer {lower}) imports {} from {} (layer {upper}). Move the items down to `{}` or below, or move their user up.",
                from.display(),
                list(names),
                to.display(),
                module(from)
            ));
        }
    }
    problems.into_iter().collect()
}

/// The module at the top of the crate that a file such as `src/pool/state.rs` belongs to.
fn module(file: &Path) -> String {
    let name = file
        .components()
        .nth(1)
        .map(|name| name.as_os_str().to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    name.strip_suffix(".rs").unwrap_or(&name).to_owned()
}

fn targets(sources: &Sources) -> Vec<String> {
    let mut problems = Vec::new();
    for (file, text) in sources {
        if KNOW_THE_TARGET.contains(&module(file).as_str()) {
            continue;
        }
        for (line, what) in cfg::target_conditions(text) {
            problems.push(format!(
                "{}:{line}: a `cfg` asks for {what}. Move what depends on it to src/transport or src/runtime.",
                file.display()
            ));
        }
    }
    problems
}

fn long_files() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in &tracked_files()? {
        if is_source(name)
            && let Ok(text) = fs::read_to_string(root().join(name))
        {
            problems.extend(too_long(name, &text));
        }
    }
    Ok(problems)
}

fn is_source(name: &str) -> bool {
    let kind = Path::new(name).extension().and_then(|kind| kind.to_str());
    let is_source = kind.is_some_and(|kind| {
        ["rs", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"].contains(&kind)
    });
    is_source && !DATA.iter().any(|folder| name.starts_with(folder))
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{name} has {lines} lines. Split it into files of at most {MAX_LINES}, each with one job."))
}
