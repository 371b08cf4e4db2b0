//! One ordered, revisioned log of objects.

mod batch;
mod committer;
mod directory;
mod engine;
mod entry;
mod group;
mod history;
mod key;
mod load;
mod queue;
mod row;
mod snapshot;
mod state;
mod store;
mod totals;
mod watch;

pub use batch::{Batch, CommitError, Committed, Expect, Op};
pub use directory::DirectoryError;
pub use engine::{EngineError, EngineStats, MemoryDisk};
pub use entry::{Entry, Event, EventKind, Revision, Stamped};
pub use history::Window;
pub use key::{Key, KeyError, KeyParts, Prefix};
pub use snapshot::{Range, Snapshot};
pub use state::Usage;
pub use store::{EngineKind, HistoryError, Observer, OnFailure, OpenError, Options, Stats, Store};
pub use watch::{WatchError, Watcher};
