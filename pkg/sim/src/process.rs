//! A container that is a process of this machine.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::{Component, Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use kcp_apimachinery::object;
use serde_json::Value;
use tokio::{process::Command, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{Context, volumes::field_of};

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A path that the container does not have: here it would name a file of this machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("container {container:?}: {path:?} is in none of its volumes, and it has no other files here")]
pub(crate) struct NotMounted {
    container: String,
    path: String,
}

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
    ///
    /// # Errors
    /// When an argument or a variable names another path.
    pub(crate) fn of(
        context: &Context,
        pod: &Value,
        container: &Value,
        program: &[OsString],
        directory: &Path,
    ) -> Result<Self, NotMounted> {
        let mounts = Mounts::of(container, directory);
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
        let mut argv = program.to_vec();
        for argument in arguments {
            argv.push(mounts.argument(&argument)?.into());
        }
        let env = environment(&context.server, pod, container, &mounts, directory)?;
        let name = container["name"].as_str().unwrap_or_default();
        tracing::debug!(pod = object::name(pod), container = name, "preparing a process");
        Ok(Self { argv, env, log: directory.join(format!("{name}.log")), directory: directory.to_owned() })
    }
}

/// Not for the container to say: the folders of other pods are beside its own.
const ACCOUNT_VARIABLE: &str = "KUBERNETES_SERVICEACCOUNT_DIR";

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
    mounts: &Mounts,
    directory: &Path,
) -> Result<BTreeMap<String, String>, NotMounted> {
    let mut env = BTreeMap::from([
        ("KUBERNETES_SERVICE_HOST".to_owned(), server.0.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), server.1.to_string()),
        // Every pod of a real cluster has an address of its own; here they share one.
        ("SYNCER_HEALTH_BIND_ADDRESS".to_owned(), "127.0.0.1:0".to_owned()),
    ]);
    for e in container["env"].as_array().into_iter().flatten() {
        let Some(name) = e["name"].as_str() else { continue };
        if !is_passed(name) || name == ACCOUNT_VARIABLE {
            tracing::debug!(pod = object::name(pod), name, "a variable is kept from a process of this machine");
            continue;
        }
        let field = e.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
        let value = match field {
            Some(path) => field_of(pod, path).unwrap_or_default(),
            None => e["value"].as_str().unwrap_or_default().to_owned(),
        };
        env.insert(name.to_owned(), mounts.located(&value)?);
    }
    let account = directory.join("serviceaccount").to_string_lossy().into_owned();
    env.insert(ACCOUNT_VARIABLE.to_owned(), account);
    Ok(env)
}

/// What a container sees of the file system: paths, and the folders that stand for them here.
struct Mounts {
    container: String,
    folders: Vec<(PathBuf, PathBuf)>,
}

impl Mounts {
    fn of(container: &Value, directory: &Path) -> Self {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let own = mounts.filter_map(|m| {
            Some((absolute(m["mountPath"].as_str()?), directory.join("volumes").join(m["name"].as_str()?)))
        });
        let account = (PathBuf::from(ACCOUNT), directory.join("serviceaccount"));
        let container = container["name"].as_str().unwrap_or_default().to_owned();
        Self { container, folders: own.chain([account]).collect() }
    }

    /// An argument, which is a value or a flag with one.
    fn argument(&self, text: &str) -> Result<String, NotMounted> {
        match text.split_once('=').filter(|(flag, _)| flag.starts_with('-') && !flag.contains('/')) {
            Some((flag, value)) => Ok(format!("{flag}={}", self.located(value)?)),
            None => self.located(text),
        }
    }

    /// A value, with the folder of a mount in the place of its path. Whatever has a slash may be opened by the program;
    /// what looks like a URL is a path below a folder that no pod has.
    fn located(&self, value: &str) -> Result<String, NotMounted> {
        let is_url =
            value.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
        if is_url || !value.contains('/') {
            return Ok(value.to_owned());
        }
        let path = absolute(value);
        let holding =
            self.folders.iter().filter_map(|(at, folder)| Some((at, folder.join(path.strip_prefix(at).ok()?))));
        match holding.max_by_key(|(at, _)| at.components().count()) {
            Some((_, file)) => Ok(file.to_string_lossy().into_owned()),
            None => Err(NotMounted { container: self.container.clone(), path: value.to_owned() }),
        }
    }
}

/// A path from the root, where containers start, without detours.
fn absolute(path: &str) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => drop(out.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
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

    fn mounts() -> Mounts {
        let container = json!({"name": "c", "volumeMounts": [
            {"name": "v", "mountPath": "/kcp/"}, {"name": "inner", "mountPath": "/kcp/inner"},
        ]});
        Mounts::of(&container, Path::new("/pods/p"))
    }

    #[test]
    fn paths_below_mounts_are_relocated() {
        for (text, want) in [
            ("--from-kubeconfig=/kcp/kubeconfig", "--from-kubeconfig=/pods/p/volumes/v/kubeconfig"),
            ("/kcp", "/pods/p/volumes/v/"),
            ("/kcp/inner/../inner/a=b", "/pods/p/volumes/inner/a=b"),
            ("--to-kubeconfig=./kcp/x", "--to-kubeconfig=/pods/p/volumes/v/x"),
            ("/var/run/secrets/kubernetes.io/serviceaccount/token", "/pods/p/serviceaccount/token"),
            ("--from-cluster=root:a", "--from-cluster=root:a"),
            ("--resources=deployments.apps", "--resources=deployments.apps"),
            ("https://h/kcp/x", "https://h/kcp/x"),
        ] {
            assert_eq!(mounts().argument(text).as_deref(), Ok(want));
        }
    }

    /// The files of this machine, and those of other pods, are not for whoever may make pods.
    #[test]
    fn paths_elsewhere_are_refused() {
        for text in [
            "--from-kubeconfig=/etc/passwd",
            "/etc/passwd",
            "/kcpx/a",
            "--from-kubeconfig=/kcp/../etc/passwd",
            "--from-kubeconfig=../other/volumes/v/kubeconfig",
            "volumes/v/kubeconfig",
            "/etc/x=/kcp/kubeconfig",
            "--from-kubeconfig=--from-kubeconfig=/etc/passwd",
            "/tmp/a://../../etc/passwd",
            "-r/etc/passwd",
        ] {
            let refused = mounts().argument(text).map_err(|e| e.to_string());
            assert!(refused.as_ref().is_err_and(|e| e.starts_with("container \"c\": ")), "{text}: {refused:?}");
        }
        let pod = json!({"metadata": {"name": "p"}, "status": {"podIP": "/etc/passwd"}});
        for variable in [
            json!({"name": "SYNCER_FROM_KUBECONFIG", "value": "/etc/passwd"}),
            json!({"name": "SYNCER_FROM_KUBECONFIG", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
        ] {
            let container = json!({"env": [variable]});
            let refused = environment(&("s".into(), 1), &pod, &container, &mounts(), Path::new("/pods/p"));
            assert!(refused.is_err(), "{refused:?}");
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
        let env = environment(&("s".into(), 1), &pod, &container, &mounts(), Path::new("/pods/p")).unwrap();
        for (name, want) in [
            ("KUBERNETES_SERVICEACCOUNT_DIR", "/pods/p/serviceaccount"),
            ("KUBERNETES_SERVICE_HOST", "h"),
            ("KUBERNETES_SERVICE_PORT", "1"),
            ("SYNCER_FROM_KUBECONFIG", "/pods/p/volumes/v/kubeconfig"),
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
