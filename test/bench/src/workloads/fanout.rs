//! W5: one change told to a thousand watchers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use kcp_client::BodyStream;
use memchr::memmem::Finder;
use serde_json::Value;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    args::Args,
    histogram::Histogram,
    load::{Request, open},
    report::{Figure, Goal},
    target::{Target, config_map},
    workloads::kb_each,
};

/// Watches on one connection: what servers allow at least.
const PER_CONNECTION: usize = 100;
/// Changes a second.
const RATE: usize = 20;
/// What stands before the time at which a change was due, in microseconds since the start.
const MARK: &[u8] = b"\"ts\":\"";

pub(crate) async fn w5(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    let (watchers, changes) = (args.watchers(), args.watched_changes());
    let connections = watchers.div_ceil(PER_CONNECTION);
    let (lanes, writer) = (target.lanes(connections)?, target.lanes(1)?);
    let namespace = target.namespace(&writer).await?;
    let made = writer.send(0, &Request::post(namespace.core("configmaps"), config_map("watched", "x"))).await?;
    let version =
        serde_json::from_slice::<Value>(&made)?["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    // The connections first: what they cost is not what a watch costs.
    for lane in 0..connections {
        lanes.send(lane, &Request::get("/version")).await?;
    }
    tokio::time::sleep(args.settle()).await;
    let before = target.probe.rss();

    let path = namespace.core(&format!("configmaps?watch=true&resourceVersion={version}&timeoutSeconds=3600"));
    let epoch = Instant::now();
    let open_all = Arc::new(Barrier::new(watchers + 1));
    let mark = Arc::new(Finder::new(MARK));
    let mut tasks = JoinSet::new();
    for i in 0..watchers {
        let (lanes, path, opened, mark) = (lanes.clone(), path.clone(), open_all.clone(), mark.clone());
        tasks.spawn(async move {
            let body = lanes.open(i / PER_CONNECTION, &Request::get(path)).await;
            opened.wait().await;
            receive(body?, &mark, epoch, changes).await
        });
    }
    open_all.wait().await;
    tokio::time::sleep(args.settle()).await;
    let idle = target.probe.rss();

    let cpu = target.probe.cpu();
    let object = namespace.core("configmaps/watched");
    let gap = Duration::from_secs_f64(1.0 / RATE as f64);
    // The loop sends request `i` at `begin + i * gap`, and that is what is written into it.
    let begin = epoch.elapsed();
    let make = |i: usize| {
        let due = begin + gap * u32::try_from(i).unwrap_or(u32::MAX);
        let body = format!(r#"{{"data":{{"ts":"{}"}}}}"#, due.as_micros());
        Request::patch(object.clone(), "application/merge-patch+json", body)
    };
    open(&writer, RATE, gap * u32::try_from(changes).unwrap_or(u32::MAX), make).await?;
    let mut times = Histogram::default();
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.context("a watcher was lost")??.into_iter().for_each(|time| times.record(time));
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.context("not every watcher got every change")??;
    let deliveries = (watchers * changes) as f64;
    let cpu = target.probe.cpu() - cpu;
    let mut out = vec![
        Figure::new(format!("{watchers} watchers, {RATE}/s: delivery p50"), times.ms(50.0), "ms"),
        Figure::new(format!("{watchers} watchers, {RATE}/s: delivery p99"), times.ms(99.0), "ms").most(8.0, 3.0),
    ];
    if target.probe.sees() {
        out.push(Figure::new("RSS per idle watch", kb_each(before, idle, watchers), "KB").most(4.0, 1.5));
        out.push(Figure::new("CPU per delivery", cpu.as_secs_f64() * 1e6 / deliveries, "µs").target(Goal::AtMost(3.0)));
    }
    Ok(out)
}

/// Reads a watch until it has shown so many changes, in order and each once. What it does with each is little: it
/// shares the machine with the server.
async fn receive(
    mut body: BodyStream,
    mark: &Finder<'static>,
    epoch: Instant,
    changes: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(changes);
    let (mut buffer, mut last) = (Vec::new(), 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let now = epoch.elapsed();
        // Mostly it is one whole line.
        let mut rest: &[u8] = &chunk;
        if !buffer.is_empty() || chunk.last() != Some(&b'\n') {
            buffer.extend_from_slice(&chunk);
            rest = &buffer;
        }
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            let Some(at) = mark.find(line) else { continue };
            let digits = line[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let due = digits.fold(0, |due, digit| due * 10 + u64::from(digit - b'0'));
            anyhow::ensure!(due > last, "a change came twice or out of order");
            last = due;
            times.push(now.saturating_sub(Duration::from_micros(due)));
            if times.len() == changes {
                return Ok(times);
            }
        }
        if !buffer.is_empty() {
            let done = buffer.len() - rest.len();
            buffer.drain(..done);
        }
    }
    bail!("the watch ended after {} of {changes} changes", times.len())
}
