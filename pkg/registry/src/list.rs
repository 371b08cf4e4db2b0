//! Lists that stream: a list is its metadata and an iterator over stored bytes (L-01 to L-20).
//!
//! The iterator holds a snapshot and a position. It reads the index a stretch at a time, so a list of 100 000 objects
//! needs as much memory as one of 100, and the state that it shows is that of one revision however slowly it is read.

use std::{collections::VecDeque, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use kcp_apimachinery::{GroupResource, Status};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Entry, Key, Prefix, Snapshot};

use crate::{
    encode,
    render::Renderer,
    request::ListMeta,
    selection::Selection,
    types::ResourceInfo,
    virtuals::{VIRTUAL_REVISION, VirtualObject},
};

/// How many index entries are read at a time.
const STRETCH: usize = 256;

/// How many objects are counted at most.
const COUNTED: usize = 100_000;

/// A list. Its items are read while they are taken.
pub struct List {
    /// The resource, for the list's kind and the columns.
    pub info: Arc<ResourceInfo>,
    /// Revision and paging: known before the first item.
    pub meta: ListMeta,
    items: Box<dyn Iterator<Item = Bytes> + Send>,
}

impl List {
    pub(crate) fn new(info: Arc<ResourceInfo>, meta: ListMeta, items: Box<dyn Iterator<Item = Bytes> + Send>) -> Self {
        Self { info, meta, items }
    }

    /// The items: final JSON of each object, kind and apiVersion included.
    pub fn items(&mut self) -> &mut (dyn Iterator<Item = Bytes> + Send) {
        &mut *self.items
    }

    /// The list's JSON document in pieces of about `chunk` bytes. Items of built-in kinds come without kind and
    /// apiVersion, those of custom resources with them (N-10).
    pub fn into_chunks(self, chunk: usize) -> Chunks {
        let head = (!self.info.custom).then(|| self.info.heads().shown.clone());
        let mut out = BytesMut::with_capacity(chunk.min(4096));
        out.extend_from_slice(b"{\"kind\":");
        out.extend_from_slice(&encode::compact(&self.info.list_kind.as_str().into()));
        out.extend_from_slice(b",\"apiVersion\":");
        out.extend_from_slice(&encode::compact(&self.info.gvk.api_version().into()));
        out.extend_from_slice(
            format!(",\"metadata\":{{\"resourceVersion\":\"{}\"", self.meta.resource_version).as_bytes(),
        );
        if !self.meta.continue_token.is_empty() {
            out.extend_from_slice(format!(",\"continue\":\"{}\"", self.meta.continue_token).as_bytes());
        }
        if let Some(remaining) = self.meta.remaining {
            out.extend_from_slice(format!(",\"remainingItemCount\":{remaining}").as_bytes());
        }
        out.extend_from_slice(b"},\"items\":[");
        Chunks { items: Some(self.items), out, head, chunk, first: true }
    }
}

/// The iterator of [`List::into_chunks`].
pub struct Chunks {
    items: Option<Box<dyn Iterator<Item = Bytes> + Send>>,
    out: BytesMut,
    head: Option<Bytes>,
    chunk: usize,
    first: bool,
}

impl Iterator for Chunks {
    /// Never an error: what can go wrong is found before the first item. The form is that of streams that can break.
    type Item = Result<Bytes, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_mut()?;
        while self.out.len() < self.chunk {
            let Some(item) = items.next() else {
                self.items = None;
                self.out.extend_from_slice(b"]}\n");
                return Some(Ok(self.out.split().freeze()));
            };
            if !std::mem::replace(&mut self.first, false) {
                self.out.put_u8(b',');
            }
            match self.head.as_ref().and_then(|head| item.strip_prefix(&head[..])) {
                Some(rest) => {
                    self.out.put_u8(b'{');
                    self.out.extend_from_slice(rest);
                }
                None => self.out.extend_from_slice(&item),
            }
        }
        let full = self.out.split().freeze();
        self.out.reserve(self.chunk);
        Some(Ok(full))
    }
}

/// The selected objects under a prefix of a snapshot, virtual ones merged in by key, from a position on.
pub(crate) struct Items {
    snapshot: Snapshot,
    prefix: Prefix,
    after: Option<Key>,
    stretch: VecDeque<(Key, Entry)>,
    exhausted: bool,
    virtuals: Virtuals,
    selection: Arc<Selection>,
    renderer: Arc<Renderer>,
}

/// The virtual objects that are still to come.
struct Virtuals {
    resource: GroupResource,
    cluster: Option<ClusterName>,
    objects: Arc<[VirtualObject]>,
    at: usize,
    /// Only this namespace, if not empty.
    namespace: String,
}

/// An object on its way out: its key, and its bytes in the form of the store.
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) revision: kcp_storage::Revision,
    pub(crate) stored: Bytes,
}

