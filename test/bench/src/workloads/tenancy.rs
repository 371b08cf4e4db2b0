//! W3, W4, W19: workspaces by the thousand.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use kcp_apimachinery::{GroupVersionResource, object};
use kcp_client::{DeleteParams, ListParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    args::Args,
    histogram::Histogram,
    load::{Lanes, Request, Run, closed, open},
    report::{Figure, Goal},
    target::{Target, config_map, random_text},
    workloads::{kb_each, mb},
};

/// How many children each workspace of the tree has.
const BRANCHES: usize = 7;
const READY: &[u8] = b"\"phase\":\"Ready\"";

fn workspaces() -> GroupVersionResource {
    GroupVersionResource::new("tenancy.kcp.io", "v1alpha1", "workspaces")
}

/// The creation of a workspace; its type is what the parent says.
fn creation(parent: &str, name: &str) -> Request {
    let body = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}});
    Request::post(format!("/clusters/{parent}/apis/tenancy.kcp.io/v1alpha1/workspaces"), body.to_string())
}

fn is_ready(answer: &[u8]) -> bool {
    memchr::memmem::find(answer, READY).is_some()
}

/// Makes an organisation in `root` for a workload's workspaces.
async fn organization(lanes: &Lanes, name: &str) -> anyhow::Result<String> {
    lanes.send(0, &creation("root", name)).await?;
    Ok(format!("root:{name}"))
}

/// Makes workspaces `range` in one parent, 16 at a time; each must be ready in its answer.
async fn flat(lanes: &Arc<Lanes>, parent: &str, from: usize, to: usize) -> anyhow::Result<Run> {
    let parent = parent.to_owned();
    closed(lanes, 16, to - from, move |i| creation(&parent, &format!("w-{:07}", from + i)), is_ready).await
}

/// W3: memory of one more empty workspace, between a tenth and all of them.
pub(crate) async fn w3(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    target.needs_workspaces()?;
    let lanes = target.lanes(2)?;
    let parent = organization(&lanes, "w3").await?;
    let (few, all) = (args.workspaces() / 10, args.workspaces());
    flat(&lanes, &parent, 0, few).await?;
    tokio::time::sleep(args.settle()).await;
    let (rss, threads, series) = (target.probe.rss(), target.probe.threads(), target.metric_series().await?);
    flat(&lanes, &parent, few, all).await?;
    tokio::time::sleep(args.settle()).await;
    let list = target
        .client()?
        .cluster(&parent)
        .list_all(&workspaces(), "", &ListParams { limit: 500, ..ListParams::default() })
        .await?;
    anyhow::ensure!(list.items.len() == all, "{} workspaces are there instead of {all}", list.items.len());
    let mut out = Vec::new();
    if target.probe.sees() {
        let each = kb_each(rss, target.probe.rss(), all - few);
        out.push(Figure::new(format!("RSS per workspace, {few} to {all}"), each, "KB").most(16.0, 12.0));
        out.push(Figure::new(format!("RSS with {all} workspaces"), mb(target.probe.rss()), "MB"));
        let more = target.probe.threads() as f64 - threads as f64;
        out.push(Figure::new("threads more", more, "").goal(Goal::AtMost(0.0)).target(Goal::AtMost(0.0)));
    }
    let more = target.metric_series().await? as f64 - series as f64;
    out.push(Figure::new("metric series more", more, "").goal(Goal::AtMost(0.0)).target(Goal::AtMost(0.0)));
    Ok(out)
}

