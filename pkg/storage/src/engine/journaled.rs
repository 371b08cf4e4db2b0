//! `sled` behind a journal: a write is durable when the journal has it, and `sled` follows with many at once.
//!
//! `sled` spends as much on making one small batch durable as on a thousand rows. So a write appends one record to the
//! [journal](super::journal), and whenever a part of it is long enough, a thread of the engine's applies that part to
//! `sled` as one batch, in which only the last state of each row is left. The batch also says up to which record it
//! goes, so after a crash what `sled` has and what only the journal has fit together exactly. A file of the journal is
//! written again when `sled` has all that is in it. The rows of a part wait in memory: the journal is only read after a
//! start.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    Engine, EngineError, Row, Visit,
    journal::{Journal, Number, Part, Reader, States},
    sled::{SledOptions, SledTree},
};

/// The folder of `sled`'s files within the engine's.
pub(crate) const SLED: &str = "sled";
const JOURNAL: &str = "journal";
/// The row that says up to which record of the journal `sled` has everything.
const APPLIED: &[u8] = b"m/journal";
/// `sled` follows when so much of the journal is new: more at a time costs memory, less costs time.
const STRIDE: u64 = 128 << 10;
/// A file of the journal that is so long is left for the other one, if that is free.
const FULL: u64 = 4 << 20;
/// So many times what has not been applied yet is reckoned to be written by `sled` before it uses room again.
const FACTOR: u64 = 3;

pub(crate) struct Journaled {
    /// Until the first record is applied: then the thread has it.
    sled: Option<SledTree>,
    folder: PathBuf,
    db: File,
    journal: Journal,
    /// What was written since the last part was handed over.
    open: Option<Work>,
    /// The last record in each of the journal's files.
    lasts: [Number; 2],
    follower: Arc<Follower>,
    thread: Option<JoinHandle<()>>,
}

/// A part of the journal that `sled` does not have.
struct Work {
    part: Part,
    /// Its rows in the order in which they were written; `None` when some of it was written before the start.
    rows: Option<Vec<Row>>,
}

impl Work {
    /// Goes on with what was written behind it, unless that is in the journal's other file.
    fn join(&mut self, part: Part, rows: Vec<Row>) -> Result<(), (Part, Vec<Row>)> {
        if self.part.file != part.file {
            return Err((part, rows));
        }
        self.part = Part { end: part.end, last: part.last, ..self.part };
        if let Some(before) = &mut self.rows {
            before.extend(rows);
        }
        Ok(())
    }
}

/// What the engine and its thread share.
#[derive(Default)]
struct Follower {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    work: VecDeque<Work>,
    /// Bytes of these, and of the part that is being applied.
    owed: u64,
    applied: Number,
    /// Why the thread stopped; taken by who reports it.
    failed: Option<EngineError>,
    stopped: bool,
    closing: bool,
}

impl Journaled {
    /// Opens the files in `folder`, or makes them.
    pub(crate) fn open(folder: &Path, options: SledOptions) -> Result<Self, EngineError> {
        fs::create_dir_all(folder).map_err(|error| EngineError::io(folder.display().to_string(), error))?;
        // The journal's files are made before `sled`'s, so where these are, those must be.
        let (journal, parts) = Journal::open(&folder.join(JOURNAL), !folder.join(SLED).exists())?;
        let sled = SledTree::open(&folder.join(SLED), options)?;
        let applied = match sled.read(APPLIED)? {
            None => 0,
            Some(value) => value
                .try_into()
                .map(Number::from_le_bytes)
                .map_err(|_| EngineError::corrupt(crate::row::place(APPLIED), "it is not the number of a record"))?,
        };
        let db = sled.file()?;
        let bad = |reason: String| Err(EngineError::corrupt(folder.join(JOURNAL).display().to_string(), reason));
        if parts.first().is_some_and(|part| part.first > applied + 1) {
            return bad(format!("it begins at record {}, but only {applied} are applied", parts[0].first));
        }
        if journal.next() <= applied {
            return bad(format!("it ends at record {}, but {applied} are applied", journal.next() - 1));
        }
        let mut lasts = [0; 2];
        parts.iter().for_each(|part| lasts[part.file] = part.last);
        let mut progress = Progress { applied, ..Progress::default() };
        let work = parts.into_iter().filter(|part| part.last > applied).map(|part| Work { part, rows: None });
        work.for_each(|work| progress.push(work));
        let follower = Arc::new(Follower { progress: Mutex::new(progress), changed: Condvar::new() });
        let (sled, folder) = (Some(sled), folder.to_owned());
        Ok(Self { sled, folder, db, journal, open: None, lasts, follower, thread: None })
    }

    /// Hands a part of the journal to the thread.
    fn hand_over(&mut self, work: Work) -> Result<(), EngineError> {
        self.follower.progress.lock().push(work);
        if let Some(sled) = self.sled.take() {
            let (reader, follower) = (self.journal.reader(), Arc::clone(&self.follower));
            let thread = std::thread::Builder::new().name("follower".to_owned());
            let thread = thread.spawn(move || follower.run(sled, &reader));
            self.thread = Some(thread.map_err(|error| EngineError::io("starting the engine's thread", error))?);
        }
        self.follower.changed.notify_all();
        Ok(())
    }

    /// Goes on in the journal's other file, when all that is in it has been applied.
    fn turn(&mut self) -> Result<(), EngineError> {
        if let Some(open) = self.open.take() {
            self.hand_over(open)?;
        }
        self.follower.wait(self.lasts[1 - self.journal.active()])?;
        self.journal.turn()
    }
}

