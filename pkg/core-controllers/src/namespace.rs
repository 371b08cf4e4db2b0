//! Empties namespaces that are being deleted, then lets them go (G-02..G-05).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use kcp_apimachinery::{GroupResource, GroupVersionResource, object, time::Timestamp};
use kcp_apis::conditions::{self, ConditionStatus};
use kcp_client::{DeleteParams, Error, ListParams, WriteParams, gone_is_fine};
use kcp_controller::{Action, ObjectKey, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Key, Prefix, Store};
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY,
    context::Context,
    meta::{Envelope, Seen},
};

/// The finalizer in `spec.finalizers` that this controller removes.
const FINALIZER: &str = "kubernetes";

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<ObjectKey>,
    /// Namespaces that are being emptied: what goes from them is a reason to look again.
    terminating: Mutex<HashSet<ObjectKey>>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default(), terminating: Mutex::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if seen.is("", "namespaces") {
            let Some(key) = ObjectKey::from_storage(seen.key) else { return };
            if seen.deleted {
                self.terminating.lock().remove(&key);
            } else if seen.envelope().is_deleting() {
                self.terminating.lock().insert(key.clone());
                self.queue.add(key);
            }
        } else if !seen.parts.namespace.is_empty() {
            let terminating = self.terminating.lock();
            if terminating.is_empty() {
                return;
            }
            let Ok(cluster) = ClusterName::new(seen.parts.cluster) else { return };
            let key = ObjectKey { cluster, namespace: String::new(), name: seen.parts.namespace.to_owned() };
            if terminating.contains(&key) {
                self.queue.add(key);
            }
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("namespace", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, key: ObjectKey) -> Result<Action, Error> {
        let store = &self.context.store;
        let storage_key = match Key::object(&GroupResource::new("", "namespaces"), &key.cluster, "", &key.name) {
            Ok(k) => k,
            Err(_) => return Ok(Action::Done),
        };
        let Some(entry) = store.get(&storage_key) else { return Ok(Action::Done) };
        let namespace: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        if !object::is_deleting(&namespace) {
            return Ok(Action::Done);
        }
        let client = self.context.client(&key.cluster);
        let mut failures = Vec::new();
        let mut all = content(store, &key.cluster, &key.name);
        // Pods go before what they may rely on, such as the policies that fence them in.
        let pods = GroupResource::new("", "pods");
        if all.contains_key(&pods) {
            all.retain(|resource, _| *resource == pods);
        }
        for (resource, found) in all {
            if found.waiting == found.count {
                continue;
            }
            let params = DeleteParams { propagation_policy: Some("Background"), ..DeleteParams::default() };
            let deleted = async {
                let gvr = self.context.served(&key.cluster, &resource)?;
                client.delete_collection(&gvr, &key.name, &ListParams::default(), &params).await
            };
            if let Err(e) = gone_is_fine(deleted.await) {
                failures.push(format!("{resource}: {e}"));
            }
        }
        let left = content(store, &key.cluster, &key.name);
        let namespaces = GroupVersionResource::new("", "v1", "namespaces");
        if failures.is_empty() && left.is_empty() {
            return finalize(&client, &namespaces, namespace).await;
        }
        let mut status = namespace.clone();
        set_conditions(&mut status, &left, &failures, &Timestamp::now().rfc3339());
        if status["status"] != namespace["status"] {
            match client
                .update(&namespaces, "", &key.name, "status", &status, &WriteParams::manager("namespace-controller"))
                .await
            {
                Ok(_) => {}
                Err(e) if e.is_not_found() => return Ok(Action::Done),
                Err(e) => return Err(e),
            }
        }
        if failures.is_empty() {
            Ok(Action::Done)
        } else {
            Err(kcp_apimachinery::Status::internal(failures.join("; ")).into())
        }
    }
}

