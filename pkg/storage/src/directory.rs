//! The data directory: who may use it, and what it says it is.
//!
//! ```text
//! <directory>/LOCK     locked by the one process that uses it
//! <directory>/FORMAT   "kcp-storage 3\n"; written last when the directory is made
//! <directory>/MARK     a revision that was committed (8 bytes, little endian) and the crc32 of these (4 bytes)
//! <directory>/data/    the engine's files
//! ```

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
};

use crate::{entry::Revision, row::FORMAT};

const MAGIC: &str = "kcp-storage";

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process uses it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// It was written by a version that this one does not know, or by something else.
    #[error(
        "{path} says it has format {found:?}; this version knows only \"{MAGIC} {FORMAT}\". Data is carried over by \
         saving a snapshot with the version that wrote it, and restoring that with this one"
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// It was complete, but the engine found nothing in it.
    #[error(
        "{0} was in use before, but its data is gone: the engine found nothing. Keep a copy of the directory, move it \
         aside and restore a snapshot into a new one"
    )]
    Emptied(PathBuf),
    /// It was at a higher revision than the engine found.
    #[error(
        "{path} was at revision {noted}, but the engine found only {found}: committed data is gone. Keep a copy of the \
         directory, move it aside and restore a snapshot into a new one"
    )]
    SetBack {
        /// The directory.
        path: PathBuf,
        /// What was committed.
        noted: Revision,
        /// What is there.
        found: Revision,
    },
    /// It holds something, where an empty one is wanted.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// It holds data, but does not say of which format.
    #[error("{0} holds data but no file FORMAT: it was not made by this program, or not completely")]
    Incomplete(PathBuf),
    /// There is nothing there.
    #[error("{0} holds no store")]
    Missing(PathBuf),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was being used.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    |source| DirectoryError::Io { path, source }
}

/// Makes a directory that only its owner can enter: secrets lie in it.
fn create(path: &Path) -> Result<(), DirectoryError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

/// The directory in which `path` lies.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A data directory that this process has to itself.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Whether it was complete when it was opened.
    complete: bool,
    /// Holds the lock until it is closed.
    _lock: File,
}

impl Directory {
    /// Makes the directory if there is none, locks it, and checks its format.
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        create(path)?;
        let directory = Self::lock(path)?;
        directory.sync_parent()?;
        Ok(directory)
    }

    /// Locks a directory that is there, and checks its format.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, DirectoryError> {
        if !path.join("FORMAT").is_file() {
            return Err(DirectoryError::Missing(path.to_owned()));
        }
        Self::lock(path)
    }

    /// Makes a directory that does not exist or is empty, and locks it.
    pub(crate) fn create(path: &Path) -> Result<Self, DirectoryError> {
        create(path)?;
        for entry in fs::read_dir(path).map_err(at(path))? {
            if entry.map_err(at(path))?.file_name() != "LOCK" {
                return Err(DirectoryError::NotEmpty(path.to_owned()));
            }
        }
        let directory = Self::lock(path)?;
        directory.sync_parent()?;
        Ok(directory)
    }

    fn lock(path: &Path) -> Result<Self, DirectoryError> {
        let lock_path = path.join("LOCK");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirectoryError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        let format_path = path.join("FORMAT");
        let complete = match fs::read_to_string(&format_path) {
            Ok(text) if text == format!("{MAGIC} {FORMAT}\n") => true,
            Ok(text) => {
                let found = text.chars().take(40).collect::<String>().trim_end().to_owned();
                return Err(DirectoryError::Format { path: format_path, found });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(DirectoryError::Format { path: format_path, found: "(not text)".to_owned() });
            }
            Err(error) => return Err(at(&format_path)(error)),
        };
        Ok(Self { path: path.to_owned(), complete, _lock: lock })
    }

    /// Where the engine's files are.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Compares what the directory says with what the engine found: its revision, or nothing at all.
    ///
    /// An engine may recover from damage by forgetting, and what it then shows is well-formed: only somebody else can
    /// tell that there was more.
    pub(crate) fn check_contents(&self, found: Option<Revision>) -> Result<(), DirectoryError> {
        let Some(found) = found else {
            return if self.complete { Err(DirectoryError::Emptied(self.path.clone())) } else { Ok(()) };
        };
        match Mark::read(&self.path) {
            Some(noted) if noted > found => Err(DirectoryError::SetBack { path: self.path.clone(), noted, found }),
            _ => Ok(()),
        }
    }

    /// Fails for a directory whose making was never finished.
    pub(crate) fn check_complete(&self) -> Result<(), DirectoryError> {
        if self.complete { Ok(()) } else { Err(DirectoryError::Incomplete(self.path.clone())) }
    }

    /// Opens the mark.
    pub(crate) fn mark(&self) -> Result<Mark, DirectoryError> {
        let path = self.path.join("MARK");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        Ok(Mark(file))
    }

    /// Says, durably, that the directory is complete.
    pub(crate) fn complete(&self) -> Result<(), DirectoryError> {
        if self.complete {
            return Ok(());
        }
        let (path, draft) = (self.path.join("FORMAT"), self.path.join("FORMAT.new"));
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(format!("{MAGIC} {FORMAT}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(at(&path))?;
        self.sync_parent()
    }

    fn sync_parent(&self) -> Result<(), DirectoryError> {
        let parent = parent_of(&self.path);
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(at(parent))
    }
}

/// The newest committed revision, noted outside the engine.
///
/// It is written after each commit, but not waited for: after a power cut it may be older than the data, never newer.
#[derive(Debug)]
pub(crate) struct Mark(File);

impl Mark {
    /// Notes a revision that is durable in the engine.
    pub(crate) fn note(&self, revision: Revision) {
        let bytes = revision.to_le_bytes();
        let sum = crc32fast::hash(&bytes).to_le_bytes();
        let mut record = [0; 12];
        record[..8].copy_from_slice(&bytes);
        record[8..].copy_from_slice(&sum);
        if let Err(error) = self.0.write_all_at(&record, 0) {
            // The data is safe without it; only a later loss would not be noticed.
            tracing::debug!(%error, "cannot note the revision");
        }
    }

    /// What was noted, if it can be read.
    fn read(directory: &Path) -> Option<Revision> {
        let record = fs::read(directory.join("MARK")).ok()?;
        let (bytes, sum) = record.split_first_chunk::<8>()?;
        (sum == crc32fast::hash(bytes).to_le_bytes()).then(|| Revision::from_le_bytes(*bytes))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Err(error) = self.0.sync_data() {
            tracing::debug!(%error, "cannot sync the noted revision");
        }
    }
}
