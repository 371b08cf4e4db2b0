//! How fast the store commits: creates of 1 KiB objects at several numbers of concurrent writers, with the CPU time
//! that the process spent on each, beside the time that the disk takes for a sync.
//!
//! `cargo run --release -p kcp-storage --example commit [directory] [seconds per row] [numbers of writers]`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Batch, EngineKind, Expect, Key, Options, Stamped, Store};

fn main() {
    let mut args = std::env::args().skip(1);
    let base = args.next().unwrap_or_else(|| ".".to_owned());
    let seconds = args.next().and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let directory = tempfile::tempdir_in(base).expect("a directory to write in");
    println!("fdatasync of 4 KiB appended: p50 {:?}", sync_time(directory.path()));
    println!(
        "{:<7} {:>7} {:>6} {:>10} {:>9} {:>9} {:>9} {:>7}",
        "engine", "op", "writers", "commits/s", "cpu µs", "p50", "p99", "batch"
    );
    let numbers: Vec<usize> = args.filter_map(|text| text.parse().ok()).collect();
    for writers in if numbers.is_empty() { vec![1, 32, 256] } else { numbers } {
        for kind in [EngineKind::Memory, EngineKind::Sled { path: directory.path().join(writers.to_string()) }] {
            let name = if matches!(kind, EngineKind::Memory) { "memory" } else { "sled" };
            let store = Store::open(Options::new(kind)).expect("a store");
            for op in ["create", "update"] {
                let row = run(&store, writers, Duration::from_secs_f64(seconds), op == "update");
                println!("{name:<7} {op:>7} {writers:>6} {row}");
            }
            store.close();
        }
    }
}

fn run(store: &Store, writers: usize, time: Duration, update: bool) -> String {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let before = store.stats();
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                tokio::spawn(writer_task(store.clone(), writer, update, Arc::clone(&stop), Arc::clone(&done)))
            })
            .collect();
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("a writer"));
        }
        all
    });
    let (elapsed, cpu) = (started.elapsed(), cpu_time() - cpu);
    let after = store.stats();
    let count = done.load(Ordering::Relaxed) as f64;
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let batch = (after.commits - before.commits) as f64 / (after.groups - before.groups) as f64;
    format!(
        "{:>10.0} {:>9.1} {:>9.0?} {:>9.0?} {batch:>7.1}  engine {:.1} µs/commit",
        count / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        at(0.5),
        at(0.99),
        (after.engine_nanos - before.engine_nanos) as f64 / 1e3 / count,
    )
}

async fn writer_task(
    store: Store,
    writer: usize,
    update: bool,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<Duration> {
    let resource = GroupResource::new("", "configmaps");
    let cluster = ClusterName::root();
    let mut body = br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":""},"data":{"x":""#.to_vec();
    let at = 67;
    let mut seed = writer as u64 + 1;
    while body.len() < 1000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        body.extend_from_slice(format!("{seed:016x}").as_bytes());
    }
    body.extend_from_slice(br#""}}"#);
    let mut latencies = Vec::new();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let number = if update { number % 1000 } else { number };
        let key =
            Key::object(&resource, &cluster, &format!("ns-{writer}"), &format!("object-{number}")).expect("a key");
        let expect = if update { Expect::Any } else { Expect::Absent };
        let batch = Batch::new().put(key, Stamped::new(body.clone(), at), expect);
        let started = Instant::now();
        store.commit(batch).await.expect("a commit");
        latencies.push(started.elapsed());
        done.fetch_add(1, Ordering::Relaxed);
    }
    latencies
}

fn sync_time(directory: &Path) -> Duration {
    let mut file = std::fs::File::create(directory.join("sync")).expect("a file");
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            file.write_all(&[7; 4096]).expect("room");
            let started = Instant::now();
            file.sync_data().expect("a sync");
            started.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// The CPU time of this process, user and system.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
