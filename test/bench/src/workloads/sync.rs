//! W11, W14: a workspace and a simulated physical cluster.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use kcp_apimachinery::{GroupVersionResource, object};
use kcp_apis::{conditions, identity, workload::WORKLOAD_CLUSTER};
use kcp_client::{Client, ListParams, WatchEvent, WatchParams};
use kcp_test_framework::{Cluster, PATIENCE, Signal, available, poll, signal, until};

use tokio::sync::mpsc;

use crate::{
    args::Args,
    histogram::Histogram,
    load::{Lanes, Request, closed},
    report::{Figure, Goal, absent},
    target::{PAYLOAD, Target, config_map, random_text},
};

const PATH: &str = "root:sync:team";
const NAMESPACE: &str = "shop";
/// Objects a second in W11.
const RATE: u32 = 4;

fn configmaps() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "configmaps")
}

/// A workspace that syncs to a physical cluster.
struct Pair {
    cluster: Cluster,
    lanes: Arc<Lanes>,
    down: Client,
    /// The namespace in the physical cluster.
    there: String,
}

impl Pair {
    fn collection() -> String {
        format!("/clusters/{PATH}/api/v1/namespaces/{NAMESPACE}/configmaps")
    }

    async fn new(target: &mut Target) -> anyhow::Result<Self> {
        if !available() {
            return absent("there is no kubectl on the PATH");
        }
        let lanes = target.lanes(2)?;
        let kcp = target.needs_own()?;
        let cluster = Cluster::start(&kcp.dir().join("east"), &[("SYNCER_LOG_LEVEL", "warn")]).await?;
        let kubectl = kcp.kubectl()?;
        kubectl.ok(&["ws", "use", "root"])?;
        kubectl.ok(&["ws", "create", "sync", "--type", "organization", "--enter"])?;
        kubectl.ok(&["ws", "create", "team", "--enter"])?;
        cluster.join(&kubectl, "east", "")?;
        let up = kcp.client(PATH)?;
        let ready = |o: Option<&serde_json::Value>| o.is_some_and(|o| conditions::is_true(o, "Ready"));
        until(&up, &WORKLOAD_CLUSTER.gvr(), "", "east", ready).await.with_context(|| cluster.syncer_logs())?;
        kubectl.ok(&["create", "namespace", NAMESPACE])?;
        let assigned = |o: Option<&serde_json::Value>| {
            o.is_some_and(|o| object::label(o, "workloads.kcp.dev/cluster") == Some("east"))
        };
        until(&up, &GroupVersionResource::new("", "v1", "namespaces"), "", NAMESPACE, assigned).await?;
        let there = identity::physical_namespace(PATH, NAMESPACE);
        let pair = Self { down: cluster.client()?, cluster, lanes, there };
        pair.send("warm").await?;
        until(&pair.down, &configmaps(), &pair.there, "warm", |o| o.is_some()).await?;
        Ok(pair)
    }

    async fn send(&self, name: &str) -> anyhow::Result<()> {
        let request = Request::post(Self::collection(), config_map(name, &random_text(PAYLOAD)));
        self.lanes.send(0, &request).await.map(drop)
    }

    /// What appears in the physical namespace from now on: names of the load, and when.
    async fn arrivals(&self) -> anyhow::Result<mpsc::UnboundedReceiver<(String, Instant)>> {
        let mut events = self.down.watch(&configmaps(), &self.there, &WatchParams::default()).await?;
        let (seen, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Ok(WatchEvent::Added(o)) = event
                    && object::name(&o).starts_with("w-")
                    && seen.send((object::name(&o).to_owned(), Instant::now())).is_err()
                {
                    return;
                }
            }
        });
        Ok(arrivals)
    }

    /// Names and versions of everything in the physical namespace.
    async fn versions(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let list =
            self.down.list_all(&configmaps(), &self.there, &ListParams { limit: 500, ..ListParams::default() }).await?;
        let entry = |o: &serde_json::Value| (object::name(o).to_owned(), object::resource_version(o).to_owned());
        Ok(list.items.iter().map(entry).collect())
    }
}

