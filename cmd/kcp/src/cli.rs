//! The commands and their help.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{data, playground, start};

/// Many Kubernetes API servers in one process: hierarchical workspaces, each with its own CRDs, RBAC, namespaces and URL.
#[derive(Debug, Parser)]
#[command(
    name = "kcp",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  kcp start                           Serve on port 6443, store everything in .kcp/
  export KUBECONFIG=.kcp/admin.kubeconfig
  kubectl ws create my-team           Make a workspace (the plug-ins kubectl-ws and kubectl-kcp must be on the PATH)

  kcp playground                      A server and two simulated physical clusters to play with
  kcp playground --run-story          The same, and type a whole tour into it"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve workspaces
    #[command(after_help = "\
Every flag can be set by the environment variable shown beside it; a flag wins over its variable.

Examples:
  kcp start                                    Listen on all interfaces, port 6443
  kcp start --bind-address 10.19.3.4           Listen on one address
  kcp start --external-hostname kcp.example.org --tls-cert-file tls.crt --tls-private-key-file tls.key
  KCP_ROOT_DIRECTORY=/var/lib/kcp kcp start    Keep the data elsewhere")]
    Start(Box<kcp_server::Options>),
    /// Start a server and two simulated physical clusters, and show what to type next
    Playground(playground::Args),
    /// Save all data to a file, or make a data folder from such a file
    #[command(subcommand)]
    Snapshot(data::Snapshot),
    /// Check a data folder while no server uses it
    #[command(after_help = "\
Reads every row and verifies its checksum and its place; writes nothing. Exit code 1 says that something is wrong.")]
    Doctor(data::Doctor),
    /// Run the syncer of a physical cluster (the same program as the binary `syncer`)
    #[command(hide = true)]
    Syncer(Box<kcp_syncer::Options>),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  source <(kcp completion bash)")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start(options) => start::run(*options),
        Command::Playground(args) => playground::run(&args),
        Command::Snapshot(command) => data::snapshot(&command),
        Command::Doctor(command) => data::doctor(&command),
        Command::Syncer(options) => runtime()?.block_on(kcp_syncer::run(*options)).context("the syncer stopped"),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kcp", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// The runtime of everything that serves: one thread for each core, at least two.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// A folder for a command's files, made if it is not there.
pub(crate) fn make_dir(path: &PathBuf) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}
