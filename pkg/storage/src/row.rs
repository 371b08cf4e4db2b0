//! The meaning of rows: how objects, history and the store's own facts are written. The crate's documentation
//! describes the bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    engine::{EngineError, Row},
    entry::{Entry, Event, Revision},
    key::Key,
    totals::Totals,
};

/// The version of everything that is written below a data directory.
pub(crate) const FORMAT: u32 = 3;

pub(crate) const OBJECT: &[u8] = b"o/";
pub(crate) const LOG: &[u8] = b"l/";
pub(crate) const META: &[u8] = b"m/format";

/// Bytes before the value in an object's row.
const OBJECT_HEAD: usize = 12;
const HAS_PREV: u8 = 1;
const CUT: u8 = 0;
const WHOLE: u8 = 1;

/// The first row of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) format: u32,
    /// The revision at which the store began.
    pub(crate) base: Revision,
    /// What it held then.
    pub(crate) totals: Totals,
}

/// The row that says which format this is and how the store began.
pub(crate) fn meta(base: Revision, totals: Totals) -> Row {
    let Totals { objects, digest } = totals;
    Row::put(META.to_vec(), format!("{FORMAT} {base} {objects} {digest}").into_bytes())
}

pub(crate) fn read_meta(value: &[u8]) -> Result<Meta, EngineError> {
    let corrupt = || EngineError::corrupt("row m/format", "it is not a format and what follows it");
    let mut fields = std::str::from_utf8(value).map_err(|_| corrupt())?.split(' ');
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let format = next().and_then(|format| u32::try_from(format).ok()).ok_or_else(corrupt)?;
    if format != FORMAT {
        // What follows is for another version to read.
        return Ok(Meta { format, base: 0, totals: Totals::default() });
    }
    let (base, objects, digest) = (next(), next(), next());
    let (Some(base), Some(objects), Some(digest), None) = (base, objects, digest, fields.next()) else {
        return Err(corrupt());
    };
    Ok(Meta { format, base, totals: Totals { objects, digest } })
}

/// The row of an object's current state.
pub(crate) fn object(key: &Key, entry: Option<&Entry>) -> Row {
    let text = key.as_str().as_bytes();
    let mut row_key = Vec::with_capacity(OBJECT.len() + text.len());
    row_key.extend_from_slice(OBJECT);
    row_key.extend_from_slice(text);
    let Some(entry) = entry else { return Row::remove(row_key) };
    let mut value = Vec::with_capacity(OBJECT_HEAD + entry.value.len());
    value.extend_from_slice(&entry.revision.to_le_bytes());
    value.extend_from_slice(&entry.revision_at.to_le_bytes());
    value.extend_from_slice(&entry.value);
    Row::put(row_key, value)
}

pub(crate) fn read_object(key: &[u8], value: Vec<u8>) -> Result<(Key, Entry), EngineError> {
    let corrupt = |reason: &str| EngineError::corrupt(place(key), reason);
    let text = std::str::from_utf8(key.get(OBJECT.len()..).unwrap_or_default());
    let parsed =
        Key::from_text(text.map_err(|_| corrupt("its key is not text"))?).map_err(|e| corrupt(&e.to_string()))?;
    let mut reader = Reader(&value);
    let (revision, revision_at) =
        reader.u64().zip(reader.u32()).ok_or_else(|| corrupt("it is shorter than its fixed part"))?;
    let entry = Entry { revision, revision_at, value: Bytes::from(value).slice(OBJECT_HEAD..) };
    if entry.stamp_holds() { Ok((parsed, entry)) } else { Err(corrupt("the value does not carry its revision")) }
}

/// One change as the log keeps it: what the key held before. What it held after follows from what came later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undo {
    pub(crate) revision: Revision,
    pub(crate) key: Key,
    pub(crate) prev: Option<Entry>,
}

/// The changes of the commits that were written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) first: Revision,
    pub(crate) last: Revision,
    /// What there was after them.
    pub(crate) totals: Totals,
    /// Whether the changes were left out, to save room: history begins after such a row.
    pub(crate) cut: bool,
    pub(crate) changes: Vec<Undo>,
}

