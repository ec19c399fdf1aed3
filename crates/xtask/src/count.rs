//! How many checks and tests passed, failed and were skipped.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use crate::workspace::Result;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Count {
    /// One check.
    pub(crate) fn one(passed: bool) -> Self {
        Self {
            passed: usize::from(passed),
            failed: usize::from(!passed),
            skipped: 0,
        }
    }

    /// Runs a command that prints libtest's closing lines, shows its output and adds the lines up.
    pub(crate) fn of_tests(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{command:?} cannot be run: {e}"))?;
        let mut count = Self::default();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                count.read(&line);
                println!("{line}");
            }
        }
        // A command that fails without a failed test, such as one that does not compile, is a failure too.
        if !child.wait()?.success() && count.failed == 0 {
            count.failed = 1;
        }
        Ok(count)
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

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        count.read("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        count
            .read("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        count.read("test some::name ... ok");
        assert_eq!(count.to_string(), "7 passed, 3 failed, 1 skipped");
        assert_eq!(Count::one(true).to_string(), "1 passed, 0 failed");
    }
}
