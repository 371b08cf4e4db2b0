//! A kcp server as a process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use kcp_client::{Client, Config};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    binaries::{binary, plugins},
    kubectl::Kubectl,
    process,
    wait::PATIENCE,
};

/// How a program ended that should not go on.
#[derive(Debug)]
pub struct Exit {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed to standard output.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

/// A running `kcp start`. Dropping it kills it.
pub struct Kcp {
    child: Option<Child>,
    url: String,
    dir: PathBuf,
    flags: Vec<String>,
    log: PathBuf,
    plugins: PathBuf,
    // Last, so that it goes after the process.
    _temporary: Option<tempfile::TempDir>,
}

impl Kcp {
    /// Starts a server in a temporary folder on a free port of the loopback interface; `flags` come on top.
    ///
    /// # Errors
    /// When it does not get ready in time; what it logged is in the error.
    pub async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("kcp-test-").tempdir().context("no temporary folder")?;
        let dir = temporary.path().to_owned();
        let mut kcp = Self::start_in(&dir, flags).await?;
        kcp._temporary = Some(temporary);
        Ok(kcp)
    }

    /// As [`Kcp::start`], with everything below `dir`.
    ///
    /// # Errors
    /// As [`Kcp::start`].
    pub async fn start_in(dir: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let plugin_dir = dir.join("bin");
        if !plugin_dir.exists() {
            plugins(&plugin_dir)?;
        }
        let mut kcp = Self {
            child: None,
            url: String::new(),
            dir: dir.to_owned(),
            flags: flags.iter().map(|&f| f.to_owned()).collect(),
            log: dir.join("kcp.log"),
            plugins: plugin_dir,
            _temporary: None,
        };
        kcp.spawn(0).await?;
        Ok(kcp)
    }

    async fn spawn(&mut self, port: u16) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log).context("no log file")?;
        let mut child = Command::new(binary("kcp")?)
            .args(["start", "--bind-address", "127.0.0.1", "--secure-port", &port.to_string()])
            .arg("--root-directory")
            .arg(self.root_directory())
            .args(&self.flags)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kcp")?;
        let stdout = child.stdout.take().context("kcp has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("kcp is ready: ") {
                    return Ok(url.trim().to_owned());
                }
            }
            bail!("kcp ended before it was ready")
        };
        self.url = match timeout(PATIENCE, ready).await.context("kcp was not ready in time").flatten() {
            Ok(url) => url,
            Err(error) => return Err(error.context(self.log_tail())),
        };
        // A full pipe would stop the server.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.child = Some(child);
        Ok(())
    }

    /// Runs `kcp` with these arguments in `dir` until it ends; `env` comes on top of our own environment.
    ///
    /// # Errors
    /// When it cannot be started or does not end within `limit`.
    pub async fn run_to_end(args: &[&str], dir: &Path, env: &[(&str, &str)], limit: Duration) -> anyhow::Result<Exit> {
        let child = Command::new(binary("kcp")?)
            .args(args)
            .current_dir(dir)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kcp")?;
        let id = child.id().context("kcp is gone already")?;
        let Ok(output) = timeout(limit, child.wait_with_output()).await else {
            let _ = process::signal_group(id, Signal::KILL);
            bail!("kcp {} did not end within {limit:?}", args.join(" "));
        };
        let output = output?;
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ok(Exit { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// `https://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The temporary folder, which holds the root directory and whatever else a test puts there.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `--root-directory`.
    pub fn root_directory(&self) -> PathBuf {
        self.dir.join("kcp")
    }

    /// The admin's kubeconfig, as the server wrote it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root_directory().join("admin.kubeconfig")
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// How to reach the server as its admin, without a workspace.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::from_kubeconfig(&self.kubeconfig(), "shard-base")?)
    }

    /// The admin's client for a workspace; an empty path means the server itself.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub fn client(&self, workspace: &str) -> anyhow::Result<Client> {
        let client = Client::new(&self.config()?)?;
        Ok(if workspace.is_empty() { client.at("") } else { client.cluster(workspace) })
    }

    /// A client with a bearer token instead of the admin's; an empty token is nobody.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub fn client_as(&self, workspace: &str, token: &str) -> anyhow::Result<Client> {
        let token = Some(token.to_owned()).filter(|t| !t.is_empty());
        let client = Client::new(&Config { token, ..self.config()? })?;
        Ok(client.cluster(workspace))
    }

    /// A `kubectl` with a copy of the admin's kubeconfig, in the workspace `root:default`.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn kubectl(&self) -> anyhow::Result<Kubectl> {
        Kubectl::new(&self.kubeconfig(), Some(&self.plugins))
    }

    /// Kills it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("kcp does not run")?;
        child.kill().await.context("cannot kill kcp")
    }

    /// Asks it to end with SIGTERM and gives its exit code.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        let mut child = self.child.take().context("kcp does not run")?;
        process::signal(child.id().context("kcp has ended already")?, Signal::TERM)?;
        let status = timeout(PATIENCE, child.wait()).await.context("kcp did not stop in time")??;
        Ok(status.code())
    }

    /// Starts it again on the same folder and port.
    ///
    /// # Errors
    /// As [`Kcp::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let port = self.url.rsplit(':').next().and_then(|p| p.parse().ok()).context("no port in the URL")?;
        self.spawn(port).await
    }

    /// The end of what it logged.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("the end of {}:\n{}", self.log.display(), lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}
