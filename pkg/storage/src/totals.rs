//! A fingerprint of everything that is stored, kept up to date with every change.
//!
//! Each row has its own checksum, but no checksum of a row tells that another row is gone. So each commit also writes
//! how many objects there are and the sum of a hash of each one's key and revision; at open the objects that are found
//! must give the same.

use crate::{
    entry::{Entry, Event, EventKind, Revision},
    key::Key,
};

/// How many objects there are, and which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) objects: u64,
    pub(crate) digest: u64,
}

impl Totals {
    pub(crate) fn of<'a>(objects: impl Iterator<Item = (&'a Key, &'a Entry)>) -> Self {
        let mut totals = Self::default();
        objects.for_each(|(key, entry)| totals.add(key, entry.revision));
        totals
    }

    /// Follows a change.
    pub(crate) fn apply(&mut self, event: &Event) {
        if event.prev.is_some() {
            self.objects = self.objects.wrapping_sub(1);
            self.digest = self.digest.wrapping_sub(hash(event.key.as_str(), event.prev_revision));
        }
        if event.kind != EventKind::Delete {
            self.add(&event.key, event.revision);
        }
    }

    pub(crate) fn add(&mut self, key: &Key, revision: Revision) {
        self.objects = self.objects.wrapping_add(1);
        self.digest = self.digest.wrapping_add(hash(key.as_str(), revision));
    }
}

/// A hash that will be the same for ever: the key in words of eight bytes, little endian, the last one filled with
/// zeros, then the key's length, then the revision; each xor-ed in, multiplied and folded.
fn hash(key: &str, revision: Revision) -> u64 {
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 32)
    };
    let (words, rest) = key.as_bytes().as_chunks::<8>();
    let mut hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hash = mix(hash, u64::from_le_bytes(last));
    mix(mix(hash, key.len() as u64), revision)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(hash("configmaps.\0root\0default\0a\0", 7), 16_725_132_324_844_309_240, "never change this");
    }

    #[test]
    fn keys_and_revisions_make_a_difference() {
        let keys = ["", "a", "a\0", "a\0\0", "b", "12345678", "12345678\0", "123456789"];
        let all: HashSet<u64> = keys.iter().flat_map(|key| (0..64).map(move |revision| hash(key, revision))).collect();
        assert_eq!(all.len(), keys.len() * 64);
    }
}
