//! The real `kubectl`, in a home of its own.

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; -1 after a signal.
    pub code: i32,
}

impl Output {
    /// Everything that it printed.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The lines of standard output, with runs of blanks folded into one.
    pub fn rows(&self) -> Vec<String> {
        self.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

/// Whether there is a `kubectl` on the PATH.
pub fn available() -> bool {
    Command::new("kubectl")
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A second `kubectl`, of another version: `KCP_KUBECTL_2`, or what `test/setup` put below `target/`.
pub fn other_kubectl() -> Option<PathBuf> {
    let named = std::env::var_os("KCP_KUBECTL_2").filter(|v| !v.is_empty()).map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kubectl-old/usr/bin/kubectl");
    named.or(Some(fetched)).filter(|p| p.exists())
}

/// Runs `kubectl` with a kubeconfig, a home and a cache that nobody else uses.
pub struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
    path: OsString,
    env: Vec<(String, OsString)>,
}

impl Kubectl {
    /// For a copy of `kubeconfig`, which commands may edit; `plugins` comes first on the PATH.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(kubeconfig: &Path, plugins: Option<&Path>) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("kcp-test-kubectl-").tempdir().context("no temporary folder")?;
        std::fs::copy(kubeconfig, home.path().join("kubeconfig"))
            .with_context(|| format!("cannot copy {}", kubeconfig.display()))?;
        let mut path = OsString::new();
        if let Some(dir) = plugins {
            path.push(dir);
            path.push(":");
        }
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Ok(Self { program: "kubectl".into(), home, path, env: Vec::new() })
    }

    /// The same with another program.
    #[must_use]
    pub fn with_program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// The same with one more variable in the environment.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The working directory, which holds the kubeconfig and whatever files commands read and write.
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// The kubeconfig that commands use and may edit.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }

    /// Writes a file into the working directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        std::fs::write(self.dir().join(name), content).with_context(|| format!("cannot write {name}"))
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir())
            .env("HOME", self.dir())
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.dir().join("cache"))
            .env("PATH", &self.path)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn finish(mut command: Command, input: &str) -> anyhow::Result<Output> {
        let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has no input")?;
        let input = input.to_owned();
        // In a thread of its own: a command that prints before it reads must not wait for us.
        let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().context("kubectl was lost")?;
        // A command that does not read its input closes it early.
        let _ = feeder.join();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ok(Output {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            code: output.status.code().unwrap_or(-1),
        })
    }

    /// Runs a command, whatever it ends with.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.command(&self.program);
        command.args(args);
        Self::finish(command, "")
    }

    /// Runs a command that must succeed and gives what it printed to standard output.
    ///
    /// # Errors
    /// When it fails; what it printed is in the error.
    pub fn ok(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.run(args)?;
        if output.code != 0 {
            bail!("kubectl {} ended with {}:\n{}", args.join(" "), output.code, output.all());
        }
        Ok(output.stdout)
    }

    /// Runs a command that must fail and gives what it printed to standard error.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn fails(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.run(args)?;
        if output.code == 0 {
            bail!("kubectl {} should have failed, but printed:\n{}", args.join(" "), output.all());
        }
        Ok(output.stderr)
    }

    /// Applies a manifest from standard input.
    ///
    /// # Errors
    /// When it fails.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        let mut command = self.command(&self.program);
        command.args(["apply", "-f", "-"]);
        let output = Self::finish(command, manifest)?;
        if output.code != 0 {
            bail!("kubectl apply ended with {}:\n{}\n{manifest}", output.code, output.all());
        }
        Ok(output.stdout)
    }

    /// Runs a line with a shell, in the same environment; `kubectl` in it is this one.
    ///
    /// # Errors
    /// When the shell cannot be started.
    pub fn shell(&self, line: &str) -> anyhow::Result<Output> {
        self.shell_with(line, &[])
    }

    /// As [`Kubectl::shell`], with more variables.
    ///
    /// # Errors
    /// When the shell cannot be started.
    pub fn shell_with(&self, line: &str, env: &[(&str, &str)]) -> anyhow::Result<Output> {
        let mut command = self.command("sh");
        let line = format!("kubectl() {{ command \"$KUBECTL\" \"$@\"; }}; {line}");
        command.args(["-c", &line]).env("KUBECTL", &self.program).envs(env.iter().copied());
        Self::finish(command, "")
    }

    /// Starts a command that goes on by itself and prints into a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, args: &[&str], log: &Path) -> anyhow::Result<std::process::Child> {
        let out = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = self.command(&self.program);
        command.args(args).stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        command.spawn().context("cannot start kubectl")
    }
}
