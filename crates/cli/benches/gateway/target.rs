//! The gateways as processes, and what the system says about them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::plain;
use crate::probe::KEY;
use crate::process::GatewayProcess;
use crate::upstream::{PACED_STREAMS, Reply, Served};

/// What is called: a gateway that runs, or the upstream directly. A gateway is killed when this is dropped.
pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Where a call takes milliseconds, fewer are made.
    pub is_slow: bool,
    pid: u32,
    _process: Option<Process>,
    _config: Option<tempfile::NamedTempFile>,
}

/// It is kept only to be dropped.
#[allow(dead_code)]
enum Process {
    Served(Served),
    Warmline(GatewayProcess),
    Peer(Peer),
}

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Target {
    pub fn directly(upstream: &Served) -> Self {
        Self {
            name: "directly",
            address: upstream.address,
            is_slow: false,
            pid: upstream.pid(),
            _process: None,
            _config: None,
        }
    }

    pub fn plain(upstream: SocketAddr) -> Result<Self, Failure> {
        let proxy = plain::start(upstream)?;
        Ok(Self {
            name: "plain proxy",
            address: proxy.address,
            is_slow: false,
            pid: proxy.pid(),
            _process: Some(Process::Served(proxy)),
            _config: None,
        })
    }

    pub fn warmline(upstream: SocketAddr) -> Result<Self, Failure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warmline"));
        command
            .args(["serve", "--port", "0"])
            .env_clear()
            .current_dir(std::env::temp_dir())
            .env("OPENAI_API_KEY", KEY)
            .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
            .env("LLM_MAX_CONNECTIONS", PACED_STREAMS.to_string())
            .env("LLM_MAX_KEEPALIVE", PACED_STREAMS.to_string())
            .env("LLM_BUDGET_LIMIT", "1000000");
        let process = GatewayProcess::start(command)?;
        let address = process.url.trim_start_matches("http://").parse()?;
        Ok(Self {
            name: "Warmline",
            address,
            is_slow: false,
            pid: process.child.id(),
            _process: Some(Process::Warmline(process)),
            _config: None,
        })
    }

    /// LiteLLM's proxy, with one worker process, as it starts by default.
    pub fn litellm(program: &Path, upstream: SocketAddr) -> Result<Self, Failure> {
        let models: String = Reply::ALL.map(|reply| {
            let model = reply.model();
            format!(
                "  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      api_base: http://{upstream}/v1\n      api_key: {KEY}\n"
            )
        }).concat();
        let config = format!("model_list:\n{models}general_settings:\n  master_key: {KEY}\n");
        let mut command = Command::new(program);
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        let litellm = Self::peer("LiteLLM", command, ".yaml", &config)?;
        Ok(Self {
            is_slow: true,
            ..litellm
        })
    }

    pub fn liter_llm(program: &Path, upstream: SocketAddr) -> Result<Self, Failure> {
        let models = Reply::ALL.map(|reply| {
            let model = reply.model();
            format!(
                "[[models]]\nname = \"{model}\"\nprovider_model = \"openai/{model}\"\nbase_url = \"http://{upstream}/v1\"\napi_key = \"{KEY}\"\n"
            )
        }).concat();
        let config = format!(
            "[general]\nmaster_key = \"{KEY}\"\n[security]\noutbound_policy = \"off\"\n{models}"
        );
        let mut command = Command::new(program);
        command.arg("api").env("RUST_LOG", "warn");
        Self::peer("liter-llm", command, ".toml", &config)
    }

    fn peer(
        name: &'static str,
        mut command: Command,
        suffix: &str,
        config: &str,
    ) -> Result<Self, Failure> {
        let file = tempfile::Builder::new().suffix(suffix).tempfile()?;
        fs::write(file.path(), config)?;
        // The port can be taken by another process before the gateway binds it. Neither peer can choose one by itself.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        command
            .arg("--config")
            .arg(file.path())
            .args(["--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Peer(command.spawn()?);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.0.try_wait()? {
                return Err(format!("{name} ended: {status}").into());
            }
            if begun.elapsed() > Duration::from_secs(120) {
                return Err(format!("{name} did not listen within 120 s").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self {
            name,
            address,
            is_slow: false,
            pid: process.0.id(),
            _process: Some(Process::Peer(process)),
            _config: Some(file),
        })
    }

    /// The CPU time that the process and its children have used.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let mut time = 0;
        for pid in self.tree()? {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
                let nanoseconds = schedstat.split(' ').next().unwrap_or_default();
                time += nanoseconds.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(time))
    }

    /// The resident memory of the process and its children, and the most that it was, in MiB.
    pub fn memory(&self) -> Result<[f64; 2], Failure> {
        let mut sums = [0.0; 2];
        for pid in self.tree()? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            for (sum, field) in sums.iter_mut().zip(["VmRSS:", "VmHWM:"]) {
                let line = status.lines().find_map(|line| line.strip_prefix(field));
                let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
                *sum += kib.ok_or("no memory in /proc")?.parse::<f64>()? / 1024.0;
            }
        }
        Ok(sums)
    }

    /// The process and all that it started.
    fn tree(&self) -> Result<Vec<u32>, Failure> {
        let mut children = BTreeMap::<u32, Vec<u32>>::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A process may end while this reads.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name stands in brackets, and may contain spaces.
            let parent = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(1));
            if let Some(parent) = parent.and_then(|parent| parent.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut tree = vec![self.pid];
        let mut at = 0;
        while let Some(pid) = tree.get(at) {
            tree.extend(children.remove(pid).unwrap_or_default());
            at += 1;
        }
        Ok(tree)
    }
}
