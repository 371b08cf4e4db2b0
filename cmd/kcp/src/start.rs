//! `kcp start`.

use anyhow::Context as _;
use kcp_server::Options;

use crate::cli;

pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    kcp_server::init_logging(&options.log)?;
    let grace = options.shutdown_grace_period;
    cli::runtime()?.block_on(async move {
        let server = kcp_server::start(options).await?;
        println!("kcp is ready: {}", server.url());
        println!("kubeconfig: {}", server.kubeconfig_path().display());
        let why = tokio::select! {
            signal = shutdown_signal() => signal?,
            error = server.failed() => anyhow::bail!("{error}"),
        };
        tracing::info!(signal = why, "stopping");
        server.shutdown(grace).await;
        Ok(())
    })
}

/// Waits for Ctrl-C or SIGTERM and gives its name.
pub(crate) async fn shutdown_signal() -> anyhow::Result<&'static str> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    tokio::select! {
        ctrl_c = tokio::signal::ctrl_c() => ctrl_c.context("cannot listen for Ctrl-C").map(|()| "SIGINT"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}
