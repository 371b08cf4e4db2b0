//! Where writes become durable: two files that are written from front to back, in turn.
//!
//! A file begins with a block that says which *use* of it this is, and goes on with records, each in blocks of its own.
//! Numbers are little endian:
//!
//! ```text
//! block 0   "kcp-jrnl" (8), salt (8), number of the first record (8), crc32 of these (4), zeros
//! record    crc32 of salt, number, length and body (4), length of the body (4), number (8), body, zeros to the block's end
//! body      rows: length of the key (4), length of the value or 0xffffffff for none (4), key, value
//! ```
//!
//! Block 0 is durable before the use's first record is written. Records are numbered without gaps, through both files
//! and all uses. The salt is drawn for each use, so nothing that an earlier use left behind, and nothing that a value
//! contains, passes for a record of this one.
//!
//! Writes go past the kernel's cache where the file system can do that: nobody reads them soon, and it halves what a
//! durable write costs. A record is synced before the next one is written. So only the last may be torn, and a sound
//! record behind one that is not means that something else has changed the file.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;

use super::{EngineError, Row};
use crate::directory::parent_of;

const MAGIC: &[u8; 8] = b"kcp-jrnl";
/// What is written past the kernel's cache begins and ends at multiples of this, in the file and in memory.
const BLOCK: usize = 4096;
/// What stands before a record's body.
const HEAD: usize = 16;
/// The length of a value that removes the row.
const REMOVED: u32 = u32::MAX;
/// A file is extended by so much at a time: writing within a file costs half of what making it longer does.
const GROWTH: u64 = 512 << 10;
/// A file that is longer is cut when its next use begins; single records may be.
const LONGEST: u64 = 16 << 20;
/// So much room for encoding is kept between records.
const KEPT: usize = 64 << 10;

/// The number of a record; the first is 1.
pub(crate) type Number = u64;

/// Rows by their keys, with the value of each or none when it is removed.
pub(crate) type States<'a> = BTreeMap<&'a [u8], Option<&'a [u8]>>;

/// A part of one of the two files that holds whole records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which file: 0 or 1.
    pub(crate) file: usize,
    pub(crate) salt: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The numbers of the records.
    pub(crate) first: Number,
    pub(crate) last: Number,
}

impl Part {
    /// How long it is.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }
}

