//! A gateway between a hostile provider and hostile callers, and what must hold of it after each attack.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::honest::{self, Honest};
use crate::process::GatewayProcess;
use crate::procfs::Held;
use crate::provider::Provider;
use crate::{Result, caller};

/// The most that resident memory may have grown, in KiB.
const MAX_GROWTH: u64 = 10 << 10;

/// How long the gateway may take to give everything back.
const SETTLING: Duration = Duration::from_secs(60);

/// The number of calls after which the gateway counts as warm.
const WARM_UP: usize = 50;

/// What a gateway runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Plain,
    /// With at most so many open files.
    FewDescriptors(usize),
    /// The ledger is on a small disk of its own.
    SmallDisk,
    /// With a budget of so many cents.
    Budget(u64),
}

pub struct Arena {
    pub setting: Setting,
    pub provider: Provider,
    pub address: SocketAddr,
    pub gateway: GatewayProcess,
    /// How large the attacks are: 1 in the short form.
    pub scale: usize,
    /// What the warm gateway held.
    idle: Held,
    folder: TempDir,
}

impl Arena {
    pub async fn start(setting: Setting, scale: usize) -> Result<Self> {
        let provider = Provider::start().await?;
        let folder = tempfile::tempdir()?;
        let gateway = start_gateway(setting, &provider, &folder).await?;
        let mut arena = Self {
            setting,
            provider,
            address: address(&gateway)?,
            gateway,
            scale,
            idle: Held::default(),
            folder,
        };
        let http = honest::http()?;
        caller::crowd(WARM_UP, 8, async |i| {
            honest::call(&http, arena.address, i % 2 == 0).await
        })
        .await?;
        // Idle connections to the provider are closed first.
        arena.until(|stats| open_connections(stats) == 0).await?;
        arena.idle = arena.held()?;
        Ok(arena)
    }

    /// Starts well-behaved callers.
    pub fn honest(&self) -> Result<Honest> {
        Honest::start(self.address)
    }

    /// Kills the gateway with `kill -9`, and starts another on the same ledger.
    pub async fn kill_and_restart(&mut self) -> Result {
        self.gateway.child.kill()?;
        self.gateway.child.wait()?;
        self.gateway = start_gateway(self.setting, &self.provider, &self.folder).await?;
        self.address = address(&self.gateway)?;
        Ok(())
    }

    pub fn held(&self) -> Result<Held> {
        Held::by(self.gateway.child.id())
    }

    /// The folder of the ledger, as this process sees it.
    pub fn ledger_folder(&self) -> PathBuf {
        let folder = self.folder.path();
        match self.setting {
            // The mount is in a namespace of the gateway's own.
            Setting::SmallDisk => {
                let root = PathBuf::from(format!("/proc/{}/root", self.gateway.child.id()));
                root.join(folder.strip_prefix("/").unwrap_or(folder))
            }
            _ => folder.to_owned(),
        }
    }

    /// The gateway's statistics.
    pub async fn stats(&self) -> Result<Value> {
        let request =
            "GET /v1/llm/stats?samples=0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let answer = caller::Caller::sending(self.address, request).await?;
        let text = answer.rest().await.text;
        let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        serde_json::from_str(body).map_err(|e| format!("the statistics are {text:?}: {e}").into())
    }

