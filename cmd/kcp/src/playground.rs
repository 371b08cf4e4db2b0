//! `kcp playground`: a server and two simulated physical clusters.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use kcp_server::{LogOptions, Running};

use crate::{cli, start, story::Shell};

/// Flags of `kcp playground`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing needs to be installed but kubectl. Each simulated cluster is an API server of its own with deployments, pods and
a kubelet that marks pods as running; it starts the syncer from the YAML of `kubectl kcp workload sync` as a real process.

Examples:
  kcp playground                   Start, print what to type, stop on Ctrl-C
  kcp playground --run-story       Start, type a tour of it all, stop
  kcp playground --dir /tmp/play   Keep the data of this playground")]
pub(crate) struct Args {
    /// Type a whole tour into the playground, show every command and its result, then stop
    #[arg(long)]
    run_story: bool,
    /// Folder for the playground's data and kubeconfigs; without it a temporary one that is removed at the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Port of the server; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    secure_port: u16,
    #[command(flatten)]
    log: LogOptions,
}

/// The names of the simulated physical clusters, and the variables that hold their kubeconfigs.
const CLUSTERS: [(&str, &str); 2] = [("ocp-sno", "SNO"), ("ocp-ztp", "ZTP")];
const GRACE: Duration = Duration::from_secs(3);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    kcp_server::init_logging(&args.log)?;
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new().prefix("kcp-playground-").tempdir().context("cannot make a temporary folder")?,
        ),
    };
    let dir = args.dir.clone().or_else(|| temporary.as_ref().map(|t| t.path().to_owned())).context("no folder")?;
    cli::make_dir(&dir)?;
    let dir = dir.canonicalize().with_context(|| format!("cannot use the folder {}", dir.display()))?;
    cli::runtime()?.block_on(play(args, &dir))
}

async fn play(args: &Args, dir: &Path) -> anyhow::Result<()> {
    let mut signals = start::Signals::listen()?;
    let server =
        kcp_server::start(kcp_server::Options::playground(dir.join("kcp"), args.secure_port, args.log.clone()))
            .await
            .context("the server did not start")?;
    let mut clusters = Vec::new();
    let mut env = BTreeMap::from([
        ("HOST".to_owned(), server.url().to_owned()),
        ("KUBECONFIG".to_owned(), server.kubeconfig_path().display().to_string()),
        ("PATH".to_owned(), path_with_plugins(dir)?),
        // kubectl keeps what it discovered by host and port; ports of playgrounds are used again.
        ("KUBECACHEDIR".to_owned(), dir.join("cache").display().to_string()),
    ]);
    for (name, variable) in CLUSTERS {
        let cluster = kcp_server::simulated::start_in(name, dir.join(name), args.log.clone())
            .await
            .with_context(|| format!("the simulated cluster {name} did not start"))?;
        env.insert(variable.to_owned(), cluster.kubeconfig_path().display().to_string());
        clusters.push(cluster);
    }
    let outcome = if args.run_story {
        let shell = Shell { dir: dir.to_owned(), env, colour: std::io::stdout().is_terminal() };
        tokio::select! {
            done = tokio::task::spawn_blocking(move || shell.run()) => done.context("the story was interrupted")?,
            _ = signals.wait() => Ok(()),
        }
    } else {
        print_next_steps(&server, &env);
        signals.wait().await;
        Ok(())
    };
    for cluster in clusters {
        cluster.shutdown(GRACE).await;
    }
    server.shutdown(GRACE).await;
    outcome
}

/// The names under which kubectl finds the plug-in.
const PLUGINS: [&str; 4] = ["kubectl-kcp", "kubectl-ws", "kubectl-workspaces", "kubectl-create-workspace"];

/// The PATH with a folder first that holds the kubectl plug-in under all its names.
fn path_with_plugins(dir: &Path) -> anyhow::Result<String> {
    let here = std::env::current_exe().context("cannot find this program")?;
    let plugin = here.with_file_name(PLUGINS[0]);
    if !plugin.exists() {
        anyhow::bail!(
            "the kubectl plug-in {} is missing: build it with `cargo build --release -p kubectl-kcp`, or put it beside this program",
            plugin.display()
        );
    }
    let bin = dir.join("bin");
    cli::make_dir(&bin)?;
    for name in PLUGINS {
        let link = bin.join(name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&plugin, &link).with_context(|| format!("cannot make {}", link.display()))?;
    }
    let mut path = OsString::from(bin);
    if let Some(old) = std::env::var_os("PATH") {
        path.push(":");
        path.push(old);
    }
    Ok(path.to_string_lossy().into_owned())
}

fn print_next_steps(server: &Running, env: &BTreeMap<String, String>) {
    let get = |k: &str| env.get(k).map(String::as_str).unwrap_or_default();
    println!(
        "\
A kcp server and two simulated physical clusters are running. In another terminal:

  export KUBECONFIG={}
  export SNO={}
  export ZTP={}
  export PATH={}:$PATH

  kubectl ws use root
  kubectl ws create telcops --type Organization --enter
  kubectl ws create team-a --enter
  kubectl kcp workload sync ocp-sno --syncer-image quay.io/mavazque/kcp-syncer:latest > syncer-ocp-sno.yaml
  kubectl --kubeconfig $SNO apply -f syncer-ocp-sno.yaml
  kubectl create namespace reverse-words
  kubectl -n reverse-words create deployment reversewords --image quay.io/mavazque/reversewords:latest
  kubectl -n reverse-words get deployments
  kubectl --kubeconfig $SNO get pods -A

The server is {}. Ctrl-C stops everything.",
        get("KUBECONFIG"),
        get("SNO"),
        get("ZTP"),
        get("PATH").split(':').next().unwrap_or_default(),
        server.url(),
    );
}
