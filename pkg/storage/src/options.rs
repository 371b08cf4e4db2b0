//! How a store is opened, and why it cannot be.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::{
    directory::DirectoryError,
    engine::{EngineError, MemoryDisk},
    history::Window,
};

/// Where the data lies.
#[derive(Debug, Clone)]
pub enum EngineKind {
    /// In a directory, by `sled`.
    Sled {
        /// The directory; it is made when it does not exist.
        path: PathBuf,
    },
    /// Nowhere: it is gone with the store.
    Memory,
    /// On a disk in memory, which a test can keep, fill and break.
    MemoryDisk(MemoryDisk),
}

/// Is told when the engine has failed.
pub type OnFailure = Arc<dyn Fn(&EngineError) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Where the data lies.
    pub engine: EngineKind,
    /// How much of the past is kept.
    pub window: Window,
    /// Bytes of disk that are kept free: batches that put are refused when less is left.
    pub reserve_bytes: u64,
    /// The largest batch that is taken.
    pub max_batch_bytes: u64,
    /// How much the engine may cache. The store itself reads nothing after it was opened.
    pub cache_bytes: u64,
    /// Called once, from the committer's thread, when the engine fails: the store takes nothing more, so the process
    /// had better end.
    pub on_failure: Option<OnFailure>,
}

impl Options {
    /// A store in a directory, with the usual limits.
    pub fn sled(path: impl Into<PathBuf>) -> Self {
        Self::new(EngineKind::Sled { path: path.into() })
    }

    /// A store that is gone with the process.
    pub fn memory() -> Self {
        Self::new(EngineKind::Memory)
    }

    /// The usual limits: a reserve of 64 MiB, batches of at most 16 MiB.
    pub fn new(engine: EngineKind) -> Self {
        Self {
            engine,
            window: Window::default(),
            reserve_bytes: 64 << 20,
            max_batch_bytes: 16 << 20,
            cache_bytes: 16 << 20,
            on_failure: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("engine", &self.engine)
            .field("window", &self.window)
            .field("reserve_bytes", &self.reserve_bytes)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is in use, of another version, or not a store's.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// What is stored is damaged. Nothing was changed.
    #[error(
        "the data is damaged: {0}. Nothing was changed; keep a copy of the directory, move it aside and restore a \
         snapshot into a new one"
    )]
    Damaged(#[source] EngineError),
    /// The data is of a format that this version does not know.
    #[error("the data has format {found}, this version knows only format {known}")]
    Format {
        /// What the data says.
        found: u32,
        /// What this version writes.
        known: u32,
    },
    /// The engine cannot be opened.
    #[error("the storage engine cannot be opened: {0}")]
    Engine(#[source] EngineError),
}

impl OpenError {
    pub(crate) fn from_engine(error: EngineError) -> Self {
        if matches!(error, EngineError::Corrupt { .. }) { Self::Damaged(error) } else { Self::Engine(error) }
    }
}