    /// Waits until the statistics are as expected.
    pub async fn until(&self, expected: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let stats = self.stats().await?;
            if expected(&stats) {
                return Ok(stats);
            }
            if begun.elapsed() > SETTLING {
                return Err(format!("the statistics are still {stats:#}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is spent and reserved of the budget, and its limit, in pico-dollars.
    pub async fn budget(&self) -> Result<Budget> {
        Budget::read(&self.stats().await?)
    }

    /// Waits until the gateway has given everything back, and returns what it then holds. The allocator gives memory back after a
    /// delay of about 10 s.
    ///
    /// # Errors
    /// What it still holds after 60 s.
    pub async fn settled(&self, with_memory: bool) -> Result<Settled> {
        let begun = Instant::now();
        loop {
            let (settled, problems) = self.inspect(with_memory).await?;
            if problems.is_empty() {
                return Ok(settled);
            }
            if begun.elapsed() > SETTLING {
                return Err(problems.into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn inspect(&self, with_memory: bool) -> Result<(Settled, String)> {
        let mut problems = String::new();
        let mut problem = |text: String| {
            let _ = write!(problems, "{text}; ");
        };
        let stats = self.stats().await?;
        let (calls, budget) = (
            &stats["providers"]["anthropic"]["calls"],
            Budget::read(&stats)?,
        );
        let (held, billed) = (self.held()?, self.provider.billed());
        for (what, n) in [
            ("calls are under way", calls["under_way"].as_u64()),
            (
                "connections are in the pool",
                Some(open_connections(&stats)),
            ),
            (
                "calls wait in the pool",
                stats["providers"]["anthropic"]["pool"]["now"]["waiting"].as_u64(),
            ),
            (
                "connections are open at the provider",
                Some(self.provider.connections() as u64),
            ),
        ] {
            if n != Some(0) {
                problem(format!("{n:?} {what}"));
            }
        }
        // What a killed process had reserved stays reserved for an hour.
        if budget.reserved != 0 && !matches!(self.setting, Setting::Budget(_)) {
            problem(format!("{} pico-dollars are reserved", budget.reserved));
        }
        if billed > budget.spent + budget.reserved || budget.spent + budget.reserved > budget.limit
        {
            problem(format!("{billed} pico-dollars are billed, and {budget:?}"));
        }
        if held.sockets != self.idle.sockets || held.descriptors > self.idle.descriptors {
            problem(format!("it holds {held:?}, and held {:?}", self.idle));
        }
        let growth = held.memory.saturating_sub(self.idle.memory);
        if with_memory && growth > MAX_GROWTH {
            problem(format!(
                "memory is {growth} KiB above the {} KiB of the start",
                self.idle.memory
            ));
        }
        let settled = Settled {
            held,
            idle: self.idle,
            billed,
            budget,
        };
        Ok((settled, problems))
    }
}

/// The number of connections to the provider.
fn open_connections(stats: &Value) -> u64 {
    let pool = &stats["providers"]["anthropic"]["pool"]["now"];
    ["open", "connecting"]
        .iter()
        .filter_map(|name| pool[name].as_u64())
        .sum()
}

/// What a gateway holds when an attack has passed.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    pub held: Held,
    /// What it held before.
    pub idle: Held,
    /// In pico-dollars.
    pub billed: u64,
    pub budget: Budget,
}

/// Amounts in pico-dollars.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub spent: u64,
    pub reserved: u64,
    pub limit: u64,
}

impl Budget {
    fn read(stats: &Value) -> Result<Self> {
        let budget = &stats["spend"]["budgets"][0];
        let pico = |name: &str| {
            let text = budget[name]
                .as_str()
                .ok_or_else(|| format!("there is no budget: {stats}"))?;
            let usd: warmline::Usd = text.parse()?;
            Ok::<_, crate::Failure>(usd.pico())
        };
        Ok(Self {
            spent: pico("spent")?,
            reserved: pico("reserved")?,
            limit: pico("limit")?,
        })
    }
}

fn address(gateway: &GatewayProcess) -> Result<SocketAddr> {
    let address = gateway.url.strip_prefix("http://").unwrap_or_default();
    Ok(address.parse()?)
}

async fn start_gateway(
    setting: Setting,
    provider: &Provider,
    folder: &TempDir,
) -> Result<GatewayProcess> {
    let program = env!("CARGO_BIN_EXE_warmline");
    let mut command = match setting {
        Setting::FewDescriptors(n) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {n}; exec \"$@\""), "sh"]);
            shell
        }
        Setting::SmallDisk => mounting(folder),
        Setting::Plain | Setting::Budget(_) => Command::new("env"),
    };
    command.args([program, "serve", "--port", "0"]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path);
    let budget = match setting {
        Setting::Budget(cents) => format!("{}.{:02}", cents / 100, cents % 100),
        _ => "50".to_owned(),
    };
    command.envs([
        ("ANTHROPIC_API_KEY", "sk-ant-campaign-0001"),
        (
            "ANTHROPIC_BASE_URL",
            &format!("http://{}", provider.address),
        ),
        ("LLM_BUDGET_LIMIT", &budget),
        ("LLM_TIMEOUT", "12"),
        ("LLM_MAX_RETRIES", "1"),
        ("LLM_MAX_CONNECTIONS", "64"),
        ("LLM_MAX_KEEPALIVE", "16"),
        ("LLM_KEEPALIVE_EXPIRY", "0.5"),
        ("LLM_SERVE_MAX_BODY", "1048576"),
        ("LLM_SERVE_MAX_BODY_TOTAL", "4194304"),
        ("LLM_SERVE_BODY_TIMEOUT", "2"),
        ("LLM_SERVE_HEADER_TIMEOUT", "2"),
        ("LLM_SERVE_WRITE_TIMEOUT", "2"),
        ("LLM_SERVE_MAX_CALLER_CONNECTIONS", "1200"),
    ]);
    command.env("LLM_LEDGER", folder.path().join("spend.log"));
    command.current_dir(folder.path()).stdin(Stdio::null());
    // It blocks until the gateway listens.
    Ok(tokio::task::spawn_blocking(move || GatewayProcess::start(command)).await??)
}

/// The size of the small disk.
const DISK: &str = "size=64k";

/// A command that runs another in a mount namespace of its own, with a small disk at `folder`. The disk is gone when it ends.
fn mounting(folder: &TempDir) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c"]);
    unshare.arg(format!(
        "mount -t tmpfs -o {DISK} tmpfs \"$0\" && exec \"$@\""
    ));
    unshare.arg(folder.path());
    unshare
}

/// Says why a small disk cannot be mounted, if it cannot.
pub fn why_no_small_disk() -> Result<Option<String>> {
    let folder = tempfile::tempdir()?;
    let tried = mounting(&folder).arg("true").output();
    Ok(match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    })
}

/// Fills the disk of a folder.
pub fn fill(folder: &std::path::Path) -> Result<PathBuf> {
    let path = folder.join("filler");
    let mut file = fs::File::create(&path)?;
    while std::io::Write::write(&mut file, &[0; 1024]).is_ok_and(|n| n > 0) {}
    Ok(path)
}
