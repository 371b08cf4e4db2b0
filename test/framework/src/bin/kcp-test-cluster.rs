//! A simulated physical cluster in a process of its own, for tests that cut it off. Its kubelet runs the binary `syncer`
//! that lies beside this program. Prints one line when it is ready and ends on SIGTERM.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use kcp_server::LogOptions;

#[derive(Debug, clap::Parser)]
struct Args {
    /// Folder for its files
    dir: PathBuf,
    #[command(flatten)]
    log: LogOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    kcp_allocator::configure();
    let args = Args::parse();
    kcp_server::init_logging(&args.log)?;
    let dir = args.dir.canonicalize().with_context(|| format!("cannot use {}", args.dir.display()))?;
    let cluster = kcp_server::simulated::start_in("simulated", dir, args.log).await?;
    println!("ready: {}", cluster.url());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        signal = tokio::signal::ctrl_c() => signal?,
    }
    cluster.shutdown(Duration::from_secs(3)).await;
    Ok(())
}
