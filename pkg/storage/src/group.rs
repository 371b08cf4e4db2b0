//! Batches that are committed together: checked in order, each against the index and what those before it change.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    batch::{Batch, CommitError, Op, Unless},
    engine::Row,
    entry::{Entry, Event, Revision},
    key::Key,
    row,
    state::State,
    totals::Totals,
};

/// When one write replaces or deletes more than this, a restart will not remember what was there: it would be one row,
/// larger than any window and, from 1.5 GiB on, larger than a row can be.
const MOST_REMEMBERED: usize = 256 << 20;

/// A batch that replaces more bytes than this leaves them where they are.
const MOST_MOVED: usize = 1 << 20;

/// The commits that one write makes durable.
pub(crate) struct Group<'a> {
    state: &'a State,
    revision: Revision,
    overlay: HashMap<Key, Option<Entry>>,
    /// The keys that the group puts: those that a purge would not find in the index.
    puts: Vec<Key>,
    pub(crate) commits: Vec<(Revision, Vec<Arc<Event>>)>,
    /// What there is after all that was admitted.
    pub(crate) totals: Totals,
}

impl<'a> Group<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self {
            state,
            revision: state.revision,
            overlay: HashMap::new(),
            puts: Vec::new(),
            commits: Vec::new(),
            totals: state.totals,
        }
    }

    /// The revision after all that was admitted.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Checks a batch and takes it in. Returns its revision, or why it cannot be committed; then it leaves no trace.
    pub(crate) fn admit(&mut self, batch: &Batch) -> Result<Revision, CommitError> {
        self.check(batch)?;
        let revision = self.revision + 1;
        let mut changes = Vec::with_capacity(batch.ops.len());
        let mut purged = HashSet::new();
        for op in &batch.ops {
            match op {
                Op::Put { key, value, .. } => {
                    let next = Some(Entry::new(value, revision));
                    changes.push(Change { key: key.clone(), prev: self.current(key).cloned(), next });
                    self.puts.push(key.clone());
                }
                Op::Delete { key, .. } => {
                    changes.push(Change { key: key.clone(), prev: self.current(key).cloned(), next: None });
                }
                Op::Check { .. } => {}
                Op::PurgeCluster { cluster, .. } if purged.insert(cluster) => {
                    changes.append(&mut self.doomed(cluster.as_str(), batch));
                }
                Op::PurgeCluster { .. } => {}
            }
        }
        move_together(&mut changes);
        let mut events = Vec::with_capacity(changes.len());
        for Change { key, prev, next } in changes {
            let event = Event::between(revision, key.clone(), prev.as_ref(), next.as_ref());
            if let Some(event) = event {
                events.push(Arc::new(event));
                self.overlay.insert(key, next);
            }
        }
        if !events.is_empty() {
            events.iter().for_each(|event| self.totals.apply(event));
            self.revision = revision;
            self.commits.push((revision, events));
        }
        Ok(self.revision)
    }

    /// What a purge takes away.
    fn doomed(&self, cluster: &str, batch: &Batch) -> Vec<Change> {
        let spared: HashSet<&Key> = batch.ops.iter().filter_map(written).collect();
        let pending = self.puts.iter().filter(|key| key.parts().cluster == cluster);
        let stored = self.state.keys_of(cluster);
        let mut seen = HashSet::new();
        let keys = stored.iter().chain(pending).filter(|key| !spared.contains(key) && seen.insert(*key));
        keys.map(|key| Change { key: key.clone(), prev: self.current(key).cloned(), next: None }).collect()
    }

    fn current(&self, key: &Key) -> Option<&Entry> {
        self.overlay.get(key).map_or_else(|| self.state.index.get(key.as_str()), Option::as_ref)
    }

    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut written_keys = HashSet::new();
        for (index, op) in batch.ops.iter().enumerate() {
            if let Op::Put { value, .. } = op
                && !value.is_valid()
            {
                return Err(CommitError::Invalid { index, reason: "the revision's place is beyond the value's end" });
            }
            if batch.ops.len() > 1
                && let Some(key) = written(op)
                && !written_keys.insert(key)
            {
                return Err(CommitError::Invalid { index, reason: "an earlier operation writes the same key" });
            }
            match op {
                Op::Put { key, expect, .. } | Op::Delete { key, expect } | Op::Check { key, expect } => {
                    let current = self.current(key);
                    if !expect.holds(current) {
                        return Err(CommitError::Conflict { index, current: current.cloned() });
                    }
                }
                Op::PurgeCluster { cluster, unless: Some(unless) } => {
                    self.check_purge(cluster.as_str(), unless)
                        .map_err(|current| CommitError::Conflict { index, current })?;
                }
                Op::PurgeCluster { unless: None, .. } => {}
            }
        }
        Ok(())
    }

    /// Whether nothing forbids a purge; otherwise what does, if it is known.
    fn check_purge(&self, cluster: &str, unless: &Unless) -> Result<(), Option<Entry>> {
        if self.state.history.floor() > unless.seen {
            return Err(None);
        }
        let events = self.state.history.events();
        let start = events.partition_point(|event| event.revision <= unless.seen);
        let written = events.range(start..).map(|event| &event.key).chain(&self.puts);
        let mut found = written.filter(|key| key.parts().cluster == cluster).filter_map(|key| self.current(key));
        found.find(|entry| (unless.holds)(&entry.value)).map_or(Ok(()), |entry| Err(Some(entry.clone())))
    }

    /// What is to be written: the last state of every key that changed, and one row of history, with the values that
    /// were replaced or without.
    pub(crate) fn rows(&self, with_history: bool) -> Vec<Row> {
        self.rows_within(with_history.then_some(MOST_REMEMBERED))
    }

    /// As [`Group::rows`], with the values that were replaced if they are at most so many bytes.
    fn rows_within(&self, most: Option<usize>) -> Vec<Row> {
        let (Some(first), Some(last)) = (self.commits.first(), self.commits.last()) else { return Vec::new() };
        let events = self.commits.iter().flat_map(|(_, events)| events);
        let mut rows = Vec::with_capacity(self.overlay.len() + 1);
        // Written and deleted again within the group: the row, if there is one, still has to go.
        rows.extend(self.overlay.iter().map(|(key, entry)| row::object(key, entry.as_ref())));
        let replaced: usize = events.clone().filter_map(|event| event.prev.as_ref()).map(bytes::Bytes::len).sum();
        let remembered = most.is_some_and(|most| replaced <= most);
        rows.push(row::log(first.0, last.0, self.totals, remembered.then_some(events)));
        rows
    }
}

