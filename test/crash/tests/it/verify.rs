//! What must be there after a crash.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kcp_storage::{Prefix, Store, doctor};
use kcp_test_crash::{Note, Operation, WRITERS, options, prefix, value};

/// What one writer has, by name: the number of the operation that wrote it.
type Objects = BTreeMap<String, u64>;

/// All that was acknowledged so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    writers: Vec<(Objects, u64)>,
    /// Every acknowledged operation by its revision.
    revisions: BTreeMap<u64, Vec<(u64, u64)>>,
    highest: u64,
    pub(crate) acknowledged: u64,
    pub(crate) slowest_open: Duration,
}

/// Notes and data of a crash, and the process that writes them.
pub(crate) struct Crash {
    pub(crate) notes: PathBuf,
}

impl Crash {
    /// Starts a process that writes to `directory` where the ledger left off.
    pub(crate) fn start(&self, directory: &Path, ledger: &Ledger) -> Child {
        let _nothing_there = fs::remove_file(&self.notes);
        let numbers: Vec<String> = (0..WRITERS).map(|writer| ledger.next(writer).to_string()).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_crash-writer"));
        command.arg(directory).arg(&self.notes).arg(numbers.join(",")).stdout(Stdio::null());
        command.spawn().unwrap()
    }

    pub(crate) fn read(&self) -> Vec<Note> {
        fs::read_to_string(&self.notes).map(|text| Note::read(&text)).unwrap_or_default()
    }
}

impl Ledger {
    fn next(&self, writer: u64) -> u64 {
        self.writers.get(writer as usize).map_or(0, |state| state.1)
    }

    /// Opens what the crash left and compares it with the notes. Panics when anything acknowledged is missing, half
    /// done, or at another revision.
    pub(crate) fn verify(&mut self, directory: &Path, notes: &[Note], check_offline: bool) {
        if check_offline {
            let report = doctor(directory, None).unwrap();
            assert!(report.is_healthy(), "{report:?}");
        }
        self.writers.resize(WRITERS as usize, (Objects::new(), 0));
        let started = Instant::now();
        let store = Store::open(options(directory)).unwrap();
        self.slowest_open = self.slowest_open.max(started.elapsed());
        let mut pending = BTreeMap::new();
        for note in notes {
            match *note {
                Note::Intent { writer, number } => {
                    pending.insert(writer, number);
                }
                Note::Acknowledged { writer, number, revision } => {
                    pending.remove(&writer);
                    let (objects, next) = &mut self.writers[writer as usize];
                    assert_eq!(*next, number, "the notes of writer {writer} have a hole");
                    Operation::new(writer, number).apply(objects);
                    *next += 1;
                    self.acknowledged += 1;
                    // A batch that changed nothing shares the revision of one that did.
                    self.revisions.entry(revision).or_default().push((writer, number));
                    self.highest = self.highest.max(revision);
                }
            }
        }
        assert!(store.revision() >= self.highest, "{} was acknowledged, {} is there", self.highest, store.revision());
        for writer in 0..WRITERS {
            self.verify_writer(&store, writer, pending.get(&writer).copied());
        }
        self.verify_history(&store);
        self.highest = store.revision();
        store.close();
    }

    fn verify_writer(&mut self, store: &Store, writer: u64, pending: Option<u64>) {
        let snapshot = store.snapshot();
        let mut found = Objects::new();
        for (key, entry) in snapshot.range(&prefix(writer).unwrap(), None) {
            let name = key.parts().name.to_owned();
            let text = std::str::from_utf8(&entry.value).unwrap();
            let number: u64 = text.split([':', ',']).nth(3).unwrap().parse().unwrap();
            assert_eq!(
                entry.value,
                value(writer, number, &name).render(entry.revision),
                "{key} is not what was written"
            );
            found.insert(name, number);
        }
        let (objects, next) = &mut self.writers[writer as usize];
        if found == *objects {
            // What was under way may have been done and have changed nothing; then doing it again changes nothing.
            return;
        }
        let number = pending.unwrap_or_else(|| panic!("writer {writer}: {:?}", differences(objects, &found)));
        assert_eq!(number, *next);
        let mut done = objects.clone();
        Operation::new(writer, number).apply(&mut done);
        assert_eq!(found, done, "writer {writer}: acknowledged writes are missing, or one is half done");
        *objects = done;
        *next += 1;
    }

    /// Watchers can resume: the history has every revision, and the acknowledged ones are what they should be.
    fn verify_history(&self, store: &Store) {
        let oldest = store.stats().oldest;
        let mut watcher = store.watch(&Prefix::all(), oldest).unwrap();
        let mut revision = oldest;
        while let Some(events) = watcher.try_next().unwrap() {
            for event in events {
                assert!(event.revision == revision || event.revision == revision + 1, "a hole after {revision}");
                revision = event.revision;
                let parts = event.key.parts();
                let noted = self.revisions.get(&revision).into_iter().flatten();
                for (writer, number) in noted.filter(|noted| parts.cluster == format!("c{}", noted.0)) {
                    let effects = Operation::new(*writer, *number).effects;
                    if let Some((_, Some(number))) = effects.iter().find(|effect| effect.0 == parts.name) {
                        assert_eq!(event.value, value(*writer, *number, parts.name).render(revision));
                    }
                }
            }
        }
        assert_eq!(revision, store.revision());
    }
}

fn differences(wanted: &Objects, found: &Objects) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differs = names.into_iter().filter(|name| wanted.get(*name) != found.get(*name));
    differs.map(|name| format!("{name}: {:?} instead of {:?}", found.get(name), wanted.get(name))).collect()
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Seeds that differ from run to run; the seed is printed with the result.
pub(crate) fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    setting("KCP_CRASH_SEED", now.as_nanos() as u64)
}
