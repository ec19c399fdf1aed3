//! `cargo xtask docs`: the book in docs/, with the crate's own reference beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::cargo_program::CargoProgram;
use crate::workspace::{Result, cargo, open, root, run as run_command};

#[derive(Args)]
pub(crate) struct Options {
    /// Do not open a browser.
    #[arg(long)]
    no_open: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    let book = build()?.join("index.html");
    println!("the book is at {}", book.display());
    if !options.no_open {
        open(&book.display().to_string());
    }
    Ok(())
}

pub(crate) fn build() -> Result<PathBuf> {
    check_links()?;
    let book = root().join("target/book");
    run_command(
        Command::new(CargoProgram::mdbook().find()?)
            .arg("build")
            .arg(root().join("docs")),
    )?;
    let mut reference = cargo();
    reference.args([
        "doc",
        "--quiet",
        "--package",
        "warmline",
        "--no-deps",
        "--features",
        "redis",
    ]);
    reference
        .arg("--target-dir")
        .arg(root().join("target/reference"));
    run_command(reference.current_dir(root()))?;
    copy(&root().join("target/reference/doc"), &book.join("api"))?;
    Ok(book)
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        match path.is_dir() {
            true => copy(&path, &to.join(name))?,
            false => drop(fs::copy(&path, to.join(name))?),
        }
    }
    Ok(())
}

/// Checks that every relative link in the project's Markdown leads to a file, and to a heading if it names one.
fn check_links() -> Result {
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "npm/README.md",
    ]
    .map(|page| root().join(page))
    .to_vec();
    for page in fs::read_dir(root().join("docs"))? {
        pages.push(page?.path());
    }
    let mut broken = String::new();
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|kind| kind == "md"))
    {
        for link in links(&fs::read_to_string(page)?) {
            if let Err(why) = follow(page, &link) {
                broken += &format!("\n{}: {link}: {why}", page.display());
            }
        }
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(format!("links that lead nowhere:{broken}").into()),
    }
}

fn links(markdown: &str) -> Vec<String> {
    let mut code = false;
    let prose = markdown.lines().filter(|line| {
        code ^= line.starts_with("```");
        !code
    });
    let targets = prose.flat_map(|line| {
        line.split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
    });
    // The reference is built after this check.
    let ours = |target: &&str| !target.contains("://") && !target.starts_with("api/");
    targets.filter(ours).map(str::to_owned).collect()
}

fn follow(page: &Path, link: &str) -> Result {
    let (file, heading) = link
        .split_once('#')
        .map_or((link, None), |(file, heading)| (file, Some(heading)));
    let to = match file {
        "" => page.to_owned(),
        file => page.with_file_name(file),
    };
    if !to.exists() {
        return Err("there is no such file".into());
    }
    let Some(heading) = heading else {
        return Ok(());
    };
    let found = fs::read_to_string(&to)?
        .lines()
        .any(|line| line.starts_with('#') && anchor(line) == heading);
    match found {
        true => Ok(()),
        false => Err("there is no such heading".into()),
    }
}

/// A heading's anchor, as mdBook and GitHub make it.
fn anchor(line: &str) -> String {
    let title = line.trim_start_matches('#').trim().to_lowercase();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code_and_headings_by_their_anchors() {
        let page = "# A page\n[a](b.md#c), ![d](e.png) and [f](https://g)\n```sh\n[h](i)\n```\n";
        assert_eq!(links(page), ["b.md#c", "e.png"]);
        assert_eq!(
            anchor("## The pool, and why reqwest only dials"),
            "the-pool-and-why-reqwest-only-dials"
        );
        let here = root().join("README.md");
        assert!(follow(&here, "docs/architecture.md#money").is_ok());
        assert!(follow(&here, "docs/architecture.md#monkey").is_err());
        assert!(follow(&here, "docs/architecture.txt").is_err());
    }
}
