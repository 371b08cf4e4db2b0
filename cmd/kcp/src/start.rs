//! `kcp start`.

use anyhow::Context as _;
use kcp_server::Options;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli;

pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    kcp_server::init_logging(&options.log)?;
    let grace = options.shutdown_grace_period;
    cli::runtime()?.block_on(async move {
        let mut signals = Signals::listen()?;
        let server = kcp_server::start(options).await?;
        println!("kcp is ready: {}", server.url());
        println!("kubeconfig: {}", server.kubeconfig_path().display());
        let why = tokio::select! {
            signal = signals.wait() => signal,
            error = server.failed() => anyhow::bail!("{error}"),
        };
        tracing::info!(signal = why, "stopping");
        server.shutdown(grace).await;
        Ok(())
    })
}

/// Ctrl-C and SIGTERM, listened for from the moment that this is made: one that comes during a start is not lost.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen. Must be called within the runtime.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        })
    }

    /// Waits for one of them and gives its name.
    pub(crate) async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
