//! Circles between files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::edges::Edges;

/// The sets of files in which each leads to every other one.
pub(super) fn circles(edges: &Edges) -> Vec<BTreeSet<PathBuf>> {
    let files: BTreeSet<&Path> = edges
        .keys()
        .flat_map(|(from, to)| [from.as_path(), to.as_path()])
        .collect();
    let mut circles = Vec::new();
    let mut placed = BTreeSet::new();
    for file in files {
        if placed.contains(file) {
            continue;
        }
        let circle: BTreeSet<PathBuf> = reachable(edges, file)
            .into_iter()
            .filter(|other| reachable(edges, other).contains(file))
            .map(Path::to_owned)
            .collect();
        placed.extend(circle.iter().cloned());
        if !circle.is_empty() {
            circles.push(circle);
        }
    }
    circles
}

/// The files that this one leads to in one step or more.
fn reachable<'a>(edges: &'a Edges, from: &Path) -> BTreeSet<&'a Path> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for (_, to) in edges.keys().filter(|(from, _)| from == file) {
            if found.insert(to.as_path()) {
                open.push(to);
            }
        }
    }
    found
}
