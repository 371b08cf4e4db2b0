//! Values: what a caller puts, what the store holds, and what watchers are told.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::key::Key;

/// The number of a commit. The first state of an empty store is revision 1; every committed batch that changes
/// something takes the next number; it never goes backwards, a restore included (L-01, L-16).
pub type Revision = u64;

/// Says that a value holds no place for the revision.
pub(crate) const NO_STAMP: u32 = u32::MAX;

/// A value to be stored, with the place where the decimal digits of its revision belong.
///
/// The revision is known only at commit; the committer inserts its digits, so that what is stored is what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// The value without the digits.
    pub bytes: Bytes,
    /// The offset at which the digits are inserted; `u32::MAX` when there is no such place.
    pub revision_at: u32,
}

impl Stamped {
    /// A value that takes the revision's digits at `revision_at`.
    pub fn new(bytes: impl Into<Bytes>, revision_at: u32) -> Self {
        Self { bytes: bytes.into(), revision_at }
    }

    /// A value that does not hold its revision.
    pub fn plain(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes, NO_STAMP)
    }

    /// The value as it is stored when committed at `revision`.
    pub fn render(&self, revision: Revision) -> Bytes {
        let at = self.revision_at as usize;
        if self.revision_at == NO_STAMP || at > self.bytes.len() {
            return self.bytes.clone();
        }
        splice(&self.bytes[..at], revision, &self.bytes[at..])
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.revision_at == NO_STAMP || self.revision_at as usize <= self.bytes.len()
    }
}

/// An object in the store: its bytes, ready to be served, and the revision that wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The revision that wrote the value.
    pub revision: Revision,
    /// The value, with the digits of `revision` in their place.
    pub value: Bytes,
    pub(crate) revision_at: u32,
}

impl Entry {
    pub(crate) fn new(value: &Stamped, revision: Revision) -> Self {
        Self { revision, value: value.render(revision), revision_at: value.revision_at }
    }

    /// The value as if `revision` had written it: for `DELETED` events and replies, whose resourceVersion is that of
    /// the deletion (W-04).
    pub fn value_at(&self, revision: Revision) -> Bytes {
        let at = self.revision_at as usize;
        let rest = at.saturating_add(Digits::of(self.revision).as_slice().len());
        if self.revision_at == NO_STAMP || rest > self.value.len() || revision == self.revision {
            return self.value.clone();
        }
        splice(&self.value[..at], revision, &self.value[rest..])
    }

    /// Whether the digits of `revision` really stand where they should: false only for damaged data.
    pub(crate) fn stamp_holds(&self) -> bool {
        let at = self.revision_at as usize;
        self.revision_at == NO_STAMP
            || self.value.get(at..).is_some_and(|rest| rest.starts_with(Digits::of(self.revision).as_slice()))
    }
}

/// What a commit did to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key had no value before.
    Create,
    /// The key had another value before.
    Update,
    /// The key has no value any more.
    Delete,
}

/// One change of one key, as told to watchers and observers.
#[derive(Debug)]
pub struct Event {
    /// The commit that made the change; all events of a commit share it.
    pub revision: Revision,
    /// What was changed.
    pub key: Key,
    /// How.
    pub kind: EventKind,
    /// The new value; for a deletion the last one, as it was stored.
    pub value: Bytes,
    /// The value before.
    pub prev: Option<Bytes>,
    /// See [`Event::frame`].
    frame: Mutex<Option<Bytes>>,
    pub(crate) revision_at: u32,
    pub(crate) prev_revision: Revision,
    pub(crate) prev_at: u32,
}

impl Event {
    /// The change from `prev` to `next` at `revision`; `None` when there is neither.
    pub(crate) fn between(revision: Revision, key: Key, prev: Option<&Entry>, next: Option<&Entry>) -> Option<Self> {
        let (kind, value, revision_at) = match (prev, next) {
            (None, None) => return None,
            (None, Some(next)) => (EventKind::Create, next.value.clone(), next.revision_at),
            (Some(_), Some(next)) => (EventKind::Update, next.value.clone(), next.revision_at),
            (Some(prev), None) => (EventKind::Delete, prev.value.clone(), prev.revision_at),
        };
        Some(Self {
            revision,
            key,
            kind,
            value,
            prev: prev.map(|p| p.value.clone()),
            frame: Mutex::default(),
            revision_at,
            prev_revision: prev.map_or(0, |p| p.revision),
            prev_at: prev.map_or(NO_STAMP, |p| p.revision_at),
        })
    }

