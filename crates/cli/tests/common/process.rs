//! `warmline serve` as a program, for tests and benches.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// A gateway that has started. It is killed when this is dropped.
pub struct GatewayProcess {
    pub child: Child,
    /// What it wrote to stderr before it listened.
    pub startup: String,
    /// The address that it listens on, as a URL.
    pub url: String,
    /// What it has written to stderr since.
    log: Arc<Mutex<String>>,
}

impl GatewayProcess {
    /// Starts a gateway, and waits until it prints its address.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let child = command.stderr(Stdio::piped()).spawn()?;
        let mut gateway = Self {
            child,
            startup: String::new(),
            url: String::new(),
            log: Arc::default(),
        };
        let stderr = gateway
            .child
            .stderr
            .take()
            .ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(stderr).lines();
        for line in &mut lines {
            let line = line?;
            if let Some((_, rest)) = line.split_once("listening on ") {
                rest.split(',')
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut gateway.url);
                // Its standard error must have a reader for as long as it runs.
                let log = gateway.log.clone();
                std::thread::spawn(move || {
                    for line in lines.map_while(Result::ok) {
                        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                        log.push_str(&line);
                        log.push('\n');
                    }
                });
                return Ok(gateway);
            }
            gateway.startup.push_str(&line);
        }
        Err(io::Error::other("the gateway ended without listening"))
    }
}

impl GatewayProcess {
    /// What it has written to stderr since it listened.
    #[allow(dead_code, reason = "the benches do not need it")]
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
