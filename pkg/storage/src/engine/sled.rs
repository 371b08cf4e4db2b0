//! `sled`, used so that what was applied survives a power cut.
//!
//! `sled`'s own flush does not wait for the disk, so each batch ends with `flush()` *and* `fdatasync` on a handle of our
//! own; no value is so long that `sled` would put it in a file of its own; everything happens on one thread.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    EngineError, Visit, panic_text,
    seal::{Unsealer, continuation_key, continuations, seal_value},
};
use crate::directory::parent_of;

/// Fixed when a directory is made; `sled` refuses to open it with another one.
const SEGMENT: usize = 2 << 20;
/// How often `sled` cleans its segments.
const CLEAN_EVERY_MS: u64 = 500;

/// What can be chosen about the engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SledOptions {
    /// What it may cache.
    pub(crate) cache_bytes: u64,
}

/// The rows of `sled`'s default tree.
pub(crate) struct SledTree {
    db: sled::Db,
    file: File,
    path: PathBuf,
    /// The keys whose values are continued, and by how many rows.
    long: HashMap<Vec<u8>, u16>,
}

impl SledTree {
    /// Opens the files below `path`, or makes them.
    pub(crate) fn open(path: &Path, options: SledOptions) -> Result<Self, EngineError> {
        let config = sled::Config::new()
            .path(path)
            .segment_size(SEGMENT)
            .cache_capacity(options.cache_bytes.max(1 << 20))
            .flush_every_ms(Some(CLEAN_EVERY_MS));
        let db = guarded(path, || open_patiently(&config).map_err(|error| failure(path, error)))?;
        let file_path = path.join("db");
        let file = OpenOptions::new().read(true).write(true).open(&file_path);
        let file = file.map_err(|error| EngineError::io(file_path.display().to_string(), error))?;
        let engine = Self { db, file, path: path.to_owned(), long: HashMap::new() };
        engine.settle()?;
        Ok(engine)
    }

    /// Makes durable what `sled` only creates: its settings, its directories, what recovery wrote.
    fn settle(&self) -> Result<(), EngineError> {
        self.sync()?;
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        for path in [self.path.join("conf"), self.path.join("blobs"), self.path.clone()] {
            sync(&path).map_err(|error| EngineError::io(format!("syncing {}", path.display()), error))?;
        }
        let parent = parent_of(&self.path);
        sync(parent).map_err(|error| EngineError::io(format!("syncing {}", parent.display()), error))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.db.flush().map_err(|error| failure(&self.path, error))?;
        self.file.sync_data().map_err(|error| EngineError::io(format!("syncing {}/db", self.path.display()), error))
    }

    /// The value of a row, or nothing.
    pub(crate) fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let row = guarded(&self.path, || self.db.get(key).map_err(|error| failure(&self.path, error)))?;
        let value = row.map(|row| Unsealer::default().take(key, &row)).transpose()?;
        Ok(value.flatten().map(|(_, value, _)| value))
    }

    /// A handle of the file that everything is in.
    pub(crate) fn file(&self) -> Result<File, EngineError> {
        self.file.try_clone().map_err(|error| EngineError::io(format!("opening {}/db", self.path.display()), error))
    }

    /// Calls `visit` for every row, in the order of keys. Called once, before the first `apply`.
    pub(crate) fn load(&mut self, visit: Visit<'_>) -> Result<(), EngineError> {
        let mut unsealer = Unsealer::default();
        guarded(&self.path, || {
            for pair in self.db.iter() {
                let (key, row) = pair.map_err(|error| failure(&self.path, error))?;
                match unsealer.take(&key, &row) {
                    Ok(None) => {}
                    Ok(Some((key, value, count))) => {
                        if count > 0 {
                            self.long.insert(key.clone(), count);
                        }
                        visit(Ok((key, value)))?;
                    }
                    Err(error) => visit(Err(error))?,
                }
            }
            unsealer.finish().or_else(|error| visit(Err(error)))
        })
    }

    /// Applies all rows or none; they are durable when it returns. No key may occur twice.
    pub(crate) fn apply<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), EngineError> {
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            let after = value.map_or(0, |value| continuations(value.len()));
            let before = match after {
                0 if self.long.is_empty() => 0,
                0 => self.long.remove(key).unwrap_or(0),
                _ => self.long.insert(key.to_vec(), after).unwrap_or(0),
            };
            for number in after + 1..=before {
                batch.remove(continuation_key(key, number));
            }
            match value {
                Some(value) => seal_value(key, value, |key, row| batch.insert(key, row)),
                None => batch.remove(key),
            }
        }
        guarded(&self.path, || self.db.apply_batch(batch).map_err(|error| failure(&self.path, error)))?;
        guarded(&self.path, || self.sync())
    }
}

/// Files beside `sled`'s log that should not exist: values that became files of their own.
pub(crate) fn stray_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path.join("blobs")) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `sled` gives its lock back only when the last of its threads is done with the file, some time after a store was
/// closed. Other processes are kept out by a lock of our own, so this one is only ever waited for.
fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            outcome => return outcome,
        }
    }
}

/// Runs something that meets damaged files, for which `sled` has not always an error.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        Err(EngineError::corrupt(path.display().to_string(), format!("the engine gave up: {text}")))
    })
}

fn failure(path: &Path, error: sled::Error) -> EngineError {
    let path = path.display();
    match error {
        sled::Error::Io(error) => EngineError::io(path.to_string(), error),
        sled::Error::Corruption { at, .. } => {
            let at = at.map_or_else(|| "an unknown place".to_owned(), |at| format!("{at:?}"));
            EngineError::corrupt(format!("{path}/db, {at}"), "the engine cannot read what it wrote")
        }
        // Another segment size, or settings that cannot be read.
        sled::Error::Unsupported(reason) | sled::Error::ReportableBug(reason) => {
            EngineError::corrupt(path.to_string(), reason)
        }
        sled::Error::CollectionNotFound(_) => EngineError::corrupt(path.to_string(), "a tree is missing"),
    }
}
