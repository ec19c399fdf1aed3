//! `cargo xtask test`: every check and every suite, with one closing count.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use crate::runtimes::Simulator;
use crate::setup::{self, Compiler};
use crate::{docs, run as run_command, runtimes};

/// What has been counted so far.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

pub(crate) fn run() -> ExitCode {
    let mut count = Count::default();
    let redis = setup::redis().map_err(|e| println!("Redis: {e}"));
    count.passed_or_failed("Redis to test with", redis.is_ok());
    count.check("format", &["fmt", "--all", "--check"]);
    count.check(
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    );
    count.check(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--quiet"],
    );
    count.suite(
        "unit and integration tests",
        // Benches are built by the lints and run by themselves: they take minutes.
        &[
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
            "--no-fail-fast",
        ],
    );
    count.suite(
        "documentation tests",
        &["test", "--workspace", "--doc", "--no-fail-fast"],
    );
    // Changes that are not committed are packaged too. The build of the package shares `target` with those before.
    count.check(
        "the package of the crate",
        &[
            "package",
            "--package",
            "warmline",
            "--allow-dirty",
            "--quiet",
        ],
    );
    println!("== the book");
    let book = docs::build().map_err(|e| println!("{e}"));
    count.passed_or_failed("the book", book.is_ok());
    count.webassembly_library();
    count.runtimes();
    let Count {
        passed,
        failed,
        skipped,
    } = count;
    let skipped = if skipped > 0 {
        format!(", {skipped} skipped")
    } else {
        String::new()
    };
    println!("{passed} passed, {failed} failed{skipped}");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Count {
    /// A command that passes or fails as a whole.
    fn check(&mut self, name: &str, arguments: &[&str]) {
        println!("== {name}: cargo {}", arguments.join(" "));
        let passed = cargo(arguments).status();
        self.passed_or_failed(name, passed.is_ok_and(|status| status.success()));
    }

    /// The crate as a library for WebAssembly, without the face for JavaScript.
    fn webassembly_library(&mut self) {
        println!("== the crate as a library for WebAssembly");
        let checked = Compiler::find().and_then(|compiler| {
            let mut cargo = compiler.cargo("check");
            cargo.args([
                "--package",
                "warmline",
                "--lib",
                "--no-default-features",
                "--quiet",
            ]);
            run_command(cargo.env("RUSTFLAGS", "-D warnings"))
        });
        if let Err(error) = &checked {
            println!("{error}");
        }
        self.passed_or_failed("the WebAssembly library", checked.is_ok());
        for in_browser in [false, true] {
            let name = if in_browser { "Chromium" } else { "Node" };
            println!("== the crate as a library for WebAssembly, tested in {name}");
            let passed_before = self.passed;
            if let Err(error) = self.webassembly_tests(in_browser) {
                println!("{error}");
                self.passed_or_failed("the WebAssembly library's tests", false);
            } else if self.passed == passed_before {
                self.passed_or_failed("the WebAssembly library's tests", false);
            }
        }
    }

    fn webassembly_tests(&mut self, in_browser: bool) -> crate::Result {
        let simulator = Simulator::start()?;
        let mut cargo = Compiler::find()?.cargo("test");
        cargo.args(["--package", "warmline", "--test", "wasm"]);
        cargo.arg("--no-default-features");
        cargo.env("WARMLINE_SIM", &simulator.url);
        cargo.envs(simulator.addresses.clone());
        let runner = setup::wasm_test_runner()?;
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
        if in_browser {
            setup::browser()?;
            cargo.env("WASM_BINDGEN_USE_BROWSER", "1");
            cargo.env("CHROMEDRIVER", setup::driver()?);
        }
        self.follow(cargo)?;
        Ok(())
    }

    fn passed_or_failed(&mut self, name: &str, passed: bool) {
        *(if passed {
            &mut self.passed
        } else {
            &mut self.failed
        }) += 1;
        println!("{name}: {}", if passed { "ok" } else { "FAILED" });
    }

    /// The npm package on every runtime.
    fn runtimes(&mut self) {
        println!("== the npm package, on every runtime");
        let tested = runtimes::test(|name, passed, failed| {
            println!("{name}: {passed} passed, {failed} failed");
            self.passed += passed;
            self.failed += failed;
        });
        if let Err(error) = tested {
            println!("the npm package: FAILED: {error}");
            self.failed += 1;
        }
    }

    /// A command that prints libtest's closing lines, which are added up.
    fn suite(&mut self, name: &str, arguments: &[&str]) {
        println!("== {name}: cargo {}", arguments.join(" "));
        let (passed_before, failed_before) = (self.passed, self.failed);
        let succeeded = self.follow(cargo(arguments)).is_ok_and(|success| success);
        // A suite that did not even build, or in which nothing ran, has not passed.
        if (!succeeded && self.failed == failed_before)
            || (succeeded && self.passed == passed_before)
        {
            println!("{name}: FAILED without a count");
            self.failed += 1;
        }
    }

    fn follow(&mut self, mut command: Command) -> std::io::Result<bool> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                self.read(&line);
                println!("{line}");
            }
        }
        Ok(child.wait()?.success())
    }

    /// `test result: ok. 5 passed; 0 failed; 1 ignored; …`
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = result.split([' ', ';']).collect();
        let before = |word: &str| -> usize {
            let at = words.iter().position(|w| *w == word).unwrap_or_default();
            at.checked_sub(1)
                .and_then(|at| words[at].parse().ok())
                .unwrap_or_default()
        };
        self.passed += before("passed");
        self.failed += before("failed");
        self.skipped += before("ignored");
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = crate::cargo();
    command.args(arguments).env("RUSTDOCFLAGS", "-D warnings");
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        count.read("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        count
            .read("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        count.read("test some::name ... ok");
        assert_eq!((count.passed, count.failed, count.skipped), (7, 3, 1));
    }

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
        let output = cargo(&list).current_dir(root()).output().unwrap();
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
