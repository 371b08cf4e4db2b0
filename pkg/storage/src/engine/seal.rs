//! Checksums of rows, and the cutting of long values into short rows.
//!
//! A row on disk is `crc32 (4 bytes, little endian) ++ body`; the checksum is over the row's key and the body, so a
//! row that is found under another's key is as wrong as a changed one. The body of a *head* row begins with the number
//! of rows that continue it (2 bytes, little endian); a continuation's key is the head's key, a NUL, and its number
//! from 1 (2 bytes, big endian), and its body is nothing but the next part of the value. No row's key may begin with
//! another's, so continuations directly follow their head in the order of keys.

use super::EngineError;
use crate::row::place;

/// The most of a value that one row holds. Sixteen of these, a page of the engine, must stay below a quarter of its
/// segments: larger pages become files of their own, which are never synced and hardly ever removed.
pub(crate) const PART: usize = 24 << 10;
const SUM: usize = 4;

/// Seals one row.
fn seal(key: &[u8], head: &[u8], part: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(head);
    hasher.update(part);
    let mut out = Vec::with_capacity(SUM + head.len() + part.len());
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(part);
    out
}

/// How many rows continue a value of `len` bytes.
pub(crate) fn continuations(len: usize) -> u16 {
    u16::try_from(len.saturating_sub(1) / PART).unwrap_or(u16::MAX)
}

/// The key of a continuation.
pub(crate) fn continuation_key(key: &[u8], number: u16) -> Vec<u8> {
    [key, &[0], &number.to_be_bytes()].concat()
}

/// The rows of a value, the head first.
pub(crate) fn seal_value(key: &[u8], value: &[u8], mut emit: impl FnMut(&[u8], Vec<u8>)) {
    let count = continuations(value.len());
    let (first, mut rest) = value.split_at(value.len().min(PART));
    let sealed = seal(key, &count.to_le_bytes(), first);
    for number in 1..=count {
        let (part, more) = rest.split_at(rest.len().min(PART));
        let key = continuation_key(key, number);
        let sealed = seal(&key, &[], part);
        emit(&key, sealed);
        rest = more;
    }
    emit(key, sealed);
}

/// A key, its value, and how many rows continue it.
type Unsealed = (Vec<u8>, Vec<u8>, u16);

/// Puts values together again from rows in the order of keys.
#[derive(Default)]
pub(crate) struct Unsealer {
    head: Vec<u8>,
    value: Vec<u8>,
    /// The number of the last row that was seen, and of the last that belongs to the value.
    seen: u16,
    count: u16,
    /// The key of a row that was wrong: what continues it is passed over.
    wrong: Option<Vec<u8>>,
}

impl Unsealer {
    /// Takes the next row. Returns the key, value and number of continuations of a row that is complete with it. After
    /// an error it goes on with the next value.
    pub(crate) fn take(&mut self, key: &[u8], row: &[u8]) -> Result<Option<Unsealed>, EngineError> {
        if self.wrong.as_ref().is_some_and(|wrong| key.starts_with(wrong)) {
            return Ok(None);
        }
        self.take_next(key, row).inspect_err(|_| {
            let continues = !self.head.is_empty() && key.starts_with(&self.head);
            self.wrong = Some(if continues { std::mem::take(&mut self.head) } else { key.to_vec() });
            (self.seen, self.count) = (0, 0);
        })
    }

    fn take_next(&mut self, key: &[u8], row: &[u8]) -> Result<Option<Unsealed>, EngineError> {
        let broken = |reason: String| EngineError::Corrupt { place: place(key), reason };
        let (sum, body) = row.split_first_chunk::<SUM>().ok_or_else(|| broken("it is too short".to_owned()))?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(key);
        hasher.update(body);
        let (stored, computed) = (u32::from_le_bytes(*sum), hasher.finalize());
        if stored != computed {
            return Err(broken(format!("its checksum is {stored:08x}, of its bytes it is {computed:08x}")));
        }
        if self.seen < self.count {
            self.seen += 1;
            if key != continuation_key(&self.head, self.seen) {
                let reason = format!("part {} of {} is missing", self.seen, self.count);
                return Err(EngineError::Corrupt { place: place(&self.head), reason });
            }
            self.value.extend_from_slice(body);
        } else {
            let (count, first) = body.split_first_chunk::<2>().ok_or_else(|| broken("it is too short".to_owned()))?;
            self.count = u16::from_le_bytes(*count);
            self.seen = 0;
            self.head = key.to_vec();
            self.value = Vec::with_capacity(first.len() + self.count as usize * PART);
            self.value.extend_from_slice(first);
        }
        if self.seen < self.count {
            return Ok(None);
        }
        Ok(Some((std::mem::take(&mut self.head), std::mem::take(&mut self.value), self.count)))
    }

    /// Says that there are no more rows.
    pub(crate) fn finish(&self) -> Result<(), EngineError> {
        if self.seen == self.count {
            return Ok(());
        }
        let reason = format!("part {} of {} is missing", self.seen + 1, self.count);
        Err(EngineError::Corrupt { place: place(&self.head), reason })
    }
}

/// Bytes of a row that are not the value's.
#[cfg(test)]
const OVERHEAD: usize = SUM + 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rows(key: &[u8], value: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        seal_value(key, value, |key, row| {
            rows.insert(key.to_vec(), row);
        });
        rows
    }

    fn unseal(rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<Unsealed>, EngineError> {
        let mut unsealer = Unsealer::default();
        let mut values = Vec::new();
        for (key, row) in rows {
            values.extend(unsealer.take(key, row)?);
        }
        unsealer.finish().map(|()| values)
    }

    #[test]
    fn values_of_any_length_come_back() {
        for len in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1, 3 << 20] {
            let value: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut all = rows(b"o/a\0", &value);
            all.extend(rows(b"o/b\0", b"next"));
            assert_eq!(all.len() as u16, continuations(len) + 2, "{len}");
            assert!(all.values().all(|row| row.len() <= PART + OVERHEAD));
            let next = (b"o/b\0".to_vec(), b"next".to_vec(), 0);
            assert_eq!(unseal(&all).unwrap(), [(b"o/a\0".to_vec(), value, continuations(len)), next], "{len}");
        }
    }

    #[test]
    fn every_change_is_found() {
        let all = rows(b"o/a\0", &vec![7; PART + 10]);
        for (key, row) in &all {
            for at in [0, 3, 4, 5, 6, row.len() - 1] {
                let mut bad = all.clone();
                bad.get_mut(key).unwrap()[at] ^= 1;
                assert!(matches!(unseal(&bad), Err(EngineError::Corrupt { .. })), "byte {at}");
            }
            let mut short = all.clone();
            short.remove(key);
            assert!(unseal(&short).is_err(), "a row is missing");
        }
        let moved: BTreeMap<_, _> = rows(b"o/a\0", b"x").into_values().map(|row| (b"o/c\0".to_vec(), row)).collect();
        assert!(unseal(&moved).is_err(), "a row under another's key");
    }
}
