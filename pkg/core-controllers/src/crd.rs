//! Deletes the instances of a CustomResourceDefinition that is being deleted, then lets it go (CRD-10, CRD-11).

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kcp_apimachinery::{GroupResource, GroupVersionResource, Status, object, time::Timestamp};
use kcp_apis::conditions;
use kcp_client::{DeleteParams, Error, ListParams, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, ObjectKey, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Expect, Key, Op, Prefix};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY,
    context::Context,
    meta::{Envelope, Seen},
};

/// The finalizer that this controller removes.
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// How many instances are removed with one commit when no version is served.
const BATCH: usize = 256;
const GROUP: &str = "apiextensions.k8s.io";
const RESOURCE: &str = "customresourcedefinitions";

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<ObjectKey>,
    /// Definitions that wait for their instances to go, by the resource they define.
    waiting: Mutex<HashMap<(String, GroupResource), ObjectKey>>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default(), waiting: Mutex::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if seen.is(GROUP, RESOURCE) {
            if !seen.deleted
                && seen.envelope().is_deleting()
                && let Some(key) = ObjectKey::from_storage(seen.key)
            {
                self.queue.add(key);
            }
        } else if seen.deleted {
            let waiting = self.waiting.lock();
            if waiting.is_empty() {
                return;
            }
            let resource = GroupResource::new(seen.parts.group, seen.parts.resource);
            if let Some(key) = waiting.get(&(seen.parts.cluster.to_owned(), resource)) {
                self.queue.add(key.clone());
            }
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("crd-finalizer", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, key: ObjectKey) -> Result<Action, Error> {
        let Ok(storage_key) = Key::object(&GroupResource::new(GROUP, RESOURCE), &key.cluster, "", &key.name) else {
            return Ok(Action::Done);
        };
        let definition: Value = match self.context.store.get(&storage_key) {
            Some(e) => serde_json::from_slice(&e.value).unwrap_or_default(),
            None => return Ok(Action::Done),
        };
        if !object::is_deleting(&definition) || !object::finalizers(&definition).any(|f| f == FINALIZER) {
            return Ok(Action::Done);
        }
        let text = |p: &str| definition.pointer(p).and_then(Value::as_str).unwrap_or_default();
        let resource = GroupResource::new(text("/spec/group"), text("/spec/names/plural"));
        let slot = (key.cluster.to_string(), resource.clone());
        // From here on a deletion brings the key back, so none between the look below and the end is missed.
        self.waiting.lock().insert(slot.clone(), key.clone());
        let left = self.delete_instances(&key.cluster, &resource).await?;
        if left > 0 {
            let message = format!("CustomResource deletion is in progress: {left} instances remain");
            self.set_terminating(&key, &definition, "InstanceDeletionInProgress", &message).await?;
            return Ok(Action::Done);
        }
        self.waiting.lock().remove(&slot);
        self.set_terminating(&key, &definition, "InstanceDeletionCompleted", "removed all instances").await?;
        let kept: Vec<&str> = object::finalizers(&definition).filter(|f| *f != FINALIZER).collect();
        let finalizers = if kept.is_empty() { Value::Null } else { json!(kept) };
        let patch = json!({"metadata": {"uid": object::uid(&definition), "finalizers": finalizers}});
        self.patch_status(&key, &patch).await.map(|()| Action::Done)
    }

    /// Asks for the deletion of all instances and gives the number of those that are still there.
    async fn delete_instances(&self, cluster: &ClusterName, resource: &GroupResource) -> Result<usize, Error> {
        let Ok(prefix) = Prefix::cluster(resource, cluster) else { return Ok(0) };
        match self.context.kinds.served(cluster, resource) {
            Some(gvr) => self.delete_through(cluster, &gvr, &prefix).await?,
            None => self.remove_unserved(&prefix).await?,
        }
        Ok(self.context.store.snapshot().range(&prefix, None).count())
    }

    async fn delete_through(
        &self,
        cluster: &ClusterName,
        gvr: &GroupVersionResource,
        prefix: &Prefix,
    ) -> Result<(), Error> {
        let snapshot = self.context.store.snapshot();
        let namespaces: BTreeSet<String> = snapshot
            .range(prefix, None)
            .filter(|(_, e)| !Envelope::read(&e.value).is_deleting())
            .map(|(k, _)| k.parts().namespace.to_owned())
            .collect();
        drop(snapshot);
        let client = self.context.client(cluster);
        for namespace in namespaces {
            let (all, options) = (ListParams::default(), DeleteParams::default());
            gone_is_fine(client.delete_collection(gvr, &namespace, &all, &options).await)?;
        }
        Ok(())
    }

    /// Removes what no request can reach, because no version is served. What has finalizers stays: to be let go of, it
    /// must be served again.
    async fn remove_unserved(&self, prefix: &Prefix) -> Result<(), Error> {
        let snapshot = self.context.store.snapshot();
        let free: Vec<Op> = snapshot
            .range(prefix, None)
            .filter(|(_, e)| Envelope::read(&e.value).metadata.finalizers.is_empty())
            .map(|(key, entry)| Op::Delete { key: key.clone(), expect: Expect::Revision(entry.revision) })
            .collect();
        drop(snapshot);
        for batch in free.chunks(BATCH) {
            self.context.store.commit(batch.to_vec().into()).await.map_err(Status::internal)?;
        }
        Ok(())
    }

    async fn set_terminating(
        &self,
        key: &ObjectKey,
        definition: &Value,
        reason: &str,
        message: &str,
    ) -> Result<(), Error> {
        let mut changed = definition.clone();
        if !conditions::set_condition(
            &mut changed,
            "Terminating",
            conditions::ConditionStatus::True,
            reason,
            message,
            &Timestamp::now().rfc3339(),
        ) {
            return Ok(());
        }
        let patch = json!({"status": {"conditions": changed["status"]["conditions"]}});
        self.patch_status(key, &patch).await
    }

    /// Merges `patch` into the definition through `status`. A definition that is gone needs nothing.
    async fn patch_status(&self, key: &ObjectKey, patch: &Value) -> Result<(), Error> {
        gone_is_fine(
            self.context
                .client(&key.cluster)
                .patch(
                    &definitions(),
                    "",
                    &key.name,
                    "status",
                    &Patch::Merge(patch),
                    &WriteParams::manager("crd-finalizer"),
                )
                .await,
        )
    }
}

fn definitions() -> GroupVersionResource {
    GroupVersionResource::new(GROUP, "v1", RESOURCE)
}
