//! A container that is a process of this machine.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use kcp_apimachinery::object;
use serde_json::Value;
use tokio::{process::Command, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{Context, volumes::field_of};

/// What to start.
#[derive(Debug)]
pub(crate) struct Spec {
    argv: Vec<OsString>,
    env: BTreeMap<String, String>,
    log: PathBuf,
    directory: PathBuf,
}

impl Spec {
    /// The process of a container: the program, the container's own arguments, and its environment. Paths below the
    /// container's mounts are written as those of the folders that stand for them here.
    pub(crate) fn of(
        context: &Context,
        pod: &Value,
        container: &Value,
        program: &[OsString],
        directory: &Path,
    ) -> Self {
        let mounts: Vec<(String, String)> = container["volumeMounts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|m| {
                let folder = directory.join("volumes").join(m["name"].as_str()?);
                Some((m["mountPath"].as_str()?.trim_end_matches('/').to_owned(), folder.to_string_lossy().into_owned()))
            })
            .collect();
        let texts = |field: &str| {
            container[field]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let arguments = texts("command").into_iter().skip(1).chain(texts("args"));
        let argv = program.iter().cloned().chain(arguments.map(|a| relocate(&a, &mounts).into())).collect();
        let env = environment(&context.server, pod, container, &mounts, directory);
        let name = container["name"].as_str().unwrap_or_default();
        tracing::debug!(pod = object::name(pod), container = name, "preparing a process");
        Self { argv, env, log: directory.join(format!("{name}.log")), directory: directory.to_owned() }
    }
}

/// Whether a variable may reach a process. Whoever makes pods must not reach the program itself: a variable such as
/// `LD_PRELOAD` would have this machine run what they like.
fn is_passed(name: &str) -> bool {
    name.starts_with("KUBERNETES_") || name.starts_with("SYNCER_") || matches!(name, "RUST_LOG" | "RUST_BACKTRACE")
}

/// The environment of a container, as far as its process gets it.
fn environment(
    server: &(String, u16),
    pod: &Value,
    container: &Value,
    mounts: &[(String, String)],
    directory: &Path,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("KUBERNETES_SERVICE_HOST".to_owned(), server.0.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), server.1.to_string()),
        // Every pod of a real cluster has an address of its own; here they share one.
        ("SYNCER_HEALTH_BIND_ADDRESS".to_owned(), "127.0.0.1:0".to_owned()),
    ]);
    for e in container["env"].as_array().into_iter().flatten() {
        let Some(name) = e["name"].as_str() else { continue };
        if !is_passed(name) {
            tracing::debug!(pod = object::name(pod), name, "a variable is kept from a process of this machine");
            continue;
        }
        let field = e.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
        let value = match field {
            Some(path) => field_of(pod, path).unwrap_or_default(),
            None => relocate(e["value"].as_str().unwrap_or_default(), mounts),
        };
        env.insert(name.to_owned(), value);
    }
    // Not for the container to say: the folders of other pods are beside it.
    let account = directory.join("serviceaccount").to_string_lossy().into_owned();
    env.insert("KUBERNETES_SERVICEACCOUNT_DIR".to_owned(), account);
    env
}

/// Puts the folder of a mount in the place of its path, at the start of a text or after `=`.
fn relocate(text: &str, mounts: &[(String, String)]) -> String {
    for (path, folder) in mounts.iter().filter(|(p, _)| !p.is_empty()) {
        let (head, tail) = text.split_once('=').map_or(("", text), |(h, t)| (h, t));
        if let Some(rest) = tail.strip_prefix(path.as_str()).filter(|r| r.is_empty() || r.starts_with('/')) {
            let joint = if tail.len() == text.len() { "" } else { "=" };
            return format!("{head}{joint}{folder}{rest}");
        }
    }
    text.to_owned()
}

/// A process that was started. Dropping it kills it.
pub(crate) struct Process {
    stop: CancellationToken,
    kill: CancellationToken,
    exit: watch::Receiver<Option<i32>>,
}

