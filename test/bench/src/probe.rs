//! What the machine says of processes and of its disk.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rand::Rng as _;

use crate::histogram::Histogram;

/// What Linux calls USER_HZ: the unit of the times in `/proc/<pid>/stat`, the same on every machine that we run on.
const TICK: Duration = Duration::from_millis(10);

/// The processes of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe(Vec<u32>);

impl Probe {
    pub(crate) fn new(pids: impl Into<Vec<u32>>) -> Self {
        Self(pids.into())
    }

    /// Whether anything can be read.
    pub(crate) fn sees(&self) -> bool {
        !self.0.is_empty()
    }

    fn status(&self, field: &str) -> u64 {
        let one = |pid: &u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
            line.split_whitespace().find_map(|w| w.parse::<u64>().ok()).unwrap_or_default()
        };
        self.0.iter().map(one).sum()
    }

    /// Resident memory, bytes.
    pub(crate) fn rss(&self) -> u64 {
        self.status("VmRSS:") << 10
    }

    /// Threads.
    pub(crate) fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// Voluntary switches of its first thread say little, so all threads are added up.
    pub(crate) fn context_switches(&self) -> u64 {
        let mut sum = 0;
        for pid in &self.0 {
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                sum += text
                    .lines()
                    .filter(|l| l.contains("ctxt_switches"))
                    .filter_map(|l| l.split_whitespace().last()?.parse::<u64>().ok())
                    .sum::<u64>();
            }
        }
        sum
    }

    /// Bytes handed to the disk so far.
    pub(crate) fn written(&self) -> u64 {
        let one = |pid: &u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            text.lines().find_map(|l| l.strip_prefix("write_bytes: ")?.parse::<u64>().ok()).unwrap_or_default()
        };
        self.0.iter().map(one).sum()
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let one = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
            fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u32>().ok()).sum::<u32>()
        };
        TICK * self.0.iter().map(one).sum::<u32>()
    }

    /// Reads the memory 50 times a second until the guard is dropped or asked.
    pub(crate) fn watch_rss(&self) -> Peak {
        let peak = Peak { most: Arc::new(AtomicU64::new(self.rss())), done: Arc::default() };
        let (probe, most, done) = (self.clone(), peak.most.clone(), peak.done.clone());
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(probe.rss(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        peak
    }
}

/// The most memory since it was made.
pub(crate) struct Peak {
    most: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Peak {
    pub(crate) fn bytes(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// The share of the last ten seconds in which something waited for a CPU, in percent. Above 40 figures mean little.
pub(crate) fn pressure() -> f64 {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    text.split_whitespace().find_map(|w| w.strip_prefix("avg10=")?.parse().ok()).unwrap_or_default()
}

/// How long the disk below `dir` takes to make 2.3 KB durable.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn fsync(dir: &Path) -> anyhow::Result<Histogram> {
    let path = dir.join(format!("fsync-{}", std::process::id()));
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut record = [0u8; 2300];
    rand::rng().fill_bytes(&mut record);
    let mut times = Histogram::default();
    for _ in 0..200 {
        file.write_all(&record)?;
        let start = Instant::now();
        file.sync_data()?;
        times.record(start.elapsed());
    }
    fs::remove_file(&path)?;
    Ok(times)
}