impl Items {
    pub(crate) fn new(
        snapshot: Snapshot,
        prefix: Prefix,
        after: Option<Key>,
        selection: Arc<Selection>,
        renderer: Arc<Renderer>,
    ) -> Self {
        let virtuals = Virtuals {
            resource: renderer.info().storage.group_resource.clone(),
            cluster: None,
            objects: Arc::new([]),
            at: 0,
            namespace: String::new(),
        };
        Self { snapshot, prefix, after, stretch: VecDeque::new(), exhausted: false, virtuals, selection, renderer }
    }

    /// With the virtual objects of a logical cluster, in one namespace or in all.
    #[must_use]
    pub(crate) fn with_virtuals(mut self, cluster: &ClusterName, namespace: &str) -> Self {
        if let Some(virtuals) = &self.renderer.info().virtuals {
            self.virtuals.objects = virtuals.objects(cluster);
            self.virtuals.cluster = Some(cluster.clone());
            namespace.clone_into(&mut self.virtuals.namespace);
            if let Some(after) = &self.after {
                let parts = after.parts();
                let place = (parts.namespace, parts.name);
                self.virtuals.at =
                    self.virtuals.objects.partition_point(|o| (o.namespace.as_str(), o.name.as_str()) <= place);
            }
        }
        self
    }

    /// Reads on in the index until some selected objects are found. Those that are not selected are not even cloned.
    fn fill(&mut self) {
        if self.exhausted || !self.stretch.is_empty() {
            return;
        }
        let mut last = None;
        self.exhausted = true;
        for (key, entry) in self.snapshot.range(&self.prefix, self.after.as_ref()) {
            last = Some(key);
            if self.selection.matches(&key.parts(), entry.revision, &entry.value, &self.renderer) {
                self.stretch.push_back((key.clone(), entry.clone()));
                if self.stretch.len() == STRETCH {
                    self.exhausted = false;
                    break;
                }
            }
        }
        if let Some(last) = last {
            self.after = Some(last.clone());
        }
    }

    /// The next selected object.
    pub(crate) fn next_found(&mut self) -> Option<Found> {
        loop {
            self.fill();
            let Some(found) = self.virtuals.next_before(self.stretch.front().map(|(key, _)| key)) else {
                let (key, entry) = self.stretch.pop_front()?;
                return Some(Found { key, revision: entry.revision, stored: entry.value });
            };
            if self.selection.matches(&found.key.parts(), found.revision, &found.stored, &self.renderer) {
                return Some(found);
            }
        }
    }

    /// Whether there may be a selected object beyond.
    pub(crate) fn has_more(&mut self) -> bool {
        self.fill();
        !self.stretch.is_empty() || self.virtuals.peek().is_some()
    }

    /// How many objects are beyond, selected or not; `None` when there are so many that counting them takes longer than
    /// showing the page. The number is for people (L-14).
    pub(crate) fn remaining(&self) -> Option<u64> {
        let range = self.snapshot.range(&self.prefix, self.after.as_ref());
        let beyond = if self.exhausted { 0 } else { range.take(COUNTED + 1).count() };
        if beyond > COUNTED {
            return None;
        }
        let hidden = |key: &Key| self.snapshot.get(key).is_some();
        let virtuals = self.virtuals.rest().filter(|o| self.virtuals.key(o).is_some_and(|k| !hidden(&k))).count();
        Some((self.stretch.len() + beyond + virtuals) as u64)
    }

    /// The bytes of the answer.
    pub(crate) fn render(&self, found: &Found) -> Bytes {
        self.renderer.render(found.key.parts().cluster, found.revision, &found.stored)
    }
}

impl Virtuals {
    fn rest(&self) -> impl Iterator<Item = &VirtualObject> {
        let all = self.objects.get(self.at..).unwrap_or_default();
        all.iter().filter(|o| self.namespace.is_empty() || o.namespace == self.namespace)
    }

    fn peek(&self) -> Option<&VirtualObject> {
        self.rest().next()
    }

    fn key(&self, object: &VirtualObject) -> Option<Key> {
        Key::object(&self.resource, self.cluster.as_ref()?, &object.namespace, &object.name).ok()
    }

    /// The next virtual object if it comes before `stored`; one that is stored as well is skipped.
    fn next_before(&mut self, stored: Option<&Key>) -> Option<Found> {
        loop {
            let all = self.objects.get(self.at..).unwrap_or_default();
            let skipped = all.iter().position(|o| self.namespace.is_empty() || o.namespace == self.namespace)?;
            let object = all.get(skipped)?;
            let Some(key) = self.key(object) else {
                self.at += skipped + 1;
                continue;
            };
            match stored {
                Some(stored) if *stored < key => return None,
                Some(stored) if *stored == key => {
                    self.at += skipped + 1;
                }
                _ => {
                    let value = object.value.clone();
                    self.at += skipped + 1;
                    return Some(Found { key, revision: VIRTUAL_REVISION, stored: value });
                }
            }
        }
    }
}
