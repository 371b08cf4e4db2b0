//! A cache of one resource of a server, kept right by list and watch.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use kcp_apimachinery::{GroupVersionResource, object};
use kcp_client::{Client, Error, ListParams, WatchEvent, WatchParams};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::queue::Backoff;

/// A watch that ends sooner, with nothing to show, was none: asking again at once would only be hammering.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// Namespace and name.
type NamespacedName = (String, String);

struct State {
    objects: BTreeMap<NamespacedName, Arc<Value>>,
}

/// The objects that a [`Reflector`] knows. Cheap to clone; readers never wait for the network.
#[derive(Clone)]
pub struct Cache {
    state: Arc<RwLock<State>>,
    synced: watch::Receiver<bool>,
}

impl Cache {
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.state.read().objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<Value>> {
        self.state.read().objects.values().cloned().collect()
    }

    /// All objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Value>> {
        let state = self.state.read();
        let from = state.objects.range((namespace.to_owned(), String::new())..);
        from.take_while(|((of, _), _)| of == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a complete list has been held: before that, an object that is not here may well exist.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits for [`Cache::is_synced`]; false when the reflector has ended instead.
    pub async fn synced(&self) -> bool {
        self.synced.clone().wait_for(|s| *s).await.is_ok()
    }
}

/// What has changed in a [`Cache`], already applied to it.
#[derive(Debug, Clone)]
pub struct Change {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// The state before.
    pub old: Option<Arc<Value>>,
    /// The state now; `None` when the object is gone.
    pub new: Option<Arc<Value>>,
}

/// What a [`Reflector`] follows.
#[derive(Debug, Clone, Default)]
pub struct ReflectorOptions {
    /// Only objects of this namespace; empty for all.
    pub namespace: String,
    /// Only objects that this label selector picks.
    pub label_selector: Option<String>,
    /// Only objects that this field selector picks.
    pub field_selector: Option<String>,
    /// How long to wait after failures.
    pub backoff: Option<Backoff>,
}

/// Keeps a [`Cache`] of one resource: lists it, then watches from there, for ever.
pub struct Reflector {
    client: Client,
    resource: GroupVersionResource,
    options: ReflectorOptions,
    cache: Cache,
    synced: watch::Sender<bool>,
}

impl Reflector {
    /// A reflector and its cache, which stays empty until [`Reflector::run`].
    pub fn new(client: Client, resource: GroupVersionResource, options: ReflectorOptions) -> (Self, Cache) {
        let (synced, receiver) = watch::channel(false);
        let cache = Cache { state: Arc::new(RwLock::new(State { objects: BTreeMap::new() })), synced: receiver };
        (Self { client, resource, options, cache: cache.clone(), synced }, cache)
    }

    /// Follows the resource until `stop`, telling each change to `on_change` and each failure to `on_error`; both must be quick.
    /// Losing the connection is survived, and a server that was set back to before what is known here; after a list that
    /// found fewer objects the missing ones are told as gone.
    pub async fn run(self, stop: &CancellationToken, on_change: impl Fn(&Change), on_error: impl Fn(&Error)) {
        let backoff = self
            .options
            .backoff
            .unwrap_or(Backoff { first: Duration::from_millis(100), most: Duration::from_secs(15) });
        let mut failures = 0u32;
        let mut position: Option<String> = None;
        while !stop.is_cancelled() {
            let (before, begun) = (position.clone(), Instant::now());
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.follow(&mut position, &on_change) => outcome,
            };
            match outcome {
                Ok(()) if is_fruitless(position != before, begun.elapsed()) => {
                    failures += 1;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(backoff.after(failures)) => {}
                    }
                }
                Ok(()) => failures = 0,
                Err(error) => {
                    if error.is_expired() || error.is_too_large_resource_version() {
                        position = None;
                    }
                    if position != before && position.is_some() {
                        failures = 0;
                    }
                    failures += 1;
                    on_error(&error);
                    let wait =
                        error.retry_after().map_or_else(|| backoff.after(failures), |s| Duration::from_secs(s.into()));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Lists unless there is a position, then watches until the stream ends.
    async fn follow(&self, position: &mut Option<String>, on_change: &impl Fn(&Change)) -> Result<(), Error> {
        let o = &self.options;
        let mut params = ListParams {
            label_selector: o.label_selector.clone(),
            field_selector: o.field_selector.clone(),
            limit: 500,
            ..ListParams::default()
        };
        if position.is_some() {
            // A server whose store was set back would keep a watch from its future waiting without a word (W-02); a
            // list it refuses.
            params.limit = 1;
            params.not_older_than.clone_from(position);
            self.client.list(&self.resource, &o.namespace, &params).await?;
        } else {
            let list = self.client.list_all(&self.resource, &o.namespace, &params).await?;
            self.replace(list.items, on_change);
            *position = Some(list.resource_version).filter(|revision| !revision.is_empty());
            self.synced.send_replace(true);
        }
        let params = WatchParams {
            label_selector: params.label_selector,
            field_selector: params.field_selector,
            resource_version: position.clone(),
            ..WatchParams::default()
        };
        let mut events = self.client.watch(&self.resource, &o.namespace, &params).await?;
        while let Some(event) = events.next().await {
            let (value, gone) = match event? {
                WatchEvent::Added(v) | WatchEvent::Modified(v) => (v, false),
                WatchEvent::Deleted(v) => (v, true),
                WatchEvent::Bookmark { resource_version, .. } => {
                    *position = Some(resource_version);
                    continue;
                }
            };
            let rv = object::resource_version(&value).to_owned();
            self.apply(value, gone, on_change);
            *position = Some(rv);
        }
        Ok(())
    }

    fn replace(&self, items: Vec<Value>, on_change: &impl Fn(&Change)) {
        let new: BTreeMap<NamespacedName, Arc<Value>> = items.into_iter().map(|v| (key(&v), Arc::new(v))).collect();
        let old = std::mem::replace(&mut self.cache.state.write().objects, new.clone());
        for (k, o) in &old {
            if !new.contains_key(k) {
                on_change(&Change { namespace: k.0.clone(), name: k.1.clone(), old: Some(o.clone()), new: None });
            }
        }
        for (k, n) in new {
            let o = old.get(&k).cloned();
            // The revision alone does not tell: a store that was set back gives the same ones again.
            if o.as_ref() != Some(&n) {
                on_change(&Change { namespace: k.0, name: k.1, old: o, new: Some(n) });
            }
        }
    }

    fn apply(&self, value: Value, gone: bool, on_change: &impl Fn(&Change)) {
        let k = key(&value);
        let new = (!gone).then(|| Arc::new(value));
        let old = {
            let objects = &mut self.cache.state.write().objects;
            match &new {
                Some(n) => objects.insert(k.clone(), n.clone()),
                None => objects.remove(&k),
            }
        };
        on_change(&Change { namespace: k.0, name: k.1, old, new });
    }
}

/// Whether a watch that has ended without an error is to be treated as one that failed.
fn is_fruitless(moved: bool, took: Duration) -> bool {
    !moved && took < SHORTEST_WATCH
}

fn key(object: &Value) -> NamespacedName {
    (object::namespace(object).to_owned(), object::name(object).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_that_end_at_once_are_not_asked_for_again_at_once() {
        for (moved, millis, want) in [(false, 0, true), (false, 999, true), (false, 1000, false), (true, 0, false)] {
            assert_eq!(is_fruitless(moved, Duration::from_millis(millis)), want, "{moved} {millis}");
        }
    }
}
