//! The npm package on every runtime that it names: packed, installed into a scratch project, and run against
//! the simulated provider.

use std::cell::OnceCell;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::count::Count;
use crate::workspace::{Result, binary, root, run};
use crate::{demo, npm, setup};

/// What several suites share. Each part is made when a suite first asks for it.
#[derive(Default)]
pub(crate) struct Fixtures {
    project: OnceCell<std::result::Result<PathBuf, String>>,
    simulator: OnceCell<std::result::Result<Simulator, String>>,
}

impl Fixtures {
    /// A project with the npm package installed from its archive, and with the tests beside it.
    fn project(&self) -> Result<&Path> {
        let project = self
            .project
            .get_or_init(|| prepare().map_err(|e| e.to_string()));
        Ok(project.as_deref().map_err(Clone::clone)?)
    }

    pub(crate) fn simulator(&self) -> Result<&Simulator> {
        let simulator = self
            .simulator
            .get_or_init(|| Simulator::start().map_err(|e| e.to_string()));
        Ok(simulator.as_ref().map_err(Clone::clone)?)
    }
}

fn prepare() -> Result<PathBuf> {
    npm::build()?;
    // Beneath the development packages, which the tests import too.
    let folder = tools().join("installed");
    run(Command::new("node")
        .arg(tools().join("test/prepare.mjs"))
        .arg(&folder))?;
    Ok(folder)
}

/// The folder of the development packages.
fn tools() -> PathBuf {
    root().join("npm")
}

fn tool(name: &str) -> PathBuf {
    tools().join("node_modules/.bin").join(name)
}

/// The package's types, their documentation, and its manifest.
pub(crate) fn package(fixtures: &Fixtures) -> Result<Count> {
    let folder = fixtures.project()?;
    let mut hover_docs = Command::new("node");
    hover_docs
        .args(["hover-docs.mjs", "node_modules/warmline"])
        .arg(tools());
    let mut types = Command::new(tool("tsc"));
    types.args(["--project", "tsconfig.json"]);
    let mut manifest = Command::new(tool("publint"));
    manifest.args(["--strict", "node_modules/warmline"]);
    let mut resolution = Command::new(tool("attw"));
    // TypeScript's oldest resolution does not know exports. Durable Objects and the module are for bundlers alone.
    resolution.args([
        "--profile",
        "node16",
        "--ignore-rules",
        "cjs-resolves-to-esm",
    ]);
    resolution.args(["--quiet", "warmline.tgz"]);
    let mut count = Count::default();
    for mut check in [types, hover_docs, manifest, resolution] {
        let checked = run(check.current_dir(folder));
        if let Err(error) = &checked {
            println!("{error}");
        }
        count += Count::one(checked.is_ok());
    }
    Ok(count)
}

pub(crate) fn node(fixtures: &Fixtures) -> Result<Count> {
    suite(fixtures, Command::new("node"))
}

pub(crate) fn bun(fixtures: &Fixtures) -> Result<Count> {
    suite(fixtures, Command::new(tool("bun")))
}

pub(crate) fn deno(fixtures: &Fixtures) -> Result<Count> {
    let mut deno = Command::new(tool("deno"));
    deno.args(["run", "--allow-read", "--allow-net", "--allow-env"]);
    suite(fixtures, deno)
}

/// The suite of `npm/test/suite.js` in a runtime that runs a file.
fn suite(fixtures: &Fixtures, mut runtime: Command) -> Result<Count> {
    runtime.args(["node.js", &fixtures.simulator()?.url, "vectors.json"]);
    outcomes(fixtures, runtime)
}

/// A script of `npm/test`, which is given the development packages and the simulator.
pub(crate) fn script(fixtures: &Fixtures, name: &str) -> Result<Count> {
    outcomes(fixtures, script_command(fixtures, name)?)
}

/// A script that drives a browser.
pub(crate) fn in_browser(fixtures: &Fixtures, name: &str) -> Result<Count> {
    let mut command = script_command(fixtures, name)?;
    command.arg(setup::browser()?);
    outcomes(fixtures, command)
}

/// The examples of the documentation, some of which are pages and some of which use a Redis.
pub(crate) fn snippets(fixtures: &Fixtures) -> Result<Count> {
    let mut command = script_command(fixtures, "run-snippets.mjs")?;
    command.arg(setup::browser()?);
    command.envs(fixtures.simulator()?.addresses.clone());
    outcomes(fixtures, command)
}

/// A script that runs the command `warmline`, and knows the simulator's Redis.
pub(crate) fn with_command(fixtures: &Fixtures, name: &str) -> Result<Count> {
    let mut command = script_command(fixtures, name)?;
    command.arg(binary("warmline-cli", "warmline")?);
    command.envs(fixtures.simulator()?.addresses.clone());
    outcomes(fixtures, command)
}

/// A script that runs the command `warmline` and drives a browser.
pub(crate) fn with_command_in_browser(fixtures: &Fixtures, name: &str) -> Result<Count> {
    let mut command = script_command(fixtures, name)?;
    command.arg(binary("warmline-cli", "warmline")?);
    command.arg(setup::browser()?);
    outcomes(fixtures, command)
}

fn script_command(fixtures: &Fixtures, name: &str) -> Result<Command> {
    let mut command = Command::new("node");
    command
        .arg(name)
        .arg(tools())
        .arg(&fixtures.simulator()?.url);
    Ok(command)
}

pub(crate) fn demo_page(fixtures: &Fixtures) -> Result<Count> {
    outcomes(fixtures, demo::driven(&demo::site()?)?)
}

/// One test's outcome, as `npm/test/suite.js` gives it.
#[derive(Deserialize)]
struct Outcome {
    name: String,
    error: Option<String>,
}

/// Runs a command in the project. Its last line has the outcomes as JSON; it is an error if there are none.
fn outcomes(fixtures: &Fixtures, mut command: Command) -> Result<Count> {
    command
        .current_dir(fixtures.project()?)
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|e| format!("{command:?} cannot be run: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.trim_end().lines().last().unwrap_or_default();
    let outcomes: Vec<Outcome> = serde_json::from_str(last)
        .map_err(|_| format!("no outcomes from {command:?}, but {:?}", shown(last)))?;
    let mut count = Count::default();
    for Outcome { name, error } in &outcomes {
        if let Some(error) = error {
            println!("{name}: {error}");
        }
        count += Count::one(error.is_none());
    }
    Ok(count)
}

/// As much of a line as fits into a message.
fn shown(line: &str) -> String {
    line.chars().take(200).collect()
}

/// The simulated provider as a program, which runs for as long as this lives.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) url: String,
    /// Everything that it serves, by the variables that name it.
    pub(crate) addresses: Vec<(String, String)>,
    /// Kept open, because a program that prints to a closed pipe ends.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Simulator {
    fn start() -> Result<Self> {
        let mut child = Command::new(binary("warmline-sim", "warmline-sim")?)
            .args(["--redis", "--until-stdin-ends"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().map(BufReader::new);
        let mut simulator = Self {
            child,
            url: String::new(),
            addresses: Vec::new(),
            _stdout: stdout,
        };
        if let Some(stdout) = &mut simulator._stdout {
            for line in stdout.by_ref().lines() {
                match line?.split_once('=') {
                    Some((name, value)) => simulator
                        .addresses
                        .push((name.to_owned(), value.to_owned())),
                    None => break,
                }
            }
        }
        let (_, url) = simulator
            .addresses
            .first()
            .ok_or("the simulator did not print its address")?;
        simulator.url = url.clone();
        Ok(simulator)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