/// The two files.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Every write to these is durable when it returns.
    files: [File; 2],
    reader: Arc<Reader>,
    lengths: [u64; 2],
    /// The file that is written, where, and with which salt.
    active: usize,
    end: u64,
    salt: u64,
    next: Number,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the files in `folder`, or makes them if they may be missing. Returns what they hold, oldest first.
    pub(crate) fn open(folder: &Path, may_miss: bool) -> Result<(Self, Vec<Part>), EngineError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| EngineError::io(path, error)
        };
        if may_miss {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        let paths = ["0", "1"].map(|name| folder.join(name));
        let open = |path: &Path| match open_durable(path, may_miss) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(EngineError::corrupt(path.display().to_string(), "the file is missing"))
            }
            file => file.map_err(failed(path)),
        };
        let files = [open(&paths[0])?, open(&paths[1])?];
        let read = |path: &Path| File::open(path).map_err(failed(path));
        let read = [read(&paths[0])?, read(&paths[1])?];
        if may_miss {
            for folder in [folder, parent_of(folder)] {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?;
            }
        }
        // What a killed process wrote may not be durable yet, though it can be read.
        for (file, path) in files.iter().zip(&paths) {
            file.sync_all().map_err(failed(path))?;
        }
        let mut lengths = [0; 2];
        let mut parts = Vec::new();
        for (file, path) in paths.iter().enumerate() {
            let bytes = fs::read(path).map_err(failed(path))?;
            lengths[file] = bytes.len() as u64;
            parts.extend(examine(file, path, &bytes)?);
        }
        parts.sort_by_key(|part| part.first);
        if let [older, newer] = parts[..]
            && older.last + 1 != newer.first
        {
            let reason = format!("its records end at {}, those of the other file begin at {}", older.last, newer.first);
            return Err(EngineError::corrupt(paths[older.file].display().to_string(), reason));
        }
        let (active, end, salt, next) =
            parts.last().map_or((0, 0, 0, 1), |part| (part.file, part.end, part.salt, part.last + 1));
        let reader = Arc::new(Reader { files: read, paths });
        let journal = Self { files, reader, lengths, active, end, salt, next, buffer: Vec::new() };
        parts.retain(|part| part.first <= part.last);
        Ok((journal, parts))
    }

    /// Bytes of the files.
    pub(crate) fn len(&self) -> u64 {
        self.lengths.iter().sum()
    }

    /// The file that is being written: 0 or 1.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// How far the active file has been written.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The number of the next record.
    pub(crate) fn next(&self) -> Number {
        self.next
    }

    /// Goes on in the other file, from its front: what it holds must no longer be needed.
    pub(crate) fn turn(&mut self) -> Result<(), EngineError> {
        self.active = 1 - self.active;
        if self.lengths[self.active] > LONGEST {
            self.files[self.active].set_len(GROWTH).map_err(|error| self.failed("cutting", error))?;
            self.lengths[self.active] = GROWTH;
        }
        self.begin()
    }

    /// Begins a use of the active file. That is durable before the first record is written: records without their
    /// beginning would look like damage to what an earlier use has left.
    fn begin(&mut self) -> Result<(), EngineError> {
        self.salt = RandomState::new().hash_one(self.next);
        self.end = 0;
        let mut block = Vec::with_capacity(2 * BLOCK);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&self.salt.to_le_bytes());
        block.extend_from_slice(&self.next.to_le_bytes());
        let sum = crc32fast::hash(&block);
        block.extend_from_slice(&sum.to_le_bytes());
        block.resize(BLOCK, 0);
        self.write(&mut block)
    }

    /// Appends whole blocks durably.
    fn write(&mut self, blocks: &mut Vec<u8>) -> Result<(), EngineError> {
        let end = self.end + blocks.len() as u64;
        let length = &mut self.lengths[self.active];
        if end > *length {
            *length = end.next_multiple_of(GROWTH);
            blocks.resize(blocks.len() + usize::try_from(*length - end).unwrap_or(0), 0);
        }
        // Where the memory is aligned depends on where it is.
        let shift = align(blocks);
        let written = self.files[self.active].write_all_at(&blocks[shift..], self.end);
        written.map_err(|error| self.failed("writing", error))?;
        self.end = end;
        Ok(())
    }

    /// Writes one record durably. Returns where it is.
    pub(crate) fn append(&mut self, rows: &[Row]) -> Result<Part, EngineError> {
        if self.end == 0 {
            self.begin()?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        encode(&mut buffer, self.salt, self.next, rows)?;
        let (file, salt, start, number) = (self.active, self.salt, self.end, self.next);
        let end = start + buffer.len() as u64;
        self.write(&mut buffer)?;
        let part = Part { file, salt, start, end, first: number, last: number };
        self.next += 1;
        buffer.clear();
        buffer.shrink_to(KEPT);
        self.buffer = buffer;
        Ok(part)
    }

    /// Reads what is written, from any thread.
    pub(crate) fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    fn failed(&self, what: &str, error: io::Error) -> EngineError {
        EngineError::io(format!("{what} {}", self.reader.paths[self.active].display()), error)
    }
}

/// Reads records again.
#[derive(Debug)]
pub(crate) struct Reader {
    files: [File; 2],
    paths: [PathBuf; 2],
}

impl Reader {
    /// Reads a part into `bytes` and returns the last state of each row that its records after `applied` write.
    pub(crate) fn read<'a>(
        &self,
        part: &Part,
        applied: Number,
        bytes: &'a mut Vec<u8>,
    ) -> Result<States<'a>, EngineError> {
        let path = || self.paths[part.file].display().to_string();
        bytes.clear();
        bytes.resize(usize::try_from(part.len()).unwrap_or(usize::MAX), 0);
        self.files[part.file].read_exact_at(bytes, part.start).map_err(|error| EngineError::io(path(), error))?;
        let mut rest = &bytes[..];
        let mut rows = BTreeMap::new();
        for number in part.first..=part.last {
            let read = record(rest, part.salt, number).and_then(|(body, length)| {
                rest = rest.get(length..).unwrap_or_default();
                if number > applied { decode(body, &mut rows) } else { Some(()) }
            });
            read.ok_or_else(|| EngineError::corrupt(path(), format!("record {number} has changed")))?;
        }
        Ok(rows)
    }
}

/// Opens a file to which every write is durable when it returns, and goes past the kernel's cache if that can be had.
fn open_durable(path: &Path, may_miss: bool) -> io::Result<File> {
    let open = |flags: OFlags| {
        let mut options = OpenOptions::new();
        options.write(true).create(may_miss).truncate(false).mode(0o600);
        options.custom_flags(flags.bits().cast_signed()).open(path)
    };
    match open(OFlags::DSYNC | OFlags::DIRECT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlags::DSYNC),
        file => file,
    }
}

