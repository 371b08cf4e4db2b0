//! Empties a workspace that is being deleted, then lets it go.
//!
//! Order: child workspaces first, each by the same rule; then every object that has finalizers is asked to go, and
//! waited for; when no finalizer is left, one commit purges the logical cluster and removes the Workspace. So nothing
//! of a workspace is served after it is gone, and what finalizers stand for has happened before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use kcp_apimachinery::{GroupResource, GroupVersionResource, Status, object, time::Timestamp};
use kcp_apis::{
    conditions::{self, Condition},
    core::{self, phase},
    tenancy::{self, condition, reason},
};
use kcp_client::{Client, DeleteParams, Error, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, Found, ObjectKey, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Batch, CommitError, EventKind, Expect, Key, Prefix, Revision, Snapshot, Unless};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Context;

/// Finalizers that stand for nothing outside the workspace: the purge does their work.
const INTERNAL: [&str; 5] = [
    "foregroundDeletion",
    "orphan",
    "customresourcecleanup.apiextensions.k8s.io",
    core::LOGICAL_CLUSTER_FINALIZER,
    core::CONTENT_FINALIZER,
];
/// How many requests one workspace's deletion makes at a time.
const PARALLEL: usize = 32;
/// How many workspaces are emptied at a time.
const CONCURRENCY: usize = 64;

