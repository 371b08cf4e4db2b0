//! Saving all objects to one plain, checksummed file, and making a new directory from it.
//!
//! The format:
//!
//! ```text
//! kcp-snapshot 1 <revision> <objects> <digest>\n
//! object <revision> <place of the revision in the value, or -> <bytes of the value> <crc32, hex> <key>\n
//! <value>\n
//! ...
//! end <objects> <crc32 of all bytes before this line, hex>\n
//! ```
//!
//! Numbers are decimal but for the checksums. The key is written with slashes: `configmaps./root/default/a`; it can
//! hold neither a slash nor a line's end otherwise. Objects are in the order of keys. An object's checksum is that of
//! the key as written and the value. The digest is that of the [totals](crate#rows).
//!
//! A snapshot holds no history. A restored store begins at a revision far beyond what the saved one can have handed
//! out since, so that no client takes an old resourceVersion for a newer one: watches and lists at older revisions are
//! told that those are compacted.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{
    directory::{Directory, DirectoryError, parent_of},
    engine::{Engine as _, EngineError, Journaled, SledOptions},
    entry::{Entry, NO_STAMP, Revision},
    key::{Key, Prefix},
    row,
    snapshot::Snapshot,
    totals::Totals,
};

const MAGIC: &str = "kcp-snapshot";
const VERSION: &str = "1";
/// How far beyond the saved revision a restored store begins: more commits than any store makes between two
/// snapshots, and little enough for millions of restores.
const GAP: Revision = 1_000_000_000_000;
/// So many bytes are restored with one write.
const STEP: usize = 1 << 20;
const MAX_LINE: u64 = 8 << 10;
const MAX_VALUE: usize = 1 << 30;

/// Why a snapshot cannot be saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The snapshot is damaged, cut off, or not one.
    #[error("not a usable snapshot: {place}: {reason}")]
    Invalid {
        /// Where, as an object's number or a part of the file.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The directory to restore into cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The engine cannot write what is restored.
    #[error("the storage engine failed: {0}")]
    Engine(#[from] EngineError),
}

/// What was saved or restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupSummary {
    /// The saved revision, or the one at which the restored store begins.
    pub revision: Revision,
    /// How many objects.
    pub objects: u64,
    /// The bytes of their values.
    pub bytes: u64,
}

/// Writes a snapshot of everything. The store goes on meanwhile.
///
/// The form is plain: a line `kcp-snapshot 1 <revision> <objects> <digest>`; for each object, in the order of keys, a
/// line `object <revision> <place of the revision in the value, or -> <bytes of the value> <crc32> <key>` and the value
/// with a line's end; a line `end <objects> <crc32 of all bytes before this line>`. Checksums are hexadecimal, other
/// numbers decimal; the key is written with slashes, as in `configmaps./root/default/a`, and an object's checksum is
/// that of the key as written and the value; the digest is that of the [totals](crate#rows).
///
/// # Errors
/// When writing fails.
pub fn save(snapshot: &Snapshot, out: impl Write) -> io::Result<BackupSummary> {
    let everything = Prefix::all();
    let totals = Totals::of(snapshot.range(&everything, None));
    let mut out = Summing { inner: BufWriter::with_capacity(1 << 16, out), hasher: crc32fast::Hasher::new() };
    let revision = snapshot.revision();
    writeln!(out, "{MAGIC} {VERSION} {revision} {} {}", totals.objects, totals.digest)?;
    let mut bytes = 0;
    for (key, entry) in snapshot.range(&everything, None) {
        let at = if entry.revision_at == NO_STAMP { "-".to_owned() } else { entry.revision_at.to_string() };
        let (name, len) = (key.to_string(), entry.value.len());
        writeln!(out, "object {} {at} {len} {:08x} {name}", entry.revision, checksum(&name, &entry.value))?;
        out.write_all(&entry.value)?;
        out.write_all(b"\n")?;
        bytes += len as u64;
    }
    let sum = out.hasher.clone().finalize();
    writeln!(out, "end {} {sum:08x}", totals.objects)?;
    out.flush()?;
    Ok(BackupSummary { revision, objects: totals.objects, bytes })
}

