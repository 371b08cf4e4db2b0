//! What things cost beside a commit: memory of objects, events and watchers, waking, opening, purging.
//!
//! `cargo run --release -p kcp-storage --example footprint [directory]`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a measuring tool")]

use std::time::{Duration, Instant};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Batch, EngineKind, Expect, Key, Options, Prefix, Stamped, Store, Watcher};

const RESOURCES: [&str; 6] = ["configmaps", "secrets", "namespaces", "serviceaccounts", "logicalclusters", "roles"];
const CLUSTERS: u64 = 10_000;

fn main() {
    let base = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(base).unwrap();
    idle(&EngineKind::Sled { path: directory.path().join("empty") });
    for kind in [EngineKind::Memory, EngineKind::Sled { path: directory.path().join("data") }] {
        println!("--- {}", if matches!(kind, EngineKind::Memory) { "memory" } else { "sled" });
        run(&kind);
    }
}

/// What a store costs that nobody uses.
fn idle(kind: &EngineKind) {
    for what in ["made", "opened"] {
        let (memory, started) = (resident(), Instant::now());
        let store = Store::open(Options::new(kind.clone())).unwrap();
        println!("an empty store {what} in {:.1?}", started.elapsed());
        let (cpu, pause) = (cpu_time(), Duration::from_secs(4));
        std::thread::sleep(pause);
        let share = (cpu_time() - cpu).as_secs_f64() / pause.as_secs_f64() * 100.0;
        println!("idle: {share:.3} % CPU, {} bytes of memory", resident().saturating_sub(memory));
        let started = Instant::now();
        store.close();
        println!("closed in {:.1?}", started.elapsed());
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn run(kind: &EngineKind) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let store = Store::open(Options::new(kind.clone())).unwrap();
    let memory = resident();
    let started = Instant::now();
    runtime.block_on(concurrently(&store, |cluster| {
        RESOURCES.iter().fold(Batch::new(), |batch, resource| {
            batch.put(key(resource, cluster, "x"), Stamped::plain(vec![b'x'; 500]), Expect::Absent)
        })
    }));
    let objects = CLUSTERS * RESOURCES.len() as u64;
    println!(
        "{CLUSTERS} clusters of {} objects of 500 bytes: {:.0?}, {} bytes of memory per object with its event",
        RESOURCES.len(),
        started.elapsed(),
        (resident() - memory) / objects
    );

    let memory = resident();
    let mut watchers: Vec<Watcher> = (0..CLUSTERS)
        .map(|cluster| {
            store.watch(&Prefix::cluster(&gr("configmaps"), &name(cluster)).unwrap(), store.revision()).unwrap()
        })
        .collect();
    println!("{CLUSTERS} watchers of as many prefixes: {} bytes each", (resident() - memory) / CLUSTERS);
    let started = Instant::now();
    commit(&store, Batch::new().put(key("configmaps", 7, "y"), Stamped::plain("y"), Expect::Any));
    let woken = watchers.iter_mut().filter_map(|watcher| watcher.try_next().unwrap()).count();
    println!("one event, all of them asked: {:.0?}, {woken} had something", started.elapsed());
    let memory = resident();
    let same: Vec<Watcher> = (0..CLUSTERS)
        .map(|_| store.watch(&Prefix::resource(&gr("configmaps")).unwrap(), store.revision()).unwrap())
        .collect();
    println!("{CLUSTERS} watchers of one prefix: {} bytes each", (resident() - memory) / CLUSTERS);
    drop((same, watchers));

    let (started, snapshot) = (Instant::now(), store.snapshot());
    let all: usize = snapshot.range(&Prefix::all(), None).map(|(_, entry)| entry.value.len()).sum();
    println!("a pass over {objects} objects ({all} bytes): {:.1?}", started.elapsed());
    drop(snapshot);
    let started = Instant::now();
    store.close();
    let closed = started.elapsed();
    if matches!(kind, EngineKind::Memory) {
        return;
    }
    let memory = resident();
    let started = Instant::now();
    let store = Store::open(Options::new(kind.clone())).unwrap();
    println!(
        "closed in {closed:.0?}, opened again in {:.0?} at revision {}, {} bytes on disk, {} bytes of memory more",
        started.elapsed(),
        store.revision(),
        store.stats().engine.disk_bytes,
        resident().saturating_sub(memory)
    );
    let started = Instant::now();
    runtime.block_on(concurrently(&store, |cluster| Batch::new().purge(name(cluster))));
    println!("{CLUSTERS} clusters purged: {:.0?}, {} objects left", started.elapsed(), store.stats().usage.objects);
    println!("{:?}", store.stats());
}

async fn concurrently(store: &Store, batch: impl Fn(u64) -> Batch + Copy) {
    let mut tasks = Vec::new();
    for first in 0..64 {
        let batches: Vec<Batch> = (first..CLUSTERS).step_by(64).map(batch).collect();
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for batch in batches {
                store.commit(batch).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

fn commit(store: &Store, batch: Batch) {
    store.commit_blocking(batch).unwrap();
}

fn gr(resource: &str) -> GroupResource {
    GroupResource::new("", resource)
}

fn name(cluster: u64) -> ClusterName {
    ClusterName::new(&format!("cluster{cluster:09}")).unwrap()
}

fn key(resource: &str, cluster: u64, object: &str) -> Key {
    Key::object(&gr(resource), &name(cluster), "default", object).unwrap()
}

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
