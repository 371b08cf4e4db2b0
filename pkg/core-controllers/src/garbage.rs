//! The garbage collector: dependents go with their owners (H-01..H-10).
//!
//! An index of owner references, kept by the cursor, answers who depends on whom; whether an owner exists is read from
//! the store, by uid. Owners are looked up in the dependent's own logical cluster only.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kcp_apimachinery::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, Status, object};
use kcp_client::{Client, DeleteParams, Error, Patch, WriteParams, gone_or_changed_is_fine};
use kcp_controller::{Action, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Key, Store};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY,
    context::Context,
    meta::{Envelope, OwnerReference, Seen},
};

/// The finalizer of an object whose dependents go first.
const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents stay, without it as their owner.
const ORPHAN: &str = "orphan";

/// Who depends on whom. Uids are unique across logical clusters, yet a reference counts only inside its own: the
/// cluster is part of the index.
#[derive(Default)]
struct Graph {
    dependents: HashMap<(String, String), BTreeSet<Key>>,
    owners: HashMap<Key, Vec<OwnerReference>>,
    /// Owners that wait for their dependents, by uid.
    waiting: HashMap<(String, String), Key>,
}

impl Graph {
    /// Notes the owners of an object. Returns those that wait for their dependents and were its owners before: it may
    /// hold them no more.
    fn set(&mut self, key: &Key, cluster: &str, owners: Vec<OwnerReference>) -> Vec<Key> {
        let before = self.remove(key, cluster);
        for o in &owners {
            self.dependents.entry((cluster.to_owned(), o.uid.clone())).or_default().insert(key.clone());
        }
        if !owners.is_empty() {
            self.owners.insert(key.clone(), owners);
        }
        before
    }