/// As [`save`], into a file that must not exist; it appears only when it is complete and durable.
///
/// # Errors
/// When it exists or writing fails.
pub fn save_file(snapshot: &Snapshot, path: &Path) -> Result<BackupSummary, BackupError> {
    let failed = |source| BackupError::Io { path: path.to_owned(), source };
    let mut draft = path.as_os_str().to_owned();
    draft.push(".partial");
    let draft = PathBuf::from(draft);
    let write = || {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let summary = save(snapshot, &file)?;
        file.sync_all()?;
        // Unlike a rename, a link never replaces what is there.
        fs::hard_link(&draft, path)?;
        fs::remove_file(&draft)?;
        let parent = parent_of(path);
        File::open(parent)?.sync_all()?;
        Ok(summary)
    };
    write().map_err(|error| {
        let _nothing_to_keep = fs::remove_file(&draft);
        failed(error)
    })
}

/// Makes a new data directory, for the `sled` engine, from a snapshot. It is complete when this returns; when it
/// fails, nothing is left.
///
/// # Errors
/// When the directory is not empty, the snapshot is damaged, or writing fails.
pub fn restore(input: impl Read, directory: &Path) -> Result<BackupSummary, BackupError> {
    let directory = Directory::create(directory)?;
    restore_into(input, &directory).inspect_err(|_| {
        // Only what this call has made: the directory was empty.
        let _nothing_to_keep = fs::remove_dir_all(directory.data());
    })
}

/// As [`restore`], from a file.
///
/// # Errors
/// As [`restore`].
pub fn restore_file(path: &Path, directory: &Path) -> Result<BackupSummary, BackupError> {
    let file = File::open(path).map_err(|source| BackupError::Io { path: path.to_owned(), source })?;
    restore(file, directory)
}

fn restore_into(input: impl Read, directory: &Directory) -> Result<BackupSummary, BackupError> {
    let mut reader = Objects::open(input)?;
    let base = reader.revision.checked_add(GAP).ok_or_else(|| invalid("header", "the revision is too high"))?;
    let mut engine = Journaled::open(&directory.data(), SledOptions { cache_bytes: STEP as u64 })?;
    let (mut rows, mut size, mut bytes) = (Vec::new(), 0, 0);
    while let Some((key, entry)) = reader.next()? {
        size += entry.value.len();
        bytes += entry.value.len() as u64;
        rows.push(row::object(&key, Some(&entry)));
        if size >= STEP {
            engine.apply(std::mem::take(&mut rows))?;
            size = 0;
        }
    }
    // The row without which the others are worth nothing comes last.
    engine.apply(rows)?;
    engine.apply(vec![row::meta(base, reader.totals)])?;
    drop(engine);
    directory.complete()?;
    directory.mark()?.note(base);
    Ok(BackupSummary { revision: base, objects: reader.totals.objects, bytes })
}

/// Reads a snapshot without restoring it.
///
/// # Errors
/// When it is damaged.
pub fn verify(input: impl Read) -> Result<BackupSummary, BackupError> {
    let mut reader = Objects::open(input)?;
    let mut bytes = 0;
    while let Some((_, entry)) = reader.next()? {
        bytes += entry.value.len() as u64;
    }
    Ok(BackupSummary { revision: reader.revision, objects: reader.totals.objects, bytes })
}

/// The objects of a snapshot, each checked.
struct Objects<R> {
    input: BufReader<R>,
    hasher: crc32fast::Hasher,
    revision: Revision,
    wanted: Totals,
    totals: Totals,
    last: Option<Key>,
}