pub(crate) fn log_key(first: Revision) -> Vec<u8> {
    [LOG, &first.to_be_bytes()].concat()
}

/// The row of the commits `first..=last`, after which there is what `totals` says. Without events it is a cut.
pub(crate) fn log<'a>(
    first: Revision,
    last: Revision,
    totals: Totals,
    events: Option<impl Iterator<Item = &'a Arc<Event>> + Clone>,
) -> Row {
    let size = |event: &Arc<Event>| 32 + event.key.as_str().len() + event.prev.as_ref().map_or(0, Bytes::len);
    let changes = events.clone().map_or(0, |events| events.map(size).sum::<usize>());
    let mut out = Vec::with_capacity(25 + changes);
    out.extend_from_slice(&last.to_le_bytes());
    out.extend_from_slice(&totals.objects.to_le_bytes());
    out.extend_from_slice(&totals.digest.to_le_bytes());
    out.push(if events.is_some() { WHOLE } else { CUT });
    for event in events.into_iter().flatten() {
        out.extend_from_slice(&event.revision.to_le_bytes());
        out.push(if event.prev.is_some() { HAS_PREV } else { 0 });
        put_bytes(&mut out, event.key.as_str().as_bytes());
        if let Some(prev) = &event.prev {
            out.extend_from_slice(&event.prev_revision.to_le_bytes());
            out.extend_from_slice(&event.prev_at.to_le_bytes());
            put_bytes(&mut out, prev);
        }
    }
    Row::put(log_key(first), out)
}

pub(crate) fn read_log(key: &[u8], value: Vec<u8>) -> Result<LogRow, EngineError> {
    let value = Bytes::from(value);
    read_log_inner(key, &value).ok_or_else(|| EngineError::corrupt(place(key), "it is not a list of changes"))
}

fn read_log_inner(key: &[u8], value: &Bytes) -> Option<LogRow> {
    let first = Revision::from_be_bytes(key.get(LOG.len()..)?.try_into().ok()?);
    let mut reader = Reader(value);
    let last = reader.u64()?;
    let totals = Totals { objects: reader.u64()?, digest: reader.u64()? };
    let cut = match reader.u8()? {
        WHOLE => false,
        CUT => true,
        _ => return None,
    };
    let mut changes: Vec<Undo> = Vec::new();
    while !reader.0.is_empty() {
        let revision = reader.u64()?;
        let flags = reader.u8()?;
        let key = Key::from_text(std::str::from_utf8(reader.bytes()?).ok()?).ok()?;
        let prev = match flags {
            0 => None,
            HAS_PREV => {
                let (prev_revision, revision_at) = (reader.u64()?, reader.u32()?);
                // A slice of the row would keep the whole row alive.
                let prev = Bytes::copy_from_slice(reader.bytes()?);
                Some(Entry { revision: prev_revision, value: prev, revision_at })
                    .filter(Entry::stamp_holds)
                    .map(Some)?
            }
            _ => return None,
        };
        let ordered = changes.last().map_or(first, |change| change.revision) <= revision && revision <= last;
        let earlier = prev.as_ref().is_none_or(|prev: &Entry| prev.revision < revision);
        if !ordered || !earlier {
            return None;
        }
        changes.push(Undo { revision, key, prev });
    }
    Some(LogRow { first, last, totals, cut, changes })
}

