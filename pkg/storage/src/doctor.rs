//! Checking a data directory offline, without changing it.
//!
//! Opening an engine may repair, and a repair may destroy what could still be rescued. So the engine's files are copied
//! and the copy is opened; the directory itself is only locked and read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    directory::{Directory, DirectoryError},
    engine::{Journaled, SLED, SledOptions, stray_files},
    entry::Revision,
    history::Window,
    load::Loaded,
    row::FORMAT,
};

/// So many problems are listed; more are only counted.
const MAX_PROBLEMS: usize = 100;

/// Why a directory cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// It is in use, of another version, or there is none.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The copy cannot be made.
    #[error("cannot copy the data to check it: {path}: {source}")]
    Copy {
        /// What was being copied.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoctorReport {
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision that can be watched from.
    pub oldest: Revision,
    /// How many objects there are.
    pub objects: u64,
    /// Bytes of their values.
    pub object_bytes: u64,
    /// Logical clusters that hold objects.
    pub clusters: usize,
    /// Events in the log.
    pub events: usize,
    /// Bytes of the engine's files.
    pub disk_bytes: u64,
    /// What is wrong, with its place. Empty when all is well.
    pub problems: Vec<String>,
    /// Problems that are not listed.
    pub more_problems: usize,
}

impl DoctorReport {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem.into());
        } else {
            self.more_problems += 1;
        }
    }
}

/// Checks everything below `directory`: the checksum and form of every row, that history and objects fit together,
/// that nothing which was committed is gone, and that the engine put no value into a file of its own. The copy is made
/// below `scratch`, or beside the data when that is `None`, and removed again.
///
/// # Errors
/// When there is nothing to check, the directory is in use, or the copy cannot be made. Damage is not an error: it is
/// in the report.
pub fn doctor(directory: &Path, scratch: Option<&Path>) -> Result<DoctorReport, DoctorError> {
    let directory = Directory::open_existing(directory)?;
    let data = directory.data();
    let mut report = DoctorReport::default();
    match stray_files(&data.join(SLED)) {
        Ok(files) => files.iter().for_each(|file| {
            report.problem(format!("{}: a value became a file of its own, which is never synced", file.display()));
        }),
        Err(error) => report.problem(format!("{}: {error}", data.join(SLED).join("blobs").display())),
    }
    let name = format!("doctor-{}", std::process::id());
    let copy = Copy(scratch.map_or_else(|| data.with_file_name(&name), |scratch| scratch.join(&name)));
    report.disk_bytes = copy_files(&data, &copy.0)?;
    let loaded = match Journaled::open(&copy.0, SledOptions { cache_bytes: 16 << 20 }) {
        Ok(mut engine) => Loaded::read_all(&mut engine, |problem| report.problem(problem.to_string())),
        Err(error) => Err(error),
    };
    match loaded {
        Ok(loaded) => examine(loaded, &directory, &mut report),
        Err(error) => report.problem(error.to_string()),
    }
    Ok(report)
}

fn examine(loaded: Loaded, directory: &Directory, report: &mut DoctorReport) {
    if let Some(found) = loaded.unknown_format() {
        report.problem(format!("row m/format: the data has format {found}, this version knows only {FORMAT}"));
        return;
    }
    report.revision = loaded.revision();
    report.objects = loaded.objects.len() as u64;
    report.object_bytes = loaded.objects.iter().map(|(_, entry)| entry.value.len() as u64).sum();
    report.events = loaded.log.iter().map(|row| row.changes.len()).sum();
    let found = (!loaded.is_empty()).then_some(report.revision);
    if let Err(error) = directory.check_contents(found) {
        report.problem(error.to_string());
    }
    match loaded.state(Window { max_events: usize::MAX, max_bytes: u64::MAX, ..Window::default() }) {
        Ok((state, _)) => {
            report.oldest = state.history.floor();
            report.clusters = state.clusters().count();
        }
        Err(error) => report.problem(error.to_string()),
    }
}

/// Removes the copy when it is dropped.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the copy that was checked");
        }
    }
}

/// Copies a folder and returns how many bytes it had.
fn copy_files(from: &Path, to: &Path) -> Result<u64, DoctorError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DoctorError::Copy { path, source }
    };
    fs::create_dir(to).map_err(failed(to))?;
    let mut bytes = 0;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed(&source))?;
        bytes += if kind.is_dir() {
            copy_files(&source, &target)?
        } else {
            fs::copy(&source, &target).map_err(failed(&source))?
        };
    }
    Ok(bytes)
}