/// Takes the finalizer out; the server removes the namespace when it was the last.
async fn finalize(
    client: &kcp_client::Client,
    namespaces: &GroupVersionResource,
    mut namespace: Value,
) -> Result<Action, Error> {
    if let Some(finalizers) = namespace.pointer_mut("/spec/finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|f| f != FINALIZER);
    }
    let name = object::name(&namespace).to_owned();
    gone_is_fine(client.update(namespaces, "", &name, "finalize", &namespace, &WriteParams::default()).await)?;
    Ok(Action::Done)
}

/// What a namespace holds of one resource.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    count: usize,
    /// How many are being deleted already.
    waiting: usize,
    finalizers: BTreeMap<String, usize>,
}

/// What a namespace holds, by resource.
fn content(store: &Store, cluster: &ClusterName, namespace: &str) -> BTreeMap<GroupResource, Content> {
    let snapshot = store.snapshot();
    let mut all = BTreeMap::new();
    for resource in store.resources(cluster) {
        let Ok(prefix) = Prefix::namespace(&resource, cluster, namespace) else { continue };
        let mut found = Content::default();
        for (_, entry) in snapshot.range(&prefix, None) {
            let envelope = Envelope::read(&entry.value);
            found.count += 1;
            if envelope.is_deleting() {
                found.waiting += 1;
                for f in envelope.metadata.finalizers {
                    *found.finalizers.entry(f).or_default() += 1;
                }
            }
        }
        if found.count > 0 {
            all.insert(resource, found);
        }
    }
    all
}

fn set_conditions(namespace: &mut Value, left: &BTreeMap<GroupResource, Content>, failures: &[String], now: &str) {
    let remaining: Vec<String> = left.iter().map(|(r, c)| format!("{r} has {} resource instances", c.count)).collect();
    let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
    for content in left.values() {
        for (f, n) in &content.finalizers {
            *finalizers.entry(f).or_default() += n;
        }
    }
    let held: Vec<String> = finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
    let mut set = |kind: &str, bad: bool, reason: &str, message: &str| {
        let status = if bad { ConditionStatus::True } else { ConditionStatus::False };
        conditions::set_condition(namespace, kind, status, reason, message, now);
    };
    set("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered");
    set(
        "NamespaceDeletionGroupVersionParsingFailure",
        false,
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    );
    if failures.is_empty() {
        set(
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        );
    } else {
        set(
            "NamespaceDeletionContentFailure",
            true,
            "ContentDeletionFailed",
            &format!("Failed to delete all resource types, {} remaining: {}", failures.len(), failures.join(", ")),
        );
    }
    if remaining.is_empty() {
        set("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed");
    } else {
        set(
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            &format!("Some resources are remaining: {}", remaining.join(", ")),
        );
    }
    if held.is_empty() {
        set(
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        );
    } else {
        set(
            "NamespaceFinalizersRemaining",
            true,
            "SomeFinalizersRemain",
            &format!("Some content in the namespace has finalizers remaining: {}", held.join(", ")),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_say_what_remains() {
        let left = BTreeMap::from([(
            GroupResource::new("example.dev", "tiles"),
            Content { count: 2, waiting: 2, finalizers: [("example.dev/hold".to_owned(), 2)].into() },
        )]);
        let mut ns = json!({"status": {"phase": "Terminating"}});
        set_conditions(&mut ns, &left, &[], "2026-01-01T00:00:00Z");
        let message = |kind: &str| {
            ns["status"]["conditions"]
                .as_array()
                .and_then(|c| c.iter().find(|c| c["type"] == kind))
                .map(|c| c["message"].clone())
        };
        assert_eq!(
            message("NamespaceContentRemaining"),
            Some("Some resources are remaining: tiles.example.dev has 2 resource instances".into())
        );
        assert_eq!(
            message("NamespaceFinalizersRemaining"),
            Some(
                "Some content in the namespace has finalizers remaining: example.dev/hold in 2 resource instances"
                    .into()
            )
        );
        assert_eq!(
            message("NamespaceDeletionContentFailure"),
            Some("All content successfully deleted, may be waiting on finalization".into())
        );
    }
}
