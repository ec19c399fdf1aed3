//! `cargo xtask setup`: what the tasks need besides Rust. Nothing else in the project installs anything: a task
//! says what it needs, and what is missing is installed here, all at once, before the task begins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::cargo_program::CargoProgram;
use crate::compiler::{Compiler, TARGET, has_target};
use crate::workspace::{Result, root, run as run_command};

/// Debian's Rust with the source of the standard library, for machines on which rustup cannot fetch the target.
const DEBIAN_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

#[derive(Args)]
pub(crate) struct Options {
    /// Report what is there and what is missing, and install nothing.
    #[arg(long)]
    check: bool,
}

/// Something that tasks need. The order is that of installing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    WebAssembly,
    Browser,
    BrowserDriver,
    Redis,
    Node,
    NpmPackages,
    MdBook,
    WasmTestRunner,
    WasmPack,
    Wrk,
    LiterLlm,
    LiteLlm,
}

/// How something that is missing is installed.
enum Install {
    /// The target's standard library, by rustup or else from Debian.
    Target,
    /// A package of the operating system, where that is Debian or one like it.
    System(&'static str),
    NpmPackages,
    Cargo(CargoProgram),
    /// LiteLLM's proxy, into a virtual environment of Python.
    LiteLlm,
    /// Not by this program: what to do instead.
    ByHand(&'static str),
}

impl Need {
    /// All that the tests need.
    const ALL: [Self; 9] = [
        Self::WebAssembly,
        Self::Browser,
        Self::BrowserDriver,
        Self::Redis,
        Self::Node,
        Self::NpmPackages,
        Self::MdBook,
        Self::WasmTestRunner,
        Self::WasmPack,
    ];
    /// To compare gateways.
    pub(crate) const FOR_PEERS: [Self; 3] = [Self::Wrk, Self::LiterLlm, Self::LiteLlm];
    /// To build the npm package.
    pub(crate) const FOR_NPM: [Self; 3] = [Self::WebAssembly, Self::Node, Self::NpmPackages];
    /// To test it against the simulator.
    pub(crate) const FOR_NPM_TESTS: [Self; 4] = [
        Self::WebAssembly,
        Self::Node,
        Self::NpmPackages,
        Self::Redis,
    ];
    /// To test it in a browser.
    pub(crate) const FOR_BROWSER_TESTS: [Self; 5] = [
        Self::WebAssembly,
        Self::Node,
        Self::NpmPackages,
        Self::Redis,
        Self::Browser,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::WebAssembly => "a Rust compiler for WebAssembly",
            Self::Browser => "Chromium or Chrome",
            Self::BrowserDriver => "chromedriver",
            Self::Redis => "redis-server",
            Self::Node => "Node 20 or newer",
            Self::NpmPackages => "the npm packages of npm/package-lock.json",
            Self::MdBook => "mdbook",
            Self::WasmTestRunner => "wasm-bindgen-test-runner",
            Self::WasmPack => "wasm-pack",
            Self::Wrk => "wrk",
            Self::LiterLlm => "liter-llm",
            Self::LiteLlm => "LiteLLM's proxy",
        }
    }

    /// Where it is, or why it cannot be used.
    fn find(self) -> Result<String> {
        let path = match self {
            Self::WebAssembly => return Ok(Compiler::find()?.description()),
            Self::Node => return node(),
            Self::Browser => browser()?,
            Self::BrowserDriver => browser_driver()?,
            Self::Redis => program(&["redis-server"])?,
            Self::NpmPackages => npm_packages()?,
            Self::MdBook => CargoProgram::mdbook().find()?,
            Self::WasmTestRunner => CargoProgram::wasm_test_runner()?.find()?,
            Self::WasmPack => CargoProgram::wasm_pack().find()?,
            Self::Wrk => wrk()?,
            Self::LiterLlm => CargoProgram::liter_llm().find()?,
            Self::LiteLlm => lite_llm()?,
        };
        Ok(path.display().to_string())
    }

    fn install(self) -> Result<Install> {
        Ok(match self {
            Self::WebAssembly => Install::Target,
            Self::Browser => Install::System("chromium"),
            Self::BrowserDriver => Install::System("chromium-driver"),
            Self::Redis => Install::System("redis-server"),
            Self::Node => Install::ByHand("install it from https://nodejs.org/en/download"),
            Self::NpmPackages => Install::NpmPackages,
            Self::MdBook => Install::Cargo(CargoProgram::mdbook()),
            Self::WasmTestRunner => Install::Cargo(CargoProgram::wasm_test_runner()?),
            Self::WasmPack => Install::Cargo(CargoProgram::wasm_pack()),
            Self::Wrk => Install::System("wrk"),
            Self::LiterLlm => Install::Cargo(CargoProgram::liter_llm()),
            Self::LiteLlm => Install::LiteLlm,
        })
    }
}

pub(crate) fn run(options: &Options) -> Result {
    if !options.check {
        require(&Need::ALL)?;
    }
    let mut missing = Vec::new();
    for need in Need::ALL {
        match need.find() {
            Ok(place) => println!("{}: {place}", need.name()),
            Err(why) => {
                println!("{}: missing: {why}", need.name());
                missing.push(need);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    println!("`cargo xtask setup` installs what is missing:");
    for line in plan(&missing)? {
        println!("  {line}");
    }
    Err("something is missing".into())
}

/// As [`prepare`], for a task that cannot begin without any of it.
pub(crate) fn require(needs: &[Need]) -> Result {
    let unmet = prepare(needs)?;
    match unmet.is_empty() {
        true => Ok(()),
        false => Err(unmet.into_values().collect::<Vec<_>>().join("\n").into()),
    }
}

/// Prints what is missing and the commands that install it, and runs them. Gives back what is missing after
/// that, each with the reason and what to do.
pub(crate) fn prepare(needs: &[Need]) -> Result<BTreeMap<Need, String>> {
    let needs: BTreeSet<Need> = needs.iter().copied().collect();
    let missing: Vec<Need> = needs
        .into_iter()
        .filter(|need| need.find().is_err())
        .collect();
    if missing.is_empty() {
        return Ok(BTreeMap::new());
    }
    println!("== setup");
    for need in &missing {
        println!("{} is missing", need.name());
    }
    println!("What is missing is installed now:");
    for line in plan(&missing)? {
        println!("  {line}");
    }
    let failed = install(&missing)?;
    let mut unmet = BTreeMap::new();
    for need in missing {
        if let Err(why) = need.find() {
            let why = failed
                .get(&need)
                .cloned()
                .unwrap_or_else(|| why.to_string());
            unmet.insert(need, format!("{} is missing: {why}", need.name()));
        }
    }
    Ok(unmet)
}

/// The command lines that install these, and advice on what no command can.
fn plan(missing: &[Need]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let packages = system_packages(missing)?;
    for need in missing {
        match need.install()? {
            Install::Target => {
                lines.push(shown(&rustup()));
                lines.push(format!(
                    "{}  (only if rustup cannot fetch it)",
                    shown(&apt_get(&DEBIAN_RUST))
                ));
            }
            Install::System(_) => {}
            Install::NpmPackages => lines.push(format!("{}  (in npm/)", shown(&npm_ci()))),
            Install::LiteLlm => lines.extend(install_lite_llm().iter().map(shown)),
            Install::Cargo(program) => lines.push(shown(&program.install())),
            Install::ByHand(advice) => lines.push(format!("{}: {advice}", need.name())),
        }
    }
    if !packages.is_empty() {
        lines.insert(0, shown(&apt_get(&packages)));
    }
    Ok(lines)
}

/// Installs these as [`plan`] says, as far as it goes. Gives back what failed, and why.
fn install(missing: &[Need]) -> Result<BTreeMap<Need, String>> {
    let mut failed = BTreeMap::new();
    let packages = system_packages(missing)?;
    let of_the_system = match packages.is_empty() {
        true => Ok(()),
        false => apt_install(&packages).map_err(|e| e.to_string()),
    };
    for need in missing {
        let installed = match need.install()? {
            Install::Target => install_target(),
            Install::System(_) => of_the_system.clone().map_err(Into::into),
            Install::NpmPackages => run_command(&mut npm_ci()),
            Install::LiteLlm => install_lite_llm().iter_mut().try_for_each(run_command),
            Install::Cargo(program) => run_command(&mut program.install()),
            Install::ByHand(advice) => Err(advice.into()),
        };
        if let Err(error) = installed {
            failed.insert(*need, error.to_string());
        }
    }
    Ok(failed)
}

fn system_packages(missing: &[Need]) -> Result<Vec<&'static str>> {
    let mut packages = Vec::new();
    for need in missing {
        if let Install::System(package) = need.install()? {
            packages.push(package);
        }
    }
    Ok(packages)
}

/// A command as one types it.
fn shown(command: &Command) -> String {
    // Cargo is known by its whole path.
    let program = Path::new(command.get_program()).file_stem();
    let words = program.into_iter().chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    command
}

fn install_target() -> Result {
    if run_command(rustup().stderr(Stdio::null())).is_ok() && has_target() {
        return Ok(());
    }
    println!(
        "rustup cannot fetch {TARGET}; Debian's Rust, which builds it from source, is installed instead"
    );
    apt_install(&DEBIAN_RUST)
}

fn apt() -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    if is_root || program(&["sudo"]).is_err() {
        return Command::new("apt-get");
    }
    let mut command = Command::new("sudo");
    command.arg("apt-get");
    command
}

fn apt_get(packages: &[&str]) -> Command {
    let mut command = apt();
    command
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    command
}

fn apt_install(packages: &[&str]) -> Result {
    if program(&["apt-get"]).is_err() {
        return Err(format!(
            "this system has no apt-get; install {} with its own package manager, and run the command again",
            packages.join(" and ")
        )
        .into());
    }
    let quiet = |mut command: Command| {
        run_command(
            command
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(Stdio::null()),
        )
    };
    let mut update = apt();
    update.arg("update");
    // A list that cannot be renewed may still be good enough.
    let _ = quiet(update);
    quiet(apt_get(packages))
}

fn npm_ci() -> Command {
    let mut command = Command::new("npm");
    command
        .args(["ci", "--no-audit", "--no-fund", "--silent"])
        .current_dir(root().join("npm"));
    command
}

/// The version of Node.
fn node() -> Result<String> {
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|e| format!("node: {e}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    match major {
        Some(20u32..) => Ok(version),
        _ => Err(format!("node is {version:?}").into()),
    }
}

/// The folder with exactly what `npm/package-lock.json` names.
fn npm_packages() -> Result<PathBuf> {
    let folder = root().join("npm");
    let changed =
        |name: &str| std::fs::metadata(folder.join(name)).and_then(|meta| meta.modified());
    let locked = changed("package-lock.json")?;
    match changed("node_modules/.package-lock.json") {
        Ok(installed) if locked <= installed => Ok(folder.join("node_modules")),
        Ok(_) => Err("npm/package-lock.json has changed since they were installed".into()),
        Err(_) => Err("npm/node_modules is not complete".into()),
    }
}

/// The folder of LiteLLM's proxy. Its version is the one that docs/performance.md names.
fn lite_llm_folder() -> PathBuf {
    root().join("target/tools/litellm-1.108.7")
}

pub(crate) fn lite_llm() -> Result<PathBuf> {
    let program = lite_llm_folder().join("bin/litellm");
    match program.exists() {
        true => Ok(program),
        false => Err("litellm is not in target/tools".into()),
    }
}

fn install_lite_llm() -> [Command; 2] {
    let folder = lite_llm_folder();
    let mut environment = Command::new("python3");
    environment.args(["-m", "venv"]).arg(&folder);
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "litellm[proxy]==1.108.7"]);
    [environment, pip]
}

