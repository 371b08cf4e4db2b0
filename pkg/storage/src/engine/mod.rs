//! The seam to what holds the bytes: an atomic, durable map of rows that is read only once, at open.
//!
//! Everything that gives rows a meaning (revisions, preconditions, history, watches) is above this trait and the same
//! for every engine. An engine is used by one thread at a time.

mod journal;
mod journaled;
mod memory;
mod seal;
mod sled;

pub(crate) use journaled::{Journaled, SLED};
pub use memory::MemoryDisk;
pub(crate) use memory::{Discard, SharedMemory};
pub(crate) use sled::{SledOptions, stray_files};

use std::{any::Any, io};

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// What is stored is not what was written.
    #[error("corrupt data at {place}: {reason}")]
    Corrupt {
        /// Where.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// The thread that writes stopped for a reason that is a fault of this program.
    #[error("the committer stopped: {0}")]
    Stopped(String),
}

impl EngineError {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// From what a thread that writes panicked with.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self::Stopped(panic_text(panic))
    }

    pub(crate) fn corrupt(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), reason: reason.into() }
    }
}

/// What a panic says, when that is a text.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// One row to be written: a new value, or none to remove it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { key, value: Some(value) }
    }

    pub(crate) fn remove(key: Vec<u8>) -> Self {
        Self { key, value: None }
    }
}

/// What an engine says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes that the file system would still take; `None` when the engine has no such limit.
    pub available_bytes: Option<u64>,
}

/// Takes a row's key and its value, or what is wrong with a row; an error ends the reading.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(Result<(Vec<u8>, Vec<u8>), EngineError>) -> Result<(), EngineError>;

/// An atomic, durable, ordered map of rows.
pub(crate) trait Engine: Send {
    /// Whether rows outlive the engine; when not, nobody needs to encode any.
    fn keeps_rows(&self) -> bool;

    /// Calls `visit` for every row, in the order of keys. Called once, before the first `apply`.
    fn load(&mut self, visit: Visit<'_>) -> Result<(), EngineError>;

    /// Applies all rows or none; they are durable when it returns. After an error the engine is not used again.
    fn apply(&mut self, rows: Vec<Row>) -> Result<(), EngineError>;

    /// Bytes that can still be written, cheaply: it is asked before every write. `None` when there is no limit.
    fn available(&self) -> Result<Option<u64>, EngineError>;

    /// Waits until everything is where it stays, so that room which became free can be used again.
    fn catch_up(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Bytes that what is durable already will still take, where the engine puts it in order later.
    fn owed(&self) -> u64 {
        0
    }

    /// Bytes on disk.
    fn disk_bytes(&self) -> u64;
}
