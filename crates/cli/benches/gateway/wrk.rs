//! Calls per second, measured by wrk.

use std::path::Path;
use std::process::Command;

use crate::probe::{KEY, request_body};
use crate::report::{Report, Rounds};
use crate::target::Target;
use crate::upstream::Reply;
use crate::{Failure, ROUNDS, SHORT_PROMPT};

const SECONDS: u64 = 5;

/// Measures unary calls, 64 in flight.
pub fn measure(program: &Path, targets: &[Target], report: &mut Report) -> Result<(), Failure> {
    let body = request_body(Reply::Unary, SHORT_PROMPT);
    let script = tempfile::Builder::new().suffix(".lua").tempfile()?;
    let body = std::str::from_utf8(&body)?;
    std::fs::write(
        script.path(),
        format!(
            "wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['content-type'] = 'application/json'\nwrk.headers['authorization'] = 'Bearer {KEY}'\n"
        ),
    )?;
    let mut per_second: Rounds = vec![Vec::new(); targets.len()];
    let mut cpu = per_second.clone();
    for _ in 0..ROUNDS {
        for (index, target) in targets.iter().enumerate() {
            let before = target.cpu()?;
            let output = Command::new(program)
                .args(["-t1", "-c64", &format!("-d{SECONDS}s"), "-s"])
                .arg(script.path())
                .arg(format!("http://{}/v1/chat/completions", target.address))
                .output()?;
            let output = String::from_utf8(output.stdout)?;
            if output.contains("Non-2xx") {
                return Err(format!("calls to {} failed:\n{output}", target.name).into());
            }
            let calls: f64 = field(&output, " requests in")?;
            per_second[index].push(calls / SECONDS as f64);
            cpu[index].push((target.cpu()? - before).as_secs_f64() * 1e6 / calls);
        }
    }
    report.absolute("unary calls per second, 64 in flight", &per_second);
    report.absolute("CPU of a unary call among them, µs", &cpu);
    Ok(())
}

/// Returns the number that precedes the words.
fn field(output: &str, words: &str) -> Result<f64, Failure> {
    let before = output.split(words).next().unwrap_or_default();
    let number = before
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default();
    Ok(number.parse()?)
}
