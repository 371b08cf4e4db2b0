//! Watches: cursors over the store's log that turn its events into those of Kubernetes (W-01 to W-25).
//!
//! A stream first shows the objects of a snapshot, if it is asked to, and then what changes after it. It owns no task
//! and no timer: whoever owns the connection polls it, and decides when a bookmark is due.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use kcp_apimachinery::Status;
use kcp_apis::core::{LOGICAL_CLUSTER, LOGICAL_CLUSTER_NAME};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Entry, Event, EventKind, Key, Prefix, Revision, WatchError, Watcher};

use crate::{
    crd, encode,
    list::Items,
    registry::Registry,
    render::{Renderer, frame, framed},
    request::{ListOptions, Request, Scope},
    selection::Selection,
    types::ResourceInfo,
    virtuals::{VIRTUAL_REVISION, VirtualObjects},
};

/// How many initial events are returned at once.
const STRETCH: usize = 256;
/// About so many bytes of events are returned at once: what a client does not read is held for it.
const STRETCH_BYTES: usize = 256 << 10;

/// The annotation of the bookmark that ends the initial events (W-10).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// The type of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEventType {
    /// The object is new to the watcher.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone, or is selected no more.
    Deleted,
    /// Nothing but a position.
    Bookmark,
    /// The stream ends with this Status.
    Error,
}

impl WatchEventType {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

/// One event of a watch.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// Its type.
    pub kind: WatchEventType,
    /// The whole line `{"type":…,"object":…}\n`, shared by all watchers that see the same.
    pub frame: Bytes,
    /// The event's revision.
    pub revision: Revision,
    /// The bookmark that ends the initial events (W-10).
    pub initial_events_end: bool,
}

impl WatchEvent {
    fn new(kind: WatchEventType, object: &[u8], revision: Revision) -> Self {
        Self { kind, frame: frame(kind.as_str(), object), revision, initial_events_end: false }
    }

    fn error(status: &Status) -> Self {
        Self::new(WatchEventType::Error, &encode::compact(&status.to_value()), 0)
    }

    /// The object, final JSON; for [`WatchEventType::Error`] a Status.
    pub fn object(&self) -> Bytes {
        framed(self.kind.as_str(), &self.frame)
    }
}

/// A watch. Dropped when the client goes.
pub struct WatchStream {
    renderer: Arc<Renderer>,
    selection: Arc<Selection>,
    /// The objects that are still to be shown as they are.
    initial: Option<Items>,
    /// The initial events end with a bookmark.
    marker: bool,
    /// The changes; `None` when nothing can ever match, or what is left of the stream is an error.
    changes: Option<Watcher>,
    /// Changes that were taken from the log and are still to be shown.
    taken: std::vec::IntoIter<Arc<Event>>,
    /// What the type depends on, and whose end is the end of the stream.
    ground: Option<Ground>,
    /// The virtual objects that this watcher is shown.
    virtuals: Option<(Arc<dyn VirtualObjects>, ClusterName)>,
    bookmarks: bool,
    start: Revision,
    failure: Option<Status>,
    ended: bool,
}

/// What a type depends on: its definition (W-24, W-25), or, for a type that every logical cluster has, the logical
/// cluster itself (LC-08).
struct Ground {
    registry: Arc<Registry>,
    cluster: ClusterName,
    key: Key,
    custom: bool,
    watcher: Watcher,
    /// Changes after this revision are not of this type any more.
    last: Option<Revision>,
}

impl Registry {
    pub(crate) async fn open_watch(
        self: &Arc<Self>,
        request: &Request,
        options: &ListOptions,
    ) -> Result<WatchStream, Status> {
        let (revision, initial) = options.check_watch()?;
        let selection = Arc::new(Selection::new(options, &request.info, &request.name)?);
        let prefix = self.range_of(request, &selection)?;
        let renderer = Arc::new(self.renderer(request));
        if initial && let Some(revision) = revision {
            self.reach(revision).await?;
        }
        // The ground is watched from before the type's state is read: a change in between is not missed.
        let ground = self.watch_ground(request);
        let snapshot = self.store().snapshot();
        let start = match revision {
            Some(revision) if !initial => revision,
            _ => snapshot.revision(),
        };
        let mut stream = WatchStream {
            renderer: Arc::clone(&renderer),
            selection: Arc::clone(&selection),
            initial: None,
            marker: initial && options.send_initial_events == Some(true) && options.allow_watch_bookmarks,
            changes: None,
            taken: Vec::new().into_iter(),
            ground,
            virtuals: request.info.virtuals.clone().zip(request.cluster().ok().cloned()),
            bookmarks: options.allow_watch_bookmarks,
            start,
            failure: None,
            ended: false,
        };
        let Some(prefix) = prefix else { return Ok(stream) };
        match self.store().watch(&prefix, start) {
            Ok(watcher) => stream.changes = Some(watcher),
            Err(WatchError::Compacted { oldest }) => {
                stream.failure = Some(Status::expired(format!("too old resource version: {start} ({oldest})")));
                return Ok(stream);
            }
            Err(WatchError::Closed) => {
                stream.ended = true;
                return Ok(stream);
            }
        }
        if initial {
            let mut items = Items::new(snapshot, prefix, None, selection, renderer);
            if let Scope::Cluster(cluster) = &request.scope {
                let namespace = if request.info.namespaced { request.namespace.as_str() } else { "" };
                items = items.with_virtuals(cluster, namespace);
            }
            stream.initial = Some(items);
        }
        Ok(stream)
    }

