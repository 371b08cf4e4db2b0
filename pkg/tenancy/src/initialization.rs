//! Makes a workspace Ready when its last initializer has signed off.

use std::sync::Arc;

use kcp_apimachinery::{GroupResource, object, time::Timestamp};
use kcp_apis::{
    conditions::{self, ConditionStatus},
    core::{self, phase},
    tenancy::{self, condition, reason},
};
use kcp_client::{Client, Error, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, Found, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{EventKind, Key};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Context;

pub(crate) struct Controller {
    context: Arc<Context>,
    /// Logical clusters that are not Ready.
    queue: Queue<ClusterName>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, found: &Found<'_>) {
        let (key, value) = match found {
            Found::Existing(key, value) => (*key, *value),
            Found::Event(event) if event.kind != EventKind::Delete => (&event.key, &event.value[..]),
            Found::Event(_) => return,
        };
        let parts = key.parts();
        if parts.group != core::GROUP || parts.resource != core::LOGICAL_CLUSTER.resource {
            return;
        }
        let initializing = serde_json::from_slice::<Value>(value)
            .is_ok_and(|v| v.pointer("/status/phase").is_some_and(|p| p == phase::INITIALIZING));
        if initializing && let Ok(cluster) = ClusterName::new(parts.cluster) {
            self.queue.add(cluster);
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("workspace-initialization", &self.queue, 16, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, cluster: ClusterName) -> Result<Action, Error> {
        let Some(logical) = self.read(&core::LOGICAL_CLUSTER.group_resource(), &cluster, core::LOGICAL_CLUSTER_NAME)
        else {
            return Ok(Action::Done);
        };
        if logical.pointer("/status/phase").is_none_or(|p| p != phase::INITIALIZING) {
            return Ok(Action::Done);
        }
        let remaining: Vec<&Value> =
            logical.pointer("/status/initializers").and_then(Value::as_array).into_iter().flatten().collect();
        let text = |p: &str| logical.pointer(p).and_then(Value::as_str).unwrap_or_default();
        let (parent, name) = (text("/spec/owner/cluster"), text("/spec/owner/name"));
        let ready = remaining.is_empty();
        // The Workspace first: whoever waits for it must find a cluster that is about to be Ready, never the reverse left over.
        if let Ok(parent) = ClusterName::new(parent)
            && let Some(workspace) = self.read(&tenancy::WORKSPACE.group_resource(), &parent, name)
        {
            let client = self.context.client.cluster(parent.as_str());
            set_status(&client, &workspace, &tenancy::WORKSPACE.gvr(), &remaining, ready).await?;
        }
        if ready {
            let client = self.context.client.cluster(cluster.as_str());
            set_status(&client, &logical, &core::LOGICAL_CLUSTER.gvr(), &remaining, ready).await?;
        }
        Ok(Action::Done)
    }

    fn read(&self, resource: &GroupResource, cluster: &ClusterName, name: &str) -> Option<Value> {
        let entry = self.context.store.get(&Key::object(resource, cluster, "", name).ok()?)?;
        serde_json::from_slice(&entry.value).ok()
    }
}

async fn set_status(
    client: &Client,
    object: &Value,
    gvr: &kcp_apimachinery::GroupVersionResource,
    remaining: &[&Value],
    ready: bool,
) -> Result<(), Error> {
    let mut changed = object.clone();
    let status = object::child_mut(&mut changed, "status");
    status.insert("initializers".into(), json!(remaining));
    status.insert("phase".into(), if ready { phase::READY } else { phase::INITIALIZING }.into());
    let now = Timestamp::now().rfc3339();
    if ready {
        conditions::set_condition(&mut changed, condition::WORKSPACE_INITIALIZED, ConditionStatus::True, "", "", &now);
    } else {
        let names: Vec<&str> = remaining.iter().filter_map(|i| i.as_str()).collect();
        let message = format!("Initializers still exist: {}", names.join(", "));
        conditions::set_condition(
            &mut changed,
            condition::WORKSPACE_INITIALIZED,
            ConditionStatus::False,
            reason::INITIALIZER_EXISTS,
            &message,
            &now,
        );
    }
    if changed["status"] == object["status"] {
        return Ok(());
    }
    let patch = json!({"metadata": {"resourceVersion": object::resource_version(object)}, "status": changed["status"]});
    let params = WriteParams::manager("workspace-initialization");
    gone_is_fine(client.patch(gvr, "", object::name(object), "status", &Patch::Merge(&patch), &params).await)
}