pub(crate) fn wrk() -> Result<PathBuf> {
    program(&["wrk"])
}

pub(crate) fn browser() -> Result<PathBuf> {
    program(&[
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ])
}

/// The program through which tests drive the browser.
pub(crate) fn browser_driver() -> Result<PathBuf> {
    program(&["chromedriver"])
}

/// The first program of one of these names on the path.
fn program(names: &[&str]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut files = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .map(|file| file.with_extension(std::env::consts::EXE_EXTENSION));
    let found = files.find(|file| file.exists());
    found.ok_or_else(|| format!("there is no {} on the path", names.join(" or ")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_has_one_command_for_all_system_packages_and_the_others_after_it() {
        let missing = [
            Need::Browser,
            Need::Redis,
            Need::Node,
            Need::NpmPackages,
            Need::MdBook,
        ];
        let lines = plan(&missing).unwrap();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(
            lines[0].ends_with("apt-get install -y --no-install-recommends chromium redis-server"),
            "{lines:#?}"
        );
        assert!(
            lines[1].starts_with("Node 20 or newer: install it from https://nodejs.org"),
            "{lines:#?}"
        );
        assert!(lines[2].starts_with("npm ci "), "{lines:#?}");
        assert!(
            lines[3].contains("install mdbook --quiet --version 0.5.4 --no-default-features"),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = program(&["no-such-program", "nor-this"])
            .unwrap_err()
            .to_string();
        assert_eq!(error, "there is no no-such-program or nor-this on the path");
        assert!(program(&["cargo"]).is_ok());
    }
}