    /// Follows what a type depends on.
    fn watch_ground(self: &Arc<Self>, request: &Request) -> Option<Ground> {
        let Scope::Cluster(cluster) = &request.scope else { return None };
        let storage = &request.info.storage.group_resource;
        let custom = self.base().definition(storage).is_none() && !self.is_base(&request.info);
        let key = if custom {
            crd::key_of(cluster, storage).ok()?
        } else {
            let key = Key::object(&LOGICAL_CLUSTER.group_resource(), cluster, "", LOGICAL_CLUSTER_NAME).ok()?;
            // Not every logical cluster has such an object; those that have none do not end.
            self.store().get(&key).map(|_| key)?
        };
        let from = self.store().revision();
        let watcher = self.store().watch(&Prefix::object(&key), from).ok()?;
        let mut ground =
            Ground { registry: Arc::clone(self), cluster: cluster.clone(), key, custom, watcher, last: None };
        if !ground.holds(&request.info) {
            ground.last = Some(self.store().revision());
        }
        Some(ground)
    }
}

impl Ground {
    /// Whether the type is served as the watcher knows it. That it is going away does not matter yet.
    fn holds(&self, info: &ResourceInfo) -> bool {
        if !self.custom {
            return self.registry.store().get(&self.key).is_some();
        }
        let types = self.registry.types(&self.cluster);
        let now = types.lookup(&info.gvk.group, &info.gvk.version, &info.resource);
        now.is_some_and(|now| {
            now.openapi == info.openapi
                && now.gvk == info.gvk
                && now.namespaced == info.namespaced
                && now.storage == info.storage
        })
    }

    /// Notices changes; returns the last revision of the stream once there is one.
    fn poll(&mut self, info: &ResourceInfo, cx: &mut Context<'_>) -> Option<Revision> {
        while self.last.is_none() {
            match self.watcher.poll_next(cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok(events)) => {
                    let newest = events.last().map_or(0, |e| e.revision);
                    if !self.holds(info) {
                        self.last = Some(newest);
                    }
                }
                Poll::Ready(Err(_)) => self.last = Some(0),
            }
        }
        self.last
    }
}

