//! The npm package on every runtime it names: packed, installed into a scratch project, and run against
//! the simulated provider.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::{Result, demo, npm, root, run, setup};

/// One test's outcome, as `npm/test/suite.js` gives it.
#[derive(Deserialize)]
struct Outcome {
    name: String,
    error: Option<String>,
}

/// Runs the suite everywhere; `each` is told the runtime and how many tests passed and failed.
pub(crate) fn test(mut each: impl FnMut(&str, usize, usize)) -> Result {
    npm::build()?;
    let folder = root().join("target/npm-test");
    let tools = root().join("npm");
    let chromium = setup::browser()?;
    run(Command::new("node")
        .arg(tools.join("test/prepare.mjs"))
        .arg(&folder))?;
    let tool = |name: &str| tools.join("node_modules/.bin").join(name);
    for (name, program, arguments) in [
        ("types", "tsc", &["--project", "tsconfig.json"][..]),
        ("publint", "publint", &["--strict", "node_modules/warmline"]),
        (
            "are the types wrong",
            "attw",
            &["--profile", "esm-only", "--quiet", "warmline.tgz"],
        ),
    ] {
        let passed = run(Command::new(tool(program))
            .args(arguments)
            .current_dir(&folder))
        .is_ok();
        each(name, usize::from(passed), usize::from(!passed));
    }
    let simulator = Simulator::start()?;
    let (sim, vectors) = (simulator.url.as_str(), "vectors.json");
    let with_tools = |script: &str| {
        let mut command = Command::new("node");
        command.arg(script).arg(&tools).arg(sim);
        command
    };
    let mut node = Command::new("node");
    node.args(["node.js", sim, vectors]);
    let mut bun = Command::new(tool("bun"));
    bun.args(["node.js", sim, vectors]);
    let mut deno = Command::new(tool("deno"));
    deno.args([
        "run",
        "--allow-read",
        "--allow-net",
        "--allow-env",
        "node.js",
        sim,
        vectors,
    ]);
    let mut browser = with_tools("browser.mjs");
    browser.arg(&chromium);
    let mut examples = with_tools("examples.mjs");
    examples.arg(&chromium);
    let native = setup::binary("warmline-cli", "warmline")?;
    let mut serve = with_tools("serve.mjs");
    serve.arg(&native);
    let mut ledgers = with_tools("ledgers.mjs");
    ledgers.arg(&native);
    ledgers.envs(
        simulator
            .addresses
            .iter()
            .map(|(name, value)| (name, value)),
    );
    for (name, mut command) in [
        ("Node", node),
        ("Bun", bun),
        ("Deno", deno),
        ("workerd", with_tools("workerd.mjs")),
        ("edge-runtime", with_tools("edge.mjs")),
        ("Chromium", browser),
        ("the examples", examples),
        ("ledgers", ledgers),
        ("the gateway", serve),
        ("the demo page", demo::driven(&demo::site()?)?),
    ] {
        let (passed, failed) = suite(name, &mut command, &folder);
        each(name, passed, failed);
    }
    Ok(())
}

/// Runs one runtime's suite; one that gives no results has failed as a whole.
fn suite(name: &str, command: &mut Command, folder: &Path) -> (usize, usize) {
    let output = command
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output();
    let outcomes: Option<Vec<Outcome>> = output.ok().and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.trim_end().lines().last().unwrap_or_default();
        serde_json::from_str(last).ok()
    });
    let Some(outcomes) = outcomes.filter(|outcomes| !outcomes.is_empty()) else {
        println!("{name}: no results from {command:?}");
        return (0, 1);
    };
    let mut failed = 0;
    for Outcome { name: test, error } in &outcomes {
        if let Some(error) = error {
            failed += 1;
            println!("{name}: {test}: {error}");
        }
    }
    (outcomes.len() - failed, failed)
}

/// The simulated provider as a program, for as long as this lives.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) url: String,
    /// All that it serves, by the variables that name it.
    pub(crate) addresses: Vec<(String, String)>,
    /// Kept open: what it goes on to print must find a reader.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Simulator {
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(setup::binary("warmline-sim", "warmline-sim")?)
            .args(["--redis", "--until-stdin-ends"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdout = child.stdout.take().map(BufReader::new);
        let mut addresses = Vec::new();
        if let Some(stdout) = &mut stdout {
            for line in stdout.by_ref().lines() {
                match line?.split_once('=') {
                    Some((name, value)) => addresses.push((name.to_owned(), value.to_owned())),
                    None => break,
                }
            }
        }
        let (_, url) = addresses
            .first()
            .ok_or("the simulator did not say where it is")?
            .clone();
        Ok(Self {
            child,
            url,
            addresses,
            _stdout: stdout,
        })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