/// Moves what is in `buffer` to where its memory is aligned; returns how far.
fn align(buffer: &mut Vec<u8>) -> usize {
    let length = buffer.len();
    buffer.reserve(BLOCK);
    let shift = buffer.as_ptr().align_offset(BLOCK);
    buffer.resize(length + shift, 0);
    buffer.copy_within(..length, shift);
    shift
}

/// What a file holds; nothing when no use of it ever began.
fn examine(file: usize, path: &Path, bytes: &[u8]) -> Result<Option<Part>, EngineError> {
    let Some((salt, first)) = beginning(bytes) else { return Ok(None) };
    let mut part = Part { file, salt, start: BLOCK as u64, end: BLOCK as u64, first, last: first - 1 };
    let mut at = BLOCK;
    while let Some((_, length)) = bytes.get(at..).and_then(|rest| record(rest, salt, part.last + 1)) {
        at += length;
        part.last += 1;
        part.end = at as u64;
    }
    // Only the record that was being written may be broken.
    for at in (at..bytes.len()).step_by(BLOCK) {
        let rest = &bytes[at..];
        let number = rest.get(8..HEAD).and_then(|number| number.try_into().ok()).map_or(0, Number::from_le_bytes);
        if number > part.last && record(rest, salt, number).is_some() {
            let place = format!("{}, byte {}", path.display(), part.end);
            let reason = format!("record {} is damaged, and {number} is behind it", part.last + 1);
            return Err(EngineError::corrupt(place, reason));
        }
    }
    Ok(Some(part))
}

/// The salt and the first number of a file's use.
fn beginning(bytes: &[u8]) -> Option<(u64, Number)> {
    let block = bytes.get(..BLOCK)?;
    let (head, sum) = (&block[..24], block[24..28].try_into().ok()?);
    let number = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let sound = head.starts_with(MAGIC) && crc32fast::hash(head) == u32::from_le_bytes(sum);
    let (salt, first) = (number(8)?, number(16)?);
    (sound && first > 0).then_some((salt, first))
}

/// The body of the record `number` at the front of `bytes`, if that is one, and how long it is with its padding.
fn record(bytes: &[u8], salt: u64, number: Number) -> Option<(&[u8], usize)> {
    let head = bytes.get(..HEAD)?;
    let sum = u32::from_le_bytes(head[..4].try_into().ok()?);
    let length = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    if head[8..] != number.to_le_bytes() {
        return None;
    }
    let body = bytes.get(HEAD..HEAD + length)?;
    (checksum(salt, &head[4..], body) == sum).then_some((body, (HEAD + length).next_multiple_of(BLOCK)))
}

