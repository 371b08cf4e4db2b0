//! `kcp snapshot` and `kcp doctor`.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use kcp_client::{Client, Config};

use crate::cli;

/// Commands of `kcp snapshot`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Snapshot {
    /// Save everything a running server holds to a file, while it goes on serving
    #[command(after_help = "\
The file is plain text and JSON with checksums; it is verified after it was written.

Examples:
  kcp snapshot save backup.kcp
  kcp snapshot save backup.kcp --kubeconfig /var/lib/kcp/admin.kubeconfig")]
    Save {
        /// File to write; it must not exist
        file: PathBuf,
        /// Kubeconfig of an administrator of the server
        #[arg(long, env = "KUBECONFIG", default_value = ".kcp/admin.kubeconfig", value_name = "FILE")]
        kubeconfig: PathBuf,
    },
    /// Make the data of a new server from a snapshot
    #[command(after_help = "\
The revision of the new data is beyond any that clients have seen, so that they list again instead of missing changes.

Example:
  kcp snapshot restore backup.kcp --root-directory /var/lib/kcp-restored
  kcp start --root-directory /var/lib/kcp-restored")]
    Restore {
        /// Snapshot to read
        file: PathBuf,
        /// Folder of the new server; it must not hold data yet
        #[arg(long, env = "KCP_ROOT_DIRECTORY", default_value = ".kcp", value_name = "DIR")]
        root_directory: PathBuf,
    },
    /// Check a snapshot file
    Verify {
        /// Snapshot to read
        file: PathBuf,
    },
}

/// Flags of `kcp doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Folder of the server whose data to check
    #[arg(long, env = "KCP_ROOT_DIRECTORY", default_value = ".kcp", value_name = "DIR")]
    root_directory: PathBuf,
    /// Folder to put the copy into that is checked; without it, beside the data
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

pub(crate) fn snapshot(command: &Snapshot) -> anyhow::Result<()> {
    match command {
        Snapshot::Save { file, kubeconfig } => {
            cli::runtime()?
                .block_on(save(file, kubeconfig))
                .with_context(|| format!("no snapshot was saved to {}", file.display()))?;
            verify(file)
        }
        Snapshot::Restore { file, root_directory } => {
            cli::make_dir(root_directory)?;
            let done = kcp_storage::restore_file(file, &kcp_server::data_directory(root_directory))?;
            println!(
                "restored {} objects ({} bytes) to {}; the next revision is {}",
                done.objects,
                done.bytes,
                root_directory.display(),
                done.revision + 1
            );
            Ok(())
        }
        Snapshot::Verify { file } => verify(file),
    }
}

async fn save(file: &Path, kubeconfig: &Path) -> anyhow::Result<()> {
    let client = Client::new(&Config::from_kubeconfig(kubeconfig, "shard-base")?)?.at("");
    let response = client.send(http::Method::GET, "/snapshot", "*/*", None).await?;
    let draft = file.with_extension("partial");
    let written = async {
        let mut out = File::create_new(&draft).with_context(|| format!("cannot write {}", draft.display()))?;
        let mut body = response.into_body();
        while let Some(chunk) = body.next().await {
            out.write_all(&chunk?)?;
        }
        out.sync_all()?;
        // Unlike a rename, a link never replaces what is there.
        std::fs::hard_link(&draft, file).with_context(|| format!("cannot write {}", file.display()))
    };
    let result = written.await;
    let _ = std::fs::remove_file(&draft);
    result
}

fn verify(file: &Path) -> anyhow::Result<()> {
    let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = kcp_storage::verify(input)?;
    println!(
        "{}: {} objects ({} bytes) at revision {}, all checksums are right",
        file.display(),
        found.objects,
        found.bytes,
        found.revision
    );
    Ok(())
}

pub(crate) fn doctor(args: &Doctor) -> anyhow::Result<()> {
    let report = kcp_storage::doctor(&kcp_server::data_directory(&args.root_directory), args.scratch.as_deref())?;
    println!(
        "revision {} (watches can resume from {}), {} objects in {} logical clusters, {} events",
        report.revision, report.oldest, report.objects, report.clusters, report.events
    );
    if report.is_healthy() {
        println!("healthy");
        return Ok(());
    }
    for problem in &report.problems {
        println!("problem: {problem}");
    }
    bail!(
        "{} problems were found: restore a snapshot with `kcp snapshot restore`",
        report.problems.len() + report.more_problems
    )
}