    /// As [`Graph::set`], for an object that has no owners, or is gone.
    fn remove(&mut self, key: &Key, cluster: &str) -> Vec<Key> {
        let owners = self.owners.remove(key).unwrap_or_default();
        for o in &owners {
            let id = (cluster.to_owned(), o.uid.clone());
            if let Some(set) = self.dependents.get_mut(&id) {
                set.remove(key);
                if set.is_empty() {
                    self.dependents.remove(&id);
                }
            }
        }
        let waiting = |o: &OwnerReference| self.waiting.get(&(cluster.to_owned(), o.uid.clone())).cloned();
        owners.iter().filter_map(waiting).collect()
    }
}

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<Key>,
    graph: Mutex<Graph>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default(), graph: Mutex::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        let cluster = seen.parts.cluster;
        let mut graph = self.graph.lock();
        if seen.deleted {
            self.queue.add_all(graph.remove(seen.key, cluster));
            let id = (cluster.to_owned(), seen.envelope().metadata.uid.to_string());
            graph.waiting.remove(&id);
            if let Some(dependents) = graph.dependents.get(&id) {
                self.queue.add_all(dependents.iter().cloned());
            }
            return;
        }
        let mentions = |what: &[u8]| memchr::memmem::find(seen.value, what).is_some();
        let owned = mentions(b"\"ownerReferences\"");
        if !owned && graph.owners.contains_key(seen.key) {
            self.queue.add_all(graph.remove(seen.key, cluster));
        }
        let held = mentions(b"\"foregroundDeletion\"") || mentions(b"\"orphan\"");
        if !owned && !held {
            return;
        }
        let envelope = seen.envelope();
        if owned {
            self.queue.add_all(graph.set(seen.key, cluster, envelope.metadata.owner_references.clone()));
        }
        if envelope.is_deleting() && (envelope.has_finalizer(FOREGROUND) || envelope.has_finalizer(ORPHAN)) {
            graph.waiting.insert((cluster.to_owned(), envelope.metadata.uid.to_string()), seen.key.clone());
        }
        self.queue.add(seen.key.clone());
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("garbage-collector", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, key: Key) -> Result<Action, Error> {
        let Some(entry) = self.context.store.get(&key) else { return Ok(Action::Done) };
        let Ok(cluster) = ClusterName::new(key.parts().cluster) else { return Ok(Action::Done) };
        let object = Envelope::read(&entry.value);
        let client = self.context.client(&cluster);
        if object.is_deleting() {
            // The store may be ahead of the cursor: who depends on it is known once its mark has been seen, which brings
            // the key back.
            let id = (cluster.to_string(), object.metadata.uid.to_string());
            if !self.graph.lock().waiting.contains_key(&id) {
                return Ok(Action::Done);
            }
            if object.has_finalizer(ORPHAN) {
                return self.orphan(&client, &key, &object).await;
            }
            if object.has_finalizer(FOREGROUND) {
                return self.foreground(&client, &key, &object).await;
            }
            return Ok(Action::Done);
        }
        self.collect(&client, &cluster, &key, &object).await
    }

    fn dependents(&self, key: &Key, object: &Envelope<'_>) -> Vec<Key> {
        let id = (key.parts().cluster.to_owned(), object.metadata.uid.to_string());
        self.graph.lock().dependents.get(&id).map(|d| d.iter().cloned().collect()).unwrap_or_default()
    }

    /// Takes the owner out of its dependents, then lets it go.
    async fn orphan(&self, client: &Client, key: &Key, object: &Envelope<'_>) -> Result<Action, Error> {
        for dependent in self.dependents(key, object) {
            gone_or_changed_is_fine(self.keep_owners(client, &dependent, |o| o.uid != object.metadata.uid).await)?;
        }
        gone_or_changed_is_fine(self.remove_finalizer(client, key, object, ORPHAN).await)?;
        Ok(Action::Done)
    }

    /// Deletes the dependents; once none is left that holds the owner, lets it go.
    async fn foreground(&self, client: &Client, key: &Key, object: &Envelope<'_>) -> Result<Action, Error> {
        let mut held = false;
        for dependent in self.dependents(key, object) {
            let Some(entry) = self.context.store.get(&dependent) else { continue };
            let envelope = Envelope::read(&entry.value);
            let blocks = envelope
                .metadata
                .owner_references
                .iter()
                .any(|o| o.uid == object.metadata.uid && o.block_owner_deletion == Some(true));
            held |= blocks;
            if !envelope.is_deleting() {
                // Whether it has owners besides this one is for its own turn to decide.
                self.queue.add(dependent);
            }
        }
        if !held {
            gone_or_changed_is_fine(self.remove_finalizer(client, key, object, FOREGROUND).await)?;
        }
        Ok(Action::Done)
    }

    /// Deletes an object that no living owner holds.
    async fn collect(
        &self,
        client: &Client,
        cluster: &ClusterName,
        key: &Key,
        object: &Envelope<'_>,
    ) -> Result<Action, Error> {
        let owners = &object.metadata.owner_references;
        if owners.is_empty() {
            return Ok(Action::Done);
        }
        let (mut solid, mut gone, mut waiting) = (0usize, Vec::new(), Vec::new());
        for owner in owners {
            match self.owner_state(cluster, key.parts().namespace, owner)? {
                OwnerState::Solid => solid += 1,
                OwnerState::Gone => gone.push(owner.uid.as_str()),
                OwnerState::Waiting => waiting.push(owner.uid.as_str()),
                // Never collected: the reference itself is wrong (H-02).
                OwnerState::WrongScope => return Ok(Action::Done),
            }
        }
        if solid > 0 {
            if !gone.is_empty() || !waiting.is_empty() {
                gone_or_changed_is_fine(
                    self.keep_owners(client, key, |o| {
                        !gone.contains(&o.uid.as_str()) && !waiting.contains(&o.uid.as_str())
                    })
                    .await,
                )?;
            }
            return Ok(Action::Done);
        }
        let mut revision = object.metadata.resource_version.to_string();
        let dependents = if waiting.is_empty() { Vec::new() } else { self.dependents(key, object) };
        let policy = if !dependents.is_empty() {
            if dependents.iter().any(|d| self.waits(d)) {
                // Each would wait for the other.
                let unblocked = match self.unblock_owners(client, key).await {
                    Err(e) if e.is_not_found() || e.is_conflict() => return Ok(Action::Done),
                    other => other?,
                };
                object::resource_version(&unblocked).clone_into(&mut revision);
            }
            "Foreground"
        } else if object.has_finalizer(ORPHAN) {
            "Orphan"
        } else if object.has_finalizer(FOREGROUND) {
            "Foreground"
        } else {
            "Background"
        };
        let params = DeleteParams {
            uid: Some(object.metadata.uid.to_string()),
            resource_version: Some(revision),
            propagation_policy: Some(policy),
            grace_period_seconds: None,
        };
        let parts = key.parts();
        gone_or_changed_is_fine(client.delete(&self.gvr(key)?, parts.namespace, parts.name, &params).await)?;
        Ok(Action::Done)
    }

    fn owner_state(&self, cluster: &ClusterName, namespace: &str, owner: &OwnerReference) -> Result<OwnerState, Error> {
        let unknown =
            || Status::internal(format!("the owner's kind {}/{} is not served", owner.api_version, owner.kind));
        let gv = GroupVersion::parse(&owner.api_version).ok_or_else(unknown)?;
        let gvk = GroupVersionKind::new(gv.group, gv.version, owner.kind.as_str());
        let resource = self.context.kinds.resource_of(cluster, &gvk).ok_or_else(unknown)?;
        if resource.namespaced && namespace.is_empty() {
            return Ok(OwnerState::WrongScope);
        }
        let owner_namespace = if resource.namespaced { namespace } else { "" };
        let of = resource.storage;
        let Ok(key) = Key::object(&of, cluster, owner_namespace, &owner.name) else { return Ok(OwnerState::Gone) };
        let virtual_uid = || self.context.kinds.virtual_uid(cluster, &of, owner_namespace, &owner.name);
        Ok(match state_of(&self.context.store, &key, owner) {
            OwnerState::Gone if virtual_uid().is_some_and(|uid| uid == owner.uid) => OwnerState::Solid,
            state => state,
        })
    }

    /// Whether a stored object waits for its dependents.
    fn waits(&self, key: &Key) -> bool {
        self.context.store.get(key).is_some_and(|entry| {
            let envelope = Envelope::read(&entry.value);
            envelope.is_deleting() && envelope.has_finalizer(FOREGROUND)
        })
    }

    /// Leaves an object only the owners that `keep` picks.
    async fn keep_owners(
        &self,
        client: &Client,
        key: &Key,
        keep: impl Fn(&OwnerReference) -> bool,
    ) -> Result<Value, Error> {
        self.change_owners(client, key, |reference| {
            serde_json::from_value::<OwnerReference>(reference.clone()).is_ok_and(|o| keep(&o))
        })
        .await
    }

    /// Lets the owners of an object go before it.
    async fn unblock_owners(&self, client: &Client, key: &Key) -> Result<Value, Error> {
        self.change_owners(client, key, |reference| {
            if let Some(blocks) = reference.get_mut("blockOwnerDeletion") {
                *blocks = false.into();
            }
            true
        })
        .await
    }

    /// Changes the references to owners, and drops those for which `change` says no; the version is checked, so a change
    /// meanwhile is not lost.
    async fn change_owners(
        &self,
        client: &Client,
        key: &Key,
        change: impl FnMut(&mut Value) -> bool,
    ) -> Result<Value, Error> {
        let Some(entry) = self.context.store.get(key) else { return Ok(Value::Null) };
        let mut full: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        let mut owners = full.pointer_mut("/metadata/ownerReferences").map(Value::take).unwrap_or_default();
        if let Some(list) = owners.as_array_mut() {
            list.retain_mut(change);
            if list.is_empty() {
                owners = Value::Null;
            }
        }
        let meta = &Envelope::read(&entry.value).metadata;
        let patch =
            json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners}});
        self.patch(client, key, &patch).await
    }

    async fn remove_finalizer(
        &self,
        client: &Client,
        key: &Key,
        object: &Envelope<'_>,
        finalizer: &str,
    ) -> Result<Value, Error> {
        let kept: Vec<&String> = object.metadata.finalizers.iter().filter(|f| *f != finalizer).collect();
        let kept = if kept.is_empty() { Value::Null } else { json!(kept) };
        let patch = json!({"metadata": {"resourceVersion": object.metadata.resource_version, "finalizers": kept}});
        self.patch(client, key, &patch).await
    }

    /// Merges `patch`, which carries a precondition of its own, into a stored object.
    async fn patch(&self, client: &Client, key: &Key, patch: &Value) -> Result<Value, Error> {
        let parts = key.parts();
        let (gvr, params) = (self.gvr(key)?, WriteParams::manager("garbage-collector"));
        client.patch(&gvr, parts.namespace, parts.name, "", &Patch::Merge(patch), &params).await
    }

    /// How a stored object is reached.
    fn gvr(&self, key: &Key) -> Result<GroupVersionResource, Error> {
        let parts = key.parts();
        let cluster = ClusterName::new(parts.cluster).map_err(Status::internal)?;
        self.context.served(&cluster, &GroupResource::new(parts.group, parts.resource))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum OwnerState {
    Solid,
    Gone,
    /// Waits for its dependents to go first, and this one holds it.
    Waiting,
    WrongScope,
}

fn state_of(store: &Store, key: &Key, owner: &OwnerReference) -> OwnerState {
    let Some(entry) = store.get(key) else { return OwnerState::Gone };
    let envelope = Envelope::read(&entry.value);
    if envelope.metadata.uid != owner.uid {
        OwnerState::Gone
    } else if envelope.is_deleting() && envelope.has_finalizer(FOREGROUND) && owner.block_owner_deletion == Some(true) {
        OwnerState::Waiting
    } else {
        OwnerState::Solid
    }
}

#[cfg(test)]
#[path = "garbage_tests.rs"]
mod tests;
