//! `cargo xtask demo`: the page in www/, with the gateway and the simulated provider that it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::setup::Need;
use crate::workspace::{Result, binary, open, root, run as run_command};
use crate::{npm, setup};

#[derive(Args)]
pub(crate) struct Options {
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 8788)]
    port: u16,
    /// Do not open a browser.
    #[arg(long)]
    no_open: bool,
    /// Drive the page in Chromium instead, press every button, and keep pictures of it in this folder.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Only assemble the page for a static host, and print its folder.
    #[arg(long)]
    only_build: bool,
}

impl Options {
    /// A browser is needed only where the page is driven in one.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let browser = self.pictures.as_ref().map(|_| Need::Browser);
        Need::FOR_NPM.into_iter().chain(browser).collect()
    }
}

pub(crate) fn run(options: &Options) -> Result {
    let site = site()?;
    if options.only_build {
        println!("{}", site.display());
        return Ok(());
    }
    if let Some(folder) = &options.pictures {
        let mut drive = driven(&site)?;
        return run_command(drive.arg(std::path::absolute(folder)?));
    }
    let gateway = binary("warmline-cli", "warmline")?;
    let mut gateway = Command::new(gateway);
    gateway
        .args([
            "serve",
            // The page breaks things on purpose: that is for the simulated provider, not for anybody's money.
            "--simulate",
            "--alert-wait",
            "200",
            "--port",
            &options.port.to_string(),
            "--site",
        ])
        .arg(&site);
    // A browser opens six connections to a host. With fewer behind the gateway, the page shows how calls wait.
    gateway.envs([("LLM_MAX_CONNECTIONS", "3"), ("LLM_MAX_KEEPALIVE", "2")]);
    // This folder has no `.env`, which could change what the page shows.
    let mut running = gateway.current_dir(&site).spawn()?;
    let url = format!("http://127.0.0.1:{}/", options.port);
    if options.port != 0 {
        println!("the demo is at {url}");
        if !options.no_open {
            open(&url);
        }
    }
    let ended = running.wait()?;
    match ended.success() {
        true => Ok(()),
        false => Err(format!("the gateway ended: {ended}").into()),
    }
}

/// The command that tests the page in a browser and prints the outcomes as JSON.
pub(crate) fn driven(site: &Path) -> Result<Command> {
    let tools = root().join("npm");
    let mut drive = Command::new("node");
    drive.arg(tools.join("test/demo.mjs")).arg(&tools);
    drive.arg(binary("warmline-cli", "warmline")?);
    drive.arg(setup::browser()?).arg(site);
    Ok(drive)
}

/// Assembles the page and the npm package for a static host, and gives the folder.
pub(crate) fn site() -> Result<PathBuf> {
    let package = npm::build()?;
    let site = root().join("target/demo");
    if site.exists() {
        fs::remove_dir_all(&site)?;
    }
    let beside = site.join("warmline");
    fs::create_dir_all(&beside)?;
    for (from, to) in [(root().join("www"), &site), (package, &beside)] {
        for file in fs::read_dir(from)? {
            let file = file?.path();
            let shipped = file.extension().is_some_and(|kind| {
                ["html", "css", "js", "wasm"]
                    .iter()
                    .any(|shipped| kind == *shipped)
            });
            if shipped {
                fs::copy(&file, to.join(file.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(site)
}
