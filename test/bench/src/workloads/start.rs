//! W1: from the start of the process to the first 200 of `/readyz`.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use kcp_client::Config;
use kcp_test_framework::{Signal, binary, signal};
use serde_json::json;

use crate::{
    args::Args,
    histogram::Histogram,
    load::{Lanes, Request, closed},
    report::{Figure, absent},
    target::scratch,
};

/// Between two attempts to reach the server.
const EVERY: Duration = Duration::from_millis(2);

pub(crate) async fn w1(own: bool, args: &Args) -> anyhow::Result<Vec<Figure>> {
    if !own {
        return absent("starts are only measured on a server that this program starts");
    }
    let (_guard, dir) = scratch(args)?;
    let (mut cold, mut warm) = (Histogram::default(), Histogram::default());
    for i in 0..args.starts() {
        let root = dir.join(i.to_string());
        for times in [&mut cold, &mut warm] {
            let (time, server) = start(&root).await?;
            times.record(time);
            server.stop()?;
        }
    }
    let root = dir.join("full");
    let workspaces = if args.quick { 50 } else { 1_000 };
    let (_, server) = start(&root).await?;
    let config = Config::from_kubeconfig(&root.join("admin.kubeconfig"), "shard-base")?;
    let make = |i: usize| {
        let body = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": format!("w-{i:07}")}});
        Request::post("/clusters/root:default/apis/tenancy.kcp.io/v1alpha1/workspaces", body.to_string())
    };
    closed(&Lanes::new(&config, 2)?, 16, workspaces, make, |_| true).await?;
    server.stop()?;
    let mut full = Histogram::default();
    for _ in 0..args.starts() {
        let (time, server) = start(&root).await?;
        full.record(time);
        server.stop()?;
    }
    Ok(vec![
        Figure::new("empty folder to /readyz, p50", cold.ms(50.0), "ms").most(150.0, 60.0),
        Figure::new("empty folder to /readyz, p99", cold.ms(99.0), "ms").most(150.0, 60.0),
        Figure::new("second start to /readyz, p50", warm.ms(50.0), "ms").most(150.0, 25.0),
        Figure::new("second start to /readyz, p99", warm.ms(99.0), "ms").most(150.0, 25.0),
        Figure::new(format!("start with {workspaces} workspaces, p50"), full.ms(50.0), "ms").most(150.0, 25.0),
    ])
}

struct Server(Child);

impl Server {
    fn stop(mut self) -> anyhow::Result<()> {
        signal(self.0.id(), Signal::TERM)?;
        let status = self.0.wait()?;
        anyhow::ensure!(status.success(), "kcp ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server and waits until it is ready.
async fn start(root: &Path) -> anyhow::Result<(Duration, Server)> {
    // A port that was free a moment ago; nobody else takes ports here.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut command = Command::new(binary("kcp")?);
    command
        .args(["start", "--bind-address", "127.0.0.1", "--secure-port", &port, "--log-level", "warn"])
        .arg("--root-directory")
        .arg(root)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let begun = Instant::now();
    let mut server = Server(command.spawn().context("cannot start kcp")?);
    // Its certificate does not exist yet.
    let config = Config { server: format!("https://127.0.0.1:{port}"), insecure: true, ..Config::default() };
    loop {
        let attempt = Lanes::new(&config, 1)?;
        if attempt.send(0, &Request::get("/readyz")).await.is_ok() {
            return Ok((begun.elapsed(), server));
        }
        if let Some(status) = server.0.try_wait()? {
            bail!("kcp ended with {status} before it was ready");
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "kcp is not ready after a minute");
        tokio::time::sleep(EVERY).await;
    }
}
