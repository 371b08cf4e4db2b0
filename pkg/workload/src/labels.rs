//! Gives what is in a namespace the namespace's label: what a syncer sees and may read.
//!
//! Which namespaces are assigned is kept in memory while the cursor passes them, so that a write in any other costs one
//! look-up and one search for the label's name.

use std::{collections::HashMap, sync::Arc};

use kcp_apimachinery::{GroupResource, GroupVersion, GroupVersionResource, object};
use kcp_apis::workload::{CLUSTER_LABEL, WORKLOAD_CLUSTER, is_synced};
use kcp_client::{Error, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Prefix;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY, Context,
    read::{Seen, get, labels, list, names, text},
};

const MANAGER: &str = "namespace-label-copier";

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// Everything in a namespace.
    Namespace(ClusterName, String),
    /// One object.
    Object { cluster: ClusterName, namespace: String, resource: GroupResource, name: String },
}

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<Work>,
    /// The label of each namespace that has one.
    assigned: Mutex<HashMap<(String, String), String>>,
}

fn namespaces() -> GroupResource {
    GroupResource::new("", "namespaces")
}

fn definitions() -> GroupResource {
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Whether the label of an object, as it is stored, is not `wanted`.
fn differs(value: &[u8], wanted: Option<&str>) -> bool {
    let mentioned = memchr::memmem::find(value, CLUSTER_LABEL.as_bytes()).is_some();
    match wanted {
        None if !mentioned => false,
        Some(_) if !mentioned => true,
        wanted => labels(value).get(CLUSTER_LABEL).map(AsRef::as_ref) != wanted,
    }
}

/// A syncer's own account and credentials: they belong to a WorkloadCluster and are nothing that runs anywhere.
fn is_credential(object: &Value) -> bool {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten().any(|owner| {
        owner.get("kind").and_then(Value::as_str) == Some(WORKLOAD_CLUSTER.kind)
            && text(owner, "/apiVersion").starts_with(WORKLOAD_CLUSTER.group)
    })
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default(), assigned: Mutex::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if seen.is(&namespaces()) {
            let slot = (seen.parts.cluster.to_owned(), seen.parts.name.to_owned());
            let label = match seen.deleted {
                true => None,
                false => labels(seen.value).get(CLUSTER_LABEL).map(|v| v.clone().into_owned()),
            };
            let mut assigned = self.assigned.lock();
            let before = match &label {
                Some(label) => assigned.insert(slot, label.clone()),
                None => assigned.remove(&slot),
            };
            drop(assigned);
            if before != label
                && !seen.deleted
                && let Some(cluster) = seen.cluster()
            {
                self.queue.add(Work::Namespace(cluster, seen.parts.name.to_owned()));
            }
            return;
        }
        if seen.deleted || seen.parts.namespace.is_empty() || !is_synced(seen.parts.group, seen.parts.resource) {
            return;
        }
        let slot = (seen.parts.cluster.to_owned(), seen.parts.namespace.to_owned());
        let assigned = self.assigned.lock();
        let differs = differs(seen.value, assigned.get(&slot).map(String::as_str));
        drop(assigned);
        if differs && let Some(cluster) = seen.cluster() {
            self.queue.add(Work::Object {
                cluster,
                namespace: slot.1,
                resource: GroupResource::new(seen.parts.group, seen.parts.resource),
                name: seen.parts.name.to_owned(),
            });
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run(MANAGER, &self.queue, CONCURRENCY, stop, |work| self.reconcile(work)).await;
    }

    async fn reconcile(&self, work: Work) -> Result<Action, Error> {
        match work {
            Work::Namespace(cluster, namespace) => self.sweep(&cluster, &namespace),
            Work::Object { cluster, namespace, resource, name } => {
                self.label(&cluster, &namespace, &resource, &name).await?;
            }
        }
        Ok(Action::Done)
    }

    /// Queues everything in a namespace that may need another label.
    fn sweep(&self, cluster: &ClusterName, namespace: &str) {
        let store = &self.context.store;
        let built_in = ["configmaps", "secrets", "serviceaccounts"].map(|r| GroupResource::new("", r));
        let custom = list(store, &definitions(), cluster)
            .into_iter()
            .filter(|crd| text(crd, "/spec/scope") == "Namespaced")
            .map(|crd| GroupResource::new(text(&crd, "/spec/group"), text(&crd, "/spec/names/plural")));
        for resource in built_in.into_iter().chain(custom).filter(|r| is_synced(&r.group, &r.resource)) {
            let Ok(prefix) = Prefix::namespace(&resource, cluster, namespace) else { continue };
            let found = names(store, &prefix);
            self.queue.add_all(found.into_iter().map(|name| Work::Object {
                cluster: cluster.clone(),
                namespace: namespace.to_owned(),
                resource: resource.clone(),
                name,
            }));
        }
    }

    async fn label(
        &self,
        cluster: &ClusterName,
        namespace: &str,
        resource: &GroupResource,
        name: &str,
    ) -> Result<(), Error> {
        let store = &self.context.store;
        let Some(home) = get(store, &namespaces(), cluster, "", namespace) else { return Ok(()) };
        let Some(object) = get(store, resource, cluster, namespace, name) else { return Ok(()) };
        let wanted = object::label(&home, CLUSTER_LABEL).filter(|_| !is_credential(&object));
        if object::label(&object, CLUSTER_LABEL) == wanted {
            return Ok(());
        }
        let Some(gv) = object.get("apiVersion").and_then(Value::as_str).and_then(GroupVersion::parse) else {
            return Ok(());
        };
        let gvr = GroupVersionResource::new(&resource.group, gv.version, &resource.resource);
        // The uid, so that the label meant for one object never lands on another of its name.
        let patch = json!({"metadata": {"uid": object::uid(&object), "labels": {CLUSTER_LABEL: wanted}}});
        let client = self.context.client.cluster(cluster.as_str());
        let params = WriteParams::manager(MANAGER);
        gone_is_fine(client.patch(&gvr, namespace, name, "", &Patch::Merge(&patch), &params).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_differ_are_seen() {
        let labelled = br#"{"metadata":{"labels":{"workloads.kcp.dev/cluster":"a"}}}"#;
        let inside =
            br#"{"metadata":{},"spec":{"template":{"metadata":{"labels":{"workloads.kcp.dev/cluster":"a"}}}}}"#;
        for (value, wanted, want) in [
            (&b"{}"[..], None, false),
            (b"{}", Some("a"), true),
            (labelled, Some("a"), false),
            (labelled, Some("b"), true),
            (labelled, None, true),
            (inside, Some("a"), true),
            (inside, None, false),
        ] {
            assert_eq!(differs(value, wanted), want, "{} {wanted:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn credentials_of_syncers_are_told_apart() {
        let owned =
            |api: &str, kind: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": api, "kind": kind}]}});
        assert!(is_credential(&owned("workload.kcp.dev/v1alpha1", "WorkloadCluster")));
        assert!(!is_credential(&owned("apps/v1", "WorkloadCluster")));
        assert!(!is_credential(&json!({})));
    }
}