fn checksum(salt: u64, head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

/// Appends a record to `buffer`.
fn encode(buffer: &mut Vec<u8>, salt: u64, number: Number, rows: &[Row]) -> Result<(), EngineError> {
    let too_long = || EngineError::io("writing a record", io::Error::from(io::ErrorKind::FileTooLarge));
    let length = |length: usize| u32::try_from(length).ok().filter(|length| *length < REMOVED).ok_or_else(too_long);
    let start = buffer.len();
    buffer.resize(start + HEAD, 0);
    for Row { key, value } in rows {
        buffer.extend_from_slice(&length(key.len())?.to_le_bytes());
        let of_value = value.as_ref().map_or(Ok(REMOVED), |value| length(value.len()))?;
        buffer.extend_from_slice(&of_value.to_le_bytes());
        buffer.extend_from_slice(key);
        buffer.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let of_body = length(buffer.len() - start - HEAD)?;
    buffer[start + 4..start + 8].copy_from_slice(&of_body.to_le_bytes());
    buffer[start + 8..start + HEAD].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(salt, &buffer[start + 4..start + HEAD], &buffer[start + HEAD..]);
    buffer[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    buffer.resize(start + (buffer.len() - start).next_multiple_of(BLOCK), 0);
    Ok(())
}

/// Adds the rows of a record's body to `rows`.
fn decode<'a>(mut body: &'a [u8], rows: &mut States<'a>) -> Option<()> {
    while !body.is_empty() {
        let (of_key, rest) = body.split_first_chunk()?;
        let (of_value, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*of_key) as usize)?;
        let (value, rest) = match u32::from_le_bytes(*of_value) {
            REMOVED => (None, rest),
            length => rest.split_at_checked(length as usize).map(|(value, rest)| (Some(value), rest))?,
        };
        rows.insert(key, value);
        body = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(number: u64, length: usize) -> Vec<Row> {
        let put = Row::put(format!("put-{number}").into_bytes(), vec![number as u8; length]);
        vec![put, Row::remove(format!("removed-{number}").into_bytes())]
    }

    /// The keys that each part writes.
    fn keys(journal: &Journal, parts: &[Part]) -> Vec<String> {
        let reader = journal.reader();
        let mut keys = Vec::new();
        for part in parts {
            let mut bytes = Vec::new();
            let rows = reader.read(part, 0, &mut bytes).unwrap();
            keys.extend(
                rows.iter().map(|(key, value)| format!("{} {}", key.escape_ascii(), value.map_or(0, <[u8]>::len))),
            );
        }
        keys
    }

    #[test]
    fn records_come_back_through_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("journal");
        let (mut journal, parts) = Journal::open(&folder, true).unwrap();
        assert_eq!((parts.len(), journal.next()), (0, 1));
        for number in 1..=3 {
            journal.append(&rows(number, 10)).unwrap();
        }
        journal.turn().unwrap();
        // Longer than a file grows at a time.
        journal.append(&rows(4, 700_000)).unwrap();
        let (mut journal, parts) = Journal::open(&folder, false).unwrap();
        let numbers: Vec<_> = parts.iter().map(|part| (part.file, part.first, part.last)).collect();
        assert_eq!((numbers, journal.active(), journal.next()), (vec![(0, 1, 3), (1, 4, 4)], 1, 5));
        let mut wanted: Vec<String> = (1..=3).map(|number| format!("put-{number} 10")).collect();
        wanted.extend((1..=3).map(|number| format!("removed-{number} 0")));
        assert_eq!(keys(&journal, &parts), [wanted, vec!["put-4 700000".into(), "removed-4 0".into()]].concat());
        // What an earlier use left in the file is none of this one's, not even before this one has a record.
        journal.turn().unwrap();
        let (reopened, parts) = Journal::open(&folder, false).unwrap();
        let numbers: Vec<_> = parts.iter().map(|part| (part.file, part.first, part.last)).collect();
        assert_eq!((numbers, reopened.active(), reopened.next()), (vec![(1, 4, 4)], 0, 5));
        journal.append(&rows(5, 10)).unwrap();
        let (journal, parts) = Journal::open(&folder, false).unwrap();
        let numbers: Vec<_> = parts.iter().map(|part| (part.file, part.first, part.last)).collect();
        assert_eq!((numbers, journal.active(), journal.next()), (vec![(1, 4, 4), (0, 5, 5)], 0, 6));
    }

    /// Every byte of three records is changed, one at a time: what comes after the last is a torn write, what comes
    /// before is damage.
    #[test]
    fn only_the_last_record_may_be_broken() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&folder, true).unwrap();
        let ends: Vec<_> = (1..=3).map(|number| journal.append(&rows(number, 500)).unwrap()).collect();
        let file = folder.join("0");
        let good = fs::read(&file).unwrap();
        for at in (BLOCK..ends[2].end as usize).filter(|at| at % BLOCK < 700 || at % 61 == 0) {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            fs::write(&file, &bad).unwrap();
            let hit = ends.iter().position(|part| at < part.end as usize).unwrap();
            let padding = good[at..ends[hit].end as usize].iter().all(|byte| *byte == 0) && at % BLOCK != 0;
            match Journal::open(&folder, false) {
                Ok((journal, _)) if journal.next() == 4 => assert!(padding, "byte {at} of record {hit}"),
                Ok((journal, _)) => assert_eq!((journal.next(), hit), (3, 2), "byte {at}"),
                Err(error) => assert!(hit < 2 && error.to_string().contains("damaged"), "byte {at}: {error}"),
            }
        }
        // A file that lost its beginning has lost all; the numbers tell when another one needs it.
        let mut bad = good;
        bad[9] ^= 0x04;
        fs::write(&file, &bad).unwrap();
        assert_eq!(Journal::open(&folder, false).unwrap().1, []);
    }

    #[test]
    fn a_gap_between_the_files_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&folder, true).unwrap();
        let first = journal.append(&rows(1, 10)).unwrap();
        let second = journal.append(&rows(2, 10)).unwrap();
        journal.turn().unwrap();
        journal.append(&rows(3, 10)).unwrap();
        let file = OpenOptions::new().write(true).open(folder.join("0")).unwrap();
        file.write_all_at(&vec![0; (second.end - first.end) as usize], first.end).unwrap();
        let error = Journal::open(&folder, false).unwrap_err();
        assert!(error.to_string().contains("end at 1") && error.to_string().contains("begin at 3"), "{error}");
    }
}
