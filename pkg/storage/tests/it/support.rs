//! Stores for tests, over every engine.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::ClusterName;
use kcp_storage::{
    Batch, CommitError, Committed, EngineKind, Event, EventKind, Expect, Key, MemoryDisk, Options, Prefix, Stamped,
    Store, Watcher, Window,
};

/// A place where a store can be opened again and again.
pub(crate) struct Place {
    pub(crate) kind: EngineKind,
    pub(crate) window: Window,
    _directory: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn memory() -> Self {
        Self { kind: EngineKind::MemoryDisk(MemoryDisk::new()), window: Window::default(), _directory: None }
    }

    pub(crate) fn sled() -> Self {
        // In memory where there is such a thing: what a disk may do is the business of test/crash.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let kind = EngineKind::Sled { path: directory.path().join("data") };
        Self { kind, window: Window::default(), _directory: Some(directory) }
    }

    pub(crate) fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// The directory, of a place that has one.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.kind {
            EngineKind::Sled { path } => path.clone(),
            other => panic!("{other:?} has no directory"),
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options { window: self.window, reserve_bytes: 0, ..Options::new(self.kind.clone()) }
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.options()).unwrap()
    }
}

/// Runs a case over every engine.
pub(crate) fn everywhere(case: impl Fn(Place)) {
    case(Place::memory());
    case(Place::sled());
}

pub(crate) fn gr(text: &str) -> GroupResource {
    let (resource, group) = text.split_once('.').unwrap_or((text, ""));
    GroupResource::new(group, resource)
}

pub(crate) fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

/// `resource/cluster/namespace/name`; the namespace may be empty.
pub(crate) fn key(text: &str) -> Key {
    let parts: Vec<&str> = text.split('/').collect();
    Key::object(&gr(parts[0]), &cluster(parts[1]), parts[2], parts[3]).unwrap()
}

/// A prefix by as many parts of [`key`] as are wanted; none for everything.
pub(crate) fn prefix(text: &str) -> Prefix {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [""] => Prefix::all(),
        [resource] => Prefix::resource(&gr(resource)).unwrap(),
        [resource, name] => Prefix::cluster(&gr(resource), &cluster(name)).unwrap(),
        [resource, name, namespace] => Prefix::namespace(&gr(resource), &cluster(name), namespace).unwrap(),
        _ => Prefix::object(&key(text)),
    }
}

/// A value that shows its revision: `text@<revision>`.
pub(crate) fn value(text: &str) -> Stamped {
    let text = format!("{text}@");
    let at = text.len() as u32;
    Stamped::new(text, at)
}

pub(crate) fn put(store: &Store, key_text: &str, text: &str, expect: Expect) -> Result<u64, CommitError> {
    commit(store, Batch::new().put(key(key_text), value(text), expect))
}

pub(crate) fn create(store: &Store, key_text: &str) -> u64 {
    put(store, key_text, "v", Expect::Absent).unwrap()
}

pub(crate) fn delete(store: &Store, key_text: &str) -> u64 {
    commit(store, Batch::new().delete(key(key_text), Expect::Any)).unwrap()
}

pub(crate) fn commit(store: &Store, batch: Batch) -> Result<u64, CommitError> {
    store.commit_blocking(batch).map(|Committed { revision }| revision)
}

pub(crate) fn get(store: &Store, key_text: &str) -> Option<String> {
    store.get(&key(key_text)).map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// Everything that a watcher has to say now.
pub(crate) fn drain(watcher: &mut Watcher) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(events) = watcher.try_next().unwrap() {
        all.extend(events.iter().map(show));
    }
    all
}

/// `+key=value`, `~key=value<previous` or `-key=value<previous`, with the revision before it.
pub(crate) fn show(event: &Arc<Event>) -> String {
    let sign = match event.kind {
        EventKind::Create => '+',
        EventKind::Update => '~',
        EventKind::Delete => '-',
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let prev = event.prev.as_ref().map_or_else(String::new, |prev| format!("<{}", text(prev)));
    format!("{} {sign}{}={}{prev}", event.revision, event.key, text(&event.shown()))
}

/// Copies a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