/// W4: creation until a second connection sees Ready; at fixed rates; as fast as it goes, flat and as a tree.
pub(crate) async fn w4(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    target.needs_workspaces()?;
    let lanes = target.lanes(2)?;
    let one = until_seen(target, &lanes, if args.quick { 50 } else { 500 }).await?;
    let mut out = vec![
        Figure::new("create to Ready seen by another connection, c=1, p50", one.ms(50.0), "ms"),
        Figure::new("create to Ready seen by another connection, c=1, p99", one.ms(99.0), "ms")
            .target(Goal::AtMost(8.0)),
    ];
    for rate in [100, 1_000] {
        let parent = organization(&lanes, &format!("open-{rate}")).await?;
        let run = open(&lanes, rate, args.open_loop(), |i| creation(&parent, &format!("w-{i:07}"))).await?;
        let figure = Figure::new(format!("open loop at {rate}/s, p99"), run.latency.ms(99.0), "ms");
        out.push(if rate == 100 { figure.most(20.0, 8.0) } else { figure.target(Goal::AtMost(8.0)) });
    }
    let total = args.workspaces();
    let parent = organization(&lanes, "flat").await?;
    let cpu = target.probe.cpu();
    let run = flat(&lanes, &parent, 0, total).await?;
    let cpu = target.probe.cpu() - cpu;
    let rate = |what: &str, run: &Run| {
        Figure::new(format!("{total} {what}, c=16"), run.per_second(), "/s")
            .goal(Goal::AtLeast(1_000.0))
            .target(Goal::AtLeast(3_000.0))
    };
    out.push(rate("in one parent", &run));
    if target.probe.sees() {
        out.push(Figure::new("CPU of one creation", cpu.as_secs_f64() * 1e6 / total as f64, "µs"));
    }
    let (run, leaves) = tree(&lanes, total).await?;
    out.push(rate("in a tree, seven in each", &run));
    // They must work: each gets an object, which is read again.
    let sample: Arc<Vec<String>> = Arc::new(leaves.into_iter().step_by(10).collect());
    let payload = random_text(100);
    let (a, b) = (sample.clone(), sample.clone());
    let write = move |i: usize| {
        Request::post(format!("/clusters/{}/api/v1/namespaces/default/configmaps", a[i]), config_map("proof", &payload))
    };
    closed(&lanes, 16, sample.len(), write, |_| true).await?;
    let read = move |i: usize| Request::get(format!("/clusters/{}/api/v1/namespaces/default/configmaps/proof", b[i]));
    closed(&lanes, 16, sample.len(), read, |body| memchr::memmem::find(body, b"payload").is_some()).await?;
    Ok(out)
}

/// A tree of `total` workspaces, level by level: 10 000 are five levels.
async fn tree(lanes: &Arc<Lanes>, total: usize) -> anyhow::Result<(Run, Vec<String>)> {
    let mut level = vec![organization(lanes, "tree").await?];
    let (mut all, mut run) = (Vec::with_capacity(total), Run::default());
    while all.len() < total {
        let parents = Arc::new(std::mem::take(&mut level));
        let count = (parents.len() * BRANCHES).min(total - all.len());
        let above = parents.clone();
        let part =
            closed(lanes, 16, count, move |i| creation(&above[i / BRANCHES], &format!("c{}", i % BRANCHES)), is_ready)
                .await?;
        run.latency.merge(&part.latency);
        run.elapsed += part.elapsed;
        level = (0..count).map(|i| format!("{}:c{}", parents[i / BRANCHES], i % BRANCHES)).collect();
        all.extend(level.iter().cloned());
    }
    Ok((run, all))
}

/// Times from sending a creation to its Ready in a watch of another connection.
async fn until_seen(target: &Target, lanes: &Arc<Lanes>, count: usize) -> anyhow::Result<Histogram> {
    let parent = organization(lanes, "one-by-one").await?;
    let watcher = target.client()?.cluster(&parent);
    let mut events = watcher.watch(&workspaces(), "", &WatchParams::default()).await?;
    let (seen, mut ready) = mpsc::unbounded_channel();
    let watch = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Ok(WatchEvent::Added(o) | WatchEvent::Modified(o)) = event
                && o["status"]["phase"] == "Ready"
                && seen.send((object::name(&o).to_owned(), Instant::now())).is_err()
            {
                return;
            }
        }
    });
    let (mut times, mut arrived) = (Histogram::default(), HashMap::new());
    for i in 0..count {
        let name = format!("w-{i:07}");
        let sent = Instant::now();
        lanes.send(0, &creation(&parent, &name)).await?;
        while !arrived.contains_key(&name) {
            let (name, at) = tokio::time::timeout(Duration::from_secs(10), ready.recv())
                .await
                .context("the watch does not show a workspace as Ready")?
                .context("the watch ended")?;
            arrived.insert(name, at);
        }
        times.record(arrived[&name].duration_since(sent));
    }
    watch.abort();
    Ok(times)
}

