//! The suites of `cargo xtask test`.

use std::process::Command;

use crate::cargo_program::CargoProgram;
use crate::compiler::Compiler;
use crate::count::Count;
use crate::runtimes::{self, Fixtures};
use crate::setup::{self, Need};
use crate::workspace::{Result, cargo, root, run, tracked_files};
use crate::{docs, imports};

/// One suite, which can be run by its name.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// One line for `--list`.
    pub(crate) about: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(&Fixtures) -> Result<Count>,
}

/// Suites that are run together by the group's name.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Group {
    /// What a developer runs before each commit.
    Core,
    /// What the project meets outside of Rust: runtimes, bundlers, SDKs, browsers.
    Ecosystem,
}

impl Group {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Ecosystem => "ecosystem",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Core, Self::Ecosystem]
            .into_iter()
            .find(|group| group.name() == name)
    }
}

/// What the tests of the crate as a WebAssembly library need in Node; they start the simulator with its Redis.
const WASM_IN_NODE: [Need; 4] = [
    Need::WebAssembly,
    Need::WasmTestRunner,
    Need::Node,
    Need::Redis,
];

pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "format",
        group: Group::Core,
        about: "Rust code is formatted by rustfmt",
        needs: &[],
        run: |_| check_format(),
    },
    Suite {
        name: "imports",
        group: Group::Core,
        about: "Imports run one way, with no circle between files",
        needs: &[],
        run: |_| check_imports(),
    },
    Suite {
        name: "lints",
        group: Group::Core,
        about: "Clippy has nothing to say about any target of the workspace",
        needs: &[],
        run: |_| {
            check(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Suite {
        name: "docs",
        group: Group::Core,
        about: "The crates' documentation builds without a warning",
        needs: &[],
        run: |_| check(&["doc", "--workspace", "--no-deps", "--quiet"]),
    },
    Suite {
        name: "unit",
        group: Group::Core,
        about: "Unit and integration tests of every crate",
        needs: &[Need::Redis],
        // The lints build the benches too. They take minutes and are run by themselves.
        run: |_| {
            tests(&[
                "--workspace",
                "--lib",
                "--bins",
                "--tests",
                "--examples",
                "--no-fail-fast",
            ])
        },
    },
    // It reads the gateway's sockets and memory from /proc.
    #[cfg(target_os = "linux")]
    Suite {
        name: "campaign",
        group: Group::Core,
        about: "Attacks on `warmline serve` by callers and providers, in the short form",
        needs: &[],
        run: |_| crate::campaign::suite(),
    },
    Suite {
        name: "doctests",
        group: Group::Core,
        about: "The examples in the documentation",
        needs: &[],
        run: |_| tests(&["--workspace", "--doc", "--no-fail-fast"]),
    },
    Suite {
        name: "package",
        group: Group::Core,
        about: "The crate warmline can be packaged, and builds from its package",
        needs: &[],
        // Changes that are not committed are packaged too.
        run: |_| {
            check(&[
                "package",
                "--package",
                "warmline",
                "--allow-dirty",
                "--quiet",
            ])
        },
    },
    Suite {
        name: "production",
        group: Group::Core,
        about: "The command without the simulator and the load test",
        needs: &[],
        run: |_| {
            check(&[
                "clippy",
                "--package",
                "warmline-cli",
                "--no-default-features",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Suite {
        name: "wasm",
        group: Group::Core,
        about: "The crate as a library for WebAssembly, and crates/wasm, build without a warning",
        needs: &[Need::WebAssembly],
        run: |_| webassembly_crates(),
    },
    Suite {
        name: "wasm-node",
        group: Group::Core,
        about: "The tests of the WebAssembly library in Node",
        needs: &WASM_IN_NODE,
        run: |fixtures| webassembly_tests(fixtures, false),
    },
    Suite {
        name: "wasm-pack",
        group: Group::Ecosystem,
        about: "crates/wasm built and tested by wasm-pack",
        needs: &[
            Need::WebAssembly,
            Need::WasmTestRunner,
            Need::WasmPack,
            Need::Node,
        ],
        run: |_| wasm_pack(),
    },
    Suite {
        name: "wasm-chromium",
        group: Group::Ecosystem,
        about: "The tests of the WebAssembly library in Chromium",
        needs: &[
            Need::WebAssembly,
            Need::WasmTestRunner,
            Need::Browser,
            Need::BrowserDriver,
            Need::Redis,
        ],
        run: |fixtures| webassembly_tests(fixtures, true),
    },
    Suite {
        name: "npm",
        group: Group::Ecosystem,
        about: "The npm package's types and their doc comments, and its manifest by publint and \"are the types wrong\"",
        needs: &Need::FOR_NPM,
        run: runtimes::package,
    },
    Suite {
        name: "node",
        group: Group::Ecosystem,
        about: "The npm package in Node",
        needs: &Need::FOR_NPM_TESTS,
        run: runtimes::node,
    },
    Suite {
        name: "bun",
        group: Group::Ecosystem,
        about: "The npm package in Bun",
        needs: &Need::FOR_NPM_TESTS,
        run: runtimes::bun,
    },
    Suite {
        name: "deno",
        group: Group::Ecosystem,
        about: "The npm package in Deno",
        needs: &Need::FOR_NPM_TESTS,
        run: runtimes::deno,
    },
    Suite {
        name: "workerd",
        group: Group::Ecosystem,
        about: "The npm package in Cloudflare's workerd",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::script(fixtures, "workerd.mjs"),
    },
    Suite {
        name: "edge-runtime",
        group: Group::Ecosystem,
        about: "The npm package in Vercel's edge-runtime",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::script(fixtures, "edge.mjs"),
    },
    Suite {
        name: "types",
        group: Group::Ecosystem,
        about: "The npm package's types by each module resolution, and in a Worker with a Durable Object",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::script(fixtures, "types.mjs"),
    },
    Suite {
        name: "bundlers",
        group: Group::Ecosystem,
        about: "What esbuild, Bun, Deno, Vite and webpack make of the npm package, for servers and for pages",
        needs: &Need::FOR_BROWSER_TESTS,
        run: |fixtures| runtimes::in_browser(fixtures, "bundlers.mjs"),
    },
    Suite {
        name: "next",
        group: Group::Ecosystem,
        about: "The npm package in Next.js, by both bundlers and on both runtimes",
        needs: &Need::FOR_BROWSER_TESTS,
        run: |fixtures| runtimes::in_browser(fixtures, "next.mjs"),
    },
    Suite {
        name: "test-runners",
        group: Group::Ecosystem,
        about: "The npm package under Jest and vitest, with and without jsdom",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::script(fixtures, "test-runners.mjs"),
    },
    Suite {
        name: "chromium",
        group: Group::Ecosystem,
        about: "The npm package in Chromium",
        needs: &Need::FOR_BROWSER_TESTS,
        run: |fixtures| runtimes::in_browser(fixtures, "browser.mjs"),
    },
    Suite {
        name: "examples",
        group: Group::Ecosystem,
        about: "The npm package's examples under wrangler, Vite and webpack",
        needs: &Need::FOR_BROWSER_TESTS,
        run: |fixtures| runtimes::in_browser(fixtures, "examples.mjs"),
    },
    Suite {
        name: "snippets",
        group: Group::Ecosystem,
        about: "The JavaScript examples of the documentation, each in the runtime that it is for",
        needs: &Need::FOR_BROWSER_TESTS,
        run: runtimes::snippets,
    },
    Suite {
        name: "ai-sdk",
        group: Group::Ecosystem,
        about: "The npm package's UI message streams, read by the AI SDK and by useChat in Chromium",
        needs: &Need::FOR_BROWSER_TESTS,
        run: |fixtures| runtimes::in_browser(fixtures, "ai-sdk.mjs"),
    },
    Suite {
        name: "ledgers",
        group: Group::Ecosystem,
        about: "Budgets that processes share in Redis and in a Durable Object",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::with_command(fixtures, "ledgers.mjs"),
    },
    Suite {
        name: "gateway",
        group: Group::Ecosystem,
        about: "The official SDKs through `warmline serve`",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::with_command(fixtures, "serve.mjs"),
    },
    Suite {
        name: "sdks",
        group: Group::Ecosystem,
        about: "The official SDKs and the AI SDK, with their tool runners, before `warmline serve --simulate`",
        needs: &Need::FOR_NPM_TESTS,
        run: |fixtures| runtimes::with_command(fixtures, "sdks.mjs"),
    },
    Suite {
        name: "gateway-page",
        group: Group::Ecosystem,
        about: "The official SDKs in a page, through `warmline serve`, in Chromium",
        needs: &Need::FOR_BROWSER_TESTS,
        run: |fixtures| runtimes::with_command_in_browser(fixtures, "serve-page.mjs"),
    },
    Suite {
        name: "demo",
        group: Group::Ecosystem,
        about: "Every button of the demo page, in Chromium",
        needs: &Need::FOR_BROWSER_TESTS,
        run: runtimes::demo_page,
    },
    Suite {
        name: "book",
        group: Group::Ecosystem,
        about: "The book builds, and every link in the project's Markdown leads somewhere",
        needs: &[Need::MdBook],
        run: |_| docs::build().map(|_| Count::one(true)),
    },
];

fn our_cargo(arguments: &[&str]) -> Command {
    println!("cargo {}", arguments.join(" "));
    let mut command = cargo();
    command
        .args(arguments)
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// Checks each file by itself: `cargo fmt` does not find the modules that a macro declares.
fn check_format() -> Result<Count> {
    let mut files = tracked_files()?;
    files.retain(|name| name.ends_with(".rs"));
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .args(["--edition", "2024", "--check"])
        .args(files)
        .current_dir(root());
    run(&mut rustfmt).map(|()| Count::one(true))
}

/// A command of cargo that passes or fails as a whole.
fn check(arguments: &[&str]) -> Result<Count> {
    run(&mut our_cargo(arguments)).map(|()| Count::one(true))
}

/// `cargo test`, whose tests are counted.
fn tests(arguments: &[&str]) -> Result<Count> {
    Count::of_tests(our_cargo(&["test"]).args(arguments))
}

fn check_imports() -> Result<Count> {
    let mut count = Count::default();
    for check in imports::check()? {
        for problem in &check.problems {
            println!("{problem}");
        }
        let passed = check.problems.is_empty();
        println!("{}: {}", check.name, if passed { "ok" } else { "FAILED" });
        count += Count::one(passed);
    }
    Ok(count)
}

/// The features of the crate as a library for WebAssembly: all of the default but a TLS library.
const WEBASSEMBLY_FEATURES: &str = "anthropic,openai-chat,openai-responses";

/// The crate as a library for WebAssembly, with both dialects and with each alone; and crates/wasm.
fn webassembly_crates() -> Result<Count> {
    let check = |arguments: &[&str]| -> Result {
        let mut cargo = Compiler::find()?.cargo("check");
        cargo.args(["--quiet", "--package"]).args(arguments);
        run(cargo.env("RUSTFLAGS", "-D warnings"))
    };
    for features in [
        WEBASSEMBLY_FEATURES,
        "anthropic",
        "openai-chat",
        "openai-responses",
    ] {
        check(&[
            "warmline",
            "--lib",
            "--no-default-features",
            "--features",
            features,
        ])?;
    }
    check(&["warmline-wasm", "--all-targets"])?;
    Ok(Count::one(true))
}

fn webassembly_tests(fixtures: &Fixtures, in_browser: bool) -> Result<Count> {
    let simulator = fixtures.simulator()?;
    let mut cargo = Compiler::find()?.cargo("test");
    cargo.args([
        "--package",
        "warmline",
        "--test",
        "wasm",
        "--no-default-features",
        "--features",
        WEBASSEMBLY_FEATURES,
    ]);
    cargo.env("WARMLINE_SIM", &simulator.url);
    cargo.envs(simulator.addresses.clone());
    cargo.env(
        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
        CargoProgram::wasm_test_runner()?.find()?,
    );
    if in_browser {
        cargo.env("WASM_BINDGEN_USE_BROWSER", "1");
        cargo.env("CHROMEDRIVER", setup::browser_driver()?);
    }
    Count::of_tests(&mut cargo)
}

/// What wasm-pack's users type, with the program of wasm-bindgen that wasm-pack would otherwise fetch.
fn wasm_pack() -> Result<Count> {
    let target = root().join("target/wasm");
    let command = |arguments: &[&str]| -> Result<Command> {
        let mut command = Command::new(CargoProgram::wasm_pack().find()?);
        command.args(arguments).current_dir(root());
        let mut path = vec![CargoProgram::wasm_test_runner()?.find()?.with_file_name("")];
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        command.env("PATH", std::env::join_paths(path)?);
        command.env("CARGO_TARGET_DIR", &target);
        Ok(command)
    };
    let output = target.join("package");
    let mut build = command(&["build", "crates/wasm", "--target", "web", "--out-dir"])?;
    run(build.arg(&output))?;
    let mut count = Count::one(output.join("warmline_wasm.js").exists());
    count += Count::of_tests(&mut command(&["test", "--node", "crates/wasm"])?)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_files_that_its_documentation_tests_read_and_none_of_other_folders() {
        let list = [
            "package",
            "--package",
            "warmline",
            "--list",
            "--allow-dirty",
            "--offline",
        ];
        let output = our_cargo(&list).output().unwrap();
        let list = String::from_utf8(output.stdout).unwrap();
        let files: Vec<&str> = list.lines().collect();
        let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
        let read: Vec<&str> = library
            .split("include_str!(\"../")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(read.contains(&"README.md"), "{read:?}");
        for file in read {
            assert!(files.contains(&file), "{file} is missing: {files:?}");
        }
        let others = ["npm/", "tests/", "crates/", "www/"];
        assert!(
            !files
                .iter()
                .any(|file| others.iter().any(|folder| file.starts_with(folder))),
            "{files:?}"
        );
    }
}