impl Engine for Journaled {
    fn keeps_rows(&self) -> bool {
        true
    }

    fn load(&mut self, visit: Visit<'_>) -> Result<(), EngineError> {
        let too_late = || EngineError::Stopped("it was read after it was written".to_owned());
        let sled = self.sled.as_mut().ok_or_else(too_late)?;
        let mut progress = self.follower.progress.lock();
        let applied = progress.applied;
        let reader = self.journal.reader();
        let mut newer = BTreeMap::new();
        for work in &progress.work {
            let mut bytes = Vec::new();
            let rows = reader.read(&work.part, applied, &mut bytes)?;
            newer.extend(rows.into_iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))));
        }
        // What the journal holds is only handed over when there is more of it.
        self.open = progress.work.pop_back();
        progress.owed -= self.open.as_ref().map_or(0, |open| open.part.len());
        let mut newer = newer.into_iter().peekable();
        sled.load(&mut |row| {
            let Ok((key, _)) = &row else { return visit(row) };
            while let Some((key, value)) = newer.next_if(|(next, _)| next < key) {
                value.map_or(Ok(()), |value| visit(Ok((key, value))))?;
            }
            match newer.next_if(|(next, _)| next == key) {
                Some((key, value)) => value.map_or(Ok(()), |value| visit(Ok((key, value)))),
                None if key == APPLIED => Ok(()),
                None => visit(row),
            }
        })?;
        newer.try_for_each(|(key, value)| value.map_or(Ok(()), |value| visit(Ok((key, value)))))
    }

    fn apply(&mut self, rows: Vec<Row>) -> Result<(), EngineError> {
        if self.journal.end() >= FULL {
            self.turn()?;
        } else {
            self.follower.progress.lock().check()?;
        }
        let part = self.journal.append(&rows)?;
        self.lasts[part.file] = part.last;
        let open = match self.open.take() {
            None => Work { part, rows: Some(rows) },
            Some(mut open) => match open.join(part, rows) {
                Ok(()) => open,
                Err((part, rows)) => {
                    self.hand_over(open)?;
                    Work { part, rows: Some(rows) }
                }
            },
        };
        if open.part.len() < STRIDE {
            self.open = Some(open);
            return Ok(());
        }
        self.hand_over(open)
    }

    fn available(&self) -> Result<Option<u64>, EngineError> {
        let space = rustix::fs::statvfs(&self.folder);
        let space = space.map_err(|error| EngineError::io(self.folder.display().to_string(), error.into()))?;
        Ok(Some(space.f_bavail.saturating_mul(space.f_frsize)))
    }

    fn catch_up(&mut self) -> Result<(), EngineError> {
        if let Some(open) = self.open.take() {
            self.hand_over(open)?;
        }
        self.follower.wait(self.journal.next() - 1)
    }

    fn owed(&self) -> u64 {
        FACTOR * (self.follower.progress.lock().owed + self.open.as_ref().map_or(0, |open| open.part.len()))
    }

    fn disk_bytes(&self) -> u64 {
        self.db.metadata().map_or(0, |file| file.len()) + self.journal.len()
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        self.follower.progress.lock().closing = true;
        self.follower.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It catches panics.
            let _ended = thread.join();
        }
    }
}

impl Follower {
    /// Waits until the record `number`, and all before it, have been applied.
    fn wait(&self, number: Number) -> Result<(), EngineError> {
        let mut progress = self.progress.lock();
        while progress.applied < number && !progress.stopped {
            self.changed.wait(&mut progress);
        }
        progress.check()
    }

    /// Applies parts until the engine is closed or something fails. What is left then is still in the journal.
    fn run(&self, mut sled: SledTree, reader: &Reader) {
        let mut progress = self.progress.lock();
        while !progress.closing {
            let Some(Work { part, rows }) = progress.work.pop_front() else {
                self.changed.wait(&mut progress);
                continue;
            };
            let applied = progress.applied;
            let outcome = MutexGuard::unlocked(&mut progress, || {
                // Somebody waits for the outcome, whatever it is.
                catch_unwind(AssertUnwindSafe(|| {
                    let last = part.last.to_le_bytes();
                    match rows {
                        Some(rows) => follow(&mut sled, last_states(&rows), &last),
                        None => follow(&mut sled, reader.read(&part, applied, &mut Vec::new())?, &last),
                    }
                }))
            });
            match outcome.unwrap_or_else(|panic| Err(EngineError::panicked(&*panic))) {
                Ok(()) => {
                    progress.applied = part.last;
                    progress.owed -= part.len();
                }
                Err(error) => {
                    progress.failed = Some(error);
                    progress.stopped = true;
                }
            }
            self.changed.notify_all();
            if progress.stopped {
                return;
            }
        }
    }
}

impl Progress {
    fn push(&mut self, work: Work) {
        self.owed += work.part.len();
        self.work.push_back(work);
    }

    /// Fails when the thread has.
    fn check(&mut self) -> Result<(), EngineError> {
        if !self.stopped {
            return Ok(());
        }
        Err(self.failed.take().unwrap_or_else(|| EngineError::Stopped("it failed before".to_owned())))
    }
}

/// Of rows that were written one after the other, the last state of each.
fn last_states(rows: &[Row]) -> States<'_> {
    let mut states = States::new();
    states.extend(rows.iter().map(|row| (&row.key[..], row.value.as_deref())));
    states
}

/// Applies what the journal's records up to `last` have made of rows.
fn follow<'a>(sled: &mut SledTree, mut states: States<'a>, last: &'a [u8; 8]) -> Result<(), EngineError> {
    states.insert(APPLIED, Some(last));
    sled.apply(states.into_iter())
}
