//! The store's handle, and how it is opened.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::ClusterName;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::{
    batch::{Batch, CommitError, Committed},
    committer::Committer,
    directory::Directory,
    engine::{Discard, Engine, EngineError, EngineStats, Journaled, SharedMemory, SledOptions},
    entry::{Entry, Event, Revision},
    key::{Key, Prefix},
    load::Loaded,
    options::{EngineKind, OnFailure, OpenError, Options},
    queue::{Announced, Queue, Request},
    row,
    snapshot::{Overlay, Snapshot},
    state::{State, Usage},
    watch::{Hub, WatchError, Watcher},
};

/// Why the state at a revision cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It is older than the window (L-07, L-13).
    #[error("the requested revision has been compacted: the oldest is {oldest}")]
    Compacted {
        /// The oldest revision whose state is known.
        oldest: Revision,
    },
    /// It has not been reached (L-06).
    #[error("the requested revision is in the future: the newest is {current}")]
    Future {
        /// The newest revision.
        current: Revision,
    },
}

/// Derives something from the events, such as an index.
pub trait Observer: Send + Sync {
    /// Called in commit order from the committer's thread: the events are durable and in the index; watchers and those
    /// who committed them do not know yet. So an index that is kept here is never behind what a client was told. Must
    /// be quick, and must not commit, wait for a commit, or add observers.
    fn applied(&self, events: &[Arc<Event>]);
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) engine_nanos: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) available_bytes: AtomicU64,
}

/// What the handles, the watchers and the committer share.
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) queue: Queue,
    pub(crate) observers: RwLock<Vec<Arc<dyn Observer>>>,
    pub(crate) counters: Counters,
    failed: OnceLock<Arc<EngineError>>,
    on_failure: Option<OnFailure>,
    max_batch_bytes: u64,
}

impl Shared {
    /// Notes that the engine cannot be trusted any more.
    pub(crate) fn fail(&self, error: &Arc<EngineError>) {
        tracing::error!(%error, "the store has failed and takes no more writes");
        if self.failed.set(Arc::clone(error)).is_ok()
            && let Some(callback) = &self.on_failure
        {
            callback(error);
        }
    }

    fn closed(&self) -> CommitError {
        self.failed.get().map_or(CommitError::Closed, |error| CommitError::Engine(Arc::clone(error)))
    }

    /// Only a panic leaves a request without an answer, and nobody knows how far it had come.
    fn unanswered(&self) -> CommitError {
        let unknown = || Arc::new(EngineError::Stopped("it ended without an answer".to_owned()));
        CommitError::Engine(self.failed.get().cloned().unwrap_or_else(unknown))
    }

    fn past(&self, prefix: &Prefix, after: Revision, through: Revision) -> Result<Vec<Arc<Event>>, WatchError> {
        let state = self.state.read();
        let oldest = state.history.floor();
        if after < oldest { Err(WatchError::Compacted { oldest }) } else { Ok(state.events(prefix, after, through)) }
    }
}

/// Ends the committer when the last handle goes.
struct Closer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Closer {
    fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().take();
        // An observer may hold the last handle, and then it is the committer itself that comes here.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // The committer catches its own panics.
            let _ended = thread.join();
        }
        self.shared.observers.write().clear();
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the store says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision that can be watched from and read at.
    pub oldest: Revision,
    /// All objects.
    pub usage: Usage,
    /// Logical clusters that hold objects.
    pub clusters: usize,
    /// Events in the window.
    pub window_events: usize,
    /// Bytes that the window holds beyond the current objects.
    pub window_bytes: u64,
    /// Watchers.
    pub watchers: usize,
    /// Different prefixes that are watched.
    pub interest_groups: usize,
    /// Batches waiting to be committed.
    pub waiting: usize,
    /// Batches committed since the store was opened, without those that changed nothing.
    pub commits: u64,
    /// Durable writes since the store was opened, each for one or several batches.
    pub groups: u64,
    /// Time spent in durable writes.
    pub engine_nanos: u64,
    /// The engine's own figures.
    pub engine: EngineStats,
}