/// A workspace that is being deleted.
struct Deleting {
    workspace: ObjectKey,
    /// All children have been told to go; none can be made meanwhile.
    children_asked: bool,
}

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<ObjectKey>,
    /// By the logical cluster that is being emptied: what happens there is a reason to look again.
    deleting: Mutex<HashMap<String, Deleting>>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default(), deleting: Mutex::default() }
    }

    pub(crate) fn observe(&self, found: &Found<'_>) {
        let (key, value, gone) = match found {
            Found::Existing(key, value) => (*key, *value, false),
            Found::Event(event) => (&event.key, &event.value[..], event.kind == EventKind::Delete),
        };
        let parts = key.parts();
        if let Some(d) = self.deleting.lock().get(parts.cluster) {
            self.queue.add(d.workspace.clone());
        }
        // The word is looked for before the object is parsed: most events are not about deletion.
        let workspace = parts.group == tenancy::GROUP && parts.resource == tenancy::WORKSPACE.resource;
        if workspace
            && !gone
            && contains(value, b"\"deletionTimestamp\"")
            && let Some(key) = ObjectKey::from_storage(key)
        {
            self.queue.add(key);
        }
        // Deleted from inside: the Workspace that it belongs to is to follow.
        let logical = parts.group == core::GROUP && parts.resource == core::LOGICAL_CLUSTER.resource;
        if logical
            && !gone
            && contains(value, b"\"deletionTimestamp\"")
            && let Some(owner) = serde_json::from_slice(value).ok().as_ref().and_then(owner_of)
        {
            self.queue.add(owner);
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("workspace-deletion", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, key: ObjectKey) -> Result<Action, Error> {
        let Ok(storage_key) = Key::object(&tenancy::WORKSPACE.group_resource(), &key.cluster, "", &key.name) else {
            return Ok(Action::Done);
        };
        let Some(entry) = self.context.store.get(&storage_key) else { return Ok(Action::Done) };
        let workspace: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        let child = workspace.pointer("/spec/cluster").and_then(Value::as_str).and_then(|c| ClusterName::new(c).ok());
        if !object::is_deleting(&workspace) {
            return self.follow(&key, &workspace, child.as_ref()).await;
        }
        let Some(child) = child else {
            return self.finish(&key, storage_key, entry.revision, &workspace, None).await;
        };
        // From here on events in the child bring the key back, so none between the looks below and the end is missed.
        let asked = {
            let mut deleting = self.deleting.lock();
            let d = deleting
                .entry(child.to_string())
                .or_insert_with(|| Deleting { workspace: key.clone(), children_asked: false });
            d.workspace = key.clone();
            d.children_asked
        };
        if !asked {
            self.try_to(&key, &workspace, self.delete_children(&child)).await?;
            if let Some(d) = self.deleting.lock().get_mut(child.as_str()) {
                d.children_asked = true;
            }
        }
        let (revision, children, held) = {
            let snapshot = self.context.store.snapshot();
            let children = has_children(&snapshot, &child);
            let held = if children { Vec::new() } else { self.held_objects(&snapshot, &child) };
            (snapshot.revision(), children, held)
        };
        if children {
            return self.wait(&key, &workspace, reason::CHILD_WORKSPACES_REMAIN, "Some child workspaces remain.").await;
        }
        if held.is_empty() {
            let emptied = Some((&child, revision));
            return self.finish(&key, storage_key, entry.revision, &workspace, emptied).await;
        }
        self.try_to(&key, &workspace, self.delete_held(&child, &held)).await?;
        let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
        for f in held.iter().flat_map(|h| &h.finalizers) {
            *finalizers.entry(f).or_default() += 1;
        }
        let list: Vec<String> = finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
        let message = format!("Some content in the workspace has finalizers remaining: {}", list.join(", "));
        self.wait(&key, &workspace, reason::SOME_FINALIZERS_REMAIN, &message).await
    }

    /// Deletes a Workspace whose logical cluster was deleted from inside.
    async fn follow(&self, key: &ObjectKey, workspace: &Value, child: Option<&ClusterName>) -> Result<Action, Error> {
        let Some(child) = child else { return Ok(Action::Done) };
        let logical = Key::object(&core::LOGICAL_CLUSTER.group_resource(), child, "", core::LOGICAL_CLUSTER_NAME)
            .ok()
            .and_then(|key| self.context.store.get(&key))
            .and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
        let own = |l: &Value| {
            object::is_deleting(l)
                && l.pointer("/spec/owner/uid").and_then(Value::as_str) == Some(object::uid(workspace))
                && owner_of(l).as_ref() == Some(key)
        };
        if logical.as_ref().is_some_and(own) {
            let client = self.context.client.cluster(key.cluster.as_str());
            let uid = Some(object::uid(workspace).to_owned());
            delete(client, tenancy::WORKSPACE.gvr(), String::new(), key.name.clone(), uid).await?;
        }
        Ok(Action::Done)
    }

    /// Does a part of the deletion; what goes wrong is said in the Workspace's conditions, and it is tried again.
    async fn try_to(
        &self,
        key: &ObjectKey,
        workspace: &Value,
        part: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let Err(error) = part.await else { return Ok(()) };
        let (kind, text) = (condition::WORKSPACE_DELETION_CONTENT_SUCCESS, error.to_string());
        let failed = Condition::fails(kind, reason::CONTENT_DELETION_FAILED, &text);
        self.say(key, workspace, &[failed]).await?;
        Err(error)
    }

    async fn delete_children(&self, child: &ClusterName) -> Result<(), Error> {
        let Ok(prefix) = Prefix::cluster(&tenancy::WORKSPACE.group_resource(), child) else { return Ok(()) };
        let names: Vec<String> = self
            .context
            .store
            .snapshot()
            .range(&prefix, None)
            .filter(|(_, e)| !is_deleting(&e.value))
            .map(|(k, _)| k.parts().name.to_owned())
            .collect();
        let client = self.context.client.cluster(child.as_str());
        let deletions =
            names.into_iter().map(|name| delete(client.clone(), tenancy::WORKSPACE.gvr(), String::new(), name, None));
        all(deletions.collect()).await
    }

    async fn delete_held(&self, child: &ClusterName, held: &[Held]) -> Result<(), Error> {
        let client = self.context.client.cluster(child.as_str());
        let mut deletions = Vec::new();
        let mut unserved = None;
        for h in held.iter().filter(|h| !h.deleting) {
            match self.context.kinds.served(child, &h.resource) {
                Some(gvr) => {
                    let uid = Some(h.uid.clone());
                    deletions.push(delete(client.clone(), gvr, h.namespace.clone(), h.name.clone(), uid));
                }
                None => unserved = Some(&h.resource),
            }
        }
        all(deletions).await?;
        unserved.map_or(Ok(()), |resource| {
            let text = format!("{resource} is served in no version, and some of them have finalizers");
            Err(Status::internal(text).into())
        })
    }

    /// The objects of a logical cluster that have finalizers which stand for something outside it.
    fn held_objects(&self, snapshot: &Snapshot, cluster: &ClusterName) -> Vec<Held> {
        let mut held = Vec::new();
        // A resource that came after the snapshot is nothing to it.
        for resource in self.context.store.resources(cluster) {
            let Ok(prefix) = Prefix::cluster(&resource, cluster) else { continue };
            for (key, entry) in snapshot.range(&prefix, None) {
                let Some((value, finalizers)) = holding(&entry.value) else { continue };
                let parts = key.parts();
                held.push(Held {
                    resource: resource.clone(),
                    namespace: parts.namespace.to_owned(),
                    name: parts.name.to_owned(),
                    uid: object::uid(&value).to_owned(),
                    deleting: object::is_deleting(&value),
                    finalizers,
                });
            }
        }
        held
    }

    /// Purges the logical cluster and removes the Workspace in one commit; when someone else holds the Workspace by a
    /// finalizer of their own, only ours is taken away. `emptied`: the logical cluster, and the revision at which
    /// nothing in it had to be waited for.
    async fn finish(
        &self,
        key: &ObjectKey,
        storage_key: Key,
        revision: u64,
        workspace: &Value,
        emptied: Option<(&ClusterName, Revision)>,
    ) -> Result<Action, Error> {
        let others: Vec<&str> =
            object::finalizers(workspace).filter(|f| *f != core::LOGICAL_CLUSTER_FINALIZER).collect();
        let mut batch = Batch::new();
        if let Some((child, seen)) = emptied {
            batch = batch.purge_unless(child.clone(), Unless { seen, holds: is_held });
        }
        batch = if others.is_empty() {
            batch.delete(storage_key, Expect::Revision(revision))
        } else {
            batch.check(storage_key, Expect::Revision(revision))
        };
        match self.context.store.commit(batch).await {
            Ok(_) => {}
            // The Workspace or something in it has changed meanwhile: its event brings the key back, but not when the
            // log no longer says what has changed.
            Err(CommitError::Conflict { current: Some(_), .. }) => return Ok(Action::Done),
            Err(CommitError::Conflict { current: None, .. }) => return Ok(Action::After(Duration::ZERO)),
            Err(e) => return Err(Status::internal(e).into()),
        }
        if let Some((child, _)) = emptied {
            self.deleting.lock().remove(child.as_str());
        }
        if !others.is_empty() {
            let patch = json!({"metadata": {"uid": object::uid(workspace), "finalizers": others}});
            let client = self.context.client.cluster(key.cluster.as_str());
            gone_is_fine(
                client
                    .patch(
                        &tenancy::WORKSPACE.gvr(),
                        "",
                        &key.name,
                        "",
                        &Patch::Merge(&patch),
                        &WriteParams::manager("workspace-deletion"),
                    )
                    .await,
            )?;
        }
        Ok(Action::Done)
    }

    /// Says in the Workspace's status what it waits for.
    async fn wait(&self, key: &ObjectKey, workspace: &Value, reason: &str, message: &str) -> Result<Action, Error> {
        let remains = Condition::fails(condition::WORKSPACE_CONTENT_DELETED, reason, message);
        let well = Condition::holds(condition::WORKSPACE_DELETION_CONTENT_SUCCESS);
        self.say(key, workspace, &[well, remains]).await?;
        Ok(Action::Done)
    }

    async fn say(&self, key: &ObjectKey, workspace: &Value, conditions: &[Condition<'_>]) -> Result<(), Error> {
        let mut changed = workspace.clone();
        let now = Timestamp::now().rfc3339();
        object::child_mut(&mut changed, "status").insert("phase".into(), phase::DELETING.into());
        for condition in conditions {
            conditions::set(&mut changed, condition, &now);
        }
        if changed["status"] == workspace["status"] {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"uid": object::uid(workspace)},
            "status": {"phase": phase::DELETING, "conditions": changed["status"]["conditions"]},
        });
        let client = self.context.client.cluster(key.cluster.as_str());
        let params = WriteParams::manager("workspace-deletion");
        let gvr = tenancy::WORKSPACE.gvr();
        gone_is_fine(client.patch(&gvr, "", &key.name, "status", &Patch::Merge(&patch), &params).await)
    }
}

