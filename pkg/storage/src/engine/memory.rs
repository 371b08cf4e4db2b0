//! Engines without a disk: one that forgets, and one whose "disk" a test can keep, fill and break.

use std::{collections::BTreeMap, io, sync::Arc};

use parking_lot::Mutex;

use super::{
    Engine, EngineError, Row, Visit,
    seal::{Unsealer, seal_value},
};

/// Keeps nothing: for a store that lives as long as the process.
pub(crate) struct Discard;

impl Engine for Discard {
    fn keeps_rows(&self) -> bool {
        false
    }

    fn load(&mut self, _: Visit<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    fn apply(&mut self, _: Vec<Row>) -> Result<(), EngineError> {
        Ok(())
    }

    fn available(&self) -> Result<Option<u64>, EngineError> {
        Ok(None)
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

/// A disk in memory: stores opened on the same one, one after the other, find each other's data. It can be filled
/// and broken, so that tests see how the store behaves then.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    available: Option<u64>,
    broken: bool,
}

impl MemoryDisk {
    /// An empty disk without limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how many bytes are left from now on; `None` for no limit.
    pub fn set_available(&self, bytes: Option<u64>) {
        self.0.lock().available = bytes;
    }

    /// Makes every write fail from now on, or work again.
    pub fn set_broken(&self, broken: bool) {
        self.0.lock().broken = broken;
    }

    /// Changes one byte of the row at `index`, in the order of keys; false when there is no such row or byte.
    pub fn damage(&self, index: usize, byte: usize) -> bool {
        let mut disk = self.0.lock();
        let row = disk.rows.values_mut().nth(index).and_then(|value| value.get_mut(byte));
        row.map(|byte| *byte ^= 0x40).is_some()
    }

    /// Another disk with the same rows but the one at `index`, in the order of keys.
    #[must_use]
    pub fn without(&self, index: usize) -> Self {
        let rows = self.0.lock().rows.clone();
        let rows = rows.into_iter().enumerate().filter(|(at, _)| *at != index).map(|(_, row)| row).collect();
        Self(Arc::new(Mutex::new(Disk { rows, ..Disk::default() })))
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.0.lock().rows.len()
    }
}

/// An engine over a [`MemoryDisk`].
pub(crate) struct SharedMemory(pub(crate) MemoryDisk);

impl Engine for SharedMemory {
    fn keeps_rows(&self) -> bool {
        true
    }

    fn load(&mut self, visit: Visit<'_>) -> Result<(), EngineError> {
        let rows = self.0.0.lock().rows.clone();
        let mut unsealer = Unsealer::default();
        for (key, row) in rows {
            match unsealer.take(&key, &row) {
                Ok(None) => {}
                Ok(Some((key, value, _))) => visit(Ok((key, value)))?,
                Err(error) => visit(Err(error))?,
            }
        }
        unsealer.finish().or_else(|error| visit(Err(error)))
    }

    fn apply(&mut self, rows: Vec<Row>) -> Result<(), EngineError> {
        let mut disk = self.0.0.lock();
        if disk.broken {
            return Err(EngineError::io("writing", io::Error::other("the disk is broken")));
        }
        for Row { key, value } in rows {
            let continued = |row: &Vec<u8>| row.starts_with(&key) && row.len() > key.len();
            let old: Vec<_> = disk
                .rows
                .range(key.clone()..)
                .map(|row| row.0)
                .skip_while(|row| **row == key)
                .take_while(|row| continued(row))
                .cloned()
                .collect();
            for row in old {
                disk.rows.remove(&row);
            }
            match value {
                Some(value) => seal_value(&key, &value, |key, row| {
                    disk.rows.insert(key.to_vec(), row);
                }),
                None => {
                    disk.rows.remove(&key);
                }
            }
        }
        Ok(())
    }

    fn available(&self) -> Result<Option<u64>, EngineError> {
        Ok(self.0.0.lock().available)
    }

    fn disk_bytes(&self) -> u64 {
        self.0.0.lock().rows.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum()
    }
}