/// W11: from sending a creation in the workspace to the object's arrival in a watch on the physical cluster.
pub(crate) async fn w11(target: &mut Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    let pair = Pair::new(target).await?;
    let mut arrivals = pair.arrivals().await?;
    let count = args.sent();
    let start = Instant::now();
    let mut sent = BTreeMap::new();
    for i in 0..count {
        let due = start + Duration::from_secs(1) / RATE * u32::try_from(i).unwrap_or(u32::MAX);
        tokio::time::sleep_until(due.into()).await;
        let name = format!("w-{i:07}");
        sent.insert(name.clone(), Instant::now());
        pair.send(&name).await?;
    }
    let mut times = Histogram::default();
    while times.len() < count as u64 {
        let (name, at) = tokio::time::timeout(PATIENCE, arrivals.recv())
            .await
            .with_context(|| format!("only {} of {count} objects arrived", times.len()))?
            .context("the watch ended")?;
        if let Some(begun) = sent.remove(&name) {
            times.record(at.duration_since(begun));
        }
    }
    Ok(vec![
        Figure::new(format!("create to object in the physical cluster, {RATE}/s: p50"), times.ms(50.0), "ms")
            .target(Goal::AtMost(4.0)),
        Figure::new(format!("create to object in the physical cluster, {RATE}/s: p99"), times.ms(99.0), "ms")
            .most(25.0, 12.0),
    ])
}

/// W14: a syncer is killed and started again while everything is in step.
pub(crate) async fn w14(target: &mut Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    let pair = Pair::new(target).await?;
    let count = args.synced_objects();
    let payloads: Vec<String> = (0..64).map(|_| random_text(PAYLOAD)).collect();
    let mut arrivals = pair.arrivals().await?;
    let begun = Instant::now();
    let make = move |i: usize| Request::post(Pair::collection(), config_map(&format!("w-{i:07}"), &payloads[i % 64]));
    closed(&pair.lanes, 32, count, make, |_| true).await?;
    let made = begun.elapsed();
    for arrived in 0..count {
        tokio::time::timeout(PATIENCE, arrivals.recv())
            .await
            .with_context(|| format!("only {arrived} of {count} objects arrived"))?
            .context("the watch ended")?;
    }
    let handed_over = begun.elapsed();
    drop(arrivals);
    let mut before = pair.versions().await?;

    let killed = pair.cluster.syncers();
    let kill = Instant::now();
    for id in &killed {
        signal(*id, Signal::KILL)?;
    }
    poll("the kubelet starting the syncer again", async || {
        Ok(pair.cluster.syncers().into_iter().find(|id| !killed.contains(id)))
    })
    .await?;
    let again = Instant::now();
    pair.send("fresh").await?;
    until(&pair.down, &configmaps(), &pair.there, "fresh", |o| o.is_some()).await?;
    let (fresh, whole) = (again.elapsed(), kill.elapsed());
    // Quiet: two more objects have passed after everything that was queued at the start.
    for name in ["fresh-2", "fresh-3"] {
        pair.send(name).await?;
        until(&pair.down, &configmaps(), &pair.there, name, |o| o.is_some()).await?;
    }
    let mut after = pair.versions().await?;
    for map in [&mut before, &mut after] {
        map.retain(|name, _| !name.starts_with("fresh"));
    }
    let written = after.iter().filter(|(name, version)| before.get(*name) != Some(version)).count();
    anyhow::ensure!(after.len() == before.len(), "{} objects are there instead of {}", after.len(), before.len());
    Ok(vec![
        Figure::new(format!("{count} objects written to the workspace"), made.as_secs_f64(), "s"),
        Figure::new("the last of them in the physical cluster", handed_over.as_secs_f64(), "s"),
        Figure::new("objects written again after a restart", written as f64, "")
            .goal(Goal::AtMost(0.0))
            .target(Goal::AtMost(0.0)),
        Figure::new("start of the syncer to a fresh object", fresh.as_secs_f64() * 1e3, "ms")
            .target(Goal::AtMost(1_000.0)),
        Figure::new("kill of the syncer to a fresh object, with the kubelet's wait", whole.as_secs_f64() * 1e3, "ms"),
    ])
}