/// W19: a tree of workspaces goes with its root.
pub(crate) async fn w19(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    target.needs_workspaces()?;
    let lanes = target.lanes(2)?;
    let total = args.workspaces();
    // Once around, so that what a server keeps for ever is there before the measurement.
    let client = target.client()?.cluster("root");
    organization(&lanes, "warm").await?;
    flat(&lanes, "root:warm", 0, total / 10).await?;
    remove(&client, "warm").await?;
    tokio::time::sleep(args.settle()).await;
    let before = target.probe.rss();
    let parent = organization(&lanes, "w19").await?;
    flat(&lanes, &parent, 0, total).await?;
    let with = target.probe.rss();
    let took = remove(&client, "w19").await?;
    let answer = lanes.send(0, &Request::get(format!("/clusters/{parent}:w-0000000/api/v1/namespaces"))).await;
    anyhow::ensure!(answer.is_err(), "a workspace that was deleted still answers");
    tokio::time::sleep(args.settle()).await;
    let after = target.probe.rss();
    let everywhere = target.client()?.at("/clusters/*");
    let gvr = GroupVersionResource::new("core.kcp.io", "v1alpha1", "logicalclusters");
    let left = everywhere.list_all(&gvr, "", &ListParams::default()).await?.items.len();
    anyhow::ensure!(left < 10, "{left} logical clusters are left");
    let scale = 10_000.0 / total as f64;
    let mut out = vec![
        Figure::new(format!("{total} workspaces gone"), took.as_secs_f64(), "s")
            .goal(Goal::AtMost(15.0 / scale))
            .target(Goal::AtMost(5.0 / scale)),
    ];
    if target.probe.sees() {
        let kept = after.saturating_sub(before) as f64 / (with.saturating_sub(before)).max(1) as f64 * 100.0;
        out.push(Figure::new("RSS before", mb(before), "MB"));
        out.push(Figure::new("RSS with all", mb(with), "MB"));
        out.push(Figure::new("RSS after", mb(after), "MB"));
        out.push(Figure::new("of the growth kept", kept, "%").most(10.0, 10.0));
        organization(&lanes, "again").await?;
        flat(&lanes, "root:again", 0, total).await?;
        let again = target.probe.rss() as f64 / with.max(1) as f64 * 100.0 - 100.0;
        out.push(Figure::new("RSS with all again, more than the first time", again, "%").target(Goal::AtMost(5.0)));
    }
    Ok(out)
}

/// Deletes a workspace and waits until it is gone.
async fn remove(client: &kcp_client::Client, name: &str) -> anyhow::Result<Duration> {
    let gvr = workspaces();
    let start = Instant::now();
    client.delete(&gvr, "", name, &DeleteParams::default()).await?;
    let params = WatchParams {
        field_selector: Some(format!("metadata.name={name}")),
        initial_events: true,
        ..WatchParams::default()
    };
    let mut events = client.watch(&gvr, "", &params).await?;
    let mut there = false;
    let wait = async {
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(_) | WatchEvent::Modified(_) => there = true,
                WatchEvent::Deleted(_) => return Ok(()),
                WatchEvent::Bookmark { initial_events_end: true, .. } if !there => return Ok(()),
                WatchEvent::Bookmark { .. } => {}
            }
        }
        anyhow::bail!("the watch ended before the workspace was gone")
    };
    tokio::time::timeout(Duration::from_secs(600), wait)
        .await
        .context("the workspace is not gone after 10 minutes")??;
    Ok(start.elapsed())
}