/// The Workspace that a LogicalCluster belongs to.
fn owner_of(logical: &Value) -> Option<ObjectKey> {
    let text = |field: &str| logical.pointer(&format!("/spec/owner/{field}")).and_then(Value::as_str);
    if text("resource") != Some(tenancy::WORKSPACE.resource) {
        return None;
    }
    let cluster = ClusterName::new(text("cluster")?).ok()?;
    Some(ObjectKey { cluster, namespace: String::new(), name: text("name")?.to_owned() })
}

/// Asks for the deletion of an object; one that is gone is fine.
async fn delete(
    client: Client,
    gvr: GroupVersionResource,
    namespace: String,
    name: String,
    uid: Option<String>,
) -> Result<(), Error> {
    let params = DeleteParams { uid, ..DeleteParams::default() };
    gone_is_fine(client.delete(&gvr, &namespace, &name, &params).await)
}

/// Carries all out, some at a time, and gives the first error when all have ended.
async fn all<F: Future<Output = Result<(), Error>>>(work: Vec<F>) -> Result<(), Error> {
    let ended: Vec<Result<(), Error>> = stream::iter(work).buffer_unordered(PARALLEL).collect().await;
    ended.into_iter().collect()
}

fn has_children(snapshot: &Snapshot, child: &ClusterName) -> bool {
    Prefix::cluster(&tenancy::WORKSPACE.group_resource(), child)
        .is_ok_and(|p| snapshot.range(&p, None).next().is_some())
}