impl Process {
    /// Starts a process; `on_exit` is called when it has ended. What it prints goes to a file beside its volumes.
    pub(crate) fn start(spec: &Spec, on_exit: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (program, arguments) = spec.argv.split_first().ok_or_else(|| io::Error::other("no command"))?;
        let log = File::options().create(true).append(true).open(&spec.log)?;
        let own = |name: &OsStr| matches!(name.to_str(), Some("PATH" | "HOME" | "TMPDIR"));
        let inherited = std::env::vars_os().filter(|(name, _)| own(name) || name.to_str().is_some_and(is_passed));
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .envs(&spec.env)
            .current_dir(&spec.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let (sender, exit) = watch::channel(None);
        let (asked, forced) = (stop.clone(), kill.clone());
        let sender = Arc::new(sender);
        // One task for each process: waiting for it to end is the task.
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                () = asked.cancelled() => {
                    terminate(&child);
                    tokio::select! {
                        status = child.wait() => status,
                        () = forced.cancelled() => { let _ = child.start_kill(); child.wait().await }
                    }
                }
                () = forced.cancelled() => { let _ = child.start_kill(); child.wait().await }
            };
            sender.send_replace(Some(status.ok().and_then(|s| s.code()).unwrap_or(137)));
            on_exit();
        });
        Ok(Self { stop, kill, exit })
    }

    /// Its exit code, once it has ended.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    /// Asks it to end, and kills it when it has not after `grace`.
    pub(crate) async fn stop(self, grace: Duration) {
        self.stop.cancel();
        let mut exit = self.exit.clone();
        if tokio::time::timeout(grace, exit.wait_for(Option::is_some)).await.is_err() {
            self.kill.cancel();
            let _ = exit.wait_for(Option::is_some).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

/// Sends SIGTERM.
fn terminate(child: &tokio::process::Child) {
    if let Some(pid) = child.id().and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_below_mounts_are_relocated() {
        let mounts = [("/kcp".to_owned(), "/tmp/v".to_owned())];
        for (text, want) in [
            ("--from-kubeconfig=/kcp/kubeconfig", "--from-kubeconfig=/tmp/v/kubeconfig"),
            ("/kcp", "/tmp/v"),
            ("/kcpx/a", "/kcpx/a"),
            ("--from-cluster=root:a", "--from-cluster=root:a"),
            ("https://h/kcp/x", "https://h/kcp/x"),
        ] {
            assert_eq!(relocate(text, &mounts), want);
        }
    }

    #[test]
    fn containers_do_not_reach_the_program() {
        let pod = json!({"metadata": {"name": "p", "namespace": "ns"}});
        let container = json!({"env": [
            {"name": "LD_PRELOAD", "value": "/kcp/evil.so"},
            {"name": "PATH", "value": "/kcp"},
            {"name": "GLIBC_TUNABLES", "value": "x"},
            {"name": "KUBERNETES_SERVICEACCOUNT_DIR", "value": "/pods/of/others"},
            {"name": "KUBERNETES_SERVICE_HOST", "value": "h"},
            {"name": "SYNCER_FROM_KUBECONFIG", "value": "/kcp/kubeconfig"},
            {"name": "SYNCER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ]});
        let mounts = [("/kcp".to_owned(), "/tmp/v".to_owned())];
        let env = environment(&("s".into(), 1), &pod, &container, &mounts, Path::new("/pods/p"));
        for (name, want) in [
            ("KUBERNETES_SERVICEACCOUNT_DIR", "/pods/p/serviceaccount"),
            ("KUBERNETES_SERVICE_HOST", "h"),
            ("KUBERNETES_SERVICE_PORT", "1"),
            ("SYNCER_FROM_KUBECONFIG", "/tmp/v/kubeconfig"),
            ("SYNCER_HEALTH_BIND_ADDRESS", "127.0.0.1:0"),
            ("SYNCER_NAMESPACE", "ns"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(want), "{name}");
        }
        assert_eq!(env.len(), 6, "{env:?}");
    }

    /// What this process has in its environment is not for programs that others start.
    #[tokio::test]
    async fn processes_start_with_what_they_are_given() {
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo gives tests a variable to look for");
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            argv: vec!["/usr/bin/env".into()],
            env: BTreeMap::from([("SYNCER_A".to_owned(), "b".to_owned())]),
            log: dir.path().join("log"),
            directory: dir.path().to_owned(),
        };
        let process = Process::start(&spec, || {}).unwrap();
        process.exit.clone().wait_for(Option::is_some).await.unwrap();
        let printed = std::fs::read_to_string(&spec.log).unwrap();
        assert!(printed.contains("SYNCER_A=b\n") && printed.contains("PATH="), "{printed}");
        assert!(!printed.contains("CARGO"), "{printed}");
    }
}