    /// The value as watchers are shown it: that of a deletion carries the deletion's revision (W-04).
    pub fn shown(&self) -> Bytes {
        match self.prev_entry() {
            Some(prev) if self.kind == EventKind::Delete => prev.value_at(self.revision),
            _ => self.value.clone(),
        }
    }

    /// What the event is on the wire, as `make` says: made once for all watchers that look soon after the commit, and
    /// forgotten when many others have followed. The store does not look at it.
    pub fn frame(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.frame.lock().get_or_insert_with(make).clone()
    }

    pub(crate) fn forget_frame(&self) {
        self.frame.lock().take();
    }

    /// The state of the key after the change.
    pub fn entry(&self) -> Option<Entry> {
        (self.kind != EventKind::Delete).then(|| Entry {
            revision: self.revision,
            value: self.value.clone(),
            revision_at: self.revision_at,
        })
    }

    /// The state of the key before the change.
    pub fn prev_entry(&self) -> Option<Entry> {
        self.prev.as_ref().map(|value| Entry {
            revision: self.prev_revision,
            value: value.clone(),
            revision_at: self.prev_at,
        })
    }

    /// What the event keeps in memory beyond the current objects.
    pub(crate) fn weight(&self) -> u64 {
        const FIXED: usize = size_of::<Event>() + 48;
        (FIXED + self.key.as_str().len() + self.prev.as_ref().map_or(0, Bytes::len)) as u64
    }
}

/// The decimal digits of a number, without allocation.
struct Digits {
    buffer: [u8; 20],
    start: usize,
}

impl Digits {
    fn of(mut number: u64) -> Self {
        let mut digits = Self { buffer: [b'0'; 20], start: 20 };
        loop {
            digits.start -= 1;
            digits.buffer[digits.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

fn splice(before: &[u8], revision: Revision, after: &[u8]) -> Bytes {
    let digits = Digits::of(revision);
    let mut out = Vec::with_capacity(before.len() + digits.as_slice().len() + after.len());
    out.extend_from_slice(before);
    out.extend_from_slice(digits.as_slice());
    out.extend_from_slice(after);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_stamped_and_restamped() {
        let value = Stamped::new(r#"{"rv":""}"#, 7);
        for (revision, wanted) in
            [(1, r#"{"rv":"1"}"#), (90, r#"{"rv":"90"}"#), (u64::MAX, r#"{"rv":"18446744073709551615"}"#)]
        {
            let entry = Entry::new(&value, revision);
            assert_eq!(entry.value, wanted);
            assert!(entry.stamp_holds());
            assert_eq!(entry.value_at(123_456), r#"{"rv":"123456"}"#);
            assert_eq!(entry.value_at(revision), entry.value);
        }
        let plain = Entry::new(&Stamped::plain("x"), 7);
        assert_eq!((plain.value_at(9), plain.stamp_holds()), ("x".into(), true));
        assert_eq!(Stamped::new("ab", 0).render(5), "5ab");
        assert_eq!(Stamped::new("ab", 2).render(5), "ab5");
        assert!(!Stamped::new("ab", 3).is_valid());
    }

    #[test]
    fn events_know_both_sides() {
        let gr = kcp_apimachinery::GroupResource::new("", "configmaps");
        let key = Key::object(&gr, &kcp_logicalcluster::ClusterName::root(), "a", "b").unwrap();
        let one = Entry::new(&Stamped::new("rv=", 3), 4);
        let two = Entry::new(&Stamped::new("rv=", 3), 15);
        let create = Event::between(4, key.clone(), None, Some(&one)).unwrap();
        assert_eq!((create.kind, create.entry(), create.prev_entry()), (EventKind::Create, Some(one.clone()), None));
        let update = Event::between(15, key.clone(), Some(&one), Some(&two)).unwrap();
        assert_eq!((update.entry(), update.prev_entry()), (Some(two.clone()), Some(one)));
        let delete = Event::between(16, key.clone(), Some(&two), None).unwrap();
        assert_eq!((&delete.shown()[..], delete.entry(), delete.prev_entry()), (&b"rv=16"[..], None, Some(two)));
        assert!(Event::between(17, key, None, None).is_none());
    }
}