impl<R: Read> Objects<R> {
    fn open(input: R) -> Result<Self, BackupError> {
        let mut objects = Self {
            input: BufReader::with_capacity(1 << 16, input),
            hasher: crc32fast::Hasher::new(),
            revision: 0,
            wanted: Totals::default(),
            totals: Totals::default(),
            last: None,
        };
        let line = objects.line("header")?;
        let fields: Vec<&str> = line.split(' ').collect();
        let [MAGIC, version, revision, count, digest] = fields[..] else {
            return Err(invalid("header", "this is not a snapshot"));
        };
        if version != VERSION {
            let reason = format!("it has format {version:?}, this version knows only {VERSION:?}");
            return Err(invalid("header", reason));
        }
        objects.hasher.update(line.as_bytes());
        objects.hasher.update(b"\n");
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| invalid("header", format!("{text:?} is not a number")));
        objects.revision = number(revision)?;
        objects.wanted = Totals { objects: number(count)?, digest: number(digest)? };
        Ok(objects)
    }

    fn next(&mut self) -> Result<Option<(Key, Entry)>, BackupError> {
        let place = format!("object {}", self.totals.objects + 1);
        let line = self.line(&place)?;
        if let Some(rest) = line.strip_prefix("end ") {
            return self.end(rest).map(|()| None);
        }
        let mut fields = line.splitn(6, ' ');
        let mut field = || fields.next().unwrap_or_default();
        let (tag, revision, at, len, sum, name) = (field(), field(), field(), field(), field(), field());
        let parsed = (|| {
            let at = if at == "-" { NO_STAMP } else { at.parse().ok()? };
            let (revision, len, sum) =
                (revision.parse::<u64>().ok()?, len.parse::<usize>().ok()?, u32::from_str_radix(sum, 16).ok()?);
            (tag == "object" && len <= MAX_VALUE && revision <= self.revision).then_some((revision, at, len, sum))
        })();
        let (revision, revision_at, len, sum) = parsed.ok_or_else(|| invalid(&place, "its line cannot be read"))?;
        let key = Key::from_text(&format!("{}\0", name.replace('/', "\0")))
            .map_err(|error| invalid(&place, error.to_string()))?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(invalid(&place, "it is out of order"));
        }
        let mut value = Vec::new();
        let read = (&mut self.input).take(len as u64 + 1).read_to_end(&mut value);
        read.map_err(|error| invalid(&place, error.to_string()))?;
        if value.len() != len + 1 || value.pop() != Some(b'\n') {
            return Err(invalid(&place, "its value is cut off"));
        }
        if checksum(name, &value) != sum {
            return Err(invalid(&place, "its checksum is wrong"));
        }
        let hasher = &mut self.hasher;
        [line.as_bytes(), b"\n", &value, b"\n"].iter().for_each(|part| hasher.update(part));
        let entry = Entry { revision, value: Bytes::from(value), revision_at };
        if !entry.stamp_holds() {
            return Err(invalid(&place, "the value does not carry its revision"));
        }
        self.totals.add(&key, revision);
        self.last = Some(key.clone());
        Ok(Some((key, entry)))
    }

    fn end(&mut self, rest: &str) -> Result<(), BackupError> {
        let sum = self.hasher.clone().finalize();
        if rest != format!("{} {sum:08x}", self.totals.objects) || self.totals != self.wanted {
            return Err(invalid("end", "it does not fit what comes before it"));
        }
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(invalid("end", "something follows it")),
            Err(error) => Err(invalid("end", error.to_string())),
        }
    }

    fn line(&mut self, place: &str) -> Result<String, BackupError> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| invalid(place, error.to_string()))?;
        if line.pop() != Some(b'\n') {
            return Err(invalid(place, "it is cut off"));
        }
        String::from_utf8(line).map_err(|_| invalid(place, "its line is not text"))
    }
}

/// Passes on what is written and keeps its checksum.
struct Summing<W> {
    inner: W,
    hasher: crc32fast::Hasher,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn checksum(name: &str, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(value);
    hasher.finalize()
}

fn invalid(place: impl Into<String>, reason: impl Into<String>) -> BackupError {
    BackupError::Invalid { place: place.into(), reason: reason.into() }
}