impl WatchStream {
    /// The next events, at least one; `None` when the stream has ended.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<WatchEvent>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(status) = self.failure.take() {
            self.ended = true;
            return Poll::Ready(Some(vec![WatchEvent::error(&status)]));
        }
        if let Some(events) = self.next_initial() {
            return Poll::Ready(Some(events));
        }
        loop {
            let shown = self.next_taken();
            if !shown.is_empty() {
                return Poll::Ready(Some(shown));
            }
            // Asked before the changes are: those up to the end are in the log then.
            let last = self.ground.as_mut().and_then(|g| g.poll(self.renderer.info(), cx));
            let Some(changes) = &mut self.changes else {
                self.ended = last.is_some();
                return if self.ended { Poll::Ready(None) } else { Poll::Pending };
            };
            match changes.poll_next(cx) {
                Poll::Ready(Ok(mut events)) => {
                    events.retain(|e| last.is_none_or(|last| e.revision <= last));
                    self.taken = events.into_iter();
                }
                Poll::Ready(Err(WatchError::Compacted { oldest })) => {
                    // Too slow (W-18): the client starts over.
                    self.ended = true;
                    let text = format!("too old resource version: {} ({oldest})", self.position());
                    return Poll::Ready(Some(vec![WatchEvent::error(&Status::expired(text))]));
                }
                Poll::Ready(Err(WatchError::Closed)) => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending if last.is_some() => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The same as a future.
    pub async fn next(&mut self) -> Option<Vec<WatchEvent>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Everything up to this revision has been returned. 0 while initial events or a part of a revision are outstanding.
    pub fn position(&self) -> Revision {
        if self.initial.is_some() || self.marker || !self.taken.as_slice().is_empty() {
            return 0;
        }
        self.changes.as_ref().map_or(self.start, |c| c.position().max(self.start))
    }

    /// A bookmark for the present position, when the client asked for bookmarks and the initial events are over (W-09).
    /// Whoever owns the connection decides when.
    pub fn bookmark(&mut self) -> Option<WatchEvent> {
        if !self.bookmarks || self.ended || self.failure.is_some() {
            return None;
        }
        match self.position() {
            0 => None,
            position => Some(self.bookmark_at(position, false)),
        }
    }

    fn bookmark_at(&self, revision: Revision, end: bool) -> WatchEvent {
        let info = self.renderer.info();
        let mut meta = serde_json::json!({"resourceVersion": revision.to_string()});
        if end {
            meta["annotations"] = serde_json::json!({INITIAL_EVENTS_END: "true"});
        }
        let object = serde_json::json!({"kind": info.gvk.kind, "apiVersion": info.gvk.api_version(), "metadata": meta});
        let mut event = WatchEvent::new(WatchEventType::Bookmark, &encode::encode_at(&object, revision), revision);
        event.initial_events_end = end;
        event
    }

    /// The next stretch of initial events, and their end.
    fn next_initial(&mut self) -> Option<Vec<WatchEvent>> {
        let mut out = Vec::new();
        if let Some(items) = &mut self.initial {
            let mut bytes = 0;
            while out.len() < STRETCH && bytes < STRETCH_BYTES {
                let Some(found) = items.next_found() else {
                    self.initial = None;
                    break;
                };
                let event = WatchEvent::new(WatchEventType::Added, &items.render(&found), found.revision);
                bytes += event.frame.len();
                out.push(event);
            }
        }
        if self.initial.is_none() && std::mem::take(&mut self.marker) {
            out.push(self.bookmark_at(self.start, true));
        }
        if out.is_empty() { None } else { Some(out) }
    }

    /// The next stretch of the changes that were taken from the log.
    fn next_taken(&mut self) -> Vec<WatchEvent> {
        let mut out = Vec::new();
        let mut bytes = 0;
        while bytes < STRETCH_BYTES {
            let Some(event) = self.taken.next() else { break };
            if let Some(shown) = self.map(&event) {
                bytes += shown.frame.len();
                out.push(shown);
            }
        }
        out
    }

    /// What a change is to this watcher (S-06); nothing when it concerns objects that are not selected.
    fn map(&self, event: &Arc<Event>) -> Option<WatchEvent> {
        let parts = event.key.parts();
        let hidden = self.hidden(event);
        let natural = match event.kind {
            EventKind::Create if hidden.is_none() => WatchEventType::Added,
            EventKind::Delete if hidden.is_none() => WatchEventType::Deleted,
            _ => WatchEventType::Modified,
        };
        let mut kind = natural;
        if !self.selection.is_everything() {
            let selects = |entry: Option<Entry>| match (entry, &hidden) {
                (Some(e), _) => self.selection.matches(&parts, e.revision, &e.value, &self.renderer),
                (None, Some(hidden)) => self.selection.matches(&parts, VIRTUAL_REVISION, hidden, &self.renderer),
                (None, None) => false,
            };
            kind = match (selects(event.prev_entry()), selects(event.entry())) {
                (false, false) => return None,
                (false, true) => WatchEventType::Added,
                (true, true) => WatchEventType::Modified,
                (true, false) => WatchEventType::Deleted,
            };
        }
        if hidden.is_none() && kind == natural && self.renderer.is_plain(event.revision, &event.value) {
            let frame = event.frame(|| frame(kind.as_str(), &event.shown()));
            return Some(WatchEvent { kind, frame, revision: event.revision, initial_events_end: false });
        }
        let leaves = kind == WatchEventType::Deleted;
        let stored = match event.kind {
            // It leaves the selection: the old state, the new revision.
            EventKind::Update if leaves => event.prev_entry()?.value_at(event.revision),
            EventKind::Create if leaves => stamped(&hidden?, event.revision),
            EventKind::Delete if !leaves => stamped(&hidden?, event.revision),
            _ => event.shown(),
        };
        let object = self.renderer.render(parts.cluster, event.revision, &stored);
        Some(WatchEvent::new(kind, &object, event.revision))
    }

    /// The virtual object that a stored one comes over, or uncovers: to a watcher who is shown both it is one object that
    /// changes.
    fn hidden(&self, event: &Event) -> Option<Bytes> {
        let (virtuals, cluster) = self.virtuals.as_ref()?;
        if event.kind == EventKind::Update {
            return None;
        }
        let parts = event.key.parts();
        virtuals.get(cluster, parts.namespace, parts.name).map(|object| object.value)
    }
}

/// A virtual object as if `revision` had written it: clients take the revision of what they see last for their place in
/// the log.
fn stamped(object: &Bytes, revision: Revision) -> Bytes {
    let object: serde_json::Value = serde_json::from_slice(object).unwrap_or_default();
    encode::encode_at(&object, revision)
}
