//! A simulated physical cluster as a process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use kcp_client::{Client, Config};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{binaries::binary, kubectl::Kubectl, process, wait::PATIENCE};

/// A running simulated physical cluster with its kubelet. Dropping it kills it and the syncers in it.
pub struct Cluster {
    child: Child,
    dir: PathBuf,
}

impl Cluster {
    /// Starts one with its files below `dir`. `env` reaches the syncers that its kubelet starts.
    ///
    /// # Errors
    /// When it does not get ready in time.
    pub async fn start(dir: &Path, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        // The kubelet starts this program for the syncer's image.
        binary("syncer")?;
        let log = File::create(dir.join("cluster.log")).context("no log file")?;
        let mut child = Command::new(binary("kcp-test-cluster")?)
            .arg(dir)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kcp-test-cluster")?;
        let mut lines = BufReader::new(child.stdout.take().context("the cluster has no output")?).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("ready: ") {
                    return Ok(());
                }
            }
            bail!("the simulated cluster ended before it was ready: see {}", dir.join("cluster.log").display())
        };
        timeout(PATIENCE, ready).await.context("the simulated cluster was not ready in time")??;
        Ok(Self { child, dir: dir.to_owned() })
    }

    /// Lets a workspace know this cluster under a name, as people do: the manifest that `kubectl kcp workload sync`
    /// prints in the workspace where `kubectl` is, applied here. `resources` are synced besides the usual ones.
    ///
    /// # Errors
    /// When either command fails.
    pub fn join(&self, kubectl: &Kubectl, name: &str, resources: &str) -> anyhow::Result<()> {
        let mut sync = vec!["kcp", "workload", "sync", name, "--syncer-image", "example.org/syncer:latest"];
        if !resources.is_empty() {
            sync.extend(["--resources", resources]);
        }
        self.kubectl()?.apply(&kubectl.ok(&sync)?).map(drop)
    }

    /// Its admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// Its admin's client.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&Config::from_kubeconfig(&self.kubeconfig(), "")?)?)
    }

    /// A `kubectl` for it.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn kubectl(&self) -> anyhow::Result<Kubectl> {
        Kubectl::new(&self.kubeconfig(), None)
    }

    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The syncers that its kubelet runs.
    pub fn syncers(&self) -> Vec<u32> {
        self.pid().map(process::children).unwrap_or_default()
    }

    /// Freezes everything in it, as when the machine is cut off: connections stay, nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> anyhow::Result<()> {
        process::signal_group(self.pid().context("the cluster does not run")?, Signal::STOP)
    }

    /// Lets everything go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> anyhow::Result<()> {
        process::signal_group(self.pid().context("the cluster does not run")?, Signal::CONT)
    }

    /// What its syncers logged, for the report of a failure.
    pub fn syncer_logs(&self) -> String {
        let mut out = String::new();
        let mut folders = vec![self.dir.join("pods")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "log") {
                    out.push_str(&format!("{}:\n", path.display()));
                    out.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
                }
            }
        }
        out
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(id) = self.pid() {
            let _ = process::signal_group(id, Signal::KILL);
        }
    }
}
