//! `cargo xtask peers`: what gateways add to a call.

use crate::cargo_program::CargoProgram;
use crate::setup;
use crate::workspace::{Result, cargo, root, run};

pub(crate) fn measure() -> Result {
    let mut bench = cargo();
    bench
        .args([
            "bench",
            "--package",
            "warmline-cli",
            "--bench",
            "gateway",
            "--",
        ])
        .arg("--wrk")
        .arg(setup::wrk()?)
        .arg("--liter-llm")
        .arg(CargoProgram::liter_llm().find()?)
        .arg("--litellm")
        .arg(setup::lite_llm()?);
    run(bench.current_dir(root()))
}