/// What becomes of a key.
struct Change {
    key: Key,
    prev: Option<Entry>,
    next: Option<Entry>,
}

/// Copies what a batch leaves to the log into one piece. What it replaces was made at different times and lies
/// scattered; kept one by one, a few values hold on to the memory of all that has gone around them.
fn move_together(changes: &mut [Change]) {
    let size = changes.iter().filter_map(|change| change.prev.as_ref()).map(|prev| prev.value.len()).sum();
    if size > MOST_MOVED {
        return;
    }
    let mut piece = Vec::with_capacity(size);
    for Change { key, prev, next } in &mut *changes {
        let Some(prev) = prev else { continue };
        piece.extend_from_slice(&prev.value);
        if next.is_none() {
            *key = key.copied();
        }
    }
    let mut piece = Bytes::from(piece);
    for prev in changes.iter_mut().filter_map(|change| change.prev.as_mut()) {
        prev.value = piece.split_to(prev.value.len());
    }
}

/// The key that an operation writes.
fn written(op: &Op) -> Option<&Key> {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => Some(key),
        Op::Check { .. } | Op::PurgeCluster { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::GroupResource;
    use kcp_logicalcluster::ClusterName;

    use super::*;
    use crate::{
        batch::Expect,
        entry::{EventKind, Stamped},
        history::{History, Window},
    };

    fn key(cluster: &str, name: &str) -> Key {
        let cluster = ClusterName::new(cluster).unwrap();
        Key::object(&GroupResource::new("", "configmaps"), &cluster, "n", name).unwrap()
    }

    fn put(cluster: &str, name: &str, expect: Expect) -> Batch {
        Batch::new().put(key(cluster, name), Stamped::plain("x"), expect)
    }

    fn purge(cluster: &str) -> Batch {
        Batch::new().purge(ClusterName::new(cluster).unwrap())
    }

    fn state() -> State {
        let entry = Entry::new(&Stamped::plain("x"), 2);
        State::new(vec![(key("a", "old"), entry)], 2, History::new(Window::default(), 2))
    }

    #[test]
    fn later_batches_see_earlier_ones() {
        let state = state();
        let mut group = Group::new(&state);
        assert_eq!(group.admit(&put("a", "x", Expect::Absent)).unwrap(), 3);
        let refused = group.admit(&put("a", "x", Expect::Absent)).unwrap_err();
        assert!(matches!(refused, CommitError::Conflict { index: 0, current: Some(entry) } if entry.revision == 3));
        assert_eq!(group.admit(&put("a", "x", Expect::Revision(3))).unwrap(), 4);
        assert_eq!(group.admit(&Batch::new().delete(key("a", "x"), Expect::Revision(4))).unwrap(), 5);
        assert_eq!(
            group.admit(&Batch::new().delete(key("a", "x"), Expect::Any)).unwrap(),
            5,
            "nothing is left to delete"
        );
        let kinds: Vec<_> = group.commits.iter().flat_map(|(_, events)| events).map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Create, EventKind::Update, EventKind::Delete]);
        assert_eq!(group.totals, state.totals);
        assert_eq!(group.rows(true).len(), 2, "one row for the key, one of history");
    }

    #[test]
    fn a_purge_finds_what_only_waits_to_be_written() {
        let state = state();
        let mut group = Group::new(&state);
        for (cluster, name) in [("a", "x"), ("a", "y"), ("a1", "x")] {
            group.admit(&put(cluster, name, Expect::Absent)).unwrap();
        }
        group.admit(&Batch::new().delete(key("a", "y"), Expect::Any)).unwrap();
        assert_eq!(group.admit(&purge("a")).unwrap(), 7);
        let mut purged: Vec<_> = group.commits[4].1.iter().map(|event| event.key.to_string()).collect();
        purged.sort();
        assert_eq!(purged, ["configmaps./a/n/old", "configmaps./a/n/x"]);
        assert_eq!(group.admit(&purge("a")).unwrap(), 7, "it is empty now");
        assert_eq!(group.totals.objects, 1);
    }

    #[test]
    fn a_purge_heeds_what_was_written_since_it_was_decided_on() {
        let holds = |value: &[u8]| value == b"held";
        let unless = |seen| Batch::new().purge_unless(ClusterName::new("a").unwrap(), Unless { seen, holds });
        let held = |cluster: &str| Batch::new().put(key(cluster, "x"), Stamped::plain("held"), Expect::Any);
        let mut state = state();
        assert_eq!(Group::new(&state).admit(&unless(2)).unwrap(), 3, "nothing was written since");
        assert!(matches!(Group::new(&state).admit(&unless(1)), Err(CommitError::Conflict { index: 0, current: None })));
        let write = |state: &mut State, batch: &Batch| {
            let mut group = Group::new(state);
            group.admit(batch).unwrap();
            let commits = std::mem::take(&mut group.commits);
            commits.iter().for_each(|(revision, events)| state.apply(events, *revision));
        };
        write(&mut state, &held("a1"));
        write(&mut state, &put("a", "y", Expect::Absent));
        assert_eq!(Group::new(&state).admit(&unless(2)).unwrap(), 5, "neither another cluster nor other values matter");
        let mut group = Group::new(&state);
        group.admit(&held("a")).unwrap();
        let refused = group.admit(&unless(4)).unwrap_err();
        assert!(matches!(refused, CommitError::Conflict { current: Some(e), .. } if e.revision == 5), "it only waits");
        write(&mut state, &held("a"));
        assert!(Group::new(&state).admit(&unless(4)).is_err());
        assert_eq!(Group::new(&state).admit(&unless(5)).unwrap(), 6, "that was seen");
        write(&mut state, &Batch::new().delete(key("a", "x"), Expect::Any));
        assert_eq!(Group::new(&state).admit(&unless(4)).unwrap(), 7, "what held it is gone");
    }

    #[test]
    fn what_was_replaced_is_remembered_up_to_a_limit() {
        let state = state();
        let mut group = Group::new(&state);
        group.admit(&purge("a")).unwrap();
        let size = group.commits[0].1[0].prev.as_ref().unwrap().len();
        for (most, cut) in [(None, true), (Some(size), false), (Some(size - 1), true)] {
            let row = group.rows_within(most).pop().unwrap();
            assert_eq!(row::read_log(&row.key, row.value.unwrap()).unwrap().cut, cut, "{most:?}");
        }
    }
}
