//! Replica sets make pods.

use std::sync::Arc;

use kcp_apimachinery::{GroupVersionResource, object};
use kcp_client::{DeleteParams, Error, WriteParams, gone_is_fine, gone_or_changed_is_fine};
use kcp_controller::{Action, Queue, run};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{CONCURRENCY, Context, controller_of, objects::number};

const MANAGER: &str = "replicaset-controller";

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<(String, String)>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, namespace: &str, name: &str) {
        self.queue.add((namespace.to_owned(), name.to_owned()));
    }

    /// A pod has changed: its replica set counts again.
    pub(crate) fn observe_owned(&self, namespace: &str, pod: &[u8]) {
        let Ok(object) = serde_json::from_slice::<Value>(pod) else { return };
        if let Some((name, _)) = controller_of(&object, "ReplicaSet") {
            self.observe(namespace, name);
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("replicaset", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, (namespace, name): (String, String)) -> Result<Action, Error> {
        let Some(set) = self.context.get("apps", "replicasets", &namespace, &name) else { return Ok(Action::Done) };
        if object::is_deleting(&set) {
            return Ok(Action::Done);
        }
        let pods_gvr = GroupVersionResource::new("", "v1", "pods");
        let live = |p: &Value| {
            !object::is_deleting(p) && !matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
        };
        let mut pods = self.context.owned("", "pods", &namespace, "ReplicaSet", object::uid(&set));
        pods.retain(live);
        let wanted = usize::try_from(number(&set, "/spec/replicas", 1)).unwrap_or(0);
        for _ in pods.len()..wanted {
            let pod = pod(&set);
            match self.context.client.create(&pods_gvr, &namespace, &pod, &WriteParams::manager(MANAGER)).await {
                // The namespace is going, and this set with it.
                Err(e) if e.is_forbidden() && e.to_string().contains("being terminated") => return Ok(Action::Done),
                other => other?,
            };
        }
        // Those that are not ready go first.
        pods.sort_by_key(is_ready);
        for extra in pods.iter().take(pods.len().saturating_sub(wanted)) {
            let params = DeleteParams { uid: Some(object::uid(extra).to_owned()), ..DeleteParams::default() };
            gone_is_fine(self.context.client.delete(&pods_gvr, &namespace, object::name(extra), &params).await)?;
        }
        self.write_status(&namespace, &set).await?;
        Ok(Action::Done)
    }

    async fn write_status(&self, namespace: &str, set: &Value) -> Result<(), Error> {
        let mut pods = self.context.owned("", "pods", namespace, "ReplicaSet", object::uid(set));
        pods.retain(|p| !object::is_deleting(p));
        let ready = pods.iter().filter(|p| is_ready(p)).count();
        let mut changed = set.clone();
        let status = object::child_mut(&mut changed, "status");
        status.insert("replicas".into(), pods.len().into());
        status.insert("fullyLabeledReplicas".into(), pods.len().into());
        status.insert("observedGeneration".into(), object::generation(set).into());
        for field in ["readyReplicas", "availableReplicas"] {
            status.insert(field.into(), ready.into());
        }
        if changed["status"] == set["status"] {
            return Ok(());
        }
        let gvr = GroupVersionResource::new("apps", "v1", "replicasets");
        let (name, params) = (object::name(set), WriteParams::manager(MANAGER));
        let written = self.context.client.update(&gvr, namespace, name, "status", &changed, &params).await;
        gone_or_changed_is_fine(written)
    }
}

fn is_ready(pod: &Value) -> bool {
    kcp_apis::conditions::is_true(pod, "Ready")
}

fn pod(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    let meta = object::meta_mut(&mut pod);
    meta.remove("creationTimestamp");
    meta.insert("generateName".into(), format!("{}-", object::name(set)).into());
    meta.insert(
        "ownerReferences".into(),
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": object::name(set), "uid": object::uid(set), "controller": true, "blockOwnerDeletion": true}]),
    );
    object::child_mut(&mut pod, "spec").insert("nodeName".into(), crate::NODE.into());
    pod
}
