//! What the store knows, in memory: the index, the recent history, and counts per logical cluster.
//!
//! Only the committer changes it, one revision at a time under a short write lock; everyone else reads.

use std::{collections::HashMap, sync::Arc};

use imbl::OrdMap;

use crate::{
    entry::{Entry, Event, Revision},
    history::{History, Resources},
    key::{Key, Prefix, bounds},
    totals::Totals,
};

/// What a logical cluster holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many objects.
    pub objects: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Counts of one logical cluster, and which resources it has objects of: what a purge visits.
#[derive(Debug, Default)]
struct Cluster {
    usage: Usage,
    /// Sorted by resource id.
    resources: Vec<(u32, u32)>,
}

/// All that the store knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: OrdMap<Key, Entry>,
    pub(crate) revision: Revision,
    pub(crate) history: History,
    pub(crate) total: Usage,
    pub(crate) totals: Totals,
    resources: Resources,
    clusters: HashMap<Box<str>, Cluster>,
}

impl State {
    /// The state of `objects`, in the order of keys, at `revision`, with no history.
    pub(crate) fn new(objects: Vec<(Key, Entry)>, revision: Revision, history: History) -> Self {
        let mut state = Self {
            index: OrdMap::new(),
            revision,
            history,
            total: Usage::default(),
            totals: Totals::of(objects.iter().map(|(key, entry)| (key, entry))),
            resources: Resources::default(),
            clusters: HashMap::new(),
        };
        for (key, entry) in &objects {
            state.count(key, None, Some(entry.value.len()));
        }
        state.index = objects.into_iter().collect();
        state.history.fit(state.total.bytes);
        state
    }

    /// Applies a commit to index, history and counts.
    pub(crate) fn apply(&mut self, events: &[Arc<Event>], revision: Revision) {
        for event in events {
            self.totals.apply(event);
            let next = event.entry();
            self.count(&event.key, event.prev.as_ref().map(bytes::Bytes::len), next.as_ref().map(|e| e.value.len()));
            match next {
                Some(entry) => self.index.insert(event.key.clone(), entry),
                None => self.index.remove(event.key.as_str()),
            };
            self.remember(Arc::clone(event));
        }
        self.revision = revision;
        self.history.fit(self.total.bytes);
    }

    /// Appends an event to the history.
    pub(crate) fn remember(&mut self, event: Arc<Event>) {
        let id = self.resources.id(event.key.resource_prefix());
        self.resources.get_mut(id).events.push_back(Arc::clone(&event));
        self.history.push(event);
    }

    /// Drops up to `limit` events that the window no longer holds and returns them.
    pub(crate) fn compact(&mut self, limit: usize) -> Vec<Arc<Event>> {
        let dropped = self.history.compact(limit);
        for event in &dropped {
            if let Some(id) = self.resources.find(event.key.resource_prefix()) {
                self.resources.forget_through(id, event.revision);
            }
        }
        dropped
    }

    /// The events of `prefix` with `after < revision <= through`, oldest first.
    pub(crate) fn events(&self, prefix: &Prefix, after: Revision, through: Revision) -> Vec<Arc<Event>> {
        let events = match prefix.resource_prefix() {
            None => self.history.events(),
            Some(resource) => match self.resources.find(resource) {
                None => return Vec::new(),
                Some(id) => &self.resources.get(id).events,
            },
        };
        let start = events.partition_point(|event| event.revision <= after);
        let recent = events.range(start..).take_while(|event| event.revision <= through);
        recent.filter(|event| event.key.starts_with(prefix)).cloned().collect()
    }

    /// The keys of every object of a logical cluster.
    pub(crate) fn keys_of(&self, cluster: &str) -> Vec<Key> {
        let Some(found) = self.clusters.get(cluster) else { return Vec::new() };
        let mut keys = Vec::with_capacity(usize::try_from(found.usage.objects).unwrap_or_default());
        for &(id, _) in &found.resources {
            let prefix = format!("{}{cluster}\0", self.resources.get(id).prefix);
            let mut end = String::new();
            keys.extend(self.index.range::<_, str>(bounds(&prefix, None, &mut end)).map(|(key, _)| key.clone()));
        }
        keys
    }

    /// The prefixes of the resources that a logical cluster has objects of.
    pub(crate) fn resources_of(&self, cluster: &str) -> impl Iterator<Item = &str> {
        let ids = self.clusters.get(cluster).map(|c| c.resources.as_slice()).unwrap_or_default();
        ids.iter().map(|&(id, _)| &*self.resources.get(id).prefix)
    }

    pub(crate) fn usage(&self, cluster: &str) -> Usage {
        self.clusters.get(cluster).map(|c| c.usage).unwrap_or_default()
    }

    pub(crate) fn clusters(&self) -> impl Iterator<Item = &str> {
        self.clusters.keys().map(AsRef::as_ref)
    }

    /// Keeps the counts: `key` had a value of `before` bytes and now has one of `after`.
    fn count(&mut self, key: &Key, before: Option<usize>, after: Option<usize>) {
        let size = |len: usize| (key.as_str().len() + len) as u64;
        let cluster = key.parts().cluster;
        if let (Some(before), Some(after)) = (before, after) {
            if before == after {
                return;
            }
            if let Some(found) = self.clusters.get_mut(cluster) {
                found.usage.bytes = found.usage.bytes - size(before) + size(after);
            }
            self.total.bytes = self.total.bytes - size(before) + size(after);
            return;
        }
        let resource = self.resources.id(key.resource_prefix());
        match (before, after) {
            (None, Some(after)) => {
                if !self.clusters.contains_key(cluster) {
                    self.clusters.insert(cluster.into(), Cluster::default());
                }
                if let Some(found) = self.clusters.get_mut(cluster) {
                    found.add(resource, size(after));
                }
                self.resources.get_mut(resource).objects += 1;
                self.total.objects += 1;
                self.total.bytes += size(after);
            }
            (Some(before), None) => {
                let empty = self.clusters.get_mut(cluster).is_some_and(|found| found.remove(resource, size(before)));
                if empty {
                    self.clusters.remove(cluster);
                }
                self.resources.get_mut(resource).objects -= 1;
                self.total.objects -= 1;
                self.total.bytes -= size(before);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

impl Cluster {
    fn add(&mut self, resource: u32, bytes: u64) {
        self.usage.objects += 1;
        self.usage.bytes += bytes;
        match self.resources.binary_search_by_key(&resource, |r| r.0) {
            Ok(at) => self.resources[at].1 += 1,
            Err(at) => {
                self.resources.reserve_exact(1);
                self.resources.insert(at, (resource, 1));
            }
        }
    }

    /// Returns whether nothing is left.
    fn remove(&mut self, resource: u32, bytes: u64) -> bool {
        self.usage.objects -= 1;
        self.usage.bytes -= bytes;
        if let Ok(at) = self.resources.binary_search_by_key(&resource, |r| r.0) {
            self.resources[at].1 -= 1;
            if self.resources[at].1 == 0 {
                self.resources.remove(at);
            }
        }
        self.usage.objects == 0
    }
}
