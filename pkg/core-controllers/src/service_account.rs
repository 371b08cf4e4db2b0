//! Gives every namespace the service account `default` and the ConfigMap `kube-root-ca.crt` (G-07).

use std::sync::Arc;

use kcp_apimachinery::{GroupResource, GroupVersionResource};
use kcp_client::{Error, Patch, WriteParams};
use kcp_controller::{Action, ObjectKey, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Key;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY,
    context::Context,
    meta::{Envelope, Seen},
};

const ACCOUNT: &str = "default";
const CA_MAP: &str = "kube-root-ca.crt";
const CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<ObjectKey>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        let namespace = if seen.is("", "namespaces") {
            if seen.deleted {
                return;
            }
            seen.parts.name
        } else if seen.is("", "serviceaccounts") && seen.parts.name == ACCOUNT && seen.deleted
            || seen.is("", "configmaps") && seen.parts.name == CA_MAP
        {
            seen.parts.namespace
        } else {
            return;
        };
        if let Ok(cluster) = ClusterName::new(seen.parts.cluster) {
            self.queue.add(ObjectKey { cluster, namespace: String::new(), name: namespace.to_owned() });
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("service-account", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, key: ObjectKey) -> Result<Action, Error> {
        let store = &self.context.store;
        let entry = |resource: &str, namespace: &str, name: &str| {
            let key = Key::object(&GroupResource::new("", resource), &key.cluster, namespace, name).ok()?;
            store.get(&key)
        };
        match entry("namespaces", "", &key.name) {
            Some(e) if !Envelope::read(&e.value).is_deleting() => {}
            _ => return Ok(Action::Done),
        }
        let client = self.context.client(&key.cluster);
        if entry("serviceaccounts", &key.name, ACCOUNT).is_none() {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
            let gvr = GroupVersionResource::new("", "v1", "serviceaccounts");
            done(client.create(&gvr, &key.name, &account, &WriteParams::manager("service-account-controller")).await)?;
        }
        let maps = GroupVersionResource::new("", "v1", "configmaps");
        let params = WriteParams::manager("root-ca-certificate-publisher");
        let data = json!({"ca.crt": self.context.root_ca});
        match entry("configmaps", &key.name, CA_MAP) {
            None => {
                let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CA_MAP, "annotations": {"kubernetes.io/description": CA_DESCRIPTION}}, "data": data});
                done(client.create(&maps, &key.name, &map, &params).await)?;
            }
            Some(entry) => {
                let map: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
                if map["data"] != data {
                    let patch = json!([{"op": "add", "path": "/data", "value": data}]);
                    done(client.patch(&maps, &key.name, CA_MAP, "", &Patch::Json(&patch), &params).await)?;
                }
            }
        }
        Ok(Action::Done)
    }
}

/// Someone else was faster, or the namespace is going: either way nothing is left to do.
fn done(result: Result<Value, Error>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(e) if e.is_already_exists() || e.is_not_found() || e.is_forbidden() => Ok(()),
        Err(e) => Err(e),
    }
}