/// A row's key for people.
pub(crate) fn place(key: &[u8]) -> String {
    match key.strip_prefix(LOG).and_then(|rest| rest.first_chunk::<8>()) {
        Some(revision) => format!("row l/{}", Revision::from_be_bytes(*revision)),
        None => format!("row {}", String::from_utf8_lossy(key).replace('\0', "/").escape_default()),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Stamped;

    fn key() -> Key {
        Key::from_text("a.\0b\0\0c\0").unwrap()
    }

    fn events() -> Vec<Arc<Event>> {
        let one = Entry::new(&Stamped::new("x", 1), 0x0102);
        let two = Entry::new(&Stamped::plain("yz"), 0x0103);
        let create = Event::between(0x0102, key(), None, Some(&one));
        let update = Event::between(0x0103, key(), Some(&one), Some(&two));
        [create, update].into_iter().flatten().map(Arc::new).collect()
    }

    const TOTALS: Totals = Totals { objects: 5, digest: 6 };

    /// Byte for byte what the documentation of the crate says: data on people's disks has this form.
    #[test]
    fn rows_have_their_documented_form() {
        let row = object(&key(), Some(&Entry::new(&Stamped::new("x", 1), 0x0102)));
        assert_eq!(row.key, b"o/a.\0b\0\0c\0");
        assert_eq!(row.value.unwrap(), b"\x02\x01\0\0\0\0\0\0\x01\0\0\0x258");
        assert_eq!(object(&key(), None).value, None);
        let row = log(0x0102, 0x0103, TOTALS, Some(events().iter()));
        assert_eq!(row.key, b"l/\0\0\0\0\0\0\x01\x02");
        let mut wanted = b"\x03\x01\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x01".to_vec();
        wanted.extend_from_slice(b"\x02\x01\0\0\0\0\0\0\0\x08\0\0\0a.\0b\0\0c\0");
        wanted.extend_from_slice(b"\x03\x01\0\0\0\0\0\0\x01\x08\0\0\0a.\0b\0\0c\0");
        wanted.extend_from_slice(b"\x02\x01\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0x258");
        assert_eq!(row.value.unwrap(), wanted);
        let row = meta(7, TOTALS);
        assert_eq!((row.key, row.value.unwrap()), (b"m/format".to_vec(), b"3 7 5 6".to_vec()));
    }

    #[test]
    fn rows_are_read_back() {
        let entry = Entry::new(&Stamped::new("x", 1), 258);
        let row = object(&key(), Some(&entry));
        assert_eq!(read_object(&row.key, row.value.unwrap()).unwrap(), (key(), entry.clone()));
        let row = log(258, 259, TOTALS, Some(events().iter()));
        let read = read_log(&row.key, row.value.unwrap()).unwrap();
        assert_eq!((read.first, read.last, read.totals, read.cut), (258, 259, TOTALS, false));
        let prevs: Vec<_> = read.changes.into_iter().map(|change| (change.revision, change.prev)).collect();
        assert_eq!(prevs, [(258, None), (259, Some(entry))]);
        let row = log(258, 259, TOTALS, None::<std::slice::Iter<'_, Arc<Event>>>);
        assert!(read_log(&row.key, row.value.unwrap()).is_ok_and(|read| read.cut && read.changes.is_empty()));
        let wanted = Meta { format: FORMAT, base: 7, totals: TOTALS };
        assert_eq!(read_meta(&meta(7, TOTALS).value.unwrap()).unwrap(), wanted);
        assert_eq!(read_meta(b"4 whatever comes then").unwrap().format, 4);
    }

    /// A good checksum does not make a row that was written by a fault a good one.
    #[test]
    fn rows_that_make_no_sense_are_refused() {
        for value in [&b""[..], b"3", b"3 2 3", b"3 2 3 4 5", b"x 2 3 4", b"\xff"] {
            assert!(read_meta(value).is_err(), "{value:?}");
        }
        let good = object(&key(), Some(&Entry::new(&Stamped::new("x", 1), 258)));
        assert!(read_object(b"o/a", good.value.clone().unwrap()).is_err(), "no key");
        assert!(read_object(b"o/\xff", good.value.clone().unwrap()).is_err(), "no text");
        assert!(read_object(&good.key, b"short".to_vec()).is_err());
        let mut other = good.value.unwrap();
        other[0] = 3;
        assert!(read_object(&good.key, other).is_err(), "the value carries another revision");
        let good = log(258, 259, TOTALS, Some(events().iter()));
        let value = good.value.unwrap();
        for len in (0..value.len()).filter(|len| ![25, 46].contains(len)) {
            assert!(read_log(&good.key, value[..len].to_vec()).is_err(), "{len} bytes");
        }
        assert!(read_log(&log_key(259), value.clone()).is_err(), "a change from before the first commit");
        assert!(read_log(b"l/1", value).is_err());
    }
}
