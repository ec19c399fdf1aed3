//! What a process holds, as the kernel knows it.

use std::collections::HashSet;
use std::fs;

use crate::Result;

#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    pub descriptors: usize,
    /// TCP sockets, the listening one included.
    pub sockets: usize,
    /// Resident memory, in KiB.
    pub memory: u64,
}

impl Held {
    pub fn by(pid: u32) -> Result<Self> {
        let mut descriptors = 0;
        let mut inodes = HashSet::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            // It may be closed meanwhile.
            let Ok(target) = fs::read_link(entry?.path()) else {
                continue;
            };
            descriptors += 1;
            let target = target.to_string_lossy();
            if let Some(inode) = target.strip_prefix("socket:[") {
                inodes.insert(inode.trim_end_matches(']').to_owned());
            }
        }
        let mut sockets = 0;
        for table in ["tcp", "tcp6"] {
            // A kernel without IPv6 has no tcp6.
            let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            let of_socket = |line: &str| line.split_whitespace().nth(9).map(str::to_owned);
            let found = table.lines().skip(1).filter_map(of_socket);
            sockets += found.filter(|inode| inodes.contains(inode)).count();
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Ok(Self {
            descriptors,
            sockets,
            memory: memory.ok_or("/proc has no VmRSS")?,
        })
    }
}
