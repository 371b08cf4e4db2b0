//! Keys from the ordered log of the server's own store.

use kcp_logicalcluster::ClusterName;
use kcp_storage::{Event, Key, Prefix, Store, WatchError};
use tokio_util::sync::CancellationToken;

/// An object of one resource, in any logical cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The logical cluster.
    pub cluster: ClusterName,
    /// The namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The object that a storage key names; `None` for a key whose cluster is malformed, which no writer makes.
    pub fn from_storage(key: &Key) -> Option<Self> {
        let parts = key.parts();
        Some(Self {
            cluster: ClusterName::new(parts.cluster).ok()?,
            namespace: parts.namespace.to_owned(),
            name: parts.name.to_owned(),
        })
    }
}

/// What [`follow_store`] has found.
#[derive(Debug)]
pub enum Found<'a> {
    /// An object that exists, seen at the start or after the log's window was left behind.
    Existing(&'a Key, &'a [u8]),
    /// A change.
    Event(&'a Event),
}

/// Follows everything under `prefix`, in all logical clusters, until `stop`: what exists first, then every change, in
/// order. `on` must be quick; it usually derives a key and queues it. When this reader falls behind the log's window
/// it starts over with what exists, so `on` must be level-triggered. A store that is closed, or has failed, has nothing
/// more to tell.
pub async fn follow_store(store: &Store, prefix: &Prefix, stop: &CancellationToken, on: impl Fn(Found<'_>)) {
    while !stop.is_cancelled() {
        let snapshot = store.snapshot();
        for (key, entry) in snapshot.range(prefix, None) {
            on(Found::Existing(key, &entry.value));
        }
        let revision = snapshot.revision();
        drop(snapshot);
        let mut watcher = match store.watch(prefix, revision) {
            Ok(watcher) => watcher,
            Err(WatchError::Compacted { .. }) => continue,
            Err(WatchError::Closed) => return stop.cancelled().await,
        };
        loop {
            let events = tokio::select! {
                () = stop.cancelled() => return,
                events = watcher.next() => events,
            };
            let events = match events {
                Ok(events) => events,
                Err(WatchError::Compacted { .. }) => break,
                Err(WatchError::Closed) => return stop.cancelled().await,
            };
            for event in &events {
                on(Found::Event(event));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kcp_apimachinery::GroupResource;
    use kcp_storage::{Batch, Expect, Options, Stamped};

    use super::*;

    /// A failed engine closes the watches while the process still works on its end: nothing may spin then.
    #[tokio::test]
    async fn a_closed_store_is_waited_out() {
        let store = Store::open(Options::memory()).unwrap();
        let key = Key::object(&GroupResource::new("", "configmaps"), &ClusterName::root(), "", "a").unwrap();
        store.commit(Batch::new().put(key, Stamped::plain("x"), Expect::Any)).await.unwrap();
        let (seen, stop, prefix) = (AtomicUsize::new(0), CancellationToken::new(), Prefix::all());
        let follow = follow_store(&store, &prefix, &stop, |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        });
        let end = async {
            store.clone().close();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(follow, end);
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    }
}