/// An object that must be waited for.
struct Held {
    resource: GroupResource,
    namespace: String,
    name: String,
    uid: String,
    deleting: bool,
    finalizers: Vec<String>,
}

/// A stored object and its finalizers that stand for something outside its logical cluster; `None` without any.
fn holding(bytes: &[u8]) -> Option<(Value, Vec<String>)> {
    if !contains(bytes, b"\"finalizers\"") {
        return None;
    }
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let finalizers: Vec<String> =
        object::finalizers(&value).filter(|f| !INTERNAL.contains(f)).map(str::to_owned).collect();
    (!finalizers.is_empty()).then_some((value, finalizers))
}

/// Whether a stored object must be waited for.
fn is_held(bytes: &[u8]) -> bool {
    holding(bytes).is_some()
}

/// Whether a stored object is being deleted. The word alone does not say so: anyone can call a label like this.
fn is_deleting(bytes: &[u8]) -> bool {
    contains(bytes, b"\"deletionTimestamp\"")
        && serde_json::from_slice::<Value>(bytes).is_ok_and(|object| object::is_deleting(&object))
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_does_not_pass_for_a_deletion() {
        let bytes = |meta: Value| json!({"metadata": meta}).to_string().into_bytes();
        assert!(is_deleting(&bytes(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}))));
        assert!(!is_deleting(&bytes(json!({"annotations": {"deletionTimestamp": "x"}}))));
        assert!(!is_deleting(&bytes(json!({"name": "a"}))));
    }
}
