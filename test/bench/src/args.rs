//! The flags, and the sizes of the workloads that follow from them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use kcp_client::Config;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Start: time to /readyz
    W1,
    /// Idle: memory and CPU
    W2,
    /// Memory of empty workspaces
    W3,
    /// Creating workspaces
    W4,
    /// Watch fan-out
    W5,
    /// Create, get, patch, apply, delete
    W6,
    /// Lists
    W7,
    /// From a CRD to its first object
    W9,
    /// From a workspace to a physical cluster
    W11,
    /// Restart of a syncer
    W14,
    /// Restart with many objects
    W17,
    /// Deletion of a tree of workspaces
    W19,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Measure servers that speak the Kubernetes API.
#[derive(Debug, clap::Parser)]
#[command(
    name = "kcp-bench",
    version,
    max_term_width = 110,
    after_help = "\
Build in release mode first:
  cargo build --release -p kcp -p kcp-syncer -p kubectl-kcp -p kcp-test-framework -p kcp-test-bench
Examples:
  target/release/kcp-bench                          Everything, full size
  target/release/kcp-bench --quick                  Everything, small, in about a minute
  target/release/kcp-bench --only w6,w7 --json out.json
  target/release/kcp-bench --only w5,w6,w7,w9 --peer-kubeconfig k.kubeconfig --peer-pid 123 --peer-pid 124"
)]
pub(crate) struct Args {
    /// The kcp binary to start; without it the one beside this program
    #[arg(long, value_name = "FILE")]
    kcp: Option<PathBuf>,
    /// Measure a server that runs already instead of starting ours
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Its process, for memory and CPU; may be repeated
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// Measure a peer beside it, given by a kubeconfig
    #[arg(long, value_name = "FILE")]
    peer_kubeconfig: Option<PathBuf>,
    /// The peer's processes, for memory and CPU; may be repeated
    #[arg(long, value_name = "PID")]
    pub(crate) peer_pid: Vec<u32>,
    /// Only these workloads
    #[arg(long, value_enum, value_delimiter = ',', value_name = "W")]
    only: Vec<Workload>,
    /// How often to do everything; figures are medians
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) rounds: u32,
    /// Small sizes, for CI
    #[arg(long)]
    pub(crate) quick: bool,
    /// Folder for the servers' data; the disk that it lies on is what is measured
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Also write the figures to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// W3, W4, W19: workspaces
    #[arg(long, value_name = "N")]
    workspaces: Option<usize>,
    /// W5: watchers
    #[arg(long, value_name = "N")]
    watchers: Option<usize>,
    /// W6: operations of each kind
    #[arg(long, value_name = "N")]
    operations: Option<usize>,
    /// W7: objects in the list
    #[arg(long, value_name = "N")]
    list_objects: Option<usize>,
    /// W14: objects in sync
    #[arg(long, value_name = "N")]
    synced_objects: Option<usize>,
    /// W17: objects
    #[arg(long, value_name = "N")]
    restart_objects: Option<usize>,
    /// W2: seconds of rest
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
}

const ALL: [Workload; 12] = [
    Workload::W1,
    Workload::W2,
    Workload::W3,
    Workload::W4,
    Workload::W5,
    Workload::W6,
    Workload::W7,
    Workload::W9,
    Workload::W11,
    Workload::W14,
    Workload::W17,
    Workload::W19,
];

impl Args {
    fn size(&self, flag: Option<usize>, full: usize, quick: usize) -> usize {
        flag.unwrap_or(if self.quick { quick } else { full })
    }
    pub(crate) fn starts(&self) -> usize {
        self.size(None, 50, 5)
    }
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle.unwrap_or(if self.quick { 3 } else { 60 }))
    }
    /// How long to let a server come to rest before its memory is read.
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 10 })
    }
    pub(crate) fn workspaces(&self) -> usize {
        self.size(self.workspaces, 10_000, 500)
    }
    pub(crate) fn watchers(&self) -> usize {
        self.size(self.watchers, 1_000, 200)
    }
    /// How many changes the watchers are told of.
    pub(crate) fn watched_changes(&self) -> usize {
        self.size(None, 200, 40)
    }
    pub(crate) fn operations(&self) -> usize {
        self.size(self.operations, 10_000, 500)
    }
    pub(crate) fn list_objects(&self) -> usize {
        self.size(self.list_objects, 10_000, 1_000)
    }
    pub(crate) fn lists(&self) -> usize {
        self.size(None, 30, 10)
    }
    pub(crate) fn definitions(&self) -> usize {
        self.size(None, 100, 10)
    }
    /// How many objects go to a physical cluster, at four a second.
    pub(crate) fn sent(&self) -> usize {
        self.size(None, 200, 16)
    }
    pub(crate) fn synced_objects(&self) -> usize {
        self.size(self.synced_objects, 10_000, 200)
    }
    pub(crate) fn restart_objects(&self) -> usize {
        self.size(self.restart_objects, 100_000, 2_000)
    }
    /// How long an open loop goes on.
    pub(crate) fn open_loop(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 10 })
    }

    pub(crate) fn workloads(&self) -> Vec<Workload> {
        if self.only.is_empty() { ALL.to_vec() } else { self.only.clone() }
    }

    /// The servers to measure: a name, and how to reach it; `None` for ours, which is started for each workload.
    pub(crate) fn servers(&self) -> anyhow::Result<Vec<(String, Option<Config>)>> {
        let read = |path: &Path| Config::from_kubeconfig(path, "").with_context(|| path.display().to_string());
        let mut out = vec![("kcp".to_owned(), self.kubeconfig.as_deref().map(read).transpose()?)];
        if let Some(path) = &self.peer_kubeconfig {
            out.push(("peer".to_owned(), Some(read(path)?)));
        }
        if let Some(kcp) = &self.kcp {
            let dir = kcp.parent().context("--kcp must name a file")?;
            anyhow::ensure!(kcp.ends_with("kcp") && kcp.exists(), "--kcp: there is no {}", kcp.display());
            // The framework finds the syncer, the plug-ins and the simulated cluster in the same folder.
            kcp_test_framework::look_in(dir);
        }
        Ok(out)
    }

    /// Where the data goes.
    pub(crate) fn dir(&self) -> anyhow::Result<PathBuf> {
        let dir = self.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}