/// One ordered, revisioned log of objects, and the index over it. A handle: cheap to clone. When the last one is
/// dropped, what waits is committed and the store is closed; better call [`Store::close`].
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    closer: Arc<Closer>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store, or makes a new one. Reads and checks all data.
    ///
    /// # Errors
    /// When the directory is in use or not a store's, the format is unknown, or anything is damaged.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let started = Instant::now();
        let Options { engine, window, reserve_bytes, max_batch_bytes, cache_bytes, on_failure } = options;
        let (mut engine, directory): (Box<dyn Engine>, _) = match engine {
            EngineKind::Memory => (Box::new(Discard), None),
            EngineKind::MemoryDisk(disk) => (Box::new(SharedMemory(disk)), None),
            EngineKind::Sled { path } => {
                let directory = Directory::open(&path)?;
                let sled =
                    Journaled::open(&directory.data(), SledOptions { cache_bytes }).map_err(OpenError::from_engine)?;
                (Box::new(sled), Some(directory))
            }
        };
        let loaded = Loaded::read(engine.as_mut()).map_err(OpenError::from_engine)?;
        if let Some(found) = loaded.unknown_format() {
            return Err(OpenError::Format { found, known: row::FORMAT });
        }
        let fresh = loaded.is_empty();
        if let Some(directory) = directory.as_ref() {
            if loaded.meta.is_none() && !fresh {
                directory.check_complete()?;
            }
            directory.check_contents((!fresh).then(|| loaded.revision()))?;
        }
        let (state, log_rows) = loaded.state(window).map_err(OpenError::from_engine)?;
        if fresh && engine.keeps_rows() {
            engine.apply(vec![row::meta(1, state.totals)]).map_err(OpenError::from_engine)?;
        }
        let mut mark = None;
        if let Some(directory) = directory.as_ref() {
            directory.complete()?;
            mark = Some(directory.mark()?);
        }
        tracing::info!(
            revision = state.revision,
            oldest = state.history.floor(),
            objects = state.total.objects,
            elapsed = ?started.elapsed(),
            "opened the store"
        );
        let shared = Arc::new(Shared {
            hub: Arc::new(Hub::new(state.revision, state.history.floor())),
            state: RwLock::new(state),
            queue: Queue::new(),
            observers: RwLock::default(),
            counters: Counters::default(),
            failed: OnceLock::new(),
            on_failure,
            max_batch_bytes,
        });
        shared.counters.disk_bytes.store(engine.disk_bytes(), Ordering::Relaxed);
        let available = engine.available().map_err(OpenError::from_engine)?.unwrap_or(u64::MAX);
        shared.counters.available_bytes.store(available, Ordering::Relaxed);
        let committer = Committer {
            shared: Arc::clone(&shared),
            engine,
            mark,
            reserve: reserve_bytes,
            waiting: Vec::new(),
            short: false,
            log_rows,
        };
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                committer.run();
                // Only when the engine is gone may another process have the directory.
                drop(directory);
            })
            .map_err(|error| OpenError::Engine(EngineError::io("starting the committer", error)))?;
        let closer = Arc::new(Closer { shared: Arc::clone(&shared), thread: Mutex::new(Some(thread)) });
        Ok(Self { shared, closer })
    }

    /// Commits a batch: when it returns `Ok`, it is durable, in the index, and known to observers and watchers.
    ///
    /// Dropping the future does not take the batch back once it waits in the queue.
    ///
    /// # Errors
    /// See [`CommitError`]; after all but [`CommitError::Engine`] the batch is certain not to have been committed.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let cost = self.price(&batch)?;
        self.shared.queue.reserve(cost).await.map_err(|_| self.shared.closed())?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(Request { batch, cost, reply })?;
        answer.await.unwrap_or_else(|_| Err(self.shared.unanswered()))
    }

    /// As [`Store::commit`], for threads that are not async.
    ///
    /// # Errors
    /// As [`Store::commit`].
    ///
    /// # Panics
    /// In an async context.
    pub fn commit_blocking(&self, batch: Batch) -> Result<Committed, CommitError> {
        let cost = self.price(&batch)?;
        self.shared.queue.reserve_blocking(cost).map_err(|_| self.shared.closed())?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(Request { batch, cost, reply })?;
        answer.blocking_recv().unwrap_or_else(|_| Err(self.shared.unanswered()))
    }

    /// Says that a batch may come at once: what is in the queue waits a little for it, so that they share a write. What
    /// is returned is to be dropped when the batch is there, and before anything else is waited for.
    pub fn announce(&self) -> Announced {
        Announced::new(&self.shared)
    }

    fn price(&self, batch: &Batch) -> Result<u32, CommitError> {
        let (size, limit) = (batch.bytes(), self.shared.max_batch_bytes);
        if size > limit { Err(CommitError::TooLarge { size, limit }) } else { Ok(Queue::cost(size)) }
    }

    fn enqueue(&self, request: Request) -> Result<(), CommitError> {
        let cost = request.cost as usize;
        self.shared.queue.push(request).map_err(|_| {
            self.shared.queue.release(cost);
            self.shared.closed()
        })
    }

    /// The newest revision. All that it contains can be read.
    pub fn revision(&self) -> Revision {
        self.shared.state.read().revision
    }

    /// The current value of a key.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.shared.state.read().index.get(key.as_str()).cloned()
    }

    /// The current state of everything.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.state.read();
        Snapshot::new(state.revision, state.index.clone())
    }

    /// The exact state of `prefix` at an older revision. Of keys outside `prefix` the snapshot says nothing useful.
    ///
    /// # Errors
    /// When the revision is older than the window, or has not been reached.
    pub fn snapshot_at(&self, revision: Revision, prefix: &Prefix) -> Result<Snapshot, HistoryError> {
        let (index, events) = {
            let state = self.shared.state.read();
            let (oldest, current) = (state.history.floor(), state.revision);
            if revision > current {
                return Err(HistoryError::Future { current });
            }
            if revision < oldest {
                return Err(HistoryError::Compacted { oldest });
            }
            (state.index.clone(), state.events(prefix, revision, current))
        };
        let overlay: Overlay = events.iter().rev().map(|event| (event.key.clone(), event.prev_entry())).collect();
        Ok(Snapshot::overlaid(revision, index, overlay))
    }

    /// A watcher of the events of `prefix` with a higher revision than `from`; nothing comes while `from` lies in the
    /// future (W-02, W-07).
    ///
    /// # Errors
    /// When the window does not reach back to `from`, or the store was closed.
    pub fn watch(&self, prefix: &Prefix, from: Revision) -> Result<Watcher, WatchError> {
        self.shared.hub.watch(prefix, from, |after, through| self.shared.past(prefix, after, through))
    }

    /// Adds an observer, and returns the state on which the first events that it is told of build.
    pub fn observe(&self, observer: Arc<dyn Observer>) -> Snapshot {
        let mut observers = self.shared.observers.write();
        observers.push(observer);
        self.snapshot()
    }

    /// What a logical cluster holds.
    pub fn usage(&self, cluster: &ClusterName) -> Usage {
        self.shared.state.read().usage(cluster.as_str())
    }

    /// The resources that a logical cluster has objects of, in no order.
    pub fn resources(&self, cluster: &ClusterName) -> Vec<GroupResource> {
        let state = self.shared.state.read();
        let split = |prefix: &str| prefix.trim_end_matches('\0').split_once('.').map(|(r, g)| GroupResource::new(g, r));
        state.resources_of(cluster.as_str()).filter_map(split).collect()
    }

    /// The logical clusters that hold objects, in no order.
    pub fn clusters(&self) -> Vec<ClusterName> {
        self.shared.state.read().clusters().filter_map(|name| ClusterName::new(name).ok()).collect()
    }

    /// What the store says about itself.
    pub fn stats(&self) -> Stats {
        let (counters, hub) = (&self.shared.counters, &self.shared.hub);
        let mut stats = {
            let state = self.shared.state.read();
            Stats {
                revision: state.revision,
                oldest: state.history.floor(),
                usage: state.total,
                clusters: state.clusters().count(),
                window_events: state.history.events().len(),
                window_bytes: state.history.bytes(),
                ..Stats::default()
            }
        };
        stats.watchers = hub.watchers();
        stats.interest_groups = hub.groups();
        stats.waiting = self.shared.queue.len();
        stats.commits = counters.commits.load(Ordering::Relaxed);
        stats.groups = counters.groups.load(Ordering::Relaxed);
        stats.engine_nanos = counters.engine_nanos.load(Ordering::Relaxed);
        stats.engine.disk_bytes = counters.disk_bytes.load(Ordering::Relaxed);
        let available = counters.available_bytes.load(Ordering::Relaxed);
        stats.engine.available_bytes = (available != u64::MAX).then_some(available);
        stats
    }

    /// Why the store takes no more writes, if its engine has failed.
    pub fn failed(&self) -> Option<Arc<EngineError>> {
        self.shared.failed.get().cloned()
    }

    /// Commits what waits, then closes engine and directory. Other handles can still read; watches end.
    pub fn close(self) {
        self.closer.close();
    }
}
