//! Reads variables from `.env`. An error names the line, and does not quote it, since it may contain a key.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::report::Failure;

const MAX_BYTES: u64 = 1 << 20;

/// Reads the `.env` in the current folder, or in the nearest folder above that has one.
pub(crate) fn read() -> Result<HashMap<String, OsString>, Failure> {
    let wrong = |why: String| Failure::Config(format!(".env cannot be read: {why}"));
    let here = std::env::current_dir().map_err(|e| wrong(e.to_string()))?;
    let Some(path) = find(&here) else {
        return Ok(HashMap::new());
    };
    let wrong = |why: &str| Failure::Config(format!("{} cannot be read: {why}", path.display()));
    let mut text = Vec::new();
    let file = File::open(&path).map_err(|e| wrong(&e.to_string()))?;
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
    read.map_err(|e| wrong(&e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(&format!("it is larger than {MAX_BYTES} bytes")));
    }
    parse(&text).map_err(|line| {
        wrong(&format!(
            "line {line} is not NAME=VALUE (a value with spaces or quotes in it must be quoted)"
        ))
    })
}

fn find(here: &Path) -> Option<PathBuf> {
    let mut files = here.ancestors().map(|folder| folder.join(".env"));
    files.find(|file| file.is_file())
}

/// Returns the variables, or the number of the first invalid line.
fn parse(text: &[u8]) -> Result<HashMap<String, OsString>, usize> {
    let line = Cell::new(0);
    let lines = Lines {
        rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
        within: false,
        line: &line,
    };
    let mut variables = HashMap::new();
    for variable in dotenvy::from_read_iter(lines) {
        let (name, value) = variable.map_err(|error| match error {
            // The error's text starts where the variable does, which can be some lines before the current one.
            dotenvy::Error::LineParse(text, _) => {
                let more = text.trim_end_matches('\n').matches('\n').count();
                line.get().saturating_sub(more)
            }
            _ => line.get(),
        })?;
        variables.insert(name, value.into());
    }
    Ok(variables)
}

/// Returns one line for each read, so that it is known which line a buffered reader has reached.
struct Lines<'a> {
    rest: &'a [u8],
    /// Whether the last read ended within a line.
    within: bool,
    /// The number of the line that the last read returned.
    line: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let end = self.rest.iter().position(|b| *b == b'\n');
        let mut line = &self.rest[..end.map_or(self.rest.len(), |end| end + 1)];
        let n = line.read(into)?;
        if n > 0 {
            if !self.within {
                self.line.set(self.line.get() + 1);
            }
            self.within = self.rest[n - 1] != b'\n';
            self.rest = &self.rest[n..];
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_number_of_the_invalid_line() {
        let long = format!("A={}\nB = c d\n", "x".repeat(20_000));
        for (text, expected) in [
            ("", Ok(0)),
            ("\u{feff}A=1\n\n# B\nexport C='2\n3'\n", Ok(2)),
            ("sk-secret", Err(1)),
            ("A=1\nB=2\r\n\n# no\nsk-secret\nC=3\n", Err(5)),
            ("A=1\nB='two\nlines'\nKEY=a b\n", Err(4)),
            // For a quote without an end, it is the line of the start.
            ("A=1\nKEY=\"sk-secret\nB=2\nC=3\n", Err(2)),
            ("A=1\nKEY='sk\n-secret' x\nB=2\n", Err(2)),
            ("KEY=sk\\-secret", Err(1)),
            (&long, Err(2)),
        ] {
            let parsed = parse(text.as_bytes()).map(|variables| variables.len());
            assert_eq!(parsed, expected, "{text:?}");
        }
        assert_eq!(parse(b"A=1\nKEY=\xff\n"), Err(2));
    }
}
